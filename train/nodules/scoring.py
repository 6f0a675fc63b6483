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
from train.scoring.metrics import fit_platt, proportion, roc_auc, with_interval

RATES = 0.5, 1.0, 2.0  # false places an image
BESIDE = 4.0  # mm beyond a reader's box in which a mark still counts as in it
EDGES, LARGE = (5, 8, 10, 15, 20, 30, 50), (10, 50)  # mm
CONTRAST_EDGES = 0.3, 0.75, 1.25, 2, 5  # of the standard deviation of what is around
ALARMS, HOME_ALARMS = 0.05, 0.08  # of the healthy, at most, that are called: in each hospital left out; at home
DOUBTS = 2  # times as many are not ruled out
NOBODY = -20.0  # score of a picture without any candidate


@torch.inference_mode()
def look_at_all(model, pictures, rows):
    """What a model says of pictures: dict of row → (M, 4) candidates, highest first: x, y, logit, diameter in mm."""
    return {int(row): look_at(model, pictures, row)[1] for row in tqdm(rows, desc="Looking for nodules")}


def score_of(marks):
    return float(marks[0, 2]) if len(marks) else NOBODY


def is_evaluated(row):
    """Whether tables are made of a picture: radiologists looked, or it is healthy, or its lesions are located."""
    return is_read(row) or row["located"] or is_healthy(row)


def is_read(row):
    """Whether radiologists said of a validation patient's picture, fine enough, if a nodule or mass is there."""
    nih = row["source"] in ("nih_experts", "nih")
    return nih and row["split"] == "validation" and row["read"] and row["label"] is not None and row["side"] >= MIN_SIDE


def is_healthy(row):
    """Whether radiologists saw nothing at all in a picture of a validation patient, or of a hospital left out."""
    healthy = row["healthy"] and row["read"] and row["side"] >= MIN_SIDE
    return healthy and (row["split"] == "validation" or row["source"] in AWAY)


AWAY = "pakistan", "shenzhen"  # left out as a whole by some training


def summarise(pictures, marks, recipe):
    """Figures of a model's marks.

    Args:
        pictures: `Pictures`.
        marks: as `look_at_all` returns.
        recipe: of the model: which sources it learned from, and whether from readers' boxes.

    Returns:
        dict of figures, shares with n and a 95 % interval. `threshold`, `rule_out_threshold`: logits that at most so
        many of the healthy reach, in whichever hospital most do; `temperature`, `bias`: what makes a picture's highest
        logit a probability on readers' pictures.
    """
    rows = [pictures.rows[i] | {"marks": marks[i], "score": score_of(marks[i])} for i in sorted(marks)]
    read, healthy = [row for row in rows if is_read(row)], {}
    for row in rows:
        if is_healthy(row) and not (row["source"] in recipe["learn_from"] and row["split"] == "train"):
            healthy.setdefault("nih" if row["source"].startswith("nih") else row["source"], []).append(row["score"])
    labels, scores = np.array([row["label"] for row in read]), np.array([row["score"] for row in read])
    away = {name: name in AWAY and name not in recipe["learn_from"] for name in healthy}
    alarms = {name: ALARMS if away[name] else HOME_ALARMS for name in healthy}
    threshold, rule_out = (
        max(reached_by(times * alarms[name], said) for name, said in healthy.items()) for times in (1, DOUBTS)
    )
    temperature, bias = fit_platt(scores, labels)
    ill = np.array([row["score"] for row in read if row["label"] == 0 and not row["healthy"]])
    located = [row for row in rows if row["located"] and (row["split"] == "validation" or not recipe["real"])]
    return {
        "threshold": threshold,
        "rule_out_threshold": rule_out,
        "temperature": temperature,
        "bias": bias,
        "images": len(read),
        "with_one": int(labels.sum()),
        **with_interval(auc_of, [row["patient_id"] for row in read], labels, scores),
        "found": called(scores[labels == 1] >= threshold),
        "specificity": called(scores[labels == 0] < threshold),
        "called_otherwise_ill": called(ill >= threshold),
        "healthy": {
            name: called(np.array(said) >= threshold) | {"left_out": away[name]} for name, said in healthy.items()
        },
        "healthy_scores": {name: sorted(said) for name, said in healthy.items()},
        "froc": froc(located, [row for row in read if row["label"] == 0]),
    }


def reached_by(part, scores):
    """The threshold that at most this part of the scores reach."""
    falling = np.sort(scores)[::-1]
    count = int(part * len(falling))
    return float((falling[count - 1] + falling[count]) / 2) if count else float(falling[0]) + 1e-3


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
def find_made(model, pictures, marks, threshold, repeats=3, seed=1):
    """How many made nodules are found above a logit, in healthy lungs of validation patients.

    Args:
        model, pictures: as for `look_at_all`; marks: as it returns, of the pictures as they are.
        threshold: logit.
        repeats: nodules drawn into each picture, one at a time.

    Returns:
        dict: range of diameters in mm, and of contrasts in deviations of what is around (of 10 mm and more) →
        {"found": share with n and its interval, "auc": of the pictures with one against the same without}.
    """
    generator, bank = torch.Generator().manual_seed(seed), make_bank(seed, 500, 10)
    rows = pictures.where(lambda row: is_healthy(row) and row["split"] == "validation")
    made = []
    for row in tqdm(np.tile(rows, repeats), desc="Looking for made nodules"):
        pixels, lungs = box_of(pictures, row)
        places = (lungs > 0.5).float()
        drawn, centres, widths, contrasts = draw_bodies(pixels, places, bank, generator, share=1.0, most=1)
        width = float(widths[0, 0])
        if width == 0:  # no lungs were drawn
            continue
        seen = marks_of(near_lungs(model.look(drawn), lungs))
        away = np.hypot(*(seen[:, :2] - RIM - centres[0, 0].numpy()).T)
        best = seen[away <= width / 2 + BESIDE, 2].max(initial=-math.inf)
        made.append((width, float(contrasts[0, 0]), best > threshold, score_of(seen)))
    widths, contrasts, found, scores = (np.array(column) for column in zip(*made, strict=True))
    before, table = np.array([score_of(marks[row]) for row in rows]), {}
    groups = {f"{low} to {high} mm": (widths >= low) & (widths < high) for low, high in (*pairwise(EDGES), LARGE)}
    for low, high in pairwise(CONTRAST_EDGES):
        within = (contrasts >= low) & (contrasts < high) & (widths >= LARGE[0])
        groups[f"{LARGE[0]} mm and more, contrast {low:g} to {high:g}"] = within
    for name, chosen in groups.items():
        if chosen.any():
            labels = np.repeat([1, 0], [chosen.sum(), len(before)])
            auc = roc_auc(labels, np.concatenate([scores[chosen], before]))
            table[name] = {"found": called(found[chosen]), "auc": auc}
    return table
