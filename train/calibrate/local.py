"""Thresholds for one hospital, fitted on its own people: what a hospital does before it trusts any such model."""

from dataclasses import replace

import numpy as np

from lungfusion.evidence import FindingEvidence
from train.calibrate.operating_points import SENSITIVITY, place_of, threshold_of_alarms
from train.io import cell, markdown_table
from train.scoring.metrics import CERTAIN, patient_folds, proportion

MIN_HEALTHY = 20  # patients without a finding, for a threshold to be fitted
MIN_ILL = 10  # images with it, for a sensitivity to be told
LABELS = {"normal": {"absent": "all", "aliases": ["healthy", "no_finding"]}}  # of a hospital's own images
EXAMPLES = (50, 100, 200, 400, 800)  # numbers of healthy images of which the precision is told


def local_points(rows, findings, alarms):
    """What is measured of each finding in one hospital.

    Args:
        rows: as `train.scoring.images.score_with_pipeline` gives them, of that hospital's images.
        findings: names.
        alarms: share of those without a finding who may be called, in (0, 1).

    Returns:
        finding → dict: `threshold`, `rule_out_threshold`; `called_healthy`, and `found` where there are `MIN_ILL`
        ill: each {"value", "interval" (Wilson 1927, 95 %), "images"}, of every fifth of the patients at the threshold
        that the others give. A finding that too few patients are without is not in it.
    """
    points = {}
    for name in findings:
        known = [row for row in rows if f"label_{name}" in row and row.get(f"probability_{name}") is not None]
        labels = np.array([row[f"label_{name}"] for row in known])
        patient_ids = np.array([row["patient_id"] for row in known])
        if len(np.unique(patient_ids[labels == 0])) >= MIN_HEALTHY:
            probabilities = np.array([row[f"probability_{name}"] for row in known])
            points[name] = local_point(patient_ids, labels, probabilities, alarms)
    return points


def local_point(patient_ids, labels, probabilities, alarms):
    """One finding: as `local_points`. (N,) ids, labels in {0, 1}, probabilities float in [0, 1]."""
    fold_of = patient_folds(patient_ids)
    called = np.zeros(len(labels), bool)
    for fold in np.unique(fold_of):
        others = fold_of != fold
        unseen = threshold_of_alarms({"here": probabilities[others & (labels == 0)]}, alarms)
        called[~others] = probabilities[~others] >= unseen
    threshold = threshold_of_alarms({"here": probabilities[labels == 0]}, alarms)
    point = {"threshold": threshold, "rule_out_threshold": threshold, "called_healthy": counted(called[labels == 0])}
    ill = probabilities[labels == 1]
    if len(ill) >= MIN_ILL:
        point["rule_out_threshold"] = min(threshold, max(float(np.quantile(ill, 1 - SENSITIVITY)), CERTAIN))
        point["found"] = counted(called[labels == 1])
    return point


def counted(called):
    return proportion(called.sum(), len(called)) | {"images": len(called)}


def local_findings(findings, points):
    """Name → `FindingConfig` with the thresholds of its point. findings: name → `FindingConfig`, as they were."""
    return {
        name: replace(findings[name], threshold=point["threshold"], rule_out_threshold=point["rule_out_threshold"])
        for name, point in points.items()
    }


def local_evidence(evidence, points, hospital):
    """`Evidence` of a model with those thresholds.

    The figures away from home are that hospital's alone from then on; those of other hospitals, which were measured at
    other thresholds, are left out.
    """
    findings = {
        name: FindingEvidence(
            evidence[name].sources,
            evidence[name].home,
            {hospital: place_of(point, {})},
        )
        for name, point in points.items()
    }
    return replace(evidence, findings=evidence.findings | findings, anything={}, places={hospital: hospital})


def with_count(figure):
    return f"{cell(figure)}, n = {figure['images']}"


def local_report(points, hospital, alarms):
    """Markdown: the points, and how well so many healthy images tell a share of false alarms."""
    titles = ["finding", "threshold", "called among those without it", "found among the ill"]
    rows = [
        [
            name,
            f"{point['threshold']:.3f}",
            with_count(point["called_healthy"]),
            with_count(point["found"]) if "found" in point else "not measured",
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
        f"Fitted so that at most {100 * alarms:.0f} in 100 without a finding are called. Counted in each fifth of the "
        "patients at the threshold that the others give; 95 % intervals (Wilson).",
        "",
        *markdown_table(titles, rows),
        "",
        f"How well images of healthy people tell {100 * alarms:.0f} false alarms in 100:",
        "",
        *markdown_table(["healthy images", "the share may be"], precision),
    ]
