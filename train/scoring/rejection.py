"""What the pipeline refuses or warns of: pictures that are no chest radiographs, and radiographs that lie wrong."""

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF
from tqdm.auto import tqdm

from lungfusion import RadiographError, load_radiograph
from lungfusion.checks.input_checks import (
    ANOTHER_RADIOGRAPH,
    CORRECTED,
    INVERTED,
    LATERAL_VIEW,
    LOW_MASK_QUALITY,
    LUNGS_NOT_FOUND,
    NOT_A_CHEST_RADIOGRAPH,
    NOT_UPRIGHT,
    PHOTOGRAPH,
    ROTATED,
    SEVERAL_PICTURES,
)
from train.augment.ood_images import beside_caption, beside_its_mirror, grey, not_one_frontal_chest, ood_images
from train.augment.photographs import photograph
from train.data.pictures import image_bytes
from train.io import cell, markdown_table
from train.scoring.metrics import proportion

VERSIONS = {
    "as they are": lambda pixels, generator: pixels,
    "inverted": lambda pixels, generator: 1 - pixels,
    "turned by 40°": lambda pixels, generator: turned(pixels, 40 * generator.choice([-1, 1])),
    "turned by 90°": lambda pixels, generator: np.rot90(pixels, generator.choice([-1, 1])).copy(),
    "photographed": lambda pixels, generator: photograph(pixels, generator)[0],
    "twice in one picture": beside_its_mirror,
    "beside a caption": lambda pixels, generator: beside_caption(pixels, int(generator.integers(1000))),
}
ANSWERS = {  # column: the warnings that it counts
    "no chest radiograph": {NOT_A_CHEST_RADIOGRAPH, LUNGS_NOT_FOUND},
    "another radiograph": {ANOTHER_RADIOGRAPH},
    "from the side": {LATERAL_VIEW},
    "several pictures": {SEVERAL_PICTURES},
    "not upright": {NOT_UPRIGHT},
    "set right": {CORRECTED},
    "photograph": {PHOTOGRAPH},
    "inverted": {INVERTED},
    "tilted": {ROTATED},
    "low mask quality": {LOW_MASK_QUALITY},
}


def measure_rejection(pipeline, parts, images=200, pictures=()):
    """Kind of picture → `summarise_answers`.

    Args:
        pipeline: `LungFusionPipeline`.
        parts: source → `datasets.Dataset` as `load_source` gives it; its radiographs are shown in each of `VERSIONS`.
        images: of each source at most.
        pictures: `Path`s of folders of pictures that are no chest radiographs, beside `train.augment.ood_images`; read
            without their colours.
    """
    kinds = ood_images() | not_one_frontal_chest() | {folder.name: read_pictures(folder) for folder in pictures}
    figures = {
        kind: summarise_answers([answer(pipeline, picture) for picture in of_kind]) for kind, of_kind in kinds.items()
    }
    for name, data in parts.items():
        drawn = data.shuffle(seed=0).select(range(min(images, len(data))))
        for version, of_version in answers_by_version(pipeline, drawn, name).items():
            figures[f"{name}, {version}"] = summarise_answers(of_version)
    return figures


def answer(pipeline, picture):
    """`Analysis`; None where the picture is not even read."""
    try:
        return pipeline(picture)
    except RadiographError:
        return None


def read_pictures(folder):
    """(H, W) uint8 arrays of the PNG and JPEG files in a folder."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    return [grey(Image.open(path)) for path in paths]


def answers_by_version(pipeline, data, name):
    """version → list of what `answer` gives."""
    answers = {version: [] for version in VERSIONS}
    for index, row in enumerate(tqdm(data, desc=f"Trying {name}")):
        pixels = load_radiograph(image_bytes(row["image"])).pixels
        generator = np.random.default_rng(index)
        for version, changed in VERSIONS.items():
            answers[version].append(answer(pipeline, changed(pixels, generator)))
    return answers


def turned(pixels, angle):
    return tvF.rotate(torch.from_numpy(pixels)[None], float(angle), InterpolationMode.BILINEAR)[0].numpy()


def summarise_answers(analyses):
    """Share of the pictures that get each answer, with its interval, and how many there are; of what is not read (None)
    there is no answer.
    """
    warned = [set() if analysis is None else set(analysis.warnings) for analysis in analyses]
    silent = sum(analysis is None or any(w.rejects for w in analysis.warnings) for analysis in analyses)
    figures = {"images": len(analyses), "no answer": proportion(silent, len(analyses))}
    figures["not read"] = proportion(sum(analysis is None for analysis in analyses), len(analyses))
    for name, warnings in ANSWERS.items():
        figures[name] = proportion(sum(bool(of_one & warnings) for of_one in warned), len(analyses))
    return figures


def rejection_table(figures):
    """Markdown: one row for each kind of picture."""
    columns = ["no answer", "not read", *ANSWERS]
    rows = [[kind, row["images"], *[cell(row[name]) for name in columns]] for kind, row in figures.items()]
    return markdown_table(["pictures", "n", *columns], rows)
