"""Load a source and split it by patient.

The column contract (what `train.prepare` writes): `image`; `mask` (lungs, may be null); `label` (a ClassLabel) or
`findings` (a list of names) or a column for each finding (1, 0, null); `patient_id`; `file_name`. Anything more is
kept and ignored. `image` and labels suffice, as many data sets on the Hub have them: then files are called as the image
is, and whose they are is read from that where the source has a rule, else each image counts as a patient of its own.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Image, get_dataset_split_names, load_dataset

from train.data.pictures import image_bytes, reading_errors
from train.data.sources import find_source, join_readers

FOLDS = 5
DEAL = ("train", "validation", "train", "test", "train")  # of `stratified_parts`: to which part the next patient goes


def load_source(place, split, fold=0, source=None):
    """One part of a source.

    A data set with a split of that name gives it as it is. Otherwise `train` and `validation` are made from its
    `train` split by patient: a hash of the patient's id says to which of five folds it belongs, so that a patient
    stays on one side in every run and every task; or its `parts` say so. Exact copies of an image are dropped before
    that, and from `train` those of images in other splits: no image stands on two sides, whoever's it is said to be.

    Args:
        place: folder of Parquet files, or an id on the Hub.
        split: `train`, `validation`, or any split the data set has.
        fold: which fold is the validation part, 0 … 4.
        source: its declaration; None for what sources.yaml says of a data set of that name. `parts` is the path of a
            JSON file, patient → part of the train split; `stream`, how many images of each split are fetched of a data
            set on the Hub that is too large to have.

    Returns:
        `datasets.Dataset` whose images and masks are not yet decoded; with `reader_labels` (see `join_readers`)
        where the source has readers whose table lies beside it.

    Raises:
        ValueError: there is no such split, or no column `image`.
    """
    source = find_source(place) if source is None else source
    parts = every_split(place, source)
    part_of = json.loads(Path(source["parts"]).read_text()) if source.get("parts") else {}
    by_table = bool(part_of) and (split == "train" or split not in parts)
    derived = split in ("train", "validation") and "validation" not in parts
    if not (by_table or derived) and split not in parts:
        raise ValueError(f"{place} has no split {split!r}: it has {', '.join(parts)}.")
    name = "train" if by_table or derived else split
    data = with_names(without_copies(parts, name), name)
    data = with_patients(data, source.get("patients"))
    patients = data["patient_id"]
    if readers := source.get("readers"):
        data = join_readers(data, readers, Path(place).parent)
    if by_table:
        data = data.select([row for row, name in enumerate(patients) if part_of.get(name, "train") == split])
    elif derived:
        wanted = split == "validation"
        in_fold = [patient_fold(name) == fold for name in patients]
        data = data.select([i for i, held_out in enumerate(in_fold) if held_out == wanted])
    return data


def every_split(place, source):
    """Split → `datasets.Dataset`, images and masks not decoded.

    Raises:
        ValueError: there is no column `image`.
    """
    if source.get("stream"):
        parts = {name: streamed(place, name, source["stream"]) for name in get_dataset_split_names(str(place))}
    else:
        parts = load_dataset(str(place))
    for name, part in parts.items():
        if "image" not in part.column_names:
            raise ValueError(
                f"{place}, {name}, has no column image: it has {', '.join(part.column_names)}. "
                "`python -m train.prepare table` makes the columns that training needs."
            )
    return {name: undecoded(part) for name, part in parts.items()}


def streamed(place, split, count):
    """The first `count` images of a split, of which no more is fetched than that; kept in the cache."""
    rows = undecoded(load_dataset(str(place), split=split, streaming=True)).take(count)
    settings = {"place": str(place), "split": split, "count": count}
    return Dataset.from_generator(streamed_rows, features=rows.features, gen_kwargs=settings)


def streamed_rows(place, split, count):
    yield from undecoded(load_dataset(place, split=split, streaming=True)).take(count)


def with_names(data, split):
    """The data set with the column `file_name`: where there is none, what the image is called, else its number."""
    if "file_name" in data.column_names:
        return data
    names = []
    for batch in data.select_columns("image").with_format("arrow").iter(1000):
        names += pc.struct_field(batch["image"], "path").to_pylist()
    names = [Path(name).name if name else f"{split}-{row:06}" for row, name in enumerate(names)]
    return data.add_column("file_name", names)


def stratified_parts(patients, labels):
    """Patient → `train`, `validation` or `test`: three, one and one of five, of those with each finding as of all.

    Args:
        patients: (N,) ids, of each image.
        labels: (N, findings) in {0, 1, NaN}.
    """
    shown = {}
    for name, row in zip(patients, labels, strict=True):
        shown[name] = np.fmax(shown.get(name, -1), np.nan_to_num(row, nan=-1))
    dealt = sorted(shown, key=lambda name: (tuple(-shown[name]), hashlib.sha256(str(name).encode()).digest()))
    return {name: DEAL[number % len(DEAL)] for number, name in enumerate(dealt)}


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
    for column in sorted({"image", "mask"} & set(data.column_names or ())):
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
