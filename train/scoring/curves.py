"""Robustness curves: python -m train.scoring.curves --models NAME=DIR [NAME=DIR …] --dataset DIR --finding NAME
--output DIR

How the ROC AUC and the accuracy of one finding fall when its validation radiographs are tilted, shifted, magnified,
changed in contrast, inverted, or compressed; the models side by side, each on the same images. An image that a model
refuses counts as not detected. Written to DIR: curves_FINDING.png, and the figures in it, curves_FINDING.md and .json.
"""

from functools import partial
from io import BytesIO

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_auc_score
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF
from tqdm.auto import tqdm

from lungfusion import LungFusionPipeline, load_radiograph
from train.data.labels import known_labels
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.engine.arguments import command_line
from train.report.tables import cell, markdown_table, write_table
from train.scoring.images import with_interval


def main():
    parser = command_line(__doc__, "dataset", "output")
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=DIR_OR_ID")
    parser.add_argument("--finding", required=True)
    parser.add_argument("--images", type=int, default=200, help="at most")
    arguments = parser.parse_args()
    models = dict(model.split("=", 1) for model in arguments.models)
    data = load_source(arguments.dataset, "validation").shuffle(seed=0)
    labels = known_labels(data, [arguments.finding], arguments.dataset)[:, 0]
    chosen = np.flatnonzero(~np.isnan(labels))[: arguments.images]
    if len(np.unique(labels[chosen])) < 2:
        parser.error(f"{arguments.dataset} has no validation images both with and without {arguments.finding}.")
    data, labels = data.select(chosen), labels[chosen]
    curves = {}
    for name, place in models.items():
        pipeline = LungFusionPipeline.from_pretrained(place)
        if arguments.finding not in pipeline.findings:
            parser.error(f"{name} does not name {arguments.finding}: it names {', '.join(pipeline.findings)}.")
        curves[name] = curves_of(pipeline, data, labels, arguments.finding, name)
    name = f"curves_{arguments.finding}"
    write_table(arguments.output, name, curves_table(curves), curves)
    draw_curves(curves, arguments.finding, len(data)).savefig(arguments.output / f"{name}.png", dpi=120)


def rotated(pixels, angle):
    return tvF.rotate(pixels, angle, InterpolationMode.BILINEAR)


def shifted(pixels, share):
    """Down and to the right; black comes in."""
    reach = [round(share * side) for side in pixels.shape[-1:-3:-1]]
    return tvF.affine(pixels, 0, reach, 1, [0, 0], InterpolationMode.BILINEAR)


def magnified(pixels, scale):
    return tvF.affine(pixels, 0, [0, 0], scale, [0, 0], InterpolationMode.BILINEAR)


def contrasted(pixels, factor):
    """Away from middle grey, or towards it; what is beyond black and white is lost."""
    return (0.5 + factor * (pixels - 0.5)).clamp(0, 1)


def inverted(pixels, yes):
    return 1 - pixels if yes else pixels


def compressed(pixels, quality):
    """Saved as a JPEG."""
    file = BytesIO()
    tvF.to_pil_image(pixels).save(file, "JPEG", quality=quality)
    return tvF.pil_to_tensor(Image.open(file)) / 255


CHANGES = {  # what: the function, its levels
    "tilt, degrees": (rotated, (-45, -30, -20, -10, 0, 10, 20, 30, 45)),
    "shift, share of the side": (shifted, (0, 0.1, 0.2, 0.3)),
    "magnification": (magnified, (0.6, 0.8, 1, 1.2, 1.4)),
    "contrast": (contrasted, (0.25, 0.5, 1, 2, 3)),
    "inverted": (inverted, (0, 1)),
    "JPEG quality": (compressed, (5, 10, 25, 50, 95)),
}


def curves_of(pipeline, data, labels, finding, name):
    """change → list of one dict for each level: level, images, and auc and accuracy with their intervals."""
    steps = [(change, level) for change, (_, levels) in CHANGES.items() for level in levels]
    probabilities = {step: [] for step in steps}
    threshold = pipeline.model.config.thresholds[finding]
    for row in tqdm(data, desc=f"Changing images for {name}"):
        pixels = torch.from_numpy(load_radiograph(image_bytes(row["image"])).pixels)[None]
        versions = [CHANGES[change][0](pixels, level)[0].numpy() for change, level in steps]
        for step, analysis in zip(steps, pipeline(versions), strict=True):
            probabilities[step].append(analysis[finding].probability if analysis.findings else 0.0)
    curves = {change: [] for change in CHANGES}
    for (change, level), values in probabilities.items():
        score = partial(auc_and_accuracy, threshold=threshold)
        figures = with_interval(score, list(data["patient_id"]), labels, np.array(values))
        curves[change].append({"level": level, "images": len(values)} | figures)
    return curves


def auc_and_accuracy(labels, probabilities, threshold):
    if len(np.unique(labels)) < 2:
        return None
    accuracy = float(((probabilities >= threshold) == labels).mean())
    return {"auc": float(roc_auc_score(labels, probabilities)), "accuracy": accuracy}


def curves_table(curves):
    """Markdown: a line for each change and level, the ROC AUC of each model beside the others'."""
    rows = []
    for change, points in next(iter(curves.values())).items():
        for number, point in enumerate(points):
            aucs = [cell(of_model[change][number]["auc"]) for of_model in curves.values()]
            rows.append([change, point["level"], point["images"], *aucs])
    return markdown_table(["change", "level", "images", *(f"{name}: ROC AUC" for name in curves)], rows)


def draw_curves(curves, finding, images):
    """Two rows of panels, ROC AUC and accuracy, a column for each change, a line and its 95 % band for each model."""
    figure = Figure((3 * len(CHANGES), 6), layout="constrained")
    panels = figure.subplots(2, len(CHANGES), sharey="row")
    for row, (score, title) in enumerate((("auc", "ROC AUC"), ("accuracy", "accuracy at the threshold"))):
        for axes, change in zip(panels[row], CHANGES, strict=True):
            for name, of_model in curves.items():
                levels = [point["level"] for point in of_model[change]]
                low, high = zip(*(point[score]["interval"] for point in of_model[change]), strict=True)
                axes.plot(levels, [point[score]["value"] for point in of_model[change]], "o-", label=name)
                axes.fill_between(levels, low, high, alpha=0.15)
            axes.set(xlabel=change)
        panels[row][0].set(ylabel=title)
    panels[0][0].legend(fontsize=8)
    figure.suptitle(f"{finding}, {images} validation images")
    return figure


if __name__ == "__main__":
    main()
