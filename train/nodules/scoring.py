"""What a detector finds: images ranked, places (FROC), made nodules by size; and whom it calls that are healthy."""

import math
from itertools import pairwise

import numpy as np
import torch
from tqdm.auto import tqdm

from lungfusion.models.nodule_detector import near_lungs
from train.nodules.data import MIN_SIDE, RIM
from train.nodules.made import draw_bodies, make_bank
from train.nodules.training import box_of, look_at, marks_of
from train.scoring.metrics import proportion, with_interval
from train.scoring.ranking import roc_auc

RATES = 0.5, 1.0, 2.0  # false places an image
BESIDE = 4.0  # mm beyond a reader's box in which a mark still counts as in it
EDGES = 5, 8, 10, 15, 20, 30, 50  # mm
ALARMS = 0.05  # of healthy people, at most, in the worst of the hospitals that training left out
NOBODY = -20.0  # score of a picture without any candidate


@torch.inference_mode()
def look_at_all(model, pictures, rows):
    """What a model says of pictures: dict of row → (M, 4) candidates, highest first: x, y, logit, diameter in mm."""
    return {int(row): look_at(model, pictures, row)[1] for row in tqdm(rows, desc="Looking for nodules")}


def score_of(marks):
    return float(marks[0, 2]) if len(marks) else NOBODY


def evaluated(pictures):
    """Rows that a table is made of: read by radiologists, of validation patients; and located lesions, wherever."""
    return pictures.where(lambda row: is_read(row) or row["located"] or is_healthy(row))


def is_read(row):
    """Whether radiologists said of a validation patient's picture, fine enough, if a nodule or mass is there."""
    nih = row["source"] in ("nih_experts", "nih")
    return nih and row["split"] == "validation" and row["read"] and row["label"] is not None and row["side"] >= MIN_SIDE


def is_healthy(row):
    """Whether nothing at all was found in a picture of a validation patient, or of a hospital that may be left out."""
    return row["healthy"] and row["side"] >= MIN_SIDE and (row["split"] == "validation" or row["source"] in AWAY)


AWAY = "pakistan", "shenzhen"  # left out as a whole by some training


def summarise(pictures, marks, recipe, threshold=None):
    """Figures of a model's marks.

    Args:
        pictures: `Pictures`.
        marks: as `look_at_all` returns.
        recipe: of the model: which sources it learned from, and whether from readers' boxes.
        threshold: logit; the one that calls `ALARMS` of the healthy of the worst hospital left out, unless given.

    Returns:
        dict of figures, each with n and a 95 % interval.
    """
    rows = [pictures.rows[i] | {"marks": marks[i], "row": i, "score": score_of(marks[i])} for i in sorted(marks)]
    read = [row for row in rows if is_read(row)]
    healthy = {}
    for row in rows:
        if is_healthy(row) and not (row["source"] in recipe["learn_from"] and row["split"] == "train"):
            healthy.setdefault("nih" if row["source"].startswith("nih") else row["source"], []).append(row["score"])
    away = [name for name in healthy if name not in ("nih", *recipe["learn_from"])]
    if threshold is None:
        threshold = max(float(np.quantile(healthy[name], 1 - ALARMS, method="higher")) for name in away or healthy)
    labels, scores = np.array([row["label"] for row in read]), np.array([row["score"] for row in read])
    patients = [row["patient_id"] for row in read]
    ill = [row for row in read if row["label"] == 0 and not row["healthy"]]
    figures = {"threshold": threshold, "images": len(read), "with_one": int(labels.sum())}
    figures["auc"] = with_interval(auc_of, patients, labels, scores)["auc"]
    figures["found"] = proportion((scores[labels == 1] > threshold).sum(), int(labels.sum()))
    figures["called_otherwise_ill"] = proportion(sum(row["score"] > threshold for row in ill), len(ill))
    figures["healthy"] = {
        name: proportion(sum(score > threshold for score in said), len(said))
        | {"left_out": name in away, "n": len(said)}
        for name, said in healthy.items()
    }
    located = [row for row in rows if row["located"] and (row["split"] == "validation" or not recipe["real"])]
    figures["froc"] = froc(located, [row for row in read if row["label"] == 0])
    return figures


def called(yes):
    """(N,) bool → share with its Wilson interval, and n."""
    return proportion(int(yes.sum()), len(yes)) | {"n": len(yes)}


def auc_of(labels, scores):
    return {"auc": roc_auc(labels, scores)} if len(np.unique(labels)) == 2 else None


def froc(located, without):
    """The share of readers' boxes with a mark in them, at so many false marks an image without any lesion."""
    false = np.sort(np.concatenate([row["marks"][:, 2] for row in without]))[::-1]
    thresholds = {rate: false_threshold(false, rate * len(without)) for rate in RATES}
    best = []
    for row in located:
        for x, y, width, height in row["boxes"]:
            away = np.abs(row["marks"][:, :2] - (x, y))
            inside = (away <= np.array([width, height]) / 2 + BESIDE).all(1)
            best.append(row["marks"][inside, 2].max(initial=-math.inf))
    found = np.array(best)
    figures = {"images": len(located), "boxes": len(found), "images_without": len(without), "thresholds": thresholds}
    for rate, threshold in thresholds.items():
        if len(found):
            figures[f"found_at_{rate:g}"] = proportion((found > threshold).sum(), len(found))
    return figures


def false_threshold(false, count):
    """The logit above which there are `count` false marks; false: logits, falling."""
    return float(false[int(count)]) if count < len(false) else NOBODY


@torch.inference_mode()
def find_made(model, pictures, threshold, repeats=3, seed=1):
    """How many made nodules are found above a logit, by diameter, in healthy lungs of validation patients.

    Returns:
        dict: range of diameters, mm → {"found": share with its interval, "n", "auc": of the pictures with one against
        the same without}.
    """
    generator, bank = torch.Generator().manual_seed(seed), make_bank(seed, 500, 10)
    rows = pictures.where(lambda row: row["healthy"] and row["split"] == "validation" and row["side"] >= MIN_SIDE)
    sizes, found, scores, before = [], [], [], []
    for row in tqdm(np.tile(rows, repeats), desc="Looking for made nodules"):
        pixels, lungs = box_of(pictures, row)
        drawn, centres, widths, _ = draw_bodies(pixels, (lungs > 0.5).float(), bank, generator, share=1.0, most=1)
        if widths[0, 0] == 0:
            continue
        marks = marks_of(near_lungs(model.look(drawn), lungs))
        away = np.hypot(*(marks[:, :2] - RIM - centres[0, 0].numpy()).T)
        near = marks[away <= float(widths[0, 0]) / 2 + BESIDE, 2].max(initial=-math.inf)
        sizes.append(float(widths[0, 0]))
        found.append(near > threshold)
        scores.append(score_of(marks))
        before.append(score_of(look_at(model, pictures, row)[1]))
    sizes, found, scores, before = map(np.array, (sizes, found, scores, before))
    table = {}
    for low, high in [*pairwise(EDGES), (10, 50)]:
        chosen = (sizes >= low) & (sizes < high)
        if chosen.any():
            labels = np.repeat([1, 0], [chosen.sum(), len(before)])
            auc = roc_auc(labels, np.concatenate([scores[chosen], before]))
            table[f"{low}–{high}"] = {
                "n": int(chosen.sum()),
                "found": proportion(found[chosen].sum(), int(chosen.sum())),
                "auc": auc,
            }
    return table
