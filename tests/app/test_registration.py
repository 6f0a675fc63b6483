"""A second radiograph laid over a first by the outlines of the lungs."""

from dataclasses import replace

import numpy as np
import pytest

from lungfusion.analysis import Correction
from lungfusion.app.registration import laid_over, on_one_scale, register
from lungfusion.app.view.viewer import to_analysed_geometry
from lungfusion.checks.geometry import correct_pixels, resample
from tests.support.tiny import analysis


def chest(phantom, matrix=None, shape=None):
    pixels, mask = phantom
    alpha = mask.astype(np.float32)
    if matrix is not None:
        pixels, alpha = (resample(x, np.array(matrix, float), shape or pixels.shape) for x in (pixels, alpha))
    return analysis(pixels, alpha, areas=(0.2, 0.1))


def overlap(first, second, registration):
    moved = laid_over(second.alpha, registration, first.alpha.shape) > 0.5
    fixed = first.alpha > 0.5
    return 2 * (moved & fixed).sum() / (moved.sum() + fixed.sum())


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        [[1, 0, 0.2], [0, 1, -0.1], [0, 0, 1]],
        [[1.3, 0, 0], [0, 1.3, 0.05], [0, 0, 1]],
        [[0.96, -0.26, 0], [0.26, 0.96, 0], [0, 0, 1]],  # turned by 15°
        [[1.1, 0.05, -0.1], [0.0, 1.25, 0.1], [0, 0, 1]],
    ],
)
def test_a_moved_chest_is_found_again(phantom, matrix):
    first, second = chest(phantom), chest(phantom, matrix)
    found = register(first, second)
    assert found.holds
    assert overlap(first, second, found) > 0.95


def test_pictures_of_other_proportions_fit(phantom):
    first = chest(phantom)
    second = chest(phantom, [[1.6, 0, 0], [0, 1, 0], [0, 0, 1]], (256, 410))  # black at both sides
    found = register(first, second)
    assert overlap(first, second, found) > 0.95
    assert np.abs(found.matrix - np.diag([1 / 1.6, 1, 1])).max() < 0.05


def test_what_is_no_chest_does_not_fit(phantom):
    alpha = np.zeros((256, 256), np.float32)
    assert register(chest(phantom), analysis(alpha.copy(), alpha)) is None
    alpha[100:110, :] = 1
    assert not register(chest(phantom), analysis(alpha.copy(), alpha)).holds


def test_greys_are_matched(phantom):
    pixels, mask = phantom
    other = (0.5 * pixels + 0.2).astype(np.float32)
    assert np.abs(on_one_scale(pixels, other, mask) - pixels)[mask].max() < 0.02
    assert np.array_equal(on_one_scale(pixels, np.full_like(pixels, 0.5), mask), np.full_like(pixels, 0.5))


@pytest.mark.parametrize("correction", [Correction(90, False), Correction(0, True), Correction(-30, False)])
def test_what_was_set_right_is_shown_so(phantom, correction):
    pixels, mask = phantom
    heat = np.zeros((64, 64), np.float32)
    heat[:32, :32] = 1
    wanted, matrix = correct_pixels(pixels, correction)
    alpha, _ = correct_pixels(mask.astype(np.float32), replace(correction, invert=False))
    analysed = replace(chest(phantom), correction=correction, model_alpha=alpha, original_from_corrected=matrix)
    seen, maps = to_analysed_geometry(analysed, {"a": heat})
    assert np.array_equal(seen.radiograph.pixels, wanted) and seen.alpha.shape == wanted.shape
    if correction.angle == 90:
        assert np.abs(seen.alpha - np.rot90(mask)).max() < 1e-3
        assert np.abs(maps["a"] - np.rot90(heat)).max() < 1e-3
    same = chest(phantom)
    assert to_analysed_geometry(same)[0] is same
