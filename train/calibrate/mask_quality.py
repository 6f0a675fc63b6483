"""Calibrate the mask quality of a trained segmenter, and say how far it can be relied on.

The run's validation radiographs are drawn clean and under each of `train.augment.corruptions`, the mild and the
severe ones. The network's own estimate of each mask is fitted to the true Dice by two numbers,
which are kept in the model's configuration; its ood_score is fitted to the training radiographs. `train.segment` ends
with it; `train.evaluate --run RUN --recalibrate` does it again. Written to RUN: robustness.* (see
`train.scoring.robustness`), mask_quality.json and mask_quality.md.
"""

import copy

import numpy as np
from scipy.optimize import curve_fit
from scipy.special import expit

from lungfusion import LungFusionPipeline
from lungfusion.checks.input_checks import MIN_MASK_QUALITY
from lungfusion.models.mask_postprocessing import calibrated_quality
from train.augment.corruptions import MILD_CORRUPTIONS, SEVERE_CORRUPTIONS
from train.calibrate.ood import fitted_ood_head
from train.engine.loop import save_model
from train.io import cell, markdown_table, weights_digest, write_csv, write_table
from train.scoring.images import patients, validation_parts
from train.scoring.metrics import finite_logit, patient_folds, roc_auc, spearman, with_interval
from train.scoring.robustness import CLEAN, robustness_table, score_corrupted, summarise_robustness

GOOD = 0.9  # Dice: outlines drawn by hand agree with each other better than that


def calibrate_quality(recipe, output):
    """Fit ood_score, slope and offset, save them in the run's model, write the figures."""
    loaded = LungFusionPipeline.from_pretrained(output / "model")
    model = loaded.model
    model.config = with_quality(model.config, 1.0, 0.0)
    pipeline, rows = LungFusionPipeline(model, loaded.processor), []
    for name, data in validation_parts(recipe).items():
        declared = recipe["sources"][name]
        rows += score_corrupted(pipeline, data, name, MILD_CORRUPTIONS | SEVERE_CORRUPTIONS, declared)
    model.config = with_quality(model.config, *fit_quality(*estimates(rows)))
    model.ood_head = fitted_ood_head(pipeline, recipe).to(model.device)
    save_model(model, pipeline.processor, output / "model")
    weights = weights_digest(output / "model")
    rows = cross_fitted(rows)
    mild = [row for row in rows if row["corruption"] not in SEVERE_CORRUPTIONS]
    write_csv(output / "robustness.csv", mild)
    robustness = summarise_robustness(mild)
    write_table(output, "robustness", robustness_table(robustness), robustness, weights)
    summary = summarise_quality(rows)
    write_table(output, "mask_quality", quality_table(summary), summary, weights)


def with_quality(config, slope, offset):
    """A copy of a `LungUNetConfig` with another slope and offset."""
    changed = copy.deepcopy(config)
    changed.quality_slope, changed.quality_offset = slope, offset
    return changed


def estimates(rows):
    """(N,) the pipeline's mask quality, and (N,) the true Dice."""
    return [row["mask_quality"] for row in rows], [row["dice"] for row in rows]


def cross_fitted(rows):
    """The rows with the quality of every fifth of the patients as a fit to the others gives it: no figure is of people
    whom it was fitted to.
    """
    fold_of = patient_folds(patients(rows))
    told = []
    for fold in np.unique(fold_of):
        inside = [row for row, of in zip(rows, fold_of, strict=True) if of == fold]
        others = [row for row, of in zip(rows, fold_of, strict=True) if of != fold]
        fitted = fit_quality(*estimates(others or inside))
        told += [row | {"mask_quality": calibrated_quality(row["mask_quality"], *fitted)} for row in inside]
    return told


def fit_quality(expected, dice):
    """Least squares between sigmoid(slope · logit(expected) + offset) and the true Dice.

    Args:
        expected: (N,) floats in [0, 1], the pipeline's mask quality at slope 1 and offset 0.
        dice: (N,) floats in [0, 1].

    Returns:
        slope, offset.
    """
    logits = finite_logit(expected)
    (slope, offset), _ = curve_fit(lambda x, a, b: expit(a * x + b), logits, dice, p0=(1.0, 0.0))
    return float(slope), float(offset)


def summarise_quality(rows):
    """How well the quality ranks masks, and how near it is to their Dice; 95 % intervals by bootstrap over patients.

    Args:
        rows: as `score_corrupted` returns.

    Returns:
        dict: for `all` masks and the `clean` ones: masks, bad (Dice below 0.9), spearman, error (mean absolute),
        warned (share below the quality that the pipeline warns of) and, where there are good and bad ones, auc.
    """
    summary = {}
    for name, chosen in (("all", rows), (CLEAN, [row for row in rows if row["corruption"] == CLEAN])):
        table = np.array([[row["mask_quality"], row["dice"]] for row in chosen])
        bad = int((table[:, 1] < GOOD).sum())
        summary[name] = {"masks": len(chosen), "bad": bad} | with_interval(agreement, patients(chosen), table)
        if 0 < bad < len(chosen):
            summary[name] |= with_interval(ranking, patients(chosen), table)
    return summary


def agreement(table):
    quality, dice = table.T
    warned = float((quality < MIN_MASK_QUALITY).mean())
    return {"spearman": spearman(quality, dice), "error": float(np.abs(quality - dice).mean()), "warned": warned}


def ranking(table):
    quality, good = table[:, 0], table[:, 1] >= GOOD
    return {"auc": roc_auc(good, quality)} if 0 < good.sum() < len(good) else None


def quality_table(summary):
    """Markdown: one row for all masks, one for the clean ones."""
    bad = f"Dice below {GOOD}"
    titles = ["images", "masks", bad, "Spearman correlation with Dice", "mean error"]
    titles += [f"warned of (below {MIN_MASK_QUALITY})", f"ROC AUC for {bad}"]
    rows = []
    for name, figures in summary.items():
        cells = [name, figures["masks"], figures["bad"]]
        cells += [cell(figures[key]) for key in ("spearman", "error", "warned")]
        cells.append(cell(figures["auc"]) if "auc" in figures else "none to tell apart")
        rows.append(cells)
    return markdown_table(titles, rows)
