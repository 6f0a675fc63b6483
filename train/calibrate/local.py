"""Thresholds for one hospital, fitted on its own people: what a hospital does before it trusts any such model."""

import numpy as np

from train.calibrate.away import SENSITIVITY, threshold_of_alarms
from train.io import cell, markdown_table
from train.scoring.metrics import CERTAIN, proportion

MIN_HEALTHY = 20  # images without a finding, for a threshold to be fitted
MIN_ILL = 10  # images with it, for a sensitivity to be told
LABELS = {"normal": {"absent": "all", "aliases": ["healthy", "no_finding"]}}  # of a hospital's own images
EXAMPLES = (50, 100, 200, 400, 800)  # numbers of healthy images of which the precision is told


def local_points(rows, findings, alarms):
    """What is measured of each finding in one hospital.

    Args:
        rows: as `train.scoring.images.score_parts` gives them, of that hospital's images.
        findings: names.
        alarms: share of those without a finding who may be called, in (0, 1).

    Returns:
        finding → dict: `threshold`, `rule_out_threshold`; `called_without`, and `found_ill` where there are `MIN_ILL`
        ill: each {"value", "interval" (Wilson 1927, 95 %), "images"}. A finding that too few images are without is
        not in it.
    """
    points = {}
    for name in findings:
        known = [row for row in rows if f"label_{name}" in row and row.get(f"probability_{name}") is not None]
        labels = np.array([row[f"label_{name}"] for row in known])
        probabilities = np.array([row[f"probability_{name}"] for row in known])
        if (labels == 0).sum() >= MIN_HEALTHY:
            points[name] = local_point(labels, probabilities, alarms)
    return points


def local_point(labels, probabilities, alarms):
    """One finding: as `local_points`. labels (N,) in {0, 1}; probabilities (N,) float in [0, 1]."""
    without, ill = probabilities[labels == 0], probabilities[labels == 1]
    threshold = threshold_of_alarms({"here": without}, alarms)
    point = {"threshold": threshold, "rule_out_threshold": threshold}
    point["called_without"] = counted(without >= threshold)
    if len(ill) >= MIN_ILL:
        point["rule_out_threshold"] = min(threshold, max(float(np.quantile(ill, 1 - SENSITIVITY)), CERTAIN))
        point["found_ill"] = counted(ill >= threshold)
    return point


def counted(called):
    return proportion(called.sum(), len(called)) | {"images": len(called)}


def apply_local_points(config, points, hospital):
    """Write them into a `LungFusionConfig`, in place, under the hospital's name.

    The figures away from home are that hospital's alone from then on; those of other hospitals, which were measured at
    other thresholds, are left out.
    """
    for name, point in points.items():
        config.thresholds[name] = point["threshold"]
        config.rule_out_thresholds[name] = point["rule_out_threshold"]
        ill = point.get("found_ill")
        figures = {
            "called_healthy": point["called_without"]["value"],
            "found_ill": ill["value"] if ill else None,
            "n_healthy": point["called_without"]["images"],
            "n_ill": ill["images"] if ill else 0,
        }
        config.hospitals[name] = {hospital: figures}
        config.reference_scores.pop(name, None)
        kept = {k: v for k, v in config.operating_points.get(name, {}).items() if not k.startswith("away_")}
        kept["away_false_alarms"] = figures["called_healthy"]
        if ill:
            kept["away_sensitivity"] = figures["found_ill"]
        config.operating_points[name] = kept


def with_count(figure):
    return f"{cell(figure)}, n = {figure['images']}"


def local_report(points, hospital, alarms):
    """Markdown: the points, and how well so many healthy images tell a share of false alarms."""
    titles = ["finding", "threshold", "called among those without it", "found among the ill"]
    rows = [
        [
            name,
            f"{point['threshold']:.3f}",
            with_count(point["called_without"]),
            f"{cell(point['found_ill'])}, n = {point['found_ill']['images']}"
            if "found_ill" in point
            else "not measured",
        ]
        for name, point in points.items()
    ]
    precision = []
    for count in EXAMPLES:
        low, high = proportion(round(alarms * count), count)["interval"]
        precision.append([count, f"{100 * low:.0f} to {100 * high:.0f} in 100"])
    return [
        f"# Thresholds for {hospital}",
        "",
        f"Fitted so that at most {100 * alarms:.0f} in 100 without a finding are called; 95 % intervals (Wilson). They "
        "were measured on the same people, so they flatter: look at people of later months before you rely on them.",
        "",
        *markdown_table(titles, rows),
        "",
        f"How well images of healthy people tell {100 * alarms:.0f} false alarms in 100:",
        "",
        *markdown_table(["healthy images", "the share may be"], precision),
    ]
