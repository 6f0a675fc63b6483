"""Nodules and masses: which radiographs have one, and where (FROC); made ones, by size and contrast."""

from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from lungfusion.models.concatenation import sample
from train.augment.nodules import SIZES, add_bodies, mm_per_unit, random_lesions
from train.data.lesions import LESIONS
from train.data.pictures import load_image
from train.scoring.hospitals import auc_of
from train.scoring.metrics import bootstrap, with_interval

RATES = 0.5, 1.0, 2.0  # false places an image
PRESENT, ABSENT = 0.6, 0.2  # readers' votes: three of five, one of five
SIZE_EDGES = 5, 8, 12, 20, 30, 40  # mm
CONTRAST_EDGES = 0.0, 0.02, 0.04, 0.08, 1.0  # of the grey range
CLOSE_ENOUGH = 0.5  # places of the map beyond a box in which a mark still counts as in it


@torch.inference_mode()
def score_lesions(pipeline, parts, batch_size=8):
    """What a model says of radiographs that radiologists read.

    Args:
        pipeline: `LungFusionPipeline` of a classifier that knows nodule and mass.
        parts: source → (`datasets.Dataset`, what `train.data.lesions.lesion_labels` says of it).

    Returns:
        one dict for each: source, patient_id, file_name; side, the shorter one, pixels; `label_…` of nodule, mass,
        either (1, 0 or NaN) and `probability_…`; located (whether its lesions' places are known); boxes (M, 5); marks
        (K, 3): x, y in the radiograph, logit, where the map has a peak; cell (2,), half a place of the map in the
        radiograph. No marks of a model without a lesion branch.
    """
    config, rows = pipeline.model.config, []
    columns = [config.findings.index(name) for name in LESIONS]
    for name, (data, known) in parts.items():
        for start in tqdm(range(0, len(data), batch_size), desc=f"Looking for lesions in {name}"):
            content = [data[i] for i in range(start, min(start + batch_size, len(data)))]
            radiographs = [load_image(row["image"]) for row in content]
            output = pipeline.backend(pipeline.pixel_values(radiographs))
            said = output.logits[:, columns].float().sigmoid().cpu().numpy()
            for i, row in enumerate(content):
                label = hard(known["labels"][start + i])
                probability = [*said[i].tolist(), float(1 - (1 - said[i]).prod())]
                found = {"source": name, "patient_id": row["patient_id"], "file_name": row["file_name"]}
                found |= {"side": min(radiographs[i].pixels.shape)}
                for column, of in enumerate((*LESIONS, "either")):
                    found |= {f"label_{of}": float(label[column]), f"probability_{of}": probability[column]}
                boxes = known["boxes"][start + i]
                found |= {"located": bool(known["place_weights"][start + i] == 1)}
                found |= {"boxes": boxes[~np.isnan(boxes[:, 0])]}
                if output.lesion_map is not None:
                    either = torch.logsumexp(output.lesion_map[i].float(), 0)
                    found |= peaks(either, output.roi_affine[i])
                rows.append(found)
    return rows


def hard(labels):
    """Votes → 1, 0, or NaN where readers left it open."""
    return np.select([labels >= PRESENT, labels <= ABSENT], [1.0, 0.0], np.nan)


def peaks(lesion_map, roi_affine):
    """Local maxima of a map (h, w) over the region (2, 3): `marks` and `cell`, as in `score_lesions`."""
    side = lesion_map.shape[-1]
    highest = F.max_pool2d(lesion_map[None, None], 3, stride=1, padding=1)[0, 0] == lesion_map
    grid = F.affine_grid(roi_affine[None].float(), [1, 1, side, side], align_corners=False)[0]
    marks = torch.cat([grid[highest], lesion_map[highest][:, None]], dim=1)
    cell = torch.linalg.vector_norm(roi_affine[:, :2], dim=0) / side
    return {"marks": marks.cpu().numpy(), "cell": cell.cpu().numpy()}


def summarise_images(rows):
    """Of images that radiologists read: ROC AUC of nodule, mass and either, with n and 95 % intervals."""
    figures = {}
    for name in (*LESIONS, "either"):
        known = [row for row in rows if not np.isnan(row[f"label_{name}"])]
        labels = np.array([row[f"label_{name}"] for row in known])
        if len(set(labels)) < 2:
            continue
        said = np.array([row[f"probability_{name}"] for row in known])
        counts = {"images": len(known), "with_it": int(labels.sum())}
        figures[name] = counts | with_interval(auc_of, [row["patient_id"] for row in known], labels, said)
    return figures


def froc(rows):
    """Free-response ROC: the share of lesions marked, at so many false marks an image, with 95 % intervals.

    Counted are images whose lesions were located, and images read as without any. A mark is right if it lies in a
    lesion's box or half a place of the map beside it.

    Returns:
        dict: images, lesions, and for each of `RATES` `sensitivity_at_…`; {} where there is no lesion or no map.
    """
    rows = [row for row in rows if row["located"] and "marks" in row and not np.isnan(row["label_either"])]
    if not any(len(row["boxes"]) for row in rows):
        return {}
    judged = [judge(row) for row in rows]
    order = np.arange(len(rows))
    patients = [row["patient_id"] for row in rows]

    def score(chosen):
        return sensitivities([judged[i] for i in chosen])

    lesions = sum(len(found) for found, _ in judged)
    intervals, values = bootstrap(score, patients, order), score(order)
    sensitivity = {name: {"value": value, "interval": intervals[name]} for name, value in values.items()}
    return {"images": len(rows), "lesions": lesions} | sensitivity


def judge(row):
    """(logits of the best mark in each box, −inf for none; logits of the marks in no box)."""
    marks, boxes = row["marks"], row["boxes"]
    away = np.abs(marks[None, :, :2] - boxes[:, None, 1:3])  # (M, K, 2)
    inside = (away <= boxes[:, None, 3:5] + 2 * CLOSE_ENOUGH * row["cell"]).all(-1)
    found = np.where(inside, marks[None, :, 2], -np.inf).max(1, initial=-np.inf)
    return found, marks[~inside.any(0), 2]


def sensitivities(judged):
    found = np.concatenate([of_image for of_image, _ in judged])
    false = np.sort(np.concatenate([of_image for _, of_image in judged]))[::-1]
    if not len(found):
        return None
    thresholds = {rate: mark_threshold(false, rate, len(judged)) for rate in RATES}
    return {f"sensitivity_at_{rate:g}": float((found > thresholds[rate]).mean()) for rate in RATES}


def mark_threshold(false, rate, images):
    """The logit above which there are `rate` false marks an image; false: logits, falling."""
    count = int(rate * images)
    return float(false[count]) if count < len(false) else -np.inf


def false_mark_threshold(rows, rate=1.0):
    judged = [judge(row) for row in rows if "marks" in row and row["label_either"] == 0]
    return mark_threshold(np.sort(np.concatenate([false for _, false in judged]))[::-1], rate, len(judged))


@torch.inference_mode()
def find_made(model, arrays, threshold, images=200, seed=0):
    """How many made nodules are marked, by size and by contrast.

    Args:
        model: `LungFusionForImageClassification` with a lesion branch.
        arrays: list of `LungArrays` of healthy lungs.
        threshold: logit from which a place counts as marked.
        images: at most.

    Returns:
        dict: `size`, `contrast` → range → {"lesions", "found"}; `found` a share.
    """
    torch.manual_seed(seed)
    sizes, contrasts, found = [], [], []
    rows = [(part, row) for part in arrays for row in range(len(part))]
    chosen = np.random.default_rng(seed).permutation(len(rows))[:images]
    for index in tqdm(chosen, desc="Looking for made nodules"):
        part, row = rows[index]
        image, alpha = (x[None].float().to(model.device) / 255 for x in part[row])
        view = model.concatenation.roi_affine(alpha)
        picture, lungs = (sample(x, view, model.lesions.size) for x in (image, alpha))
        bodies, mm = random_lesions(lungs, SIZES), mm_per_unit(view)
        bodies.present[:, 1:] = 0  # one in each
        drawn, boxes, contrast = add_bodies(picture, lungs, bodies, view, mm)
        if boxes[0, 0].isnan().any():
            continue  # so faint that nobody could see it
        place = peaks(torch.logsumexp(model.lesions.look(drawn)[0].float(), 0), view[0])
        best = judge(place | {"boxes": boxes[0, :1].cpu().numpy()})[0][0]
        sizes.append(float(bodies.diameter[0, 0]))
        contrasts.append(float(contrast[0, 0]))
        found.append(best > threshold)
    tables = {"size": (sizes, SIZE_EDGES), "contrast": (contrasts, CONTRAST_EDGES)}
    return {name: binned(np.array(values), np.array(found), edges) for name, (values, edges) in tables.items()}


def binned(values, found, edges):
    """Share found in each range of values."""
    table = {}
    for low, high in pairwise(edges):
        within = (values >= low) & (values < high)
        if within.any():
            table[f"{low:g}–{high:g}"] = {"lesions": int(within.sum()), "found": float(found[within].mean())}
    return table
