"""Where the branches look: the lungs' box, and the same turned with the lungs."""

import numpy as np
import pytest
import torch

from lungfusion.models.concatenation import (
    CONCATENATION_MODULES,
    box_to_affine,
    compose,
    inverse,
    lung_box,
    lung_frame,
    paste_back,
    sample,
)
from tests.support.tiny import draw_phantom

SIDE = 96
TURN = torch.tensor([[[0.6, -0.8, 0.1], [0.8, 0.6, -0.2]]])


def phantom(seed, tilt=0.0):
    """image, alpha: (1, 1, S, S) float32."""
    return [torch.from_numpy(x.astype(np.float32))[None, None] for x in draw_phantom(seed, SIDE, tilt=tilt)]


def angle(roi_affine):
    """By how much the image is turned clockwise in it, in degrees."""
    return float(torch.rad2deg(torch.atan2(roi_affine[0, 1, 0], roi_affine[0, 0, 0])))


def rectangle(top, bottom, left, right):
    alpha = torch.zeros(1, 1, SIDE, SIDE)
    alpha[..., top:bottom, left:right] = 1
    return alpha


def test_crop_is_the_lungs_box():
    roi_affine = CONCATENATION_MODULES["crop"](32).roi_affine(rectangle(30, 60, 24, 72))
    margin = 0.06
    expected = [[0.5 * (1 + 2 * margin), 0, 0], [0, 0.3125 * (1 + 2 * margin), -0.0625]]
    np.testing.assert_allclose(roi_affine[0], expected, atol=0.03)


@pytest.mark.parametrize("tilt", [-30, -20, -8, 8, 20, 30])
@pytest.mark.parametrize("seed", range(4))
def test_align_turns_a_tilted_patient_upright(seed, tilt):
    module = CONCATENATION_MODULES["align"](64)
    (seen, roi_affine), (tilted, turned) = module(*phantom(seed)), module(*phantom(seed, tilt))
    assert angle(turned) - angle(roi_affine) == pytest.approx(tilt, abs=3)
    cropped, _ = CONCATENATION_MODULES["crop"](64)(*phantom(seed, tilt))
    differences = [float((other - seen).abs().mean()) for other in (tilted, cropped)]
    assert differences[0] < 0.06
    assert abs(tilt) == 8 or differences[0] < 0.5 * differences[1]


def test_a_cutout_is_what_align_shows_without_all_but_the_lungs():
    image, alpha = phantom(1, tilt=15)
    (upright, affine), (lungs, same) = (CONCATENATION_MODULES[name](64)(image, alpha) for name in ("align", "cutout"))
    torch.testing.assert_close(affine, same)
    mask = sample(alpha, affine, 64)
    assert lungs[0, 0][mask[0, 0] == 0].max() < 0.02 < upright[0, 0][mask[0, 0] == 0].mean()
    inside = mask[0, 0] == 1
    assert (lungs - upright)[0, 0][inside].abs().mean() < 0.02


def test_align_keeps_the_lungs_within():
    for seed in range(4):
        _, alpha = phantom(seed, tilt=25)
        roi_affine = CONCATENATION_MODULES["align"](64).roi_affine(alpha)
        assert paste_back(torch.ones(1, 1, 64, 64), roi_affine, SIDE)[alpha > 0.5].mean() > 0.98


@pytest.mark.parametrize(
    "alpha",
    [rectangle(0, 0, 0, 0), rectangle(40, 44, 40, 44), rectangle(20, 80, 24, 44), torch.ones(1, 1, SIDE, SIDE)],
    ids=["nothing", "a speck", "one lung", "everything"],
)
def test_what_are_no_two_lungs_is_not_turned(alpha):
    assert angle(lung_frame(alpha)) == pytest.approx(0, abs=1e-4)


def test_where_no_lungs_were_found_all_is_seen():
    for name, module in CONCATENATION_MODULES.items():
        torch.testing.assert_close(module(32).roi_affine(rectangle(40, 44, 40, 44)), torch.eye(2, 3)[None], msg=name)


def test_images_of_a_batch_do_not_matter_to_each_other():
    alphas = [phantom(seed, tilt)[1] for seed, tilt in enumerate((0, 15, -25))] + [rectangle(20, 80, 24, 44)]
    together = CONCATENATION_MODULES["align"](64).roi_affine(torch.cat(alphas))
    for alpha, roi_affine in zip(alphas, together, strict=True):
        torch.testing.assert_close(CONCATENATION_MODULES["align"](64).roi_affine(alpha)[0], roi_affine)


def test_inverse_leads_back():
    there_and_back = compose(TURN * 0.7, inverse(TURN * 0.7))
    torch.testing.assert_close(there_and_back, torch.eye(2, 3)[None])


def test_a_region_of_a_region_is_sampled_as_one():
    image = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 4 * SIDE, 4 * SIDE), 9, 4, 4)  # smooth
    inner = torch.tensor([[[0.5, 0, 0.1], [0, 0.4, -0.2]]])
    outer = TURN * 0.6
    twice = sample(sample(image, outer, 4 * SIDE), inner, 32)
    torch.testing.assert_close(sample(image, compose(outer, inner), 32), twice, atol=0.02, rtol=0)


def test_unsample_lays_back_where_it_was_seen():
    image, _ = phantom(0)
    roi_affine = CONCATENATION_MODULES["align"](SIDE).roi_affine(phantom(0, tilt=20)[1])
    again = paste_back(sample(image, roi_affine, SIDE), roi_affine, SIDE)
    seen = paste_back(torch.ones(1, 1, SIDE, SIDE), roi_affine, SIDE) == 1
    assert 0.2 < seen.float().mean() < 0.9
    assert (again - image)[seen].abs().mean() < 0.02
    assert again[paste_back(torch.ones(1, 1, SIDE, SIDE), roi_affine, SIDE) == 0].abs().max() == 0


@pytest.mark.parametrize("side", [256, 384])
def test_the_box_of_turned_lungs_needs_no_full_size(side):
    alpha = torch.from_numpy(draw_phantom(1, side, tilt=20)[1].astype(np.float32))[None, None]
    frame = lung_frame(alpha)
    expected = compose(frame, box_to_affine(lung_box(sample(alpha, frame, side))))
    np.testing.assert_allclose(CONCATENATION_MODULES["align"](224).roi_affine(alpha), expected, atol=0.01)
