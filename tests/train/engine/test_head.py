"""The classifier alone: the branches look at each crop once."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.support.tiny import tiny_model
from train.data.crops import LabelledCrops, LungCrops, Part
from train.engine.head import LabelledFeatures, learns_head_alone, logits_of

ALONE = {"frozen": -1, "loss": "by_finding", "augmentation": {"preset": "none"}, "sides": None, "draws": {}}
ALONE |= {"model": {"fusion": "concat"}}


def test_features_give_the_logits_that_the_crops_give():
    model = tiny_model(concatenation="multiply", fusion="concat", findings=["mass"])
    generator = np.random.default_rng(0)
    pixels, alpha = (generator.integers(0, 255, (3, 40, 40), np.uint8) for _ in range(2))
    crops = LabelledCrops([Part("x", None, LungCrops(pixels, alpha), np.float32([[1], [0], [np.nan]]))])
    features = LabelledFeatures(model, crops)
    (of_crops,), (of_features,) = (DataLoader(data, 3) for data in (crops, features))
    torch.testing.assert_close(of_features["labels"], of_crops["labels"], equal_nan=True)
    with torch.no_grad():
        torch.testing.assert_close(logits_of(model, of_features), logits_of(model, of_crops))


@pytest.mark.parametrize(
    "change", [{"frozen": 3}, {"sides": [128]}, {"augmentation": {"preset": "mixed"}}, {"model": {"fusion": "gated"}}]
)
def test_it_is_the_classifier_alone_or_not(change):
    assert learns_head_alone(ALONE)
    assert not learns_head_alone(ALONE | change)
