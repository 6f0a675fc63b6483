"""What of a mask is kept as lung, and which lung is which: by hand on small masks, and on phantoms."""

import numpy as np
import pytest
from scipy.ndimage import center_of_mass, label
from skimage.draw import line

from lungfusion.models.mask_postprocessing import SOFT_RIM, keep_lungs, split_lungs, two_largest
from tests.support.tiny import draw_phantom

TILTS = (-30, -15, 0, 15, 30)


def read(drawing):
    """A mask drawn with # and . → bool array."""
    return np.array([[sign == "#" for sign in row] for row in drawing.split()])


def alpha_of(mask, inside=0.9, outside=0.1):
    return np.where(mask, inside, outside).astype(np.float32)


def phantom_lungs(seed, tilt):
    """right, left: (128, 128) bool, the two lungs of a phantom, told apart as regions."""
    _, mask = draw_phantom(seed, 128, tilt=tilt)
    regions, _ = label(two_largest(mask))
    right, left = (regions == number for number in (1, 2))
    return (right, left) if center_of_mass(right)[1] < center_of_mass(left)[1] else (left, right)


def joined(right, left, width):
    """Both lungs and a bridge between their centres: (H, W) bool."""
    mask = right | left
    rows, columns = line(*np.round([*center_of_mass(right), *center_of_mass(left)]).astype(int))
    for shift in range(width):
        mask[rows + shift - width // 2, columns] = True
    assert label(mask)[1] == 1
    return mask


def test_specks_go_and_holes_are_filled():
    drawn = read("""
        ................
        .#####....#####.
        .#####....#.###.
        .##.##....#.###.
        .#####..........
        .#####..##......
        .........#......
        ................
    """)
    expected = read("""
        ................
        .#####....#####.
        .#####....#.###.
        .#####....#.###.
        .#####..........
        .#####..........
        ................
        ................
    """)
    kept = keep_lungs(alpha_of(drawn, outside=0))
    np.testing.assert_array_equal(kept > 0.5, expected)  # the notch is open below: no hole
    np.testing.assert_array_equal(kept[expected & drawn], np.float32(0.9))
    np.testing.assert_array_equal(kept[expected & ~drawn], 1)
    np.testing.assert_array_equal(kept[~expected], 0)


@pytest.mark.parametrize(("side", "regions"), [(2, 1), (3, 1), (4, 2)])
def test_the_second_region_is_kept_if_it_is_more_than_a_tenth(side, regions):
    mask = np.zeros((32, 32), bool)
    mask[2:12, 2:12] = True
    mask[20 : 20 + side, 20 : 20 + side] = True
    assert label(keep_lungs(alpha_of(mask)) > 0.5)[1] == regions


def test_a_third_region_is_dropped():
    mask = np.zeros((32, 32), bool)
    mask[2:20, 2:10] = mask[2:20, 20:28] = mask[24:30, 10:20] = True
    kept = keep_lungs(alpha_of(mask)) > 0.5
    assert kept[:20].sum() == mask[:20].sum() and not kept[24:30].any()


def test_the_heart_between_lungs_joined_above_and_below_is_no_hole():
    mask = np.zeros((40, 40), bool)
    mask[4:36, 4:36] = True
    mask[8:32, 14:26] = False
    np.testing.assert_array_equal(keep_lungs(alpha_of(mask)) > 0.5, mask)


def test_the_border_stays_soft_and_ends_near_the_lungs():
    side, edge = 80, 40
    columns = np.arange(side, dtype=np.float32)
    alpha = np.repeat((1 / (1 + np.exp((columns - edge) / 4)))[None], side, 0).astype(np.float32)
    kept = keep_lungs(alpha)
    beyond = edge + round(SOFT_RIM * side)  # alpha is 0.5 at the edge, which is no lung any more
    np.testing.assert_array_equal(kept[:, :beyond], alpha[:, :beyond])
    np.testing.assert_array_equal(kept[:, beyond:], 0)


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_left_exactly_one_or_two_whole_regions(seed):
    rng = np.random.default_rng(seed)
    alpha = (0.8 * draw_phantom(seed, 64)[1] + 0.3 * rng.random((64, 64)) - 0.05).clip(0, 1).astype(np.float32)
    alpha[rng.random(alpha.shape) < 0.05] = 0.5  # exactly at the border: outside
    kept = keep_lungs(alpha)
    assert kept.dtype == np.float32 and kept.min() >= 0 and kept.max() <= 1
    assert label(kept > 0.5)[1] in (1, 2)
    outside = kept <= 0.5
    assert ((kept == alpha) | (kept == 0))[outside].all()
    assert ((kept == alpha) | (kept == 1))[~outside].all()
    np.testing.assert_array_equal(keep_lungs(kept) > 0.5, kept > 0.5)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_nothing_drawn_is_nothing_kept(value):
    kept = keep_lungs(np.full((16, 16), value, np.float32))
    assert kept.max() == 0
    right, left = split_lungs(kept > 0.5)
    assert right.shape == left.shape == (16, 16)
    assert not right.any() and not left.any()


def test_joined_lungs_are_cut_at_the_bridge():
    mask = read("""
        ............
        .####..####.
        .####..####.
        .##########.
        .####..####.
        .####..####.
        ............
    """)
    right, left = split_lungs(mask)  # the patient's right lung is on the image's left
    np.testing.assert_array_equal(right, mask & (np.arange(12) < 6))
    np.testing.assert_array_equal(left, mask & (np.arange(12) >= 6))


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("seed", range(4))
def test_sides_of_separate_lungs(seed, tilt):
    right, left = phantom_lungs(seed, tilt)
    found_right, found_left = split_lungs(right | left)
    assert (found_right != right).sum() + (found_left != left).sum() <= 4  # pixels of about 4000


@pytest.mark.parametrize("width", [2, 10, 25])
@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("seed", range(3))
def test_sides_of_joined_lungs(seed, tilt, width):
    right, left = phantom_lungs(seed, tilt)
    mask = joined(right, left, width)
    found_right, found_left = split_lungs(mask)
    np.testing.assert_array_equal(found_right ^ found_left, mask)
    assert (found_right & left).sum() + (found_left & right).sum() <= 4


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("seed", range(4))
def test_one_lung_stays_one_on_its_side(seed, tilt):
    right, left = phantom_lungs(seed, tilt)
    for lung, place in ((right, 0), (left, 1)):
        found = split_lungs(lung)
        np.testing.assert_array_equal(found[place], lung)
        assert not found[1 - place].any()


@pytest.mark.parametrize("seed", range(4))
def test_upper_and_lower_part_of_one_lung_are_no_two_lungs(seed):
    right, _ = phantom_lungs(seed, 0)
    row = round(center_of_mass(right)[0])
    right[row - 2 : row + 3] = False
    found_right, found_left = split_lungs(right)
    np.testing.assert_array_equal(found_right, right)
    assert not found_left.any()
