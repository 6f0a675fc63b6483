"""The augmentation of batches: what every change keeps, what moves the mask and what does not, what presets promise."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from lungfusion.models.image_processing_lungfusion import stretch_contrast
from tests.support.tiny import draw_phantom
from train.augment import exposure, geometry
from train.augment.augmentation import PRESETS, Augmentation
from train.augment.geometry import bent

SIDE = 96
EXPOSURES = [
    exposure.gamma,
    exposure.window,
    exposure.flat,
    exposure.inverted,
    exposure.equalised,
    exposure.slope,
    exposure.uneven,
    exposure.local_contrast,
    exposure.sharpened,
    exposure.coarse,
    exposure.jpeg,
    exposure.noise,
    exposure.film,
    exposure.grid,
    exposure.mixed_amplitude,
]


@pytest.fixture(scope="module")
def phantoms():
    """Images and masks, (8, 1, 96, 96) float; the last four as the first."""
    pairs = [draw_phantom(seed=seed, size=SIDE) for seed in range(4)]
    images, masks = (torch.from_numpy(np.float32(column))[:, None] for column in zip(*pairs, strict=True))
    return images.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1, 1)


def drawn(augment, images, masks, seed=0):
    torch.manual_seed(seed)
    return augment(images, masks)


@pytest.mark.parametrize("change", EXPOSURES, ids=lambda change: change.__name__)
def test_exposure_changes_every_image_by_figures_of_its_own(phantoms, change):
    images, before = phantoms[0], phantoms[0].clone()
    torch.manual_seed(0)
    changed = change(images)
    assert torch.equal(images, before) and changed.shape == images.shape and changed.dtype == torch.float32
    assert changed.isfinite().all() and not torch.equal(changed, images)
    if change not in (exposure.inverted, exposure.equalised, exposure.coarse):  # one for the batch
        assert not any(torch.equal(one, other) for one, other in zip(changed[:4], changed[4:], strict=True))


def test_what_moves_an_image_moves_its_mask_alike(phantoms):
    _, masks = phantoms
    limits = {"rotation": 30, "scale": (0.8, 1.2), "aspect": 1.3, "shear": 10, "shift": 0.1, "elastic": 0.02}
    for change in (lambda *pair: geometry.warp(*pair, **limits), geometry.mirrored, geometry.collimate):
        moved, mask = drawn(change, masks, masks)
        if change is geometry.collimate:  # what lies outside may be white
            moved = moved * (mask > 0)
        torch.testing.assert_close(moved, mask)
        assert not torch.equal(mask, masks)


def test_a_warp_without_change_changes_nothing(phantoms):
    for before, after in zip(phantoms, geometry.warp(*phantoms), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("scale", "aspect"), [((0.5, 0.5), 1), ((1.25, 1.25), 1), ((1, 1), 1.5)])
def test_a_warp_magnifies_as_it_says(scale, aspect):
    square = torch.zeros(1, 1, SIDE, SIDE)
    square[..., 30:66, 30:66] = 1
    torch.manual_seed(1)
    moved, _ = geometry.warp(square, None, scale=scale, aspect=aspect)
    assert moved.sum() / square.sum() == pytest.approx(scale[0] ** 2, rel=0.05)
    height, width = ((moved.sum(axis) > 1).sum().item() for axis in (3, 2))
    assert (height != width) == (aspect != 1)


def test_shifts_and_turns_stay_within_their_limits():
    torch.manual_seed(0)
    views = geometry.random_affine(2000, rotation=20, shift=0.1)
    angle = torch.rad2deg(torch.atan2(views[:, 1, 0], views[:, 0, 0]))
    assert 15 < angle.abs().max() <= 20 and angle.mean().abs() < 1
    assert 0.15 < views[:, :, 2].abs().max() <= 0.2


@pytest.mark.parametrize("white", [0, 1])
def test_outside_the_field_there_is_neither_image_nor_lung(white):
    grey, ones = torch.full((10, 1, SIDE, SIDE), 0.5), torch.ones(10, 1, SIDE, SIDE)
    images, masks = drawn(lambda *pair: geometry.collimate(*pair, depth=0.2, white=white), grey, ones)
    assert torch.equal(images, torch.where(masks > 0, 0.5, float(white)))
    assert masks[..., 40:56, 40:56].all() and (masks.amin((1, 2, 3)) == 0).sum() > 5


def test_a_jpeg_is_that_of_the_format(phantoms, monkeypatch):
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor(20))
    image = (255 * phantoms[0][0, 0]).byte().numpy()
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=20)
    saved = np.asarray(Image.open(file)) / 255
    found = exposure.jpeg(phantoms[0][:1])[0, 0].numpy()
    assert np.abs(found - saved).mean() < 0.002 < 0.004 < np.abs(phantoms[0][0, 0].numpy() - saved).mean()


def test_one_side_is_exposed_otherwise(phantoms):
    torch.manual_seed(0)
    image = phantoms[0].clamp(0.1, 0.9)
    change = (exposure.uneven(image) - image).abs()
    assert (change.amax((1, 2, 3)) > 0.05).float().mean() > 0.5 and (change.amin((1, 2, 3)) < 0.02).all()


def test_contrast_is_stretched_as_the_processor_does(phantoms):
    image = exposure.stretched(0.3 + 0.2 * phantoms[0])
    low, high = torch.quantile(image.flatten(1), torch.tensor([0.005, 0.995]), dim=1)
    assert low.abs().max() < 0.05 and (high - 1).abs().max() < 0.05


def test_shapes_stay_where_amplitudes_are_mixed():
    torch.manual_seed(0)
    image = torch.zeros(8, 1, SIDE, SIDE)
    image[:, :, 30:60, 30:60] = 0.8
    image[4:, :, 10:20] = 0.4
    mixed = exposure.mixed_amplitude(image)
    for one, other in zip(image, mixed, strict=True):
        assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.6
    assert not torch.allclose(mixed, image, atol=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_new_pictures_as_the_seed_says(phantoms, preset):
    settings = {"white": 0.5, "devices": 0.5} if preset == "strong" else {}
    augment, before = Augmentation(preset, **settings), [x.clone() for x in phantoms]
    images, masks = drawn(augment, *phantoms)
    assert all(torch.equal(x, y) for x, y in zip(phantoms, before, strict=True))  # what came in is left alone
    assert images.shape == masks.shape == phantoms[0].shape and images.dtype == masks.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1 and 0 <= masks.min() <= masks.max() <= 1
    assert masks.mean() == pytest.approx(phantoms[1].mean().item(), rel=0.5)
    same, other = drawn(augment, *phantoms)[0], drawn(augment, *phantoms, seed=1)[0]
    assert torch.equal(same, images) and torch.equal(other, images) == (preset == "none")
    if not settings:
        without_masks, nothing = drawn(augment, phantoms[0], None)
        assert nothing is None and torch.equal(without_masks, images)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(drawn(augment, *phantoms)[0], images)


@pytest.mark.parametrize("preset", ["plain", "strong", "mixed"])
def test_nothing_is_mirrored_unless_asked(phantoms, preset):
    half = phantoms[1].clone()
    half[..., SIDE // 2 :] = 0

    def share_on_the_right(**settings):
        images, masks = (x.repeat(5, 1, 1, 1) for x in (phantoms[0], half))
        _, moved = drawn(Augmentation(preset, **settings), images, masks)
        return (moved[..., SIDE // 2 :].sum((1, 2, 3)) > moved[..., : SIDE // 2].sum((1, 2, 3))).float().mean()

    assert share_on_the_right() < 0.1 and share_on_the_right(flip=1.0) > 0.9


def test_half_of_the_images_are_augmented_strongly(phantoms):
    """Strong augmentation ends with a contrast stretch, which leaves as it is what it has stretched."""
    images, _ = drawn(Augmentation("mixed"), *(x.repeat(8, 1, 1, 1) for x in phantoms))
    strongly = sum((stretch_contrast(image) - image).abs().max() < 0.02 for image in images)
    assert 20 <= strongly <= 44


def test_plain_changes_no_more_than_it_is_told(phantoms):
    still = {"rotation": 0, "shift": 0, "scale": (1, 1), "shear": 0, "brightness": 0, "contrast": 0, "noise": 0}
    images, masks = Augmentation("plain", **still)(*phantoms)
    torch.testing.assert_close(images, phantoms[0], atol=1e-4, rtol=0)
    brighter, same = Augmentation("plain", **still | {"brightness": 0.5})(*phantoms)
    assert torch.equal(same, masks) and (brighter - images).abs().mean() > 0.02


def test_a_preset_that_is_not_there():
    with pytest.raises(ValueError, match="'gentle': choose one of none, plain, strong"):
        Augmentation("gentle")


@pytest.mark.parametrize("dice", [0.9, 0.7])
def test_bent_outlines_have_the_dice_they_are_asked_for(dice):
    masks = torch.zeros(3, 1, 96, 96)
    masks[0, :, 20:80, 15:40] = masks[0, :, 20:80, 55:80] = masks[1, :, 30:60, 30:70] = 1
    torch.manual_seed(1)
    found = bent(masks, dice)
    for mask, moved in zip(masks[:2], found[:2] > 0.5, strict=True):
        overlap = 2 * (moved & (mask > 0.5)).sum() / (moved.sum() + mask.sum())
        assert dice <= overlap < dice + 0.05
    assert not found[2].any()
    assert torch.equal(found, bent(masks, dice))  # the same at every call


def test_the_image_alone_can_be_changed():
    torch.manual_seed(0)
    images, masks = torch.rand(8, 1, 64, 64), (torch.rand(8, 1, 64, 64) > 0.5).float()
    changed, still = Augmentation("hospitals", moves=False)(images, masks)
    assert torch.equal(still, masks) and not torch.equal(changed, images)
    assert not torch.equal(Augmentation("hospitals")(images, masks)[1], masks)
