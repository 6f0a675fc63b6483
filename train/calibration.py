"""Calibration on validation patients: a temperature and a threshold for each finding, kept in the configuration."""

import numpy as np

from train.metrics import finding_scores, fit_temperature, operating_threshold, sigmoid


def calibrate(config, logits, labels, sources):
    """Fit and write into `config`.

    Args:
        config: `LungFusionConfig` of the model that gave the logits; its temperatures are 1.
        logits: (N, findings) float.
        labels: (N, findings) float in {0, 1, NaN}.
        sources: finding → what it was learned from.

    Raises:
        ValueError: no validation image is known to have a finding, or none to lack it.
    """
    for column, name in enumerate(config.findings):
        known = ~np.isnan(labels[:, column])
        truth, raw = labels[known, column], logits[known, column].astype(np.float64)
        if len(np.unique(truth)) < 2:
            raise ValueError(
                f"{name} cannot be calibrated: the validation patients need some with it and some without."
            )
        config.temperatures[name] = fit_temperature(raw, truth)
        probabilities = sigmoid(raw / config.temperatures[name])
        config.thresholds[name] = operating_threshold(truth, probabilities)
        scores = finding_scores(truth, probabilities, config.thresholds[name])
        config.operating_points[name] = {key: scores[key] for key in ("sensitivity", "specificity")}
        config.sources[name] = sources[name]
