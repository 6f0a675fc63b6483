"""What a data set says of each finding: present, absent or nothing.

A source declares it (`labels`, `findings`, `always_absent` and `readers`, see recipes/sources.yaml). Nothing is
inferred from what happens to occur in the rows at hand.
"""

import numpy as np
from datasets import ClassLabel, Value

from train.data.sources import find_source

NO_FINDING = "no_finding"  # the label of an empty list


def known_labels(data, findings, source=None):
    """What a data set says of each finding.

    Strongest first: what readers said (`reader_labels`, which `load_source` joins); a column named as the finding (1,
    0; null and -1 are unknown, as in CheXpert); the list `findings` or the `label`; what is absent in everyone.

    Args:
        data: `datasets.Dataset`, as `load_source` gives it or of the same columns, of which none is needed.
        findings: names.
        source: its declaration, as a recipe's `sources` hold it; or a name, folder or id by which sources.yaml knows
            it; None for a data set that declares itself: `label` is a ClassLabel whose names are all there is to say.

    Returns:
        (N, findings) float32: 1 present, 0 absent, NaN unknown.

    Raises:
        ValueError: a label is not among those that the source declares; the message names it.
    """
    return labels_and_readers(data, findings, source)[0]


def labels_and_readers(data, findings, source=None):
    """As `known_labels`, and who says so.

    Returns:
        (N, findings) float32, and (N, findings) of str: a group of readers, `label` for the data set's own labels, ""
        where nothing is known.
    """
    source = source if isinstance(source, dict) else find_source(source)
    labels = np.full((len(data), len(findings)), np.nan, np.float32)
    always = {canonical(name) for name in source.get("always_absent", ())}
    labels[:, [canonical(finding) in always for finding in findings]] = 0
    for column in ("label", "findings"):
        if column in data.column_names:
            said = meanings(data, column, findings, source)
            labels = np.where(np.isnan(said), labels, said)
    columns = {canonical(column): column for column in data.column_names}
    for number, finding in enumerate(findings):
        if canonical(finding) in columns:
            said = [present_or_absent(value) for value in data[columns[canonical(finding)]]]
            labels[:, number] = np.where(np.isnan(said), labels[:, number], said)
    who = np.where(np.isnan(labels), "", "label").astype(object)
    if "reader_labels" in data.column_names:
        place = {finding: number for number, finding in enumerate(findings)}
        for row, read in enumerate(data["reader_labels"]):
            for said in read:
                if said["finding"] in place:
                    labels[row, place[said["finding"]]] = np.nan if said["present"] is None else said["present"]
                    who[row, place[said["finding"]]] = said["readers"]
    return labels, who


def meanings(data, column, findings, source):
    """What the labels in a column say, (N, findings) float32. Rows of the same labels are looked up once."""
    if holds_bare_numbers(data.features[column]) and not label_space(source):
        return np.full((len(data), len(findings)), np.nan, np.float32)
    found = {}
    rows = row_labels(data, column)
    for row in set(rows):
        found[row] = meaning(row, column, findings, source, names_of(data.features[column]))
    return np.array([found[row] for row in rows], np.float32).reshape(len(rows), len(findings))


def meaning(row, column, findings, source, vocabulary):
    """One row's labels, frozenset of names or None, → (findings,) float32.

    vocabulary: all names there are, where the column's type says so; else ().
    """
    says = np.full(len(findings), np.nan, np.float32)
    if row is None:
        return says
    space = label_space(source)
    listed = {canonical(name) for name in (not space and vocabulary) or source.get("findings", ())}
    unused = {canonical(name) for name in source.get("unused_labels", ())}
    entries = [{"absent": listed}]
    for name in row or {NO_FINDING}:
        if space and name not in space and name not in listed and name != NO_FINDING:
            declared = ", ".join([*space, *sorted(listed)])
            raise ValueError(f"A label {name!r} is not declared: the source's labels are {declared}.")
        if name in unused and column == "label":
            return says
        entries.append(space.get(name, {"present": [name]}))
    normal = any(entry.get("absent") == "all" for entry in entries)
    absent = {canonical(name) for entry in entries if entry.get("absent") != "all" for name in entry.get("absent", ())}
    present = {canonical(name) for entry in entries for name in entry.get("present", ())}
    for number, finding in enumerate(map(canonical, findings)):
        if finding in unused:
            continue
        if finding in present:
            says[number] = 1
        elif normal or finding in absent:
            says[number] = 0
    return says


def label_space(source):
    """Label or alias → its entry, of a source's `labels`."""
    space = {}
    for name, entry in (source.get("labels") or {}).items():
        for alias in (name, *entry.get("aliases", ())):
            space[canonical(alias)] = entry
    return space


def row_labels(data, column):
    """Each row's labels: a frozenset of names, empty where nothing was found; None where they are unknown.

    The column holds one label or a list of them, as names or as numbers of a ClassLabel; text may hold several, `a|b`.
    """
    names = names_of(data.features[column])
    return [labels_of(value, names) for value in data[column]]


def labels_of(value, names=()):
    if isinstance(value, str):
        value = [part for part in value.split("|") if part.strip()] or None
    values = value if isinstance(value, list) else [value]
    if any(each is None or each == -1 or each != each for each in values):  # NaN alone differs from itself
        return None
    return frozenset(canonical(names[each] if names and not isinstance(each, str) else each) for each in values) - {
        NO_FINDING
    }


def names_of(feature):
    """Names of a column's ClassLabel, within a list or not; () where it is none."""
    kind = getattr(feature, "feature", feature)
    return tuple(kind.names) if isinstance(kind, ClassLabel) else ()


def holds_bare_numbers(feature):
    """Whether a column holds numbers, or lists of them, that no type gives names."""
    kind = getattr(feature, "feature", feature)
    return isinstance(kind, Value) and kind.dtype.startswith(("int", "uint", "float", "bool"))


def present_or_absent(value):
    """A cell of a column named as a finding → 1, 0 or NaN."""
    if isinstance(value, str):
        value = {"1.0": 1, "1": 1, "true": 1, "yes": 1, "0.0": 0, "0": 0, "false": 0, "no": 0}.get(
            value.strip().lower()
        )
    return float(value) if value in (0, 1) else np.nan


def canonical(name):
    """`Pleural Thickening` and `pleural-thickening` are the same name: `pleural_thickening`."""
    return "_".join(str(name).lower().replace("-", " ").replace("_", " ").replace("/", " ").split())
