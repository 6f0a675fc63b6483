"""What a layout is: where a data set keeps its radiographs, and what it says of them."""

import csv
import gzip
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Entry:
    """One radiograph of a layout, its files not yet read.

    image: its file.
    label: one of the layout's labels; where it lists findings, a tuple of them; of a table with a column a finding,
        {finding: 1, 0 or None}. None where nothing is known.
    patient_id: what its patient is called; None to take the ID of its DICOM header, hashed.
    masks: files of its lungs, which are joined; empty where there are none.
    split: `train`, `validation` or `test`.
    about: `view`, `age` and `sex`, of those the layout's `about` names.
    convert: function of the file → bytes of a PNG, where its own bytes are no picture.
    """

    image: Path
    label: str | tuple | dict | None
    patient_id: str | None
    masks: tuple[Path, ...] = ()
    split: str = "train"
    about: dict = field(default_factory=dict)
    convert: Callable | None = None


@dataclass(frozen=True)
class Layout:
    """How a data set is published.

    find: function of its folder → `Entry`s; reads no image.
    labels: its labels, in the order of the ClassLabel.
    expects: a sentence that says what the folder must hold.
    column: `label`, where each radiograph has one; `findings`, where it has a list; `each`, for a column a finding.
    about: the columns among `view`, `age` and `sex` that are written.
    side: the longer side of the images is made smaller to that, pixels; None: they stay as they are.
    """

    find: Callable[[Path], Iterable[Entry]]
    labels: tuple[str, ...]
    expects: str
    column: str = "label"
    about: tuple[str, ...] = ()
    side: int | None = None


def matching(folder, pattern, deep=False):
    """(path, match) of each file in a folder, or also below it, whose name is as the pattern says, by name."""
    paths = folder.rglob("*") if deep else folder.glob("*")
    matches = ((path, re.fullmatch(pattern, path.name)) for path in sorted(paths))
    return [(path, match) for path, match in matches if match]


def existing(*paths):
    """The paths, if all of them exist, else ()."""
    return paths if all(path.exists() for path in paths) else ()


def read_csv(path):
    """Rows of a CSV file, compressed by gzip or not, as dicts; [] where there is none."""
    if not path.is_file():
        return []
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


SAMPLES = Path(__file__).with_name("samples.csv")


@cache
def sampled(name):
    """file_name → split, of those images of a data set that recipes learn from.

    Of samples.csv, whose `sha256` is the beginning of that of the JPEG file from which the bundled model learned, for
    who has these very files.
    """
    return {row["file_name"]: row["split"] for row in read_csv(SAMPLES) if row["sample"] == name}


def png(pixels):
    """(H, W) uint8 or uint16 → bytes of a PNG of that depth."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
