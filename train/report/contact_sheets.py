"""Sheets of radiographs with the lungs drawn on them.

They show patients: they stay in a folder of their own beside the figures, and are neither bundled nor pushed.
"""

from math import ceil

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lungfusion.visualization import (
    CONTOUR_COLOUR,
    as_rgb,
    blend,
    contour,
    grey_image,
    masked_image,
    radiograph_image,
    reduced,
    with_contour,
)
from train.data.pictures import image_bytes, read_mask

WORST = 10  # images on worst.png
COLUMNS = 5
PERCENTILES = (10, 50, 90)  # of Dice, a row of segmentation.png each
HUMAN_COLOUR = (230, 159, 0)  # orange of Okabe and Ito 2008: told from the model's sky blue by the colour-blind too
TILE = 3  # inches
DPI = 150


def write_contact_sheets(pipeline, parts, rows, folder):
    """Draw worst.png and segmentation.png, if any image has a mask.

    Only the images shown are analysed again, one after the other.

    Args:
        pipeline: `LungFusionPipeline`.
        parts: source → `datasets.Dataset` with undecoded `image` and `mask`.
        rows: as `train.scoring.images.score_images` returns, of all sources.
        folder: `Path`, made if it is not there.
    """
    ranked = sorted((row for row in rows if "dice" in row), key=lambda row: row["dice"])
    if not ranked:
        return
    folder.mkdir(parents=True, exist_ok=True)
    draw_worst(pipeline, parts, ranked[:WORST]).savefig(folder / "worst.png", dpi=DPI)
    draw_segmentation(pipeline, parts, ranked).savefig(folder / "segmentation.png", dpi=DPI)


def draw_worst(pipeline, parts, rows):
    """The radiograph of each row with the human's contour and the model's, its Dice below."""
    lines, columns = ceil(len(rows) / COLUMNS), min(len(rows), COLUMNS)
    figure = Figure((TILE * max(columns, 2), (TILE + 0.5) * lines), layout="constrained")
    for place, row in enumerate(rows, start=1):
        image = parts[row["source"]][row["index"]]
        mask = read_mask(image["mask"])
        picture = with_contours(pipeline(image_bytes(image["image"])), mask)
        axes = figure.add_subplot(lines, columns, place)
        show(axes, picture, xlabel=f"Dice {row['dice']:.3f}\n{row['source']}, {row['file_name']}")
    colours = {"drawn by a human": HUMAN_COLOUR, "drawn by the model": CONTOUR_COLOUR}
    handles = [Line2D([], [], color=np.divide(colour, 255), label=label) for label, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def draw_segmentation(pipeline, parts, ranked):
    """X-ray, what is left of it, and the mask, of the images at some percentiles of Dice. ranked: rows by Dice."""
    figure = Figure((TILE * 3, TILE * len(PERCENTILES)), layout="constrained")
    grid = figure.subplots(len(PERCENTILES), 3)
    for percentile, axes in zip(PERCENTILES, grid, strict=True):
        row = ranked[round(percentile / 100 * (len(ranked) - 1))]
        analysis = pipeline(image_bytes(parts[row["source"]][row["index"]]["image"]))
        show(axes[0], radiograph_image(analysis), ylabel=f"Dice {row['dice']:.3f}, {percentile}th percentile")
        show(axes[1], masked_image(analysis))
        show(axes[2], grey_image(analysis.alpha))
    for axes, title in zip(grid[0], ("X-ray", "segmented", "predicted mask"), strict=True):
        axes.set_title(title)
    return figure


def with_contours(analysis, mask):
    """The radiograph under the human's contour and, on top, the model's: mode RGB. mask: (H, W) float in [0, 1]."""
    picture = as_rgb(reduced(analysis.radiograph.pixels))
    return with_contour(blend(picture, HUMAN_COLOUR, contour(reduced(mask))), reduced(analysis.alpha))


def show(axes, picture, xlabel="", ylabel=""):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(xlabel, fontsize=8, parse_math=False)  # a file's name may hold a $
    axes.set_ylabel(ylabel, fontsize=8)
    axes.spines[:].set_visible(False)
