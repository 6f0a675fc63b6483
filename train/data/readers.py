"""What radiologists said of single images, by a source's `readers` rules."""

from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset, Features, Value, concatenate_datasets

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
