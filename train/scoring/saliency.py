"""Heat maps: whether they are about the score.

Of the radiographs whose finding was detected, the tenth of the region seen that the finding's map
(`lungfusion.explanation.grad_cam`) calls most important is blurred away, and as much where another radiograph's map of
the same finding points, and where the finding's mean map over the others does; each time the finding's logit is taken
again. Where it falls by as much either way, the map says nothing of this radiograph, and none is offered.
"""

import numpy as np
import torch
from torchvision.transforms.v2 import functional as tvF
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from lungfusion.explanation import grad_cam, share_inside
from lungfusion.models.concatenation import paste_back, sample
from train.data.labels import known_labels
from train.data.pictures import image_bytes
from train.data.sources import hospital_of
from train.io import cell, markdown_table
from train.scoring.images import reported
from train.scoring.metrics import with_interval

HIDDEN = 0.1  # of the region that the branches see
BLUR = 1 / 12  # of the side: standard deviation of the blur that hides
MIN_IMAGES = 5  # detected, that a row of the table needs
REGION = 64  # pixels, of the region seen, at which maps are averaged


def measure_saliency(pipeline, parts, declared=None, images=40):
    """`falls`, with the share of the maps that lies inside the lungs, of each finding and source, and of all sources.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        parts: source → `datasets.Dataset` as `load_source` gives it.
        declared: source → its declaration, of a recipe; None for what sources.yaml says of data sets of these names.
        images: of each source and finding at most.

    Returns:
        "finding, source" and "finding, all" → figures.
    """
    figures = {}
    every = {finding: [] for finding in reported(pipeline)}  # the data sets together
    for name, data in parts.items():
        data = data.shuffle(seed=0)
        labels = known_labels(data, reported(pipeline), (declared or {}).get(name, name))
        for finding, label in zip(reported(pipeline), labels.T, strict=True):
            with_it = data.select(np.flatnonzero(label == 1)[:images])
            hospital = hospital_of(name, (declared or {}).get(name))
            seen = explain_positives(pipeline, with_it, finding)
            seen = [(f"{hospital} {patient_id}", *of_image) for patient_id, *of_image in seen]
            every[finding] += seen
            if len(seen) >= MIN_IMAGES:
                figures[f"{finding}, {name}"] = falls(pipeline, seen, finding)
    for finding, seen in every.items():
        if len(seen) >= MIN_IMAGES:
            figures[f"{finding}, all"] = falls(pipeline, seen, finding)
    return figures


def explained_findings(figures):
    """The findings whose maps tell more than another radiograph's, and than the finding's mean map.

    Of both differences, over all data sets, the 95 % interval lies above 0.

    figures: as `measure_saliency` returns them.
    """
    return [name.removesuffix(", all") for name, row in figures.items() if name.endswith(", all") and tells_more(row)]


def tells_more(row):
    """Whether a row of the table proves that maps are about their own radiograph."""
    return all((row[key]["interval"] or [0])[0] > 0 for key in ("difference", "above_mean"))


@torch.no_grad()
def explain_positives(pipeline, data, finding):
    """patient_id, pixel values, output and heat map of each radiograph in which the finding is detected, those that are
    too coarse for it left out.
    """
    config, seen = pipeline.model.config, []
    index = config.label2id[finding]
    for row in tqdm(data, desc=f"Explaining {finding}"):
        radiograph = load_radiograph(image_bytes(row["image"]))
        if min(radiograph.pixels.shape) < (config.findings[finding].min_side or 0):
            continue
        pixel_values = pipeline.pixel_values([radiograph])
        output = pipeline.backend(pixel_values)
        if output.logits[0, index].sigmoid() >= config.findings[finding].threshold:
            saliency = grad_cam(pipeline.model, output, pixel_values.shape[-1])[:, index : index + 1]
            seen.append((row["patient_id"], pixel_values, output, saliency))
    return seen


@torch.no_grad()
def falls(pipeline, seen, finding):
    """How far the logit falls with the map's own tenth hidden, and with that of the next radiograph's map.

    Args:
        seen: as `explain_positives` returns, a patient named by hospital and number.

    Returns:
        dict: images; and with 95 % intervals inside (share of the map within the lungs), own, other, difference of the
        two, mean (with the others' mean map), above_mean (own less that).
    """
    index, rows = pipeline.model.config.label2id[finding], []
    regions = torch.stack([sample(saliency, output.roi_affine, REGION) for *_, output, saliency in seen])
    for number, (_, pixel_values, output, saliency) in enumerate(seen):
        other = seen[(number + 1) % len(seen)][-1]
        mean = (regions.sum(0) - regions[number]) / (len(seen) - 1)
        mean = paste_back(mean, output.roi_affine, saliency.shape[-1])
        blurred = blur(pixel_values)
        logits = [
            pipeline.model(
                torch.where(hottest(m, output.roi_affine), blurred, pixel_values), alpha=output.alpha
            ).logits[0, index]
            for m in (saliency, other, mean)
        ]
        fell = (float(output.logits[0, index] - logit) for logit in logits)
        rows.append([share_inside(saliency.cpu().numpy(), output.alpha.cpu().numpy()) or 0.0, *fell])
    patient_ids = [patient_id for patient_id, *_ in seen]
    return {"images": len(rows)} | with_interval(means, patient_ids, np.array(rows))


def hottest(saliency, roi_affine):
    """(1, 1, S, S) → bool, the same: the `HIDDEN` share of the region (1, 2, 3), where the map is largest."""
    share = float(torch.linalg.det(roi_affine[0, :, :2]))  # of the image
    count = round(HIDDEN * share * saliency.numel())
    chosen = torch.zeros_like(saliency, dtype=torch.bool)
    chosen.view(-1)[saliency.flatten().topk(count).indices] = True
    return chosen


def blur(pixel_values):
    """Blurred beyond recognition, along rows and then along columns, which is the same and much less work."""
    sigma = BLUR * pixel_values.shape[-1]
    length = 2 * round(2 * sigma) + 1
    return tvF.gaussian_blur(tvF.gaussian_blur(pixel_values, [length, 1], sigma), [1, length], sigma)


def means(rows):
    inside, own, other, mean = rows.mean(0).tolist()
    return {
        "inside": inside,
        "own": own,
        "other": other,
        "difference": own - other,
        "mean": mean,
        "above_mean": own - mean,
    }


def explanations_table(figures):
    """Markdown: one row for each finding and data set."""
    titles = [
        "finding, data set",
        "images",
        "share of the map inside the lungs",
        "logit falls by, hottest tenth hidden",
    ]
    titles += ["another map's tenth hidden", "difference", "mean map's tenth hidden", "difference"]
    keys = ("inside", "own", "other", "difference", "mean", "above_mean")
    rows = [[name, row["images"], *[cell(row[key]) for key in keys]] for name, row in figures.items()]
    return markdown_table(titles, rows)
