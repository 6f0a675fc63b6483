"""Radiographs to try: drawings that come with the app, and a few real ones of a public data set on the Hub."""

import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download, list_repo_files

from ..reading.radiograph import load_radiograph
from ..visualization import grey_image, picture_address
from .view.render import render

DATASET = "hf-vision/chest-xray-pneumonia"  # Kermany et al. 2018, children, CC BY 4.0
LABELS = {0: "no_pneumonia", 1: "pneumonia"}  # as the data set's own
DRAWN = {  # what was drawn into each drawing
    "phantom_clear.png": "clear",
    "phantom_consolidation.png": "consolidation",
    "phantom_upper_lobe.png": "upper_lobe",
    "phantom_tilted.png": "clear",
    "phantom_16bit.png": "nodule",
    "phantom_dicom.dcm": "effusion",
}
CLEAR = ("clear", "no_pneumonia")  # truths that are no sign of disease
SMALL_SIDE = 160  # pixels, of the pictures on the buttons


@dataclass(frozen=True)
class KnownExample:
    """An example of which it is known what is to be seen.

    path: of the radiograph.
    truth: what was drawn into a drawing, or the data set's label.
    drawn: whether it is a drawing.
    """

    path: Path
    truth: str
    drawn: bool

    @property
    def kind(self):
        """`"clear"`, or `"sign"` where there is something to be seen."""
        return "clear" if self.truth in CLEAR else "sign"


class Examples:
    """Which radiographs there are to try.

    Attributes:
        folder: of the drawings.
        drawn: list of their `Path`s.
        fetched: the same of real ones; empty until the Hub has answered.
    """

    def __init__(self, folder):
        self.folder = folder
        self.drawn = sorted(path for path in folder.glob("*") if path.suffix in (".png", ".dcm"))
        self.fetched = []
        self.fetched_folder = tempfile.TemporaryDirectory()

    def fetch_in_background(self):
        threading.Thread(target=self.fetch, daemon=True).start()

    def fetch(self):
        """Ask the Hub for real ones; without it there are the drawings."""
        try:
            self.fetched.extend(fetch_radiographs(self.fetched_folder.name))
        except Exception as error:  # whatever it is, the app does not need them
            print(f"No real examples: the Hub gave none. {error}")

    def known(self):
        """Those of which the truth is known, mixed but always alike: a list of `KnownExample`."""
        real = [KnownExample(path, path.stem.partition("_")[2], False) for path in self.fetched]
        drawn = [KnownExample(path, DRAWN[path.name], True) for path in self.drawn if path.name in DRAWN]
        known = [example for example in real if example.truth in LABELS.values()] + drawn
        return sorted(known, key=lambda example: crc32(example.path.name.encode()))

    def truth(self, path):
        """What is true of the example at a path; None of any other file."""
        return next((example.truth for example in self.known() if str(example.path) == str(path)), None)

    def path(self, name):
        """Of the example whose file or title is `name`, as a string; None if there is none."""
        for path in self.drawn + self.fetched:
            if name in (path.name, title(path)):
                return str(path)
        return None


def title(path):
    return path.stem.removeprefix("phantom_")


def examples_html(paths):
    return render(
        "examples.html", examples=[{"name": path.name, "title": title(path), **small(path)} for path in paths]
    )


@cache
def small(path):
    """What a button of an example shows."""
    picture = grey_image(load_radiograph(path).pixels)
    picture.thumbnail((SMALL_SIDE, SMALL_SIDE))
    return {"picture": picture_address(picture, "JPEG"), "caption": title(path).replace("_", " ")}


def fetch_radiographs(folder, of_each=3):
    """Save the first radiographs of each label of the data set's validation part.

    Args:
        folder: where to.
        of_each: how many of each label.

    Returns:
        list of `Path`, named NUMBER_LABEL.jpeg.

    Raises:
        OSError, huggingface_hub.errors.HfHubHTTPError: the Hub does not answer.
        ValueError: the data set is not as it was.
    """
    names = [name for name in list_repo_files(DATASET, repo_type="dataset") if name.startswith("data/validation")]
    if not names:
        raise ValueError(f"{DATASET} has no validation part any more.")
    table = pq.read_table(hf_hub_download(DATASET, names[0], repo_type="dataset"), columns=["image", "label"])
    paths = []
    for label, name in LABELS.items():
        rows = [row for row in table.to_pylist() if row["label"] == label][:of_each]
        for number, row in enumerate(rows, 1):
            paths.append(Path(folder) / f"{number}_{name}.jpeg")
            paths[-1].write_bytes(row["image"]["bytes"])
    return paths
