"""What `train.compare` says of each variant: figures pooled over its runs, and their difference to the first one's."""

import csv
import json
from functools import partial

import numpy as np
from sklearn.metrics import roc_auc_score

from train.evaluate import patients, with_interval
from train.report import weights_in
from train.robustness import ALTERED, UNALTERED, summarise_robustness
from train.tables import cell, markdown_table

DICE = ("dice", "dice_altered", "pixel_accuracy", "dice_difference", "dice_altered_difference")


def summarise_lungs(folders, first):
    """A variant of a segmenter; figures are pooled over the runs, patients drawn once for all of them.

    Args:
        folders: of the variant's runs, one for each fold and seed.
        first: those of the first variant's.
    """
    rows, rows_of_first = read_dice(folders), read_dice(first)
    robustness = summarise_robustness(rows)
    return {
        "runs": len(folders),
        "images": robustness[UNALTERED]["images"],
        "dice": robustness[UNALTERED]["dice"],
        "dice_altered": robustness[ALTERED]["dice"],
        "pixel_accuracy": robustness[UNALTERED]["pixel_accuracy"],
        **difference(rows, rows_of_first),
        **cost(folders),
    }


def read_dice(folders):
    rows = []
    for folder in folders:
        with open(folder / "robustness.csv", newline="") as file:
            for row in csv.DictReader(file):
                rows.append(row | {name: float(row[name]) for name in ("dice", "pixel_accuracy")})
    return rows


def difference(rows, rows_of_first):
    """Mean difference of the Dice, unaltered and altered, to the first variant's on the same image: 0 if it is that."""
    altered = np.array([row["alteration"] != UNALTERED for row in rows])
    changes = np.array([row["dice"] - first["dice"] for row, first in zip(rows, rows_of_first, strict=True)])
    patient_ids = np.array(patients(rows))
    figures = {}
    for name, chosen in (("dice_difference", ~altered), ("dice_altered_difference", altered)):
        score = partial(mean_change, name)
        figures |= with_interval(score, patient_ids[chosen].tolist(), changes[chosen])
    return figures


def mean_change(name, changes):
    return {name: float(changes.mean())}


def lungs_table(table):
    """Markdown: one row for each variant."""
    titles = ["variant", "runs", "images", "Dice", "Dice, altered images", "pixel accuracy"]
    titles += ["Dice against the first", "altered, against the first", "million weights"]
    rows = [
        [variant, row["runs"], row["images"], *[cell(row[name]) for name in DICE], f"{row['parameters'] / 1e6:.2f}"]
        for variant, row in table.items()
    ]
    return markdown_table(titles, rows)


def summarise_findings(folders, first):
    """A variant of a classifier: for each source and finding the ROC AUC, the mean of its runs', patients drawn once.

    Args:
        folders: of the variant's runs, one for each fold and seed.
        first: those of the first variant's.
    """
    rows, rows_of_first = read_probabilities(folders), read_probabilities(first)
    findings = {}
    for source, name in dict.fromkeys(
        (row["source"], key.removeprefix("label_")) for row in rows for key in row if key.startswith("label_")
    ):
        chosen = [
            (row, other)
            for row, other in zip(rows, rows_of_first, strict=True)
            if row["source"] == source and f"label_{name}" in row
        ]
        labels = np.array([row[f"label_{name}"] for row, _ in chosen])
        run = np.array([row["run"] for row, _ in chosen])
        pairs = np.array([[r[f"probability_{name}"] for r in pair] for pair in chosen])
        if all(len(np.unique(labels[run == number])) == 2 for number in set(run)):
            figures = with_interval(mean_auc, patients([row for row, _ in chosen]), labels, run, pairs)
            findings[f"{name}, {source}"] = {"images": len(chosen), "positive": int(labels.sum()), **figures}
    return {"runs": len(folders), "findings": findings, **cost(folders)}


def read_probabilities(folders):
    """Rows of the runs' per_image.csv; an image that was refused has the probability 0."""
    rows = []
    for number, folder in enumerate(folders):
        with open(folder / "per_image.csv", newline="") as file:
            for row in csv.DictReader(file):
                values = {k: float(v or 0) for k, v in row.items() if k.startswith("probability_")}
                labels = {k: int(v) for k, v in row.items() if k.startswith("label_") and v}
                rows.append({"run": number, "source": row["source"], "patient_id": row["patient_id"]} | values | labels)
    return rows


def mean_auc(labels, run, pairs):
    """The mean over the runs of the ROC AUC, and of its difference to the first variant's; pairs: (N, 2)."""
    aucs = []
    for number in np.unique(run):
        of_run = run == number
        if len(np.unique(labels[of_run])) < 2:
            return None
        aucs.append([roc_auc_score(labels[of_run], column) for column in pairs[of_run].T])
    auc, of_first = np.mean(aucs, axis=0)
    return {"auc": float(auc), "auc_difference": float(auc - of_first)}


def findings_table(table):
    """Markdown: one row for each variant and finding."""
    titles = ["finding, source", "variant", "runs", "images (with it)", "ROC AUC", "ROC AUC against the first"]
    rows = []
    for finding in next(iter(table.values()))["findings"]:
        for variant, row in table.items():
            figures = row["findings"][finding]
            cells = [finding, variant, row["runs"], f"{figures['images']} ({figures['positive']})"]
            cells += [cell(figures["auc"]), cell(figures["auc_difference"]), f"{row['parameters'] / 1e6:.2f}"]
            rows.append(cells)
    return markdown_table([*titles, "million weights"], rows)


def cost(folders):
    """Median seconds of an epoch, and the number of weights."""
    epochs = [epoch for folder in folders for epoch in json.loads((folder / "history.json").read_text())]
    seconds = float(np.median([epoch["seconds"] for epoch in epochs]))
    return {"seconds_per_epoch": seconds, "parameters": weights_in(folders[0])}
