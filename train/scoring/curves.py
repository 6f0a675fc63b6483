"""Robustness curves: how far each finding is told when radiographs are tilted, shifted, magnified, changed in contrast,
inverted, or compressed; models and sources side by side, every model on the same images. An image that a model refuses
counts as not detected; one in which it does not assess the finding does not count.
"""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tvF
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from train.data.labels import known_labels
from train.data.pictures import image_bytes
from train.io import cell, markdown_table
from train.scoring.hospitals import auc_with_interval
from train.scoring.images import reported
from train.scoring.metrics import share


def measure_curves(pipelines, parts, declared=None, images=200):
    """Finding → "model, source" → `curves_of`, of each finding that all models tell of and a source can measure.

    Args:
        pipelines: name → `LungFusionPipeline` of a classifier.
        parts: source → `datasets.Dataset` as `load_source` gives it.
        declared: source → its declaration, of a recipe; None for what sources.yaml says of data sets of these names.
        images: of each source and finding at most.
    """
    first, *others = pipelines.values()
    curves = {}
    for finding in reported(first):
        if all(finding in reported(pipeline) for pipeline in others):
            of_finding = {}
            for source, data in parts.items():
                named = (declared or {}).get(source, source)
                data, labels = with_known_label(data.shuffle(seed=0), finding, named, images)
                if len(np.unique(labels)) == 2:
                    for name, pipeline in pipelines.items():
                        of_finding[f"{name}, {source}"] = curves_of(pipeline, data, labels, finding, name)
            if of_finding:
                curves[finding] = of_finding
    return curves


def with_known_label(data, finding, source, images):
    """The first radiographs of which the finding is known, and their labels (N,)."""
    labels = known_labels(data, [finding], source)[:, 0]
    chosen = np.flatnonzero(~np.isnan(labels))[:images]
    return data.select(chosen), labels[chosen]


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
    threshold = pipeline.model.config.findings[finding].threshold
    for row in tqdm(data, desc=f"Changing images for {name}"):
        pixels = torch.from_numpy(load_radiograph(image_bytes(row["image"])).pixels)[None]
        versions = [CHANGES[change][0](pixels, level)[0].numpy() for change, level in steps]
        for step, analysis in zip(steps, pipeline.telling_all()(versions), strict=True):
            probabilities[step].append(probability_of(analysis, finding))
    curves = {change: [] for change in CHANGES}
    for (change, level), values in probabilities.items():
        values, patient_ids = np.array(values, float), np.array(data["patient_id"])
        curves[change].append({"level": level, **figures_at(labels, values, patient_ids, threshold)})
    return curves


def probability_of(analysis, finding):
    """0 where the image was refused: it is not detected; NaN where the finding was not assessed, which is no answer."""
    if not analysis.findings:
        return 0.0
    probability = analysis[finding].probability
    return np.nan if probability is None else probability


def figures_at(labels, probabilities, patient_ids, threshold):
    """images, and auc and accuracy with their intervals, of those in which the finding was assessed; None if all alike.

    labels, probabilities, patient_ids: (N,); a probability of NaN: not assessed.
    """
    known = ~np.isnan(probabilities)
    labels, probabilities, patient_ids = labels[known], probabilities[known], patient_ids[known]
    if len(np.unique(labels)) < 2:
        return {"images": len(labels), "auc": None, "accuracy": None}
    accuracy = share((probabilities >= threshold) == labels, patient_ids)
    return {"images": len(labels), "auc": auc_with_interval(patient_ids, labels, probabilities), "accuracy": accuracy}


def curves_table(curves):
    """Markdown: a line for each change and level, the ROC AUC of each model and source beside the others'.

    Args:
        curves: "model, source" → as `curves_of` returns.
    """
    titles = ["change", "level", *(f"{name}: ROC AUC" for name in curves)]
    rows = []
    for change, points in next(iter(curves.values())).items():
        for number, point in enumerate(points):
            points_of_all = [curve[change][number] for curve in curves.values()]
            rows.append([change, point["level"], *(told(point) for point in points_of_all)])
    return markdown_table(titles, rows)


def told(point):
    """The ROC AUC of one level; of how many, for where radiographs are too coarse findings are not assessed."""
    return f"{cell(point['auc'])}, n = {point['images']}" if point["auc"] else f"not assessed, n = {point['images']}"
