"""Crops of the lungs: what the branches see of a radiograph, cut out once."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torchvision.transforms.v2 import functional as tvF

from lungfusion import LungFusionImageProcessor
from tests.support.helpers import png
from tests.support.tiny import draw_phantom, find_lungs_everywhere, tiny_model
from train.data import crops
from train.data.crops import CROP_SIDE, LabelledCrops, Part, cut_inputs, lung_crops


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(crops, "HF_CACHE_HOME", tmp_path)
    return tmp_path / "lungfusion"


@pytest.fixture
def data():
    pictures = [png(draw_phantom(seed=seed, size=256)[0]) for seed in range(3)]
    return Dataset.from_dict({"image": pictures})


@pytest.mark.parametrize("concatenation", ["crop", "rgba"])
def test_a_crop_shows_what_the_branches_see_of_the_whole(concatenation, data, cache):
    model = tiny_model(concatenation=concatenation, image_size=256, branch_size=224)
    find_lungs_everywhere(model.segmenter)
    processor = LungFusionImageProcessor(size={"height": 256, "width": 256})
    found = lung_crops(data, processor, model.segmenter, model.concatenation)
    assert found.pixels.shape == (3, CROP_SIDE, CROP_SIDE)
    assert (found.alpha is None) == (concatenation == "crop")  # of which no branch sees the mask
    batch = next(
        iter(torch.utils.data.DataLoader(LabelledCrops([Part("x", None, found, np.zeros((3, 1), np.float32))]), 3))
    )
    whole = torch.stack([processor(draw_phantom(seed=seed, size=256)[0])["pixel_values"][0] for seed in range(3)])
    with torch.no_grad():
        seen = model.fuse(whole).cnn_input
        cut = model.fuse(**{key: value for key, value in cut_inputs(batch, 224).items() if key != "labels"}).cnn_input
    assert cut.shape == seen.shape
    assert (cut - seen).abs().mean() < 0.02 < (cut.flip(3) - seen).abs().mean()


def test_crops_are_cut_once(data, cache, monkeypatch):
    model = tiny_model(concatenation="crop")
    given = data, LungFusionImageProcessor(), model.segmenter, model.concatenation
    first = lung_crops(*given)
    monkeypatch.setattr(crops, "cut_crops", None)
    np.testing.assert_array_equal(lung_crops(*given).pixels, first.pixels)
    assert len(list(cache.iterdir())) == 1
    some = first.select(np.array([2, 0]))
    assert len(some) == 2 and torch.equal(some[1]["pixels"], first[0]["pixels"])


def test_joins_that_see_the_same_share_their_crops(data, cache):
    processor = LungFusionImageProcessor()
    for concatenation, alphas in (("none", 0), ("multiply", 1), ("rgba", 1)):
        model = tiny_model(concatenation=concatenation)
        found = lung_crops(data, processor, tiny_model().segmenter, model.concatenation)
        assert (found.alpha is not None) == bool(alphas)
    assert len(list(cache.iterdir())) == 1


def test_lungs_by_hand_are_taken_where_there_are_some(data, cache):
    processor, model = LungFusionImageProcessor(), tiny_model(concatenation="rgba")
    lungs = np.zeros((256, 256), np.uint8)
    lungs[64:192, 64:192] = 255
    given = processor, model.segmenter, model.concatenation
    assert lung_crops(data, *given, lungs="by_hand").alpha is not None  # a source without such a column
    data = data.add_column("mask", [png(lungs), None, None])
    given = data, *given
    drawn, by_hand = lung_crops(*given), lung_crops(*given, lungs="by_hand")
    edge = CROP_SIDE // 10  # a margin lies around what is seen
    assert by_hand.alpha[0][edge * 5, edge * 5] == 255 and by_hand.alpha[0][edge * 2, edge * 2] == 0
    np.testing.assert_array_equal(by_hand.alpha[1:], drawn.alpha[1:])
    with pytest.raises(ValueError, match="lungs is 'guessed': choose one of drawn, poor, by_hand"):
        lung_crops(*given, lungs="guessed")


def test_tilted_crops_show_the_radiograph_turned(data, cache):
    model = tiny_model(concatenation="none")
    given = data, LungFusionImageProcessor(), model.segmenter, model.concatenation
    upright, tilted = lung_crops(*given), lung_crops(*given, tilt=30)
    for row, angle in ((0, 30), (1, -30)):  # every second one the other way
        back = tvF.rotate(tilted[row]["pixels"], angle)[0].float()
        other = tvF.rotate(tilted[row]["pixels"], -angle)[0].float()
        middle = slice(CROP_SIDE // 3, 2 * CROP_SIDE // 3)
        straight = upright[row]["pixels"][0].float()[middle, middle]
        assert (back[middle, middle] - straight).abs().mean() < (other[middle, middle] - straight).abs().mean() / 2
