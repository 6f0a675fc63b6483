"""One word for each finding: detected, unclear, not detected or not assessed."""

import json

import pytest
import torch

from lungfusion import Evidence, FindingConfig, LungFusionPipeline
from lungfusion.analysis import Finding
from lungfusion.evidence import FindingEvidence, Place, Share
from lungfusion.steps import InferenceState
from tests.support.tiny import find_lungs_everywhere, tiny_model


def with_config(pipe, evidence=None, **pneumonia):
    """The pipeline's model, other things said of pneumonia."""
    model = tiny_model(
        findings={"pneumonia": FindingConfig(**pneumonia), "tuberculosis": FindingConfig(threshold=0.45)}
    )
    model.load_state_dict(tiny_model().state_dict())
    find_lungs_everywhere(model.segmenter)
    torch.nn.init.zeros_(model.classifier[-1].weight)  # probabilities of one half
    return LungFusionPipeline(model, pipe.processor, evidence)


@pytest.mark.parametrize(
    ("rule_out", "threshold", "level"),
    [(0.4, 0.45, "detected"), (0.4, 0.6, "unclear"), (0.55, 0.6, "not_detected"), (None, 0.6, "not_detected")],
)
def test_one_word_says_what_the_answer_is(pipe, phantom, rule_out, threshold, level):
    finding = with_config(pipe, rule_out_threshold=rule_out, threshold=threshold)(phantom[0])["pneumonia"]
    assert finding.probability == pytest.approx(0.5)
    assert finding.level == finding.to_dict()["level"] == level
    assert finding.detected == (level == "detected")


def test_nothing_is_ruled_out_where_a_part_of_the_lungs_is_hidden():
    levels = {
        hidden_by: [Finding("pneumonia", p, 0.5, 0.2, hidden_by=hidden_by).level for p in (0.1, 0.3, 0.6, None)]
        for hidden_by in (None, "white", "covered")
    }
    assert levels[None] == ["not_detected", "unclear", "detected", "not_assessed"]
    assert levels["white"] == ["unclear", "unclear", "detected", "not_assessed"]
    assert levels["covered"] == ["unclear", "unclear", "unclear", "not_assessed"]


def test_who_a_finding_was_not_learned_on_is_not_assessed(pipe, phantom):
    places = {"Elm": Place(called_healthy=Share.of(1, 50)), "Oak": Place(called_healthy=Share.of(5, 50))}
    evidence = Evidence({"pneumonia": FindingEvidence(places=places)})
    small = with_config(pipe, evidence, population=["child"])
    levels = {age: small(phantom[0], age=age)["pneumonia"].level for age in (None, 3, 5.9, 6, 17, 18, 60)}
    assert levels == {age: "not_assessed" if age and age >= 6 else "detected" for age in levels}
    both = small([phantom[0], phantom[0]], age=[40, None])
    assert [analysis["pneumonia"].level for analysis in both] == ["not_assessed", "detected"]
    assert both[0]["tuberculosis"].level == "detected"  # of which nothing is said
    answer = json.loads(json.dumps(both[0]["pneumonia"].to_dict()))
    assert (answer["probability"], answer["reason"], answer["population"]) == (None, "age", ["child"])
    assert [(one["place"], one["value"], one["n"]) for one in answer["evidence"]["called_healthy"]] == [
        ("Oak", 0.1, 50),  # the worst first
        ("Elm", 0.02, 50),
    ]
    assert not answer["detected"]
    assert small.analyse_and_explain(phantom[0], age=40)[0]["pneumonia"].level == "not_assessed"
    for age in (-1, 200, float("nan"), "40"):
        with pytest.raises(ValueError, match="give years from 0 to 130"):
            small(phantom[0], age=age)
    with pytest.raises(ValueError, match="shorter"):
        small([phantom[0], phantom[0]], age=[3])


def test_what_a_coarse_image_can_not_show_is_not_assessed(pipe, phantom):
    shorter = min(pipe(phantom[0]).radiograph.pixels.shape)
    for side, level in ((shorter, "detected"), (shorter + 1, "not_assessed")):
        analysis = with_config(pipe, min_side=side)(phantom[0])
        assert analysis["pneumonia"].level == level and analysis["tuberculosis"].level == "detected"
    assert analysis["pneumonia"].reason == "resolution"


def test_an_image_too_unlike_those_learned_from_is_not_assessed(pipe, phantom, monkeypatch):
    strict = with_config(pipe, max_ood_score=1.2)
    monkeypatch.setattr(InferenceState, "ood_score", 1.3)
    analysis = strict(phantom[0])
    assert (analysis["pneumonia"].level, analysis["pneumonia"].reason) == ("not_assessed", "ood_score")
    assert analysis["tuberculosis"].level == "detected"


def test_where_another_finding_fits_better_it_is_unclear(pipe, phantom):
    """As soon as it is at least as likely as its rival, it is detected again."""
    for bias, level, better in ((-0.1, "unclear", "tuberculosis"), (0.0, "detected", None)):
        finding = with_config(pipe, threshold=0.4, bias=bias, rivals=["tuberculosis"])(phantom[0])["pneumonia"]
        assert (finding.level, finding.better_fit) == (level, better)
        assert finding.to_dict()["better_fit"] == better


def test_a_rival_that_is_not_assessed_has_no_say(pipe, phantom):
    child_alone = tiny_model(
        findings={
            "pneumonia": FindingConfig(threshold=0.3, bias=-0.5, rivals=("tuberculosis",)),
            "tuberculosis": FindingConfig(threshold=0.45, population=("adult",)),
        }
    )
    child_alone.load_state_dict(with_config(pipe).model.state_dict())
    analysis = LungFusionPipeline(child_alone, pipe.processor)([phantom[0]] * 2, age=[3, 40])
    assert [one["pneumonia"].level for one in analysis] == ["detected", "unclear"]


@pytest.mark.parametrize("probability", [float("nan"), -0.1, 1.5])
def test_what_is_no_probability_is_no_answer(probability):
    with pytest.raises(ValueError, match="weights are no numbers, or damaged"):
        Finding("pneumonia", probability, 0.5)
