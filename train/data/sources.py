"""The data sets that are known: recipes/sources.yaml, each once, with its terms, its label space and its readers."""

from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset, Features, Value, concatenate_datasets

from train.io import read_yaml

SOURCES = Path(__file__).parents[1] / "recipes" / "sources.yaml"
KEYS = {  # of a source, there and in a recipe
    *("base", "dataset", "hub_id", "title", "hospital", "population", "age", "about", "citation", "licence"),
    *("hub_licence", "link", "redistributable", "confounded", "labels", "findings", "always_absent", "readers"),
    *("unused_labels", "images", "share", "patients", "parts", "stream"),
}


@cache
def known_sources():
    """Name → source, as sources.yaml has them, `base` carried out. Not to be altered."""
    written = read_yaml(SOURCES)
    return {name: with_base(source, written) for name, source in written.items()}


def title_in_words(source, held_back=False):
    """What a source is, and whether its patients were held back from a training on it."""
    return f"{source['title']}: {source['population']}" + ", patients held back from training" * held_back


def with_base(source, others):
    base = source.get("base")
    own = {key: value for key, value in source.items() if key != "base"}
    return with_base(others[base], others) | own if base else own


def find_source(place):
    """The known source that a name, a folder or an id on the Hub stands for; {} where it is none of them."""
    known, last = known_sources(), Path(str(place)).name
    if last in known:
        return known[last]
    return next(
        (source for source in known.values() if last == source["dataset"] or str(place) == source.get("hub_id")), {}
    )


def hospital_of(name, source=None):
    """The hospital whose patients a data set is of: what it declares, else its own name, for it may be any other.

    Args:
        name: of the data set, a name of sources.yaml, folder or id.
        source: its declaration; None for what sources.yaml says of that name.
    """
    return (find_source(name) if source is None else source).get("hospital") or name


def resolve_sources(written):
    """Sources as a recipe may write them → name → source with every key the commands read.

    Args:
        written: list of names of sources.yaml, or name → null (left out), {} or what differs from sources.yaml there.
            A name that is not there is a data set of one's own, of which `dataset` is enough.

    Raises:
        ValueError: a name is not known and has no `dataset`, or a key means nothing.
    """
    if isinstance(written, list):
        written = {name: {} for name in written}
    return {name: resolve_source(name, own) for name, own in (written or {}).items() if own is not None}


def resolve_source(name, own):
    known = known_sources()
    if not isinstance(own, dict):
        raise ValueError(f"Source {name!r} is {own!r}: write null to leave it out, or a mapping.")
    if unknown := sorted(own.keys() - KEYS):
        raise ValueError(f"Source {name!r} has a key {unknown[0]!r}; those there are: {', '.join(sorted(KEYS))}.")
    if name in known or "base" in own:
        if own.get("base", name) not in known:
            raise ValueError(f"Source {name!r} is based on {own['base']!r}: sources.yaml has {', '.join(known)}.")
        return with_base({"base": name} | own, known)
    if "dataset" not in own:
        raise ValueError(
            f"Source {name!r} is not in sources.yaml, which has {', '.join(known)}: "
            f"for a data set of your own write {name}: {{dataset: ITS_FOLDER}}."
        )
    title = own.get("title", own["dataset"])
    stated = {"title": title, "hospital": name, "population": "population not stated", "citation": f"{title}."}
    return stated | {"licence": "not stated"} | own


READER_LABEL = {"finding": Value("string"), "present": Value("bool"), "readers": Value("string")}


def join_readers(data, readers, root):
    """Add the column `reader_labels`: for each image what readers said, a list of {finding, present, readers}.

    `present` is None where they looked and left it open. Without a table of theirs the data set stays as it is.

    Args:
        data: `datasets.Dataset` with `file_name`.
        readers: of a source: `table`, a folder with a Parquet file that has `file_name`; `rules`.
        root: folder in which the table lies.
    """
    files = sorted((Path(root) / readers["table"]).glob("*.parquet"))
    if not files:
        return data
    said = read_table(files[0])
    labels = [apply_rules(said.get(name, {}), readers["rules"]) for name in data["file_name"]]
    column = Dataset.from_dict({"reader_labels": labels}, Features({"reader_labels": [READER_LABEL]}))
    return concatenate_datasets([data, column], axis=1)


@cache
def read_table(path):
    """file_name → row."""
    return {row["file_name"]: row for row in pq.read_table(path).to_pylist()}


def apply_rules(row, rules):
    """A row of a readers' table → list of {finding, present, readers}: of each finding what the first rule says."""
    said = {}
    for rule in rules:
        for finding in rule["findings"]:
            value = row.get(rule["column"].replace("{}", finding))
            for kind, present in (("present", True), ("unsure", None), ("absent", False)):
                if value is not None and finding not in said and value in rule.get(kind, ()):
                    said[finding] = {"finding": finding, "present": present, "readers": rule["readers"]}
    return list(said.values())
