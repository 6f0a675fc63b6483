"""What speaks against an image: on phantoms and on masks drawn by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import rotate

from examples.phantom import draw_phantom
from lungfusion.analysis import Correction
from lungfusion.checks.input_checks import brightness, check_input, refine_correction, tilt
from lungfusion.checks.orientation import UPRIGHT, apply_correction
from lungfusion.reading.radiograph import Radiograph, load_radiograph

GOOD = {"areas": (0.15, 0.13), "mask_quality": 0.96, "ood_score": 1.0, "correction": UPRIGHT}


def codes(pixels, mask, side=512, colour=0.0, **changes):
    radiograph = Radiograph(np.zeros((side, side), np.float32), "x.png", "PNG", colour)
    known = GOOD | changes
    known["correction"] = refine_correction(known["correction"], pixels, mask, aspect=1.0)
    return [warning.code for warning in check_input(radiograph, **known)]


@pytest.fixture(scope="module")
def chest():
    return draw_phantom(seed=0, size=256)


def test_nothing_speaks_against_a_chest(chest):
    assert codes(*chest) == []


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"areas": (0.01, 0.005)}, ["lungs_not_found"]),
        ({"mask_quality": 0.5}, ["not_a_chest_radiograph"]),
        ({"colour": 0.3}, ["not_a_chest_radiograph"]),
        ({"ood_score": 2.6}, ["not_a_chest_radiograph"]),
        ({"ood_score": 2.3}, []),
        ({"ood_score": 2.3, "mask_quality": 0.8}, ["not_a_chest_radiograph"]),
        ({"correction": Correction(0, True)}, ["inverted"]),
        ({"correction": Correction(-90, False), "mask_quality": 0.5}, ["not_upright"]),
        ({"correction": Correction(180, True)}, ["not_upright"]),
        ({"correction": Correction(30, False)}, ["rotated"]),
        ({"side": 150}, ["low_resolution"]),
        ({"areas": (0.2, 0.0)}, ["one_lung_found"]),
        ({"mask_quality": 0.8}, ["low_mask_quality"]),
        (
            {"mask_quality": 0.8, "areas": (0.0, 0.2), "side": 100},
            ["low_resolution", "one_lung_found", "low_mask_quality"],
        ),
    ],
)
def test_each_reason(chest, changes, expected):
    assert codes(*chest, **changes) == expected


@pytest.mark.parametrize("seed", range(5))
def test_inverted(seed):
    pixels, mask = draw_phantom(seed=seed, size=128)
    assert brightness(pixels, mask) < 0 < brightness(1 - pixels, mask)
    assert codes(1 - pixels, mask) == ["inverted"]


@pytest.mark.parametrize("angle", [-90, -40, -10, 0, 10, 40, 90])
def test_tilt(angle):
    _, mask = draw_phantom(seed=0, size=128)
    turned = rotate(mask.astype(float), -angle, reshape=False, order=1) > 0.5
    measured = tilt(turned) - tilt(mask)
    assert (measured - angle + 90) % 180 - 90 == pytest.approx(0, abs=4)
    assert ("rotated" in codes(turned.astype(np.float32) * -1, turned)) == (abs(angle) >= 40)


@pytest.mark.parametrize("angle", [-40, 40])
def test_a_tilted_inverted_chest_is_set_right(angle):
    pixels, mask = draw_phantom(seed=0, size=128)
    turned, turned_mask = (
        rotate(array.astype(np.float32), angle, reshape=False, order=1) for array in (1 - pixels, mask)
    )
    correction = refine_correction(UPRIGHT, turned, turned_mask > 0.5, aspect=1.0)
    assert correction.invert
    assert correction.angle == pytest.approx(-angle, abs=6)
    upright = apply_correction(Radiograph(turned, "x.png", "PNG"), Correction(-angle, True)).pixels
    assert upright.shape[0] > 150  # nothing is cut off
    top = (upright.shape[0] - 128) // 2
    inner = upright[top : top + 128, top : top + 128]
    rows, columns = np.mgrid[:128, :128] - 63.5
    kept = np.hypot(rows, columns) < 60  # of every turn
    assert np.corrcoef(inner[kept], pixels[kept])[0, 1] > 0.99


def test_a_radiograph_that_a_program_tilted_comes_back_whole():
    pixels = draw_phantom(seed=0, size=128)[0].clip(0.1)
    tilted = Radiograph(rotate(pixels, 30, order=1), "x.png", "PNG")
    assert tilted.pixels.shape[0] > 170
    back = apply_correction(tilted, Correction(-30, False)).pixels
    assert np.abs(np.array(back.shape) - 128).max() <= 4
    assert np.corrcoef(back[4:124, 4:124].ravel(), pixels[4:124, 4:124].ravel())[0, 1] > 0.9


def test_quarter_turns_lose_nothing():
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3) / 6
    radiograph = Radiograph(pixels, "x.png", "PNG")
    assert apply_correction(radiograph, Correction(90, False)).pixels.tolist() == np.rot90(pixels).tolist()
    assert apply_correction(radiograph, Correction(-90, True)).pixels.tolist() == np.rot90(1 - pixels, -1).tolist()
    assert apply_correction(radiograph, UPRIGHT).pixels.tolist() == pixels.tolist()


def test_tilt_is_that_of_the_radiograph_and_not_of_the_square():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 10:30] = mask[60:80, 70:90] = True
    assert tilt(mask) == pytest.approx(np.degrees(np.arctan2(20, 60)))
    assert tilt(mask, aspect=2.0) == pytest.approx(np.degrees(np.arctan2(20, 120)))
    assert tilt(mask & (np.arange(100) < 50)) == 0


def test_colour_is_measured():
    grey = (draw_phantom(seed=0, size=64)[0] * 255).astype(np.uint8)
    red = np.stack([grey, grey // 2, grey // 2], axis=-1)
    assert load_radiograph(grey).colour == load_radiograph(np.stack([grey] * 3, axis=-1)).colour == 0
    expected = (grey - grey // 2)[::4, ::4].mean() / 255
    for source in (red, Image.fromarray(red), np.dstack([red, np.full_like(grey, 255)])):
        assert load_radiograph(source).colour == pytest.approx(expected, abs=0.01)
