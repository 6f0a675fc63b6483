"""What training a classifier is made of: which labels are learned, what is drawn how often, where branches begin."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from lungfusion.models import FindingConfig, LungFusionConfig, LungFusionForImageClassification
from tests.support.tiny import TINY_MODEL, tiny_model
from train import classify
from train.calibrate.findings import (
    calibrated,
    called_by_others,
    figures_at_home,
    fit_finding,
    held_back,
    lowest_auc,
    told_at_home,
)
from train.calibrate.operating_points import MIN_AUC
from train.classify import MOST_LOG_ODDS, init_from_checkpoint, kind_of, log_odds_by_hospital, sampling_groups
from train.data.crops import LungCrops, Part
from train.data.sampler import balanced_sampler
from train.scoring import images
from train.scoring.metrics import expected_calibration_error, operating_threshold, sigmoid

NAN = float("nan")


def test_an_image_counts_as_its_rarest_finding():
    of_adults = np.array([[1, 1, NAN], [1, 0, NAN], [1, 0, NAN], [0, 0, NAN]])
    of_children = np.array([[NAN, NAN, 1], [NAN, NAN, 0]])
    found = sampling_groups([Part("adults", None, None, of_adults), Part("children", None, None, of_children)])
    assert found == [("adults", 1), ("adults", 0), ("adults", 0), ("adults", None), ("children", 2), ("children", None)]
    weights = balanced_sampler(found, 10).weights
    assert weights[4:].tolist() == pytest.approx([0.3, 0.2])  # of each source four in ten without a finding
    assert weights[:4].tolist() == pytest.approx([0.15, 0.075, 0.075, 0.2])


def test_how_common_findings_are_is_told_for_each_hospital():
    sources = {"film": {"hospital": "one"}, "digital": {"hospital": "one"}, "other": {"hospital": "two"}}
    labels = {"film": [[1, NAN], [1, NAN]], "digital": [[0, NAN]], "other": [[0, 1], [0, NAN]]}
    parts = [Part(name, None, None, np.array(of_source)) for name, of_source in labels.items()]
    sampler = balanced_sampler([(name, None) for name, of_source in labels.items() for _ in of_source], 10)
    film, digital, other = log_odds_by_hospital(parts, sampler, sources)
    np.testing.assert_allclose(film, [0, 0], atol=1e-6)  # each source is drawn as often as another
    np.testing.assert_allclose(film, digital, atol=1e-6)
    assert other.tolist() == [-MOST_LOG_ODDS, MOST_LOG_ODDS]


def test_what_an_image_shows_is_one_word():
    named = ["tuberculosis", "pneumonia"]
    assert kind_of({"tuberculosis": 0, "pneumonia": 1, "mass": 1}, named) == "pneumonia"
    assert kind_of({"tuberculosis": 0, "pneumonia": 0, "mass": NAN}, named) == "healthy"
    assert kind_of({"tuberculosis": 0, "pneumonia": 0, "mass": 1}, named) == "other"
    assert kind_of({"tuberculosis": 0, "pneumonia": NAN, "mass": 0}, named) == "other"


def test_branches_begin_with_those_of_an_earlier_run(checkpoint):
    model = tiny_model(branches=["test_resnet"], concatenation="crop", fusion="concat", findings=["mass"])
    with torch.no_grad():
        for parameter in model.branches[0].parameters():
            parameter.zero_()
    earlier = LungFusionForImageClassification.from_pretrained(checkpoint)
    init_from_checkpoint(model, earlier, classifier_too=False)
    weights = earlier.branches[1].backbone.state_dict()
    for key, tensor in model.branches[0].backbone.state_dict().items():
        assert torch.equal(tensor, weights[key]), key
    with pytest.raises(ValueError, match="has the branches test_resnet, not test_efficientnet"):
        init_from_checkpoint(earlier, model, classifier_too=False)


def test_findings_known_before_begin_as_they_were(pixel_values):
    earlier = tiny_model(fusion="gated", findings=["mass", "edema", "nodule"])
    torch.manual_seed(1)
    model = LungFusionForImageClassification(
        LungFusionConfig(**TINY_MODEL, fusion="gated", findings=["tuberculosis", "nodule", "mass"])
    ).eval()
    init_from_checkpoint(model, earlier, classifier_too=True)
    alpha = torch.ones_like(pixel_values)
    with torch.no_grad():
        before, after = (m(pixel_values, alpha=alpha).logits for m in (earlier, model))
    torch.testing.assert_close(after[:, 1:], before[:, [2, 0]])
    assert not torch.allclose(after[:, 0], before[:, 1])


def test_a_branch_that_also_sees_alpha_begins_as_the_one_that_did_not(checkpoint, pixel_values):
    models = [tiny_model(branches=["test_resnet"], concatenation=c) for c in ("crop", "rgba")]
    for model in models:
        init_from_checkpoint(model, LungFusionForImageClassification.from_pretrained(checkpoint), classifier_too=False)
    three, four = (model.branches[0] for model in models)
    image = pixel_values.expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(four(torch.cat([image, pixel_values], dim=1)), three(image))


def test_calibration_makes_probabilities_true():
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 2, 4000)
    labels = (rng.random(4000) < sigmoid(logits)).astype(int)
    stretched = sigmoid(2 * logits + 3)
    finding = fit_finding("mass", labels, stretched)
    again = calibrated(finding, stretched)
    assert expected_calibration_error(labels, stretched) > 0.15
    assert expected_calibration_error(labels, again) < 0.02
    assert (again >= finding.threshold)[labels == 1].mean() >= 0.9


def test_figures_at_home_are_of_patients_whom_the_threshold_was_not_fitted_to():
    """One of nine ill scores as the healthy do: fitted to him too, the threshold would find all nine."""
    scores = [(1, 0.2), *[(1, 0.8 + n / 100) for n in range(8)], *[(0, 0.1 + n / 100) for n in range(20)]]
    rows = [
        {"source": "elm", "patient_id": str(n), "label_mass": label, "probability_mass": score}
        for n, (label, score) in enumerate(scores)
    ]
    labels, probabilities = np.array(scores).T
    fitted = operating_threshold(labels, probabilities)
    assert (probabilities >= fitted)[labels == 1].all()
    home = figures_at_home(rows, "mass", called_by_others(rows, "mass", FindingConfig(threshold=fitted)))
    assert home["sensitivity"] == pytest.approx(8 / 9) and 0 < home["specificity"] < 1


def test_what_is_said_of_patients_held_back_names_their_hospital():
    known = {"label_pneumonia": 0, "label_tuberculosis": 0, "probability_mass": 0.2}
    rows = [
        {"source": source, "hospital": hospital, "patient_id": f"{hospital}{n}", "label_mass": 0} | known
        for source, hospital, count in (("one", "elm", 40), ("two", "oak", 10))
        for n in range(count)
    ]
    rows += [rows[0] | {"label_mass": 1, "patient_id": f"ill{n}"} for n in range(30)]
    called = np.arange(len(rows)) % 10 == 0
    figures, scores = held_back(rows, "mass", called)
    assert list(figures) == ["elm_held_back"]  # ten people of oak say too little
    assert figures["elm_held_back"]["called_healthy"]["value"] == 0.1
    assert figures["elm_held_back"]["found"]["images"] == 30
    alike = figures["elm_held_back"]["auc_healthy"]
    assert (alike["value"], alike["images"]) == (0.5, 70)
    assert scores == {"elm_held_back": {"healthy": (0.2,) * 40, "ill": (0.2,) * 30}}
    confounded, _ = held_back([row | {"confounded": "yes"} for row in rows], "mass", called)
    assert "auc_healthy" not in confounded["elm_held_back"] and "found" in confounded["elm_held_back"]
    told = told_at_home(rows, [called, ~called], {"one": {"age": "adult"}, "two": {"age": "child"}})
    assert told["elm_held_back"].value == 1 and told["elm_held_back"].n == 40


def test_only_what_surely_beats_chance_is_shown():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    patients = [str(i) for i in range(120)]
    assert lowest_auc(patients, labels, labels + rng.normal(0, 0.5, 120)) > MIN_AUC
    assert lowest_auc(patients, labels, rng.random(120)) < MIN_AUC
    few = np.r_[:56, 60:64]  # the same probabilities, of four patients with it
    assert lowest_auc([patients[i] for i in few], labels[few], (labels + rng.normal(0, 1.2, 120))[few]) < MIN_AUC


def test_the_epoch_is_chosen_by_the_images_that_are_scored(monkeypatch):
    """So many of those with a label, the same ones in training and in evaluation."""
    data = Dataset.from_dict({"number": list(range(40))})
    labels = np.where(np.arange(40)[:, None] % 4, NAN, np.arange(40)[:, None] % 8 / 4)
    recipe = {"sources": {"elm": {}}, "model": {"findings": ["mass"]}, "validation_images": 6, "lungs": "drawn"}
    for module in (classify, images):
        monkeypatch.setattr(module, "load_part", lambda *_: data)
        monkeypatch.setattr(module, "known_labels", lambda *_: labels)
    monkeypatch.setattr(classify, "lung_crops", lambda data, *_: LungCrops(np.arange(len(data))))
    config = tiny_model(findings=["mass"]).config
    ((_, chosen_by, crops, known),) = classify.load_parts(
        recipe, config, None, None, 0, recipe["sources"], "validation"
    )
    scored = images.validation_parts(recipe)["elm"]["number"]
    assert chosen_by["number"] == scored == crops.rows.tolist()
    assert len(scored) == 6 and not np.isnan(known).any()
    assert images.validation_parts(recipe | {"validation_images": None})["elm"]["number"] == list(range(40))
