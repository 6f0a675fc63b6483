import pytest
import torch

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification, NoduleDetectorConfig
from lungfusion.models.nodule_detector import (
    BOX_WIDTH,
    NOWHERE,
    NoduleDetector,
    candidates,
    contrast,
    near_lungs,
    nodule_logits,
)
from tests.support.tiny import SIDE, TINY_DETECTOR, find_lungs_everywhere, tiny_model

WHOLE = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def detector():
    torch.manual_seed(0)
    return NoduleDetector(64, (4, 8, 8, 8)).eval()


@torch.inference_mode()
def test_there_is_a_logit_and_a_width_every_four_pixels_and_nothing_away_from_the_lungs():
    alpha = torch.zeros(1, 1, 96, 96)
    alpha[..., :40] = 1
    found = detector()(torch.rand(1, 1, 96, 96), alpha, WHOLE)
    assert found.shape == (1, 2, 16, 16)
    assert torch.allclose(found[0, 0, :, 11:], torch.tensor(NOWHERE))
    assert (found[0, 0, :, :6] > NOWHERE).all()
    assert (found[0, 1] > 0).all()


@torch.inference_mode()
def test_widths_are_millimetres_of_the_box():
    model, picture = detector(), torch.rand(1, 1, 64, 64)
    found = model(picture, torch.ones_like(picture), WHOLE)
    assert torch.allclose(found[:, 1], model.look(picture)[:, 1] * BOX_WIDTH / 64)


@torch.inference_mode()
def test_exposure_falls_away():
    picture = 0.5 + 0.1 * torch.randn(1, 1, 128, 128)
    darker = 0.6 * picture + 0.1
    assert (contrast(picture) - contrast(darker)).abs().mean() < 0.15
    assert contrast(picture).std() > 0.5


def test_candidates_are_the_highest_of_their_surroundings():
    found = torch.zeros(1, 2, 8, 8)
    found[0, 0, 2, 3], found[0, 0, 2, 4], found[0, 0, 6, 6] = 3, 2, 1
    marked = candidates(found)[0, 0] & (found[0, 0] > 0)
    assert marked.nonzero().tolist() == [[2, 3], [6, 6]]


def test_the_lungs_reach_a_little_beyond_their_outline():
    lungs = torch.zeros(1, 1, 16, 16)
    lungs[..., 8, 8] = 1
    seen = near_lungs(torch.ones(1, 2, 16, 16), lungs)[0, 0] > NOWHERE
    assert seen[8, 5] and seen[11, 8] and not seen[8, 4]


def test_what_is_30_mm_wide_is_a_mass():
    found = torch.full((1, 2, 8, 8), -9.0)
    found[0, 1] = 12
    found[0, 0, 1, 1], found[0, 0, 4, 4], found[0, 0, 7, 7] = 2, 3, 1
    found[0, 1, 4, 4], found[0, 1, 7, 7] = 30, 45
    assert nodule_logits(found).tolist() == [[2, 3]]
    assert nodule_logits(found[..., :3, :3]).tolist() == [[2, NOWHERE]]


def test_one_shadow_is_a_nodule_or_a_mass_not_both():
    found = torch.full((1, 2, 8, 8), -9.0)
    found[0, 1] = 12
    found[0, 0, 4, 4], found[0, 0, 4, 5], found[0, 1, 4, 4] = 3, 2.5, 33
    assert nodule_logits(found).tolist() == [[-9, 3]]


def model_with_detector(**changes):
    changes = {"concatenation": "align", "findings": ["mass", "cyst", "nodule"]} | changes
    model = tiny_model(nodule_detector=TINY_DETECTOR, **changes)
    find_lungs_everywhere(model.segmenter)
    return model


@torch.inference_mode()
def test_the_detector_speaks_of_nodule_and_mass_and_the_classifier_of_the_rest(tmp_path):
    model, image = model_with_detector(), torch.rand(2, 1, SIDE, SIDE)
    output = model(image)
    assert output.nodule_map.shape == (2, 2, 16, 16)
    assert torch.equal(output.logits[:, [2, 0]], nodule_logits(output.nodule_map))
    assert torch.equal(output.logits[:, 1], model.classifier(output.fused_features)[:, 1])
    model.save_pretrained(tmp_path)
    loaded = LungFusionForImageClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.nodule_detector == NoduleDetectorConfig(64, (4, 8, 8, 8))
    torch.testing.assert_close(loaded(image).nodule_map, output.nodule_map)


@pytest.mark.parametrize(
    "wrong",
    [
        {"findings": ["nodule", "cyst"]},
        {"concatenation": "rgba"},
        {"nodule_detector": {"size": 100}},
        {"nodule_detector": {"channels": [4, 8]}},
        {"nodule_detector": {"colour": 1}},
    ],
)
def test_a_detector_that_cannot_work_is_refused(wrong):
    settings = {"findings": ["nodule", "mass"], "concatenation": "align", "nodule_detector": TINY_DETECTOR} | wrong
    with pytest.raises(ValueError, match=r"nodule|channels|size"):
        LungFusionConfig(**settings)
