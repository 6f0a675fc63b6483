"""What speaks against an image: on phantoms and on masks drawn by hand."""

from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import rotate

from lungfusion.analysis import UPRIGHT, Correction
from lungfusion.checks.geometry import tilt
from lungfusion.checks.input_checks import (
    MAX_COLOUR,
    Evidence,
    Limits,
    brightness,
    check_input,
    edge,
    is_lateral,
    is_of_another_build,
    white_share,
)
from lungfusion.models import LungUNetConfig
from lungfusion.models.configuration_lungfusion import INPUT_LIMITS
from lungfusion.models.mask_postprocessing import split_lungs
from lungfusion.models.view_head import VIEWS
from lungfusion.reading.radiograph import load_radiograph
from tests.support.tiny import draw_phantom

BOX = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
FILM = ((0.1, 0.12), (0.9, 0.1), (0.88, 0.9), (0.1, 0.9))


def evidence(pixels, mask, **changes):
    right, left = split_lungs(mask)
    seen = Evidence((512, 512), 0.0, pixels, right, left, mask_quality=0.96, ood_score=1.0)
    return replace(seen, **changes)


def views(**of_some):
    """Views and their probabilities; those not given share the rest."""
    rest = (1 - sum(of_some.values())) / (len(VIEWS) - len(of_some))
    return dict.fromkeys(VIEWS, rest) | of_some


def codes(*args, **changes):
    return [warning.code for warning in check_input(evidence(*args, **changes))]


@pytest.fixture(scope="module")
def chest():
    return draw_phantom(seed=0, size=256)


def test_nothing_speaks_against_a_chest(chest):
    assert codes(*chest) == []


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"mask_quality": 0.5}, ["not_a_chest_radiograph"]),
        ({"colour": 0.3}, ["not_a_chest_radiograph"]),
        ({"shape": (64, 1300)}, ["not_a_chest_radiograph"]),
        ({"ood_score": 2.6}, ["not_a_chest_radiograph"]),
        ({"ood_score": 2.6, "several": True}, ["several_pictures"]),
        ({"ood_score": 2.3}, []),
        ({"ood_score": 2.3, "mask_quality": 0.8}, ["not_a_chest_radiograph"]),
        ({"wanted": Correction(0, True)}, ["inverted"]),
        ({"wanted": Correction(-90, False), "mask_quality": 0.5}, ["not_upright"]),
        ({"wanted": Correction(180, True)}, ["not_upright"]),
        ({"wanted": Correction(30, False)}, ["rotated"]),
        ({"correction": Correction(90, False)}, ["corrected"]),
        ({"correction": Correction(90, False), "ood_score": 1.9}, ["not_upright"]),  # turned, and odd still
        ({"correction": Correction(30, False), "ood_score": 1.9}, ["corrected"]),
        ({"correction": Correction(0, True, BOX)}, ["corrected"]),
        ({"correction": Correction(0, False, BOX)}, []),
        ({"correction": Correction(0, False, FILM)}, ["photograph"]),
        ({"shape": (150, 150)}, ["low_resolution"]),
        ({"effective_side": 128.0}, ["coarse"]),
        ({"effective_side": 100.0, "shape": (150, 150)}, ["low_resolution"]),
        ({"heart_left": 0.001}, ["mirrored"]),
        ({"heart_left": 0.2}, []),
        ({"correction": Correction(180, False, mirror=True)}, ["corrected"]),
        ({"views": views(frontal=0.9)}, []),
        ({"views": views(frontal=0.9), "ood_score": 2.6}, ["not_a_chest_radiograph"]),
        ({"views": views(lateral=0.99)}, ["lateral_view"]),
        ({"views": views(another_radiograph=0.99)}, ["another_radiograph"]),
        ({"views": views(several_pictures=0.99)}, ["several_pictures"]),
        ({"views": views(turned=0.99)}, ["not_upright"]),
        ({"views": views(no_radiograph=0.99), "wanted": Correction(-90, False)}, ["not_a_chest_radiograph"]),
        ({"views": views(no_radiograph=0.99), "several": True}, ["not_a_chest_radiograph"]),
        ({"views": views(frontal=0.2, no_radiograph=0.7), "wanted": Correction(-90)}, ["not_a_chest_radiograph"]),
        ({"views": views(frontal=0.2, no_radiograph=0.7), "several": True}, ["not_a_chest_radiograph"]),
        ({"views": views(frontal=0.2, several_pictures=0.7), "wanted": Correction(-90)}, ["several_pictures"]),
        ({"views": views(frontal=0.6), "wanted": Correction(-90)}, ["not_upright"]),
        ({"views": views(frontal=0.2, no_radiograph=0.7)}, []),
        ({"mask_quality": 0.8}, ["low_mask_quality"]),
        ({"mask_quality": 0.8, "shape": (100, 100)}, ["low_resolution", "low_mask_quality"]),
    ],
)
def test_each_reason(chest, changes, expected):
    assert codes(*chest, **changes) == expected


def test_reasons_that_lie_in_the_lungs(chest):
    pixels, mask = chest
    right, left = split_lungs(mask)
    assert codes(pixels, mask & False) == ["lungs_not_found"]
    assert codes(pixels, right) == codes(pixels, left) == ["one_lung_found"]
    assert codes(pixels, right, ood_score=2.0) == ["one_lung_found"]  # beside the middle: no lateral view
    top = np.flatnonzero(mask.any(1))[0] + 25
    assert codes(pixels[top:], mask[top:]) == ["cut_off"]
    assert codes((1.6 * pixels).clip(0, 1), mask) == ["overexposed"]
    half = mask & (np.arange(256) < 128)[:, None]
    nothing = mask & False
    assert codes(pixels, mask, covered=half) == codes(pixels, mask, white=half) == ["lungs_hidden"]
    assert codes(pixels, mask, covered=nothing, white=nothing) == []
    assert codes(pixels, mask, covered=half, wanted=Correction(invert=True)) == ["inverted"]
    assert evidence(pixels, mask, covered=half, white=half).hidden_by == "covered"
    assert evidence(pixels, mask, covered=nothing, white=half).hidden_by == "white"


def test_the_limits_of_a_checkpoint_go_before_the_usual_ones(chest):
    seen = evidence(*chest, ood_score=2.6, mask_quality=0.9)
    assert check_input(seen, Limits(max_ood_score=3.0, doubtful_ood_score=2.8)) == ()
    assert [w.code for w in check_input(seen, Limits(max_ood_score=3.0))] == []
    assert [w.code for w in check_input(seen, Limits(max_ood_score=3.0, min_mask_quality=0.95))] == [
        "not_a_chest_radiograph"
    ]


def test_the_configuration_names_the_limits_that_there_are():
    assert tuple(field.name for field in fields(Limits)) == INPUT_LIMITS
    assert Limits(**LungUNetConfig(input_limits={"max_ood_score": 3}).input_limits).max_ood_score == 3


def test_a_lateral_view_is_one_region_upright_in_the_middle():
    middle = np.zeros((100, 100), bool)
    middle[10:80, 35:70] = True
    aside, flat, second = np.roll(middle, 20, 1), np.zeros_like(middle), np.zeros_like(middle)
    flat[40:70, 20:80] = True
    second[30:60, 5:15] = True
    nothing = middle & False
    assert is_lateral(middle, nothing) and is_lateral(nothing, middle) and is_lateral(second, middle)
    assert not is_lateral(aside, nothing) and not is_lateral(nothing, flat)
    narrow = np.zeros_like(middle)
    narrow[20:75, 46:76] = True  # a lung beside the spine of a person who stands aside; the other one is white
    assert not is_lateral(nothing, narrow) and is_lateral(np.roll(narrow, -8, 1), nothing)
    assert not is_lateral(np.roll(middle, -30, 1), np.roll(middle, 20, 1))
    assert not is_lateral(middle, nothing, aspect=2.5)  # in truth it is wider than high
    seen = Evidence((100, 100), 0.0, np.zeros((100, 100), np.float32), middle, nothing, 0.9, 1.7)
    assert [warning.code for warning in check_input(seen)] == ["lateral_view"]
    assert "lateral_view" not in [warning.code for warning in check_input(replace(seen, ood_score=1.3))]


def test_lungs_of_another_build():
    right, left = np.zeros((2, 100, 100), bool)
    right[20:80, 20:45] = left[20:80, 55:80] = True
    assert not is_of_another_build(right, left)
    assert is_of_another_build(right, left, aspect=0.6)  # in truth narrower
    assert not is_of_another_build(right & False, left)  # of one lung alone nothing is said
    small = np.pad(right, 50)[::2, ::2], np.pad(left, 50)[::2, ::2]
    assert is_of_another_build(*small)
    seen = Evidence((300, 300), 0.0, np.full((100, 100), 0.5, np.float32), *small, 0.96, 1.9)
    assert [warning.code for warning in check_input(seen)] == ["not_a_chest_radiograph"]
    assert check_input(replace(seen, ood_score=1.5)) == ()


def test_edge_and_white_by_hand():
    lungs = np.zeros((10, 10), bool)
    lungs[2:8, 1:9] = True
    assert edge(lungs) == 0
    lungs[0, 3:6] = True
    assert edge(lungs) == pytest.approx(0.3)
    image = np.zeros((10, 10), np.float32)
    image[:, 5:] = 1
    assert white_share(image, lungs) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_lungs_are_darker_than_what_is_around_them(seed):
    pixels, mask = draw_phantom(seed=seed, size=128)
    assert brightness(pixels, mask) < 0 < brightness(1 - pixels, mask)
    assert brightness(pixels, mask & False) == 0


@pytest.mark.parametrize("angle", [-40, -16, -8, 0, 8, 20, 40])
def test_tilt(angle):
    pixels, mask = draw_phantom(seed=0, size=128)
    turned = rotate(mask.astype(float), -angle, reshape=False, order=1) > 0.5
    assert tilt(turned) - tilt(mask) == pytest.approx(angle, abs=4)
    assert ("rotated" in codes(pixels, turned)) == (abs(angle) >= 16)


def test_tilt_is_that_of_the_radiograph_and_not_of_the_square():
    rows, columns = np.mgrid[:100, :100]
    lean = (rows - 50) * 0.3  # columns to the left for each row down
    mask = ((np.abs(columns - 30 + lean) < 8) | (np.abs(columns - 70 + lean) < 8)) & (np.abs(rows - 50) < 30)
    assert tilt(mask) == pytest.approx(np.degrees(np.arctan(0.3)), abs=3)
    assert tilt(mask, aspect=2.0) == pytest.approx(np.degrees(np.arctan(0.6)), abs=7)
    assert tilt(mask & False) == 0


def test_a_cast_is_no_colour():
    grey = (draw_phantom(seed=0, size=128)[0] * 255).astype(np.uint8)
    share = grey / 255.0
    casts = {
        "blue film": (0.55 * share + 0.05, 0.7 * share + 0.1, 0.9 * share + 0.1),
        "sepia": (share**0.8, share**1.1, share**1.8),
        "green monitor": (0.4 * share, 0.9 * share, 0.5 * share),
    }
    assert load_radiograph(grey).colour == load_radiograph(np.stack([grey] * 3, axis=-1)).colour == 0
    for channels in casts.values():
        picture = (255 * np.stack(channels, axis=-1)).astype(np.uint8)
        for source in (picture, Image.fromarray(picture), np.dstack([picture, np.full_like(grey, 255)])):
            assert load_radiograph(source).colour < 0.02
    many = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert load_radiograph(many).colour > MAX_COLOUR


def test_nothing_done_is_upright():
    assert UPRIGHT.to_dict() == {"angle": 0, "invert": False, "corners": None, "mirror": False}
    assert not UPRIGHT.is_box and Correction(0, False, BOX).is_box and not Correction(0, False, FILM).is_box
