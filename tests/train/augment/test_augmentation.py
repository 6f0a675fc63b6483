"""Strong augmentation: what every step keeps, what moves the mask and what does not."""

import pytest
import torch
from torchvision import tv_tensors

from lungfusion.models.image_processing_lungfusion import stretch_contrast
from train.augment import intensity as exposure
from train.augment.phantom.radiograph import draw_phantom
from train.augment.presets import augmentation
from train.augment.spatial import Collimate, Warp

SIDE = 96
EXPOSURES = [
    exposure.window,
    exposure.gamma,
    exposure.slope,
    exposure.local_contrast,
    exposure.coarse,
    exposure.noise,
    exposure.jpeg,
    exposure.burn_in,
]
WARP = Warp(rotation=35, shear=10, scale=(0.7, 1.4), aspect=1.4, shift=0.15, elastic=0.012)


def phantom_pair(seed=0):
    pixels, mask = draw_phantom(seed=seed, size=SIDE)
    return tv_tensors.Image(torch.from_numpy(pixels)[None]), tv_tensors.Mask(torch.from_numpy(mask).float()[None])


def square_pair():
    square = torch.zeros(1, SIDE, SIDE)
    square[:, 30:66, 24:60] = 1
    return tv_tensors.Image(square), tv_tensors.Mask(square)


def assert_is_a_pair(image, mask):
    assert type(image) is tv_tensors.Image and type(mask) is tv_tensors.Mask
    assert image.shape == mask.shape == (1, SIDE, SIDE)
    assert image.dtype == mask.dtype == torch.float32
    assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("function", EXPOSURES, ids=lambda f: f.__name__)
def test_exposure_changes_the_image_alone(function):
    image, mask = phantom_pair()
    before = mask.clone()
    torch.manual_seed(0)
    changed = 0
    for _ in range(20):
        new, same = exposure.OfImage(function)(image, mask)
        assert_is_a_pair(new, same)
        assert torch.equal(same, before)
        changed += not torch.equal(new, image)
    assert changed >= 15  # burn_in paints nothing now and then


def test_warp_moves_image_and_mask_together():
    image, mask = square_pair()
    torch.manual_seed(0)
    for _ in range(20):
        new, moved = WARP(image, mask)
        assert_is_a_pair(new, moved)
        bright = torch.Tensor(new) > 0.5
        assert (bright & (moved > 0.5)).sum() / (bright | (moved > 0.5)).sum() > 0.9
        assert not torch.equal(moved, mask)


def test_warp_without_change_changes_nothing():
    image, mask = phantom_pair()
    still = Warp(rotation=0, shear=0, scale=(1, 1), aspect=1, shift=0, elastic=0)
    new, same = still(image, mask)
    torch.testing.assert_close(torch.Tensor(new), torch.Tensor(image))
    assert torch.equal(same, mask)


@pytest.mark.parametrize(("scale", "aspect"), [((0.5, 0.5), 1), ((1.25, 1.25), 1), ((1, 1), 1.5)])
def test_warp_scales_as_it_says(scale, aspect):
    warp = Warp(rotation=0, shear=0, scale=scale, aspect=aspect, shift=0, elastic=0)
    torch.manual_seed(0)
    image, mask = square_pair()
    _, moved = warp(image, mask)
    assert moved.sum() / mask.sum() == pytest.approx(scale[0] ** 2, rel=0.1)
    height, width = ((moved.sum(axis) > 0).sum().item() for axis in (2, 1))
    assert (height != width) == (aspect != 1)


@pytest.mark.parametrize("white", [0, 1])
def test_outside_the_field_there_is_neither_image_nor_lung(white):
    image, mask = tv_tensors.Image(torch.full((1, SIDE, SIDE), 0.5)), tv_tensors.Mask(torch.ones(1, SIDE, SIDE))
    torch.manual_seed(0)
    hidden = 0
    for _ in range(10):
        new, seen = Collimate(depth=0.2, white=white)(image, mask)
        assert_is_a_pair(new, seen)
        assert torch.equal(torch.Tensor(new), torch.where(torch.Tensor(seen) > 0, 0.5, float(white)))
        assert seen[0, 40:56, 40:56].all()
        hidden += not seen.all()
    assert hidden > 5


def test_strong_augmentation_keeps_ranges_and_stretches_the_contrast():
    torch.manual_seed(0)
    strong = augmentation("strong", flip=0.5)
    for seed in range(40):
        image, mask = strong(*phantom_pair(seed % 4))
        assert_is_a_pair(image, mask)
        torch.testing.assert_close(stretch_contrast(torch.Tensor(image)), torch.Tensor(image), atol=0.02, rtol=0)


def test_strong_augmentation_repeats_under_a_seed():
    strong = augmentation("strong", flip=0.5)

    def draw(seed):
        torch.manual_seed(seed)
        return [torch.stack([torch.Tensor(x) for x in strong(*phantom_pair())]) for _ in range(8)]

    assert all(torch.equal(one, other) for one, other in zip(draw(1), draw(1), strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(draw(1), draw(2), strict=True))


@pytest.mark.parametrize("preset", ["strong", "mixed"])
def test_augmentation_flips_only_when_asked(preset):
    image, mask = phantom_pair()
    half = tv_tensors.Mask(torch.cat([mask[..., : SIDE // 2], torch.zeros_like(mask[..., SIDE // 2 :])], dim=-1))

    def share_on_the_right(transform):
        torch.manual_seed(0)
        masks = [torch.Tensor(transform(image, half)[1]) for _ in range(40)]
        return sum((m[..., SIDE // 2 :].sum() > m[..., : SIDE // 2].sum()).item() for m in masks) / 40

    assert share_on_the_right(augmentation(preset)) < 0.1
    assert share_on_the_right(augmentation(preset, flip=1.0)) > 0.9


def test_half_of_the_images_are_augmented_strongly():
    """Strong augmentation ends with a contrast stretch, which leaves as it is what it has stretched."""
    image, mask = phantom_pair()
    torch.manual_seed(0)
    mixed, strongly = augmentation("mixed"), 0
    for _ in range(60):
        new, _ = mixed(image, mask)
        strongly += torch.allclose(stretch_contrast(torch.Tensor(new)), torch.Tensor(new), atol=1e-3)
    assert 20 <= strongly <= 40


def test_no_augmentation_changes_nothing():
    image, mask = phantom_pair()
    new, same = augmentation("none")(image, mask)
    assert torch.equal(new, image) and torch.equal(same, mask)


def test_a_preset_that_is_not_there():
    with pytest.raises(ValueError, match="'gentle': choose one of none, plain, strong"):
        augmentation("gentle")
