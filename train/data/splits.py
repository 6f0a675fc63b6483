"""Load a source and split it by patient.

The column contract (what `train.prepare` writes): `image`; `mask` (lungs, may be null); `label` (a ClassLabel) or
`findings` (a list of names) or a column for each finding (1, 0, null); `patient_id`; `file_name`. Anything more is
kept and ignored.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
from datasets import Image, load_dataset

from train.data.pictures import image_bytes, reading_errors
from train.data.sources import find_source, join_readers

FOLDS = 5
NEEDED = ("image", "patient_id", "file_name")


def load_source(place, split, fold=0, source=None):
    """One part of a source.

    A data set with a split of that name gives it as it is. Otherwise `train` and `validation` are made from its
    `train` split by patient: a hash of the patient's id says to which of five folds it belongs, so that a patient
    stays on one side in every run and every task. Exact copies of an image are dropped before that, and from `train`
    those of images in other splits: no image stands on two sides, whoever's it is said to be.

    Args:
        place: folder of Parquet files, or an id on the Hub.
        split: `train`, `validation`, or any split the data set has.
        fold: which fold is the validation part, 0 … 4.
        source: its declaration; None for what sources.yaml says of a data set of that name.

    Returns:
        `datasets.Dataset` whose images and masks are not yet decoded; with `reader_labels` (see `join_readers`)
        where the source has readers whose table lies beside it.

    Raises:
        ValueError: there is no such split, or a column of the contract is not there.
    """
    source = find_source(place) if source is None else source
    parts = {name: undecoded(part) for name, part in load_dataset(str(place)).items()}
    derived = split in ("train", "validation") and "validation" not in parts
    if not derived and split not in parts:
        raise ValueError(f"{place} has no split {split!r}: it has {', '.join(parts)}.")
    name = "train" if derived else split
    if missing := [column for column in NEEDED if column not in parts[name].column_names]:
        raise ValueError(
            f"{place} has no column {missing[0]}: it has {', '.join(parts[name].column_names)}. "
            "`python -m train.prepare table` makes the columns that training needs."
        )
    data = without_copies(parts, name)
    data = with_patients(data, source.get("patients"))
    patients = data["patient_id"]
    if readers := source.get("readers"):
        data = join_readers(data, readers, Path(place).parent)
    if derived:
        wanted = split == "validation"
        in_fold = [patient_fold(name) == fold for name in patients]
        data = data.select([i for i, held_out in enumerate(in_fold) if held_out == wanted])
    return data


def with_patients(data, rule=None):
    """The data set with the column `patient_id`: as text, and by the source's rule where it has one.

    Args:
        rule: `patients` of a source, a pattern whose first group that matched is the patient, in `patient_id` where
            there is such a column, else in `file_name`; what it does not match names a patient of its own.
    """
    column = "patient_id" if "patient_id" in data.column_names else "file_name"
    names = [str(name) for name in data[column]]
    if rule:
        matches = [re.match(rule, name) for name in names]
        names = [
            next(filter(None, match.groups())) if match else name for match, name in zip(matches, names, strict=True)
        ]
    kept = data.remove_columns("patient_id") if column == "patient_id" else data
    return kept.add_column("patient_id", names)


def undecoded(data):
    for column in sorted({"image", "mask"} & set(data.column_names)):
        data = data.cast_column(column, Image(decode=False))
    return data


def patient_fold(patient_id):
    return int.from_bytes(hashlib.sha256(str(patient_id).encode()).digest()[:8], "big") % FOLDS


def without_copies(parts, name):
    """A split of `parts`, each image once; `train` without the images of the other splits."""
    first = {}
    if name == "train":
        first = {digest: None for other in parts if other != name for digest in image_digests(parts[other])}
    for index, digest in enumerate(image_digests(parts[name])):
        first.setdefault(digest, index)
    return parts[name].select(sorted(index for index in first.values() if index is not None))


def image_digests(data):
    """SHA-256 of each image's bytes; kept beside the data set in the cache, so that they are read once."""
    if not len(data):
        return []  # `map` makes no column of nothing
    kept = data.select_columns("image").map(image_digest, remove_columns="image", desc="Looking for copies")
    return kept["sha256"]


def image_digest(row):
    return {"sha256": hashlib.sha256(image_bytes(row["image"]) if row["image"] else b"").hexdigest()}


def with_mask(data):
    return data.select([i for i, mask in enumerate(data["mask"]) if mask is not None])


def without_mask(data):
    if "mask" not in data.column_names:
        return data
    return data.select([i for i, mask in enumerate(data["mask"]) if mask is None])


def source_path(recipe, source):
    """Where a source's data set lies: under `data_root` if there is one, else it is an id on the Hub."""
    root = recipe["data_root"]
    return Path(root) / source["dataset"] if root else source.get("hub_id", source["dataset"])


def load_part(recipe, source, split, drop_unreadable=True):
    """A source's training or validation patients, as `load_source` gives them.

    Args:
        recipe: of the run.
        source: its declaration, one of `recipe["sources"]` or of `recipe["unlabelled"]`.
        split: `train` or `validation`.
        drop_unreadable: leave out what can't be decoded; `train.data.check` says what that was.
    """
    data = load_source(source_path(recipe, source), split, recipe["validation_fold"], source)
    if not drop_unreadable:
        return data
    return data.select([row for row, error in enumerate(reading_errors(data, recipe.get("workers"))) if not error])


def sample_rows(count, limit):
    """Rows of `count`, at most `limit` of them (None: all), drawn at random, the same at every call: sorted array."""
    return np.sort(np.random.default_rng(0).permutation(count)[:limit])


def sample_labelled_rows(labels, limit):
    """Rows of (N, findings) labels of which something is known, at most `limit` of them as `sample_rows` draws them."""
    rows = np.flatnonzero(~np.isnan(labels).all(1))
    return rows[sample_rows(len(rows), limit)]
