"""Radiographs to try: drawings that come with the app, and a few real ones of a public data set on the Hub."""

import logging
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download, list_repo_files

from ..reading.radiograph import load_radiograph
from ..visualization import grey_image

logger = logging.getLogger(__name__)

DATASET = "hf-vision/chest-xray-pneumonia"  # Kermany et al. 2018, children, CC BY 4.0
LABELS = {0: "no_pneumonia", 1: "pneumonia"}  # as the data set's own
DRAWN = {  # what was drawn into each drawing
    "phantom_clear.png": "clear",
    "phantom_consolidation.png": "consolidation",
    "phantom_upper_lobe.png": "upper_lobe",
    "phantom_tilted.png": "clear",
    "phantom_16bit.png": "nodule",
    "phantom_dicom.dcm": "effusion",
    "phantom_mass.png": "mass",
    "phantom_negative.png": "clear",
}
IS = {  # a truth → the findings that name it: whatever else is named beside it is not there
    "clear": (),
    "no_pneumonia": (),
    "consolidation": ("consolidation", "pneumonia", "infiltration"),
    "pneumonia": ("consolidation", "pneumonia", "infiltration", "bacterial_pneumonia", "viral_pneumonia"),
    "upper_lobe": ("tuberculosis", "infiltration", "consolidation"),
    "nodule": ("nodule", "mass"),
    "mass": ("mass", "nodule"),
    "effusion": ("effusion", "pleural_thickening"),
}
SMALL_SIDE = 144  # pixels, of the pictures on the cards
QUALITY = 50  # of the first screen's pictures (WebP): they are looked at from afar


@dataclass(frozen=True)
class KnownExample:
    """An example of which it is known what is to be seen.

    path: of the radiograph.
    truth: what was drawn into a drawing, or the data set's label; one of `IS`.
    drawn: whether it is a drawing.
    """

    path: Path
    truth: str
    drawn: bool

    @property
    def title(self):
        """What it is called in an address."""
        return title(self.path)

    @property
    def key(self):
        """Of the sentence that names it; a tilted one and a negative are clear too."""
        return next((name for name in ("tilted", "negative") if name in self.path.stem), self.truth)


def verdict(truth, findings):
    """How right the model is about an example, finding by finding.

    Args:
        truth: one of `IS`.
        findings: `Finding`s.

    Returns:
        `"right"` where it names what is there and nothing else, `"partly"` where it names something else too, `"wrong"`
        where it names only something else or nothing, and `"unsure"` where it commits itself to nothing.
    """
    named = [finding.name for finding in findings if finding.level == "detected"]
    there = [name for name in named if name in IS[truth]]
    if not named:
        doubts = any(finding.level == "unclear" for finding in findings) or not findings
        return "unsure" if doubts else "wrong" if IS[truth] else "right"
    return "wrong" if not there else "right" if len(there) == len(named) else "partly"


class Examples:
    """Which radiographs there are to try, and what the model says of them.

    Attributes:
        folder: of the drawings.
        drawn: list of their `Path`s.
        fetched: the same of real ones; empty until the Hub has answered.
        told: path → (`Analysis`, saliency); empty until the model has looked.
        files: `tempfile.TemporaryDirectory` of the real ones and of the first screen's pictures.
    """

    def __init__(self, folder):
        self.folder = folder
        self.drawn = sorted(path for path in folder.glob("*") if path.suffix in (".png", ".dcm"))
        self.fetched, self.told = [], {}
        self.files, self.made, self.lock = tempfile.TemporaryDirectory(), {}, threading.Lock()

    def prepare_in_background(self, explain):
        """Have the model look at the drawings, then at real ones, while the page is served already.

        explain: a radiograph, an age and whether to correct it → `Analysis` and saliency.
        """
        threading.Thread(target=self.prepare, args=[explain], daemon=True).start()

    def prepare(self, explain):
        try:
            self.look(explain)
            self.fetch()
            self.look(explain)
        except Exception as error:  # whatever it is, the cards then say nothing of the model
            logger.warning("The examples are shown without the model's answers. %s", error)

    def look(self, explain):
        for example in self.known():
            if example.path not in self.told:
                self.told[example.path] = explain(load_radiograph(example.path), None, True)

    def fetch(self):
        """Ask the Hub for real ones; without it there are the drawings."""
        try:
            self.fetched.extend(fetch_radiographs(self.files.name))
        except Exception as error:  # whatever it is, the app does not need them
            print(f"No real examples: the Hub gave none. {error}")

    def known(self):
        """Those of which the truth is known, mixed but always alike: a list of `KnownExample`."""
        real = [KnownExample(path, path.stem.partition("_")[2], False) for path in self.fetched]
        drawn = [KnownExample(path, DRAWN[path.name], True) for path in self.drawn if path.name in DRAWN]
        known = [example for example in real if example.truth in LABELS.values()] + drawn
        return sorted(known, key=lambda example: crc32(example.path.name.encode()))

    def shown(self):
        """The same as cards are ordered: what the model gets right before what it does not, real ones first."""
        order = ("right", "partly", "unsure", None, "wrong")
        return sorted(self.known(), key=lambda example: (order.index(self.verdict(example)), example.drawn))

    def verdict(self, example):
        """As `verdict` judges; None until the model has looked."""
        told = self.told.get(example.path)
        return told and verdict(example.truth, told[0].findings)

    def small(self, path, side=SMALL_SIDE):
        """Address of a small picture of a radiograph, no side of which is longer."""

        def draw():
            picture = grey_image(load_radiograph(path).pixels)
            picture.thumbnail((side, side))
            return self.picture(f"{path.stem}_{side}", picture)

        return self.once(f"{path.stem}_{side}", draw)

    def picture(self, name, picture):
        """Address of a PIL image of the first screen, as a file of that name: browsers fetch it by itself."""
        file = Path(self.files.name) / f"{name}.webp"
        picture.save(file, quality=QUALITY, method=6)
        return f"gradio_api/file={file}"

    def once(self, name, make):
        """What `make`, a function, gave when the name was first asked for."""
        with self.lock:
            if name not in self.made:
                self.made[name] = make()
            return self.made[name]

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
    """What an example is called in an address."""
    return path.stem.removeprefix("phantom_")


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
