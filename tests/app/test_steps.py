"""The way of one radiograph through a tiny model, and how it is shown."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lungfusion import LungFusionImageProcessor, LungFusionPipeline, load_radiograph
from lungfusion.analysis import UPRIGHT
from lungfusion.app.lessons import worth_of_ways
from lungfusion.app.trace import cover, trace_model
from lungfusion.app.view.steps import covered_html, fusion_words, steps_html
from lungfusion.app.view.words import LANGUAGES
from tests.support.answers import Page
from tests.support.tiny import SIDE, find_lungs_everywhere, tiny_model, tiny_segmenter

ENGLISH = LANGUAGES["en"]
STEPS = ("image", "alpha", "joined", "maps", "fusion", "answer", "cover")


def traced(pipe, pixels):
    return trace_model(pipe, load_radiograph(pixels), UPRIGHT)


def shown(pipe, pixels, trace=None):
    analysis, saliency = pipe.analyse_and_explain(pixels, correct=False)
    return steps_html(ENGLISH, trace or traced(pipe, pixels), analysis, saliency)


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return LungFusionPipeline.from_pretrained(checkpoint)


def test_every_step_is_what_the_model_made(pipe, phantom):
    steps, answer = traced(pipe, phantom[0]), pipe(phantom[0], correct=False)
    for finding in answer.findings:
        assert steps.probabilities[finding.name] == pytest.approx(finding.probability, abs=1e-4)
    assert steps.image.shape == steps.alpha.shape == (SIDE, SIDE)
    assert list(steps.cnn_inputs) == ["none", "multiply", "rgba", "guided", "crop", "align", "cutout"]
    assert all(
        picture.shape == (64, 64, 3) and 0 <= picture.min() <= picture.max() <= 1
        for picture in steps.cnn_inputs.values()
    )
    np.testing.assert_allclose(steps.cnn_inputs["multiply"], steps.cnn_inputs["rgba"], atol=0.02)  # alpha as opacity
    assert list(steps.feature_maps) == ["test_efficientnet", "test_resnet"]
    assert all((x.min(), x.max()) == (0, 1) for x in steps.feature_maps.values())
    assert sum(steps.fusion_weights.values()) == pytest.approx(1)
    for name, probability in steps.whole_image.items():  # this checkpoint finds lungs everywhere
        assert probability == pytest.approx(answer[name].probability, abs=0.02)


def test_the_whole_image_is_another_one_where_lungs_are_a_part(checkpoint, phantom, monkeypatch):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    forward = pipe.segmenter.forward

    def half(pixel_values):
        drawn = forward(pixel_values)
        drawn.logits[..., SIDE // 2 :] = -5
        return drawn

    monkeypatch.setattr(pipe.segmenter, "forward", half)
    steps, pixel_values = traced(pipe, phantom[0]), pipe.pixel_values([load_radiograph(phantom[0])])
    whole = pipe.model(pixel_values, alpha=torch.ones(1, 1, SIDE, SIDE)).logits[0].sigmoid().tolist()
    assert list(steps.whole_image.values()) == pytest.approx(whole, abs=1e-4)
    assert list(steps.probabilities.values()) != pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("changes", [{"concatenation": "learned", "fusion": "concat"}, {"concatenation": "rgba"}])
def test_other_models_are_shown_as_they_are(phantom, changes):
    model = tiny_model(**changes)
    find_lungs_everywhere(model.segmenter)
    pipe = LungFusionPipeline(model, LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}))
    steps = traced(pipe, phantom[0])
    assert steps.concatenation in steps.cnn_inputs
    text = Page(shown(pipe, phantom[0], steps)).text
    assert f"{ENGLISH('way_' + changes['concatenation'])} (this model)" in text
    assert ENGLISH(f"joined_{changes['concatenation']}") in text
    assert ("no weights to show" in text) == (steps.fusion_weights is None)


def test_the_page_shows_each_step_once(pipe, phantom):
    page = Page(shown(pipe, phantom[0]))
    assert page.headings == [ENGLISH(f"step_{key}") for key in STEPS]
    assert all("alt" in image for image in page.having("src"))
    assert len(page.having("data-go")) == len(STEPS)
    assert len(page.having("data-picture")) == 2 + 7 + 2 + 2
    assert "the box around the lungs (this model)" in page.text
    assert page.text.count("%") >= 2 + 2 * 3
    assert "the box around the lungs" in page.text and "background" not in page.text


def test_only_what_the_model_reacts_to_has_a_heat_map(pipe, phantom):
    html = str(shown(pipe, phantom[0]))
    assert "Heat map: Pneumonia" in html and "Heat map: Signs of tuberculosis" not in html


def test_covering_changes_what_the_branches_see_and_nothing_else(pipe, phantom):
    trace = traced(pipe, phantom[0])
    for covered, same in ((np.zeros((32, 32), bool), True), (np.ones((32, 32), bool), False)):
        scores = cover(pipe, trace.image, trace.alpha, covered)
        assert list(scores) == list(trace.probabilities)
        for name, after in scores.items():
            assert (after == pytest.approx(trace.probabilities[name], abs=1e-4)) == same
    pixel_values = pipe.pixel_values([load_radiograph(phantom[0])])
    grey = torch.full_like(pixel_values, float(pixel_values.mean()))
    seen = pipe.model(grey, alpha=pipe.model(pixel_values).alpha).logits[0, 0].sigmoid()
    assert scores["pneumonia"] == pytest.approx(seen.item(), abs=1e-4)
    table = Page(covered_html(ENGLISH, {"pneumonia": (0.6, 0.25), "tuberculosis": (0.054, 0.055)}, list(scores)))
    assert "60%" in table.text and "−35 points" in table.text
    assert "5%" in table.text and "6%" in table.text and "+1 points" in table.text  # as the whole percents differ


def test_a_network_that_has_all_the_weight_is_named(pipe, phantom):
    steps = traced(pipe, phantom[0])
    assert "weighs how much each network counts" in fusion_words(ENGLISH, steps)
    alone = replace(steps, fusion_weights={"test_efficientnet": 0.001, "test_resnet": 0.999})
    assert "gives all the weight to one network, test_resnet" in fusion_words(ENGLISH, alone)
    assert "it does not count here" in Page(shown(pipe, phantom[0], alone)).text


def test_what_is_refused_has_no_probabilities(phantom):
    model = tiny_model()
    find_lungs_everywhere(model.segmenter, logit=-5)
    pipe = LungFusionPipeline(model, LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}))
    text = Page(shown(pipe, phantom[0])).text
    assert "This image is not fit to be analysed" in text
    assert "Threshold" not in text and "Cover a part" not in text


def test_a_segmenter_has_no_more_steps(pipe, phantom):
    with pytest.raises(ValueError, match="names findings"):
        traced(LungFusionPipeline(tiny_segmenter(), pipe.processor), phantom[0])


def test_what_a_way_to_join_is_worth_stands_beside_it(pipe, phantom, tmp_path):
    figures = {"sources": {"all left out": {"auc": {"value": 0.712, "interval": [0.681, 0.744]}}}}
    (tmp_path / "compare.json").write_text(json.dumps({"multiply": figures, "gated": figures}))
    worth = worth_of_ways(tmp_path)
    assert list(worth) == ["multiply"] and worth_of_ways(tmp_path / "elsewhere") == {}
    analysis, saliency = pipe.analyse_and_explain(phantom[0], correct=False)
    html = steps_html(ENGLISH, traced(pipe, phantom[0]), analysis, saliency, worth)
    assert f"{ENGLISH('way_multiply')} – 71 (68–74)" in html and ENGLISH("step_joined_worth") in html
    assert ENGLISH("step_joined_others") not in html and f"{ENGLISH('way_none')} –" not in html
