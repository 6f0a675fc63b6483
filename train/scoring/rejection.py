"""Score the gate: python -m train.scoring.rejection --dataset DIR_OR_ID [DIR_OR_ID …] --output DIR

What the pipeline refuses or warns of: pictures that are no chest radiographs (`train.augment.ood_images`, and those
in the
folders given as `--pictures`, read without their colours), and of each data set the validation patients' radiographs as
they are, inverted, turned by 90 degrees and turned by 40. Written to DIR: refusal.json and refusal.md.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import binomtest
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF
from tqdm.auto import tqdm

from lungfusion import LungFusionPipeline, load_radiograph
from lungfusion.checks.input_checks import (
    INVERTED,
    LOW_MASK_QUALITY,
    LUNGS_NOT_FOUND,
    NOT_A_CHEST_RADIOGRAPH,
    NOT_UPRIGHT,
    ROTATED,
)
from train.augment.ood_images import grey, ood_images
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.engine.arguments import command_line
from train.report.tables import cell, markdown_table, write_table

VERSIONS = {
    "as they are": lambda pixels, generator: pixels,
    "inverted": lambda pixels, generator: 1 - pixels,
    "turned by 40°": lambda pixels, generator: turned(pixels, 40 * generator.choice([-1, 1])),
    "turned by 90°": lambda pixels, generator: np.rot90(pixels, generator.choice([-1, 1])).copy(),
}
ANSWERS = {
    "no answer": {NOT_A_CHEST_RADIOGRAPH, LUNGS_NOT_FOUND, NOT_UPRIGHT},
    "called no chest radiograph": {NOT_A_CHEST_RADIOGRAPH, LUNGS_NOT_FOUND},
    "called not upright": {NOT_UPRIGHT},
    "called inverted": {INVERTED},
    "called tilted": {ROTATED},
    "low mask quality": {LOW_MASK_QUALITY},
}


def main():
    parser = command_line(__doc__, "model", "datasets", "output")
    parser.add_argument("--images", type=int, default=200, help="of each data set at most")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[], help="folders of pictures that are none")
    arguments = parser.parse_args()
    pipeline = LungFusionPipeline.from_pretrained(arguments.model)
    figures = {}
    for kind, pictures in (
        ood_images() | {folder.name: read_pictures(folder) for folder in arguments.pictures}
    ).items():
        figures[kind] = summarise_answers([pipeline(picture) for picture in pictures])
    for name in arguments.dataset:
        data = load_source(name, "validation").shuffle(seed=0)
        data = data.select(range(min(arguments.images, len(data))))
        for version, answers in answers_by_version(pipeline, data, Path(name).name).items():
            figures[f"{Path(name).name}, {version}"] = summarise_answers(answers)
    write_table(arguments.output, "refusal", refusal_table(figures), figures)


def read_pictures(folder):
    """(H, W) uint8 arrays of the PNG and JPEG files in a folder."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    return [grey(Image.open(path)) for path in paths]


def answers_by_version(pipeline, data, name):
    """version → list of `Analysis`."""
    answers = {version: [] for version in VERSIONS}
    for index, row in enumerate(tqdm(data, desc=f"Trying {name}")):
        pixels = load_radiograph(image_bytes(row["image"])).pixels
        generator = np.random.default_rng(index)
        for version, analysis in zip(
            VERSIONS, pipeline([v(pixels, generator) for v in VERSIONS.values()]), strict=True
        ):
            answers[version].append(analysis)
    return answers


def turned(pixels, angle):
    return tvF.rotate(torch.from_numpy(pixels)[None], float(angle), InterpolationMode.BILINEAR)[0].numpy()


def summarise_answers(analyses):
    """Share of the pictures that get each answer with its 95 % interval (Wilson 1927), and how many there are."""
    figures = {"images": len(analyses)}
    for answer, warnings in ANSWERS.items():
        count = sum(bool(set(analysis.warnings) & warnings) for analysis in analyses)
        interval = binomtest(count, len(analyses)).proportion_ci(0.95, "wilson")
        figures[answer] = {"value": count / len(analyses), "interval": [interval.low, interval.high]}
    return figures


def refusal_table(figures):
    """Markdown: one row for each kind of picture."""
    rows = [[kind, row["images"], *[cell(row[name]) for name in ANSWERS]] for kind, row in figures.items()]
    return markdown_table(["pictures", "n", *ANSWERS], rows)


if __name__ == "__main__":
    main()
