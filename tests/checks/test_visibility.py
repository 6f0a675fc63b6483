"""What a picture resolves, and what of the lungs in it can be seen."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from lungfusion.checks.fineness import effective_side
from lungfusion.checks.visibility import hidden_lungs
from lungfusion.models.mask_postprocessing import split_lungs
from tests.support.tiny import draw_phantom


@pytest.fixture(scope="module")
def chest():
    return draw_phantom(seed=0, size=512)


def in_256_greys(pixels):
    return (np.round(255 * pixels) / 255).astype(np.float32)


def enlarged(pixels, side):
    small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
    return in_256_greys(np.asarray(small.resize(pixels.shape[::-1], Image.Resampling.BICUBIC)).clip(0, 1))


def compressed(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(np.uint8(255 * pixels)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / 255


def test_a_fine_picture_resolves_what_its_pixels_can(chest):
    pixels, mask = chest
    for picture in (pixels, in_256_greys(pixels), 0.4 + in_256_greys(pixels) / 4, compressed(pixels, 75)):
        assert effective_side(picture, mask) == 512
    assert effective_side(pixels[:, 64:-64], mask[:, 64:-64]) == 384
    assert effective_side(pixels, mask & False) == 512


@pytest.mark.parametrize("side", [28, 64, 128, 180])
def test_an_enlarged_picture_resolves_no_more(chest, side):
    pixels, mask = chest
    assert effective_side(enlarged(pixels, side), mask) <= max(48, 1.6 * side)
    large = np.asarray(Image.fromarray(enlarged(pixels, side)).resize((1500, 1500), Image.Resampling.BICUBIC))
    assert effective_side(large, mask) <= max(48, 1.6 * side)


@pytest.mark.parametrize("share", [150, 100, 60])
def test_a_blurred_picture_resolves_less(chest, share):
    pixels, mask = chest
    assert effective_side(in_256_greys(gaussian_filter(pixels, 512 / share)), mask) <= 128


def test_a_coarsely_compressed_picture_resolves_less(chest):
    pixels, mask = chest
    assert effective_side(compressed(pixels, 5), mask) < 256


def hidden_share(pixels, mask):
    hidden = np.logical_or(*hidden_lungs(pixels, *split_lungs(mask)))
    assert not (hidden & ~mask).any()
    return hidden.sum() / mask.sum()


@pytest.mark.parametrize("grey", [0, 0.5, 1])
@pytest.mark.parametrize(
    "place",
    [(slice(200, 250), slice(None)), (slice(150, 300), slice(70, 200)), (slice(None), slice(120, 170))],
    ids=["bar across", "box", "bar down"],
)
def test_what_is_covered_is_hidden(chest, grey, place):
    pixels, mask = chest
    covered = np.zeros_like(mask)
    covered[place] = True
    true_share = (covered & mask).sum() / mask.sum()
    for picture in (pixels, in_256_greys(pixels)):
        assert hidden_share(np.where(covered, np.float32(grey), picture), mask) == pytest.approx(true_share, abs=0.03)
    coarse = Image.fromarray(np.where(covered, np.float32(grey), pixels)).resize((900, 900))
    assert hidden_share(np.asarray(coarse), mask) == pytest.approx(true_share, abs=0.04)


def test_nothing_is_hidden_in_a_whole_picture(chest):
    pixels, mask = chest
    dark = ((pixels - 0.35) * 1.6).clip(0, 1)  # lungs that are black in places by exposure
    for picture in (pixels, in_256_greys(pixels), dark.astype(np.float32)):
        assert hidden_share(picture, mask) < 0.04
    corner = pixels.copy()
    corner[:60, :100] = 0  # over the name
    assert hidden_share(corner, mask) < 0.01


def test_a_lung_that_is_white_throughout_is_hidden(chest):
    pixels, mask = chest
    right, left = split_lungs(mask)
    soft = gaussian_filter(right.astype(np.float32), 6)
    white = (pixels * (1 - soft) + (0.85 + 0.05 * pixels) * soft).astype(np.float32)
    covered, opaque = hidden_lungs(white, right, left)
    assert opaque.sum() > 0.4 * mask.sum() and not covered.any()
    assert not np.any(hidden_lungs(pixels, right, left & False))
    assert not np.any(hidden_lungs(pixels, right & False, left & False))
