"""The table of variants: nodules.json and nodules.md."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from lungfusion.models.nodule_detector import NoduleDetector
from train.io import WEIGHTS, cell, markdown_table, write_table
from train.nodules.scoring import (
    HOME_ALARMS,
    auc_of,
    called,
    find_made,
    is_healthy,
    is_read,
    look_at_all,
    reached_by,
    summarise,
)
from train.scoring.metrics import with_interval

TITLES = (
    "variant",
    "learned from",
    "nodule or mass against the rest: ROC AUC",
    "found",
    "otherwise ill called",
    "healthy called, NIH",
    "healthy called, Shenzhen",
    "healthy called, Pakistan",
    "readers' boxes found at 1 false place an image",
    "made nodules of 10 to 50 mm found at that rate",
)
NOTES = (
    "Readers' pictures: validation patients of NIH ChestX-ray14 at 448 px, labels by five radiologists' votes (three "
    "or more: present; none or one: absent) or by others who looked. Healthy people: validation patients of NIH in "
    "whom radiologists saw nothing; everyone healthy in a hospital that training left out. Thresholds: in no hospital "
    "left out are more than 5 in 100 of the healthy called, and at home no more than 8. 95 % intervals: patients drawn "
    "with replacement for ROC AUC, Wilson for shares. Boxes: those of validation patients; where a variant learned "
    "from none, of all. Made nodules: as those that training draws, in healthy lungs; contrast in "
    "standard deviations of what is around them, so that many can hardly be seen."
)


def load_detector(recipe):
    """The detector that a recipe trained, rounded to half precision, as it is shipped."""
    model = NoduleDetector(recipe["size"], recipe["channels"])
    model.load_state_dict(load_file(Path(recipe["out"]) / WEIGHTS))
    return model.half().float().eval()


def write_report(recipes, pictures, output, peers=None):
    """Score the variants that were trained, and write the table.

    Args:
        recipes: name of a variant → its recipe.
        pictures: `Pictures` for which `is_evaluated` holds.
        output: `Path` of the folder for nodules.json and nodules.md.
        peers: `Path` of what other models said of the same pictures, a JSON list of dicts: source, split, file_name,
            patient_id and each model's probability by its name; None for none.
    """
    figures, rows = {}, range(len(pictures.rows))
    if peers:
        figures |= score_peers(json.loads(Path(peers).read_text()), pictures)
    for name, recipe in recipes.items():
        torch.manual_seed(0)
        model = load_detector(recipe)
        marks = look_at_all(model, pictures, rows)
        figures[name] = {"learned_from": learned_from(recipe)} | summarise(pictures, marks, recipe)
        figures[name]["made"] = find_made(model, pictures, marks, figures[name]["froc"]["thresholds"][1.0])
    write_table(Path(output), "nodules", tables(figures), {"variants": figures})
    print("\n".join(tables(figures)))


def read_report(output):
    """name of a variant → its figures, as `write_report` wrote them."""
    return json.loads((Path(output) / "nodules.json").read_text())["variants"]


def tables(figures):
    lines = [*markdown_table(TITLES, [cells(name, row) for name, row in figures.items()]), "", NOTES, ""]
    return lines + made_table({name: row["made"] for name, row in figures.items() if "made" in row})


def learned_from(recipe):
    parts = ["made nodules"] * bool(recipe["made"]) + ["readers' boxes"] * bool(recipe["real"])
    return ", ".join(parts + ["votes of five"] * bool(recipe["bags"]))


def score_peers(said, pictures):
    """Figures of models that give an image's probability alone, by name; their thresholds are chosen as a detector's,
    among the healthy of the worst hospital, though they learned from it.
    """
    rows = {(row["source"], row["split"], row["file_name"]): row for row in pictures.rows}
    known = [rows[one["source"], one["split"], one["file_name"]] for one in said]
    figures = {}
    for name in [key for key, value in said[0].items() if isinstance(value, float)]:
        scores = np.array([one[name] for one in said])
        read = np.array([is_read(row) for row in known])
        labels = np.array([row["label"] for row, one in zip(known, read, strict=True) if one])
        healthy = {}
        for row, score in zip(known, scores, strict=True):
            if is_healthy(row):
                healthy.setdefault("nih" if row["source"].startswith("nih") else row["source"], []).append(score)
        threshold = max(reached_by(HOME_ALARMS, one) for one in healthy.values())
        patients = [row["patient_id"] for row, one in zip(known, read, strict=True) if one]
        ill = scores[[one and row["label"] == 0 and not row["healthy"] for row, one in zip(known, read, strict=True)]]
        of_ill = scores[read][labels == 1]
        figures[name] = {
            "learned_from": "NIH, image labels",
            "threshold": threshold,
            "images": int(read.sum()),
            "with_one": int(labels.sum()),
            "auc": with_interval(auc_of, patients, labels, scores[read])["auc"],
            "found": called(of_ill >= threshold),
            "called_otherwise_ill": called(ill >= threshold),
            "healthy": {key: called(np.array(one) >= threshold) | {"left_out": False} for key, one in healthy.items()},
        }
    return figures


def cells(name, row):
    healthy = [row["healthy"].get(place) for place in ("nih", "shenzhen", "pakistan")]
    told = [
        "not measured" if one is None else f"{cell(one)} of {one['n']}{', left out' * one['left_out']}"
        for one in healthy
    ]
    froc, made = row.get("froc", {}), row.get("made", {}).get("10 to 50 mm")
    boxes = f"{cell(froc['found_at_1'])} of {froc['boxes']}" if "found_at_1" in froc else "no places"
    found = f"{cell(made['found'])} of {made['found']['n']}" if made else "not measured"
    auc = f"{cell(row['auc'])}, {row['images']} ({row['with_one']} with)"
    return [name, row["learned_from"], auc, cell(row["found"]), cell(row["called_otherwise_ill"]), *told, boxes, found]


def made_table(made):
    rows = [
        [name, size, figure["found"]["n"], cell(figure["found"]), f"{figure['auc']:.3f}"]
        for name, of_variant in made.items()
        for size, figure in of_variant.items()
    ]
    titles = ["variant", "made nodules", "n", "found at 1 false place an image", "ROC AUC against the same without"]
    return markdown_table(titles, rows) if rows else []
