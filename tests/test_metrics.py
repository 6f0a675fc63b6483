"""Figures, checked against what is known by hand."""

import numpy as np
import pytest
import torch

from train.metrics import (
    bootstrap,
    expected_calibration_error,
    finding_scores,
    fit_temperature,
    mask_scores,
    operating_threshold,
    sigmoid,
)


def test_mask_scores_by_hand():
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :5, :] = 1  # 50 pixels of lung
    alpha = torch.zeros(1, 1, 10, 10)
    alpha[..., :4, :] = 0.9  # 40 of them found
    alpha[..., 9, :] = 0.6  # and 10 too many
    scores = {name: float(value[0]) for name, value in mask_scores(alpha, mask).items()}
    assert scores == pytest.approx(
        {"dice": 0.8, "iou": 40 / 60, "pixel_accuracy": 0.8, "precision": 0.8, "recall": 0.8}
    )


def test_finding_scores_by_hand():
    scores = finding_scores(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.8, 0.3, 0.4, 0.1]), threshold=0.4)
    assert (scores["tp"], scores["fn"], scores["fp"], scores["tn"]) == (2, 1, 1, 1)
    assert scores["auc"] == pytest.approx(5 / 6)
    assert scores["sensitivity"] == pytest.approx(2 / 3)
    assert scores["specificity"] == pytest.approx(1 / 2)
    assert finding_scores(np.ones(3), np.ones(3), 0.5) is None


def test_calibration_error_by_hand():
    assert expected_calibration_error([1, 0, 1, 0], [0.75, 0.75, 0.25, 0.25]) == pytest.approx(0.25)
    assert expected_calibration_error([1, 1, 0, 0], [1.0, 1.0, 0.0, 0.0]) == 0


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20000)
    labels = rng.random(20000) < sigmoid(logits)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.05)


def test_threshold_reaches_the_sensitivity_and_no_more():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    probabilities = np.clip(rng.normal(0.35 + 0.3 * labels, 0.15), 0.01, 0.99)
    threshold = operating_threshold(labels, probabilities)
    assert 0.90 <= (probabilities[labels == 1] >= threshold).mean() < 0.91


def test_interval_narrows_with_patients_not_with_copies():
    rng = np.random.default_rng(0)

    def width(patients, values):
        low, high = bootstrap(lambda x: {"mean": x.mean()}, patients, values)["mean"]
        return high - low

    values = rng.normal(size=50)
    alone = width(np.arange(50), values)
    assert alone == pytest.approx(2 * 1.96 * values.std() / np.sqrt(50), rel=0.15)
    assert width(np.repeat(np.arange(50), 10), np.repeat(values, 10)) == pytest.approx(alone, rel=0.1)
    assert width(np.arange(500), np.repeat(values, 10)) < 0.5 * alone
