"""Figures, checked against what is known by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.support.helpers import Elsewhere
from train.io import cell
from train.scoring.metrics import (
    average_precision,
    bootstrap,
    expected_calibration_error,
    expected_calibration_error_if_calibrated,
    fit_platt,
    mask_scores,
    operating_threshold,
    outline_scores,
    proportion,
    ranking_scores,
    roc_auc,
    share,
    sigmoid,
    spearman,
    threshold_figures,
    with_interval,
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


def test_masks_may_lie_on_another_device():
    mask = (torch.rand(2, 1, 10, 10) > 0.5).float()
    alpha = torch.rand(2, 1, 10, 10)
    scores = mask_scores(alpha.as_subclass(Elsewhere), mask.as_subclass(Elsewhere))
    for name, expected in mask_scores(alpha, mask).items():
        np.testing.assert_array_equal(scores[name], expected)


def box(top, left, bottom, right, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_outlines_of_a_shifted_square_by_hand():
    """Of the 76 pixels of an outline 34 lie 3 pixels from the other square's, none farther; on average 1.5."""
    scores = outline_scores(box(20, 23, 40, 43), box(20, 20, 40, 40))
    assert scores == pytest.approx({"hd95": 3, "assd": 1.5, "hd95_width": 3 / 80, "assd_width": 1.5 / 80})
    assert outline_scores(box(20, 20, 40, 40), box(20, 20, 40, 40))["assd"] == 0


def test_a_stray_pixel_moves_the_mean_alone():
    drawn = box(20, 20, 40, 40) | box(30, 69, 31, 70)  # 30 pixels from the square, whose outline has 76
    scores = outline_scores(drawn, box(20, 20, 40, 40))
    assert (scores["hd95"], scores["assd"]) == pytest.approx((0, 30 / (77 + 76)))


def test_the_worse_direction_counts():
    """A line alone is right wherever it is, but three pixels are missed, 6 away: more than 5 % of the true 23."""
    scores = outline_scores(box(10, 10, 11, 30), box(10, 10, 11, 30) | box(16, 10, 17, 13))
    assert (scores["hd95"], scores["assd"]) == pytest.approx((6, 3 * 6 / (20 + 23)))


def test_an_outline_goes_along_the_edge_of_the_image():
    scores = outline_scores(box(0, 0, 60, 80), box(0, 0, 60, 80))
    assert scores["hd95"] == 0
    assert outline_scores(box(0, 0, 60, 80), box(0, 0, 60, 76))["hd95"] == 4


def test_outlines_of_empty_masks():
    empty, square = box(0, 0, 0, 0), box(20, 20, 40, 40)
    for pair in ((empty, square), (square, empty)):
        assert outline_scores(*pair) == {"hd95": 100, "assd": 100, "hd95_width": 1.25, "assd_width": 1.25}
    assert set(outline_scores(empty, empty).values()) == {0}


def test_fractions_of_the_width_do_not_depend_on_the_scale():
    masks = box(20, 25, 45, 50), box(20, 20, 40, 40)
    small = outline_scores(*masks)
    large = outline_scores(*[np.kron(mask, np.ones((30, 30), bool)) for mask in masks])
    assert large["hd95_width"] == pytest.approx(small["hd95_width"], rel=0.05)
    assert large["assd"] == pytest.approx(30 * small["assd"], rel=0.05)


def test_figures_of_a_finding_by_hand():
    labels, probabilities = np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.8, 0.3, 0.4, 0.1])
    assert ranking_scores(labels, probabilities)["auc"] == pytest.approx(5 / 6)
    assert ranking_scores(np.ones(3), np.ones(3)) is None
    figures = threshold_figures(labels, probabilities, 0.4, range(5))
    assert [figures[name] for name in ("tp", "fn", "fp", "tn")] == [2, 1, 1, 1]
    assert figures["sensitivity"] == proportion(2, 3) | {"images": 3}
    assert figures["specificity"] == proportion(1, 2) | {"images": 2}
    assert figures["ppv_20"]["value"] == pytest.approx(2 / 3 * 0.2 / (2 / 3 * 0.2 + 1 / 2 * 0.8))


def test_a_share_of_all_has_an_interval():
    """Wilson's; a bootstrap of 1, 1, 1 knows nothing but 1. Images of one patient count as one."""
    low = 3 / (3 + 1.95996**2)
    assert share(np.ones(3, bool), ["a", "b", "c"])["interval"] == [pytest.approx(low, abs=1e-4), 1]
    figures = threshold_figures(np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.8, 0.7, 0.2, 0.1]), 0.5, range(5))
    for name in ("sensitivity", "specificity", "accuracy", "ppv_5"):
        assert figures[name]["value"] == 1 and figures[name]["interval"][0] < 0.9, name
    same = share(np.ones(3, bool), ["a", "a", "a"])
    assert same["interval"] == proportion(1, 1)["interval"] and same["images"] == 3


def test_wilsons_interval_is_scipys():
    for count, total in ((0, 4), (3, 7), (90, 100), (5, 5)):
        expected = binomtest(count, total).proportion_ci(0.95, "wilson")
        assert proportion(count, total)["interval"] == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize("findings", [15, 20])
def test_a_bootstrap_of_too_few_draws_says_so(findings):
    """A mean over findings with one patient each: a draw that lacks one of them has no value."""

    def mean_auc(labels, scores):
        if (labels.min(0) == labels.max(0)).any():
            return None
        return {"auc": float(np.mean([roc_auc(*pair) for pair in zip(labels.T, scores.T, strict=True)]))}

    labels, scores = np.eye(60, findings, dtype=int), np.random.default_rng(0).random((60, findings))
    figure = with_interval(mean_auc, range(60), labels, scores)["auc"]
    assert figure["interval"] is None
    assert cell(figure) == f"{figure['value']:.3f} (too few patients for an interval)"
    few = with_interval(mean_auc, range(60), labels[:, :1], scores[:, :1])["auc"]
    assert few["interval"][0] <= few["value"] <= few["interval"][1]


def test_calibration_error_by_hand():
    assert expected_calibration_error([1, 0, 1, 0], [0.75, 0.75, 0.25, 0.25]) == pytest.approx(0.25)
    assert expected_calibration_error([1, 1, 0, 0], [1.0, 1.0, 0.0, 0.0]) == 0


@pytest.mark.parametrize("images", [130, 1000])
def test_ece_if_calibrated_is_the_mean_over_labels_drawn_at_the_probabilities(images):
    generator = np.random.default_rng(0)
    probabilities = generator.beta(0.5, 0.8, images)
    drawn = generator.random((1000, images)) < probabilities
    simulated = np.mean([expected_calibration_error(labels, probabilities) for labels in drawn])
    assert expected_calibration_error_if_calibrated(probabilities) == pytest.approx(simulated, rel=0.05)


def test_the_interval_of_an_ece_holds_its_value():
    probabilities = np.repeat([0.25, 0.75], 100)
    labels = np.arange(200) % 100 < np.repeat([26, 75], 100)
    score = ranking_scores
    assert score(labels, probabilities)["ece"] == pytest.approx(0.005)
    low, high = bootstrap(score, np.arange(200), labels, probabilities, biased=["ece"], rounds=200)["ece"]
    assert low == 0
    assert 0.01 < high < 0.06


def test_platt_undoes_overconfidence_and_a_shifted_prevalence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20000)
    labels = rng.random(20000) < sigmoid(logits)
    temperature, bias = fit_platt(logits * 3 + 4, labels)
    assert temperature == pytest.approx(3, rel=0.05)
    assert bias == pytest.approx(-4 / 3, rel=0.1)


def test_platt_does_not_turn_around_what_ranks_backwards():
    logits, labels = np.array([3.0, 2.0, -2.0, -3.0, 0.0, 1.0]), np.array([0, 0, 1, 1, 0, 0])
    temperature, bias = fit_platt(logits, labels)
    assert temperature == 100
    assert sigmoid(logits / temperature + bias) == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("spread", [0.08, 0.15, 0.3])
def test_threshold_is_the_best_of_those_that_reach_the_sensitivity(spread):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    probabilities = np.clip(rng.normal(0.35 + 0.3 * labels, spread), 0.01, 0.99)

    def rates(threshold):
        detected = probabilities >= threshold
        return detected[labels == 1].mean(), 1 - detected[labels == 0].mean()

    chosen = rates(operating_threshold(labels, probabilities))
    assert chosen[0] >= 0.90
    assert sum(chosen) == max(sum(rates(p)) for p in probabilities if rates(p)[0] >= 0.90)


def test_a_share_comes_with_the_interval_of_wilson():
    assert proportion(0, 4) == {"value": 0, "interval": [0, pytest.approx(1.96**2 / (4 + 1.96**2), abs=1e-3)]}


def test_figures_that_chance_makes_larger_are_named_by_the_caller():
    values = np.random.default_rng(0).normal(size=40)

    def size_of_mean(values):
        return {"size": abs(float(values.mean() - sample))}

    sample = float(values.mean())
    plain = bootstrap(size_of_mean, np.arange(40), values)["size"]
    corrected = bootstrap(size_of_mean, np.arange(40), values, biased=["size"])["size"]
    assert plain[0] > 0 == corrected[0] and corrected[1] < plain[1]  # the sample's own value is 0


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


@pytest.mark.parametrize("images", [5, 60, 700])
def test_ranks_are_those_of_scikit_learn_and_scipy(images):
    rng = np.random.default_rng(images)
    for decimals in (1, 2, 9):  # from many ties to none
        labels = np.append(rng.integers(0, 2, images - 2), [0, 1])
        scores = (rng.normal(size=images) + labels).round(decimals)
        assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
        other = (scores + rng.normal(size=images)).round(decimals)
        assert spearman(scores, other) == pytest.approx(spearmanr(scores, other)[0], abs=1e-12)
    assert spearman(np.ones(images), scores) == 0
    with pytest.raises(ValueError, match="finite"):
        roc_auc(labels, np.append(scores[1:], np.nan))


def test_all_rows_of_a_patient_are_drawn_together():
    patients = np.array(["b", "a", "c", "a", "b", "a"])
    drawn = []

    def keep(rows):
        drawn.append(rows)
        return {"rows": len(rows)}

    bootstrap(keep, patients, np.arange(6), rounds=200)
    counts = np.array([np.bincount(rows, minlength=6) for rows in drawn])
    assert (counts[:, 0] == counts[:, 4]).all() and (counts[:, 1:2] == counts[:, [3, 5]]).all()
    assert (counts[:, [0, 1, 2]].sum(1) == 3).all()  # three patients in each draw
    assert len(np.unique(counts, axis=0)) == 10  # every way to draw three of three
