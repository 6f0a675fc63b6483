"""Findings that compete, in a checkpoint whose weights stay as they are: thresholds, and figures elsewhere."""

from dataclasses import replace

import numpy as np

from lungfusion.evidence import Evidence, Share
from lungfusion.models import LungFusionConfig
from train.calibrate.findings import calibrated, figures_at_home
from train.calibrate.operating_points import (
    at_home,
    healthy_scores,
    places_of,
    scores_by_group,
    some_scores,
    threshold_of_alarms,
)
from train.scoring.hospitals import heed_rivals, summarise_hospital
from train.scoring.metrics import sigmoid

FALSE_ALARMS = 0.05  # of the healthy of each data set at home


def let_compete(folder, rows, rivals, titles):
    """Give a checkpoint's findings rivals, thresholds that heed them, and a place more: in config and evidence.json.

    A finding is called in at most 0.05 of the healthy people of each data set at home. What was measured before in
    other hospitals is counted again from the scores kept of them, at the new threshold; of these people it is not known
    whether a rival fits better, so that fewer may be called than is said.

    Args:
        folder: of the checkpoint, a `Path`.
        rows: of `train.classify` with `left_out`, which began with the checkpoint's weights and trained for no epoch.
        rivals: finding → names.
        titles: hospital left out → what it is, in plain words.
    """
    config, evidence = LungFusionConfig.from_pretrained(folder), Evidence.from_pretrained(folder)
    for row in rows:
        for name, finding in config.findings.items():
            row[f"probability_{name}"] = float(calibrated(finding, sigmoid(row[f"logit_{name}"])))
    heed_rivals(rows, rivals)
    home, findings, told = at_home(rows), dict(config.findings), dict(evidence.findings)
    for name, names in rivals.items():
        threshold = threshold_of_alarms(healthy_scores(home, name), FALSE_ALARMS)
        rule_out = min(threshold, findings[name].rule_out_threshold or threshold)
        findings[name] = replace(findings[name], threshold=threshold, rule_out_threshold=rule_out, rivals=tuple(names))
        places = {hospital: counted_again(place, threshold) for hospital, place in told[name].places.items()}
        for hospital in titles:
            away = [row for row in rows if row["home"] == "no" and row["hospital"] == hospital]
            point = {
                "hospitals": {hospital: summarise_hospital(away, name, threshold)},
                "scores": {hospital: some_scores(scores_by_group(away, name), threshold)},
            }
            places |= places_of(point, threshold)
        figures = figures_at_home(home, name, findings[name], {"share": FALSE_ALARMS})
        told[name] = replace(told[name], home=figures, places=places)
    config.with_findings(findings).save_pretrained(folder)
    Evidence(told, evidence.anything, evidence.places | titles).save_pretrained(folder)


def counted_again(place, threshold):
    """A `Place` at another threshold: its shares are those of the scores kept of its people."""
    shares = {}
    for figure, group in (("found", "ill"), ("called_healthy", "healthy"), ("called_otherwise_ill", "otherwise_ill")):
        known = getattr(place, figure)
        if known is not None and place.scores.get(group):
            above = float(np.mean(np.array(place.scores[group]) >= threshold))
            shares[figure] = Share.of(round(above * known.n), known.n)
    return replace(place, **shares)
