"""Several trained classifiers become one."""

import pytest
import torch

from lungfusion import LungFusionPipeline
from lungfusion.models import LungFusionForImageClassification, LungFusionImageProcessor
from tests.support.tiny import SIDE, find_lungs_everywhere, tiny_model
from train.join import joined, main

FINDINGS = ["mass", "edema", "nodule"]


def parts(**changes):
    """A pair of networks, and one that looks at local contrast."""
    models = [
        tiny_model(concatenation="crop", findings=FINDINGS),
        tiny_model(
            **{"concatenation": "crop", "findings": FINDINGS, "branches": ["test_resnet"], "fusion_size": 6}
            | {"branch_inputs": ["local_contrast"]}
            | changes
        ),
    ]
    for model in models:
        find_lungs_everywhere(model.segmenter)
        for parameter in model.classifier.parameters():
            torch.nn.init.normal_(parameter)
    return models


def test_a_joined_model_says_the_mean_of_its_parts(pixel_values):
    models = parts()
    whole = joined(models)
    with torch.no_grad():
        expected = torch.stack([model(pixel_values).logits for model in models]).mean(0)
        torch.testing.assert_close(whole(pixel_values).logits, expected)
        assert not torch.allclose(models[0](pixel_values).logits, expected)
    assert whole.config.branch_inputs == ["image", "image", "local_contrast"]


def test_a_joined_model_is_saved_as_any_other(tmp_path, pixel_values):
    models = parts()
    for number, model in enumerate(models):
        model.save_pretrained(tmp_path / str(number))
        LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / str(number))
    main([str(tmp_path / "0"), str(tmp_path / "1"), "--output", str(tmp_path / "joined")])
    loaded = LungFusionForImageClassification.from_pretrained(tmp_path / "joined")
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixel_values).logits, joined(models)(pixel_values).logits)
    assert LungFusionPipeline.from_pretrained(tmp_path / "joined").processor.size["height"] == SIDE


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"fusion": "gated"}, "Their fusion is concat, gated"),
        ({"concatenation": "multiply"}, "Their concatenation differs: crop, multiply"),
        ({"findings": FINDINGS[::-1]}, "in another order"),
    ],
)
def test_models_that_do_not_fit_together_are_told(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        joined(parts(**changes))


def test_one_model_is_not_joined():
    with pytest.raises(ValueError, match="two or more"):
        joined(parts()[:1])
