"""What a data set says of each finding: present, absent or nothing."""

import numpy as np
from datasets import ClassLabel

OPEN_LABELS = {"_covid_", "_lung_opacity_"}  # say nothing of pneumonia, though a data set that has them knows it


def name_findings(data):
    """Findings stored as numbers (`ClassLabel`) become names."""
    kind = data.features["findings"].feature
    if not isinstance(kind, ClassLabel):
        return data
    findings = [[kind.names[number] for number in row] for row in data["findings"]]
    return data.remove_columns("findings").add_column("findings", findings)


def known_labels(data, findings):
    """What a data set says of each finding.

    A label means a finding when it contains its words: `bacterial_pneumonia` means `pneumonia`. A finding that no
    label of the data set means is unknown there; all are, where it has masks alone.

    Args:
        data: `datasets.Dataset` with `label` or `findings` or neither.
        findings: names.

    Returns:
        (N, findings) float32: 1 present, 0 absent, NaN unknown.
    """
    if "findings" in data.column_names:
        rows = [{words(name) for name in row} for row in data["findings"]]
        vocabulary = set().union(*rows)
    elif "label" in data.column_names:
        names = data.features["label"].names
        rows = [{words(names[label])} for label in data["label"]]
        vocabulary = {words(name) for name in names}
    else:
        rows, vocabulary = [set()] * len(data), set()
    labels = np.full((len(rows), len(findings)), np.nan, np.float32)
    for column, finding in enumerate(findings):
        meaning = {label for label in vocabulary if words(finding) in label}
        if meaning:
            labels[:, column] = [np.nan if row & OPEN_LABELS - meaning else bool(row & meaning) for row in rows]
    return labels


def words(name):
    return "_" + name.lower().strip().replace(" ", "_").replace("-", "_") + "_"
