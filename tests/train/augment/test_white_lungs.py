"""Disease painted into lungs, and devices laid over them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tvF

from tests.support.tiny import draw_phantom
from train.augment import devices, white_lungs

SIDE = 128


@pytest.fixture(scope="module")
def phantoms():
    pairs = [draw_phantom(seed=seed, size=SIDE) for seed in range(4)]
    images, masks = (torch.from_numpy(np.float32(column))[:, None] for column in zip(*pairs, strict=True))
    return images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1, 1)  # (8, 1, S, S), the last four as the first


def painted(phantoms, monkeypatch, *opacities, seed=0):
    monkeypatch.setattr(white_lungs, "OPACITIES", opacities or white_lungs.OPACITIES)
    torch.manual_seed(seed)
    return white_lungs.white_lungs(*phantoms)


@pytest.mark.parametrize("opacity", white_lungs.OPACITIES)
def test_lungs_grow_whiter_and_nothing_else_changes(phantoms, monkeypatch, opacity):
    images, masks = (x.clone() for x in phantoms)
    white = painted(phantoms, monkeypatch, opacity)
    assert torch.equal(images, phantoms[0]) and torch.equal(masks, phantoms[1])  # neither is written into
    assert (white >= images).all() and white.max() <= 1
    beyond = F.max_pool2d(masks, 9, stride=1, padding=4) == 0
    assert torch.equal(white[beyond], images[beyond])
    gain = ((white - images) * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))
    assert (gain > 0).float().mean() >= 0.75 and gain.mean() > 0.01
    assert not torch.equal(white[:4], white[4:])  # the same radiographs, painted otherwise
    assert torch.equal(white, painted(phantoms, monkeypatch, opacity))  # as the seed says


def test_a_white_lung_is_about_as_bright_as_what_is_around_it(phantoms, monkeypatch):
    monkeypatch.setattr(white_lungs, "BOTH", 1.0)
    monkeypatch.setattr(white_lungs, "each_lung", lambda lungs, low, high: torch.full((len(lungs), 2, 1, 1), high))
    masks = phantoms[1]
    chests = 0.6 - 0.4 * masks + 0.02 * torch.randn(masks.shape, generator=torch.manual_seed(0))
    white = painted((chests, masks), monkeypatch, white_lungs.whole)
    bright = (white * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))
    assert (bright > 0.5).all() and bright.max() < 0.75


@pytest.mark.parametrize("tilt", [-20, 0, 20])
def test_apex_and_base_inner_and_outer_border_are_the_patients(phantoms, tilt):
    mask = tvF.rotate(phantoms[1][:1], tilt)
    there, height, lateral = white_lungs.places_in_lungs(mask)[0]
    for number, outwards in ((0, -1), (1, 1)):
        y, x = torch.nonzero(there[number] > 0.9, as_tuple=True)
        upright = torch.stack([x, y], 1).float() @ rotation(tilt)
        assert correlation(height[number][y, x], upright[:, 1]) > 0.95
        assert correlation(lateral[number][y, x], outwards * upright[:, 0]) > 0.9


def rotation(degrees):
    """Turns places (N, 2), x and y, of a picture that `tvF.rotate` tilted back upright."""
    angle = np.deg2rad(degrees)
    return torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], dtype=torch.float32)


def correlation(one, other):
    return torch.corrcoef(torch.stack([one, other]))[0, 1]


def test_fluid_lies_below(phantoms, monkeypatch):
    images, masks = phantoms
    gain = (painted(phantoms, monkeypatch, white_lungs.effusion) - images).sum((0, 1)) * masks[0, 0]
    rows = torch.nonzero(masks[0, 0])[:, 0]
    middle = rows.float().mean().round().int()
    assert gain[middle:].sum() > 2 * gain[:middle].sum()


def test_an_image_without_lungs_stays_as_it_is():
    image = torch.rand(6, 1, SIDE, SIDE)
    assert torch.equal(white_lungs.white_lungs(image, torch.zeros_like(image)), image)


@pytest.mark.parametrize("change", [devices.tubes, devices.plates, devices.writing])
def test_devices_lie_over_a_part_of_the_image(phantoms, change):
    torch.manual_seed(0)
    image = change(phantoms[0])
    share = (image != phantoms[0]).float().mean((1, 2, 3))
    assert (share > 0).any() and (share < 0.6).all() and 0 <= image.min() <= image.max() <= 1
    assert not torch.equal(image[:4], image[4:])
    if change is devices.tubes:
        assert (image >= phantoms[0] - 1e-6).all()
