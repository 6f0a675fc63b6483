"""One word for each finding: detected, unclear, not detected or not assessed."""

import json

import pytest
import torch

from lungfusion import LungFusionPipeline
from lungfusion.model_pass import ModelPass
from tests.support.tiny import find_lungs_everywhere, tiny_model


def with_config(pipe, **changes):
    """The pipeline's model, other things said of its findings."""
    model = tiny_model(**changes)
    model.load_state_dict(tiny_model().state_dict())
    find_lungs_everywhere(model.segmenter)
    torch.nn.init.zeros_(model.classifier[-1].weight)  # probabilities of one half
    return LungFusionPipeline(model, pipe.processor)


@pytest.mark.parametrize(
    ("rule_out", "threshold", "level"),
    [(0.4, 0.45, "detected"), (0.4, 0.6, "unclear"), (0.55, 0.6, "not_detected"), (None, 0.6, "not_detected")],
)
def test_one_word_says_what_the_answer_is(pipe, phantom, rule_out, threshold, level):
    of_finding = {} if rule_out is None else {"pneumonia": rule_out}
    thresholds = {"pneumonia": threshold, "tuberculosis": 0.9}
    finding = with_config(pipe, rule_out_thresholds=of_finding, thresholds=thresholds)(phantom[0])["pneumonia"]
    assert finding.probability == pytest.approx(0.5)
    assert finding.level == finding.to_dict()["level"] == level
    assert finding.detected == (level == "detected")


def test_who_a_finding_was_not_learned_on_is_not_assessed(pipe, phantom):
    away = {"sensitivity": 0.9, "away_auc": 0.8, "away_false_alarms": 0.1}
    small = with_config(pipe, populations={"pneumonia": ["child"]}, operating_points={"pneumonia": away})
    levels = {age: small(phantom[0], age=age)["pneumonia"].level for age in (None, 3, 5.9, 6, 17, 18, 60)}
    assert levels == {age: "not_assessed" if age and age >= 6 else "detected" for age in levels}
    both = small([phantom[0], phantom[0]], age=[40, None])
    assert [analysis["pneumonia"].level for analysis in both] == ["not_assessed", "detected"]
    assert both[0]["tuberculosis"].level == "detected"  # of which nothing is said
    answer = json.loads(json.dumps(both[0]["pneumonia"].to_dict()))
    assert (answer["probability"], answer["reason"], answer["population"]) == (None, "age", ["child"])
    assert answer["away"] == {"auc": 0.8, "false_alarms": 0.1} and not answer["detected"]
    assert small.analyse_and_explain(phantom[0], age=40)[0]["pneumonia"].level == "not_assessed"
    for age in (-1, 200, float("nan"), "40"):
        with pytest.raises(ValueError, match="give years from 0 to 130"):
            small(phantom[0], age=age)
    with pytest.raises(ValueError, match="shorter"):
        small([phantom[0], phantom[0]], age=[3])


def test_what_a_coarse_image_can_not_show_is_not_assessed(pipe, phantom):
    shorter = min(pipe(phantom[0]).radiograph.pixels.shape)
    for side, level in ((shorter, "detected"), (shorter + 1, "not_assessed")):
        analysis = with_config(pipe, min_sides={"pneumonia": side})(phantom[0])
        assert analysis["pneumonia"].level == level and analysis["tuberculosis"].level == "detected"
    assert analysis["pneumonia"].reason == "resolution"


def test_an_image_too_unlike_those_learned_from_is_not_assessed(pipe, phantom, monkeypatch):
    strict = with_config(pipe, max_ood_scores={"pneumonia": 1.2})
    monkeypatch.setattr(ModelPass, "ood_score", 1.3)
    analysis = strict(phantom[0])
    assert (analysis["pneumonia"].level, analysis["pneumonia"].reason) == ("not_assessed", "ood_score")
    assert analysis["tuberculosis"].level == "detected"
