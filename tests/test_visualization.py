"""Pictures, checked pixel by pixel."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lungfusion import visualization as view
from tests.support.tiny import analysis


def left_half(height=500, width=500):
    alpha = np.zeros((height, width), np.float32)
    alpha[:, : width // 2] = 1
    return alpha


def ramp(height, width):
    return np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))


def test_radiograph_is_shown_as_it_is():
    image = view.radiograph_image(analysis(np.array([[0, 0.2], [0.6, 1]], np.float32)))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 51], [153, 255]]


@pytest.mark.parametrize(
    ("shape", "shown"), [((64, 96), (64, 96)), ((1024, 1024), (1024, 1024)), ((3000, 1500), (1024, 512))]
)
def test_large_pictures_are_reduced_and_small_ones_are_not(shape, shown):
    big = analysis(ramp(*shape), left_half(*shape))
    saliency = np.zeros(shape, np.float32)
    pictures = [view.radiograph_image(big), view.overlay_image(big), view.masked_image(big)]
    for picture in [*pictures, view.saliency_image(big, saliency)]:
        assert picture.size == shown[::-1]
    assert abs(np.asarray(view.radiograph_image(big)).mean() - 127.5) < 1


def test_mask_keeps_the_radiographs_size():
    alpha = ramp(1100, 1300)
    mask = view.mask_image(analysis(np.zeros((1100, 1300), np.float32), alpha))
    assert (mask.mode, mask.size) == ("L", (1300, 1100))
    assert np.asarray(mask)[0, [0, 1299]].tolist() == [0, 255]
    assert np.abs(np.asarray(mask) / 255 - alpha).max() <= 0.5 / 255 + 1e-6


def test_masked_image_is_weighted_by_alpha():
    alpha = np.array([[0, 0.5, 1]] * 3, np.float32)
    masked = view.masked_image(analysis(np.full((3, 3), 0.8, np.float32), alpha))
    assert np.asarray(masked)[0].tolist() == [0, 102, 204]


def test_contour_lies_where_alpha_is_one_half_and_nowhere_else():
    image = np.asarray(view.overlay_image(analysis(np.full((500, 500), 0.4, np.float32), left_half())))
    assert tuple(image[250, 249]) == tuple(image[250, 250]) == view.CONTOUR_COLOUR
    drawn = (image != 102).any(-1)
    assert drawn.any(0).nonzero()[0].tolist() == [
        248,
        249,
        250,
        251,
    ]  # 0.4 % of 500 px is 2, and 1 on either side fades
    assert drawn[:, 249].all()  # the picture's own edge is no contour, but the line reaches it
    slope = view.contour(ramp(100, 400))
    assert abs(slope[50].argmax() - 199.5) <= 1


def test_contour_is_as_thick_as_asked_and_smooth():
    y, x = np.mgrid[:1000, :1000]
    distance = np.hypot(x - 500, y - 500) - 300
    line = view.contour((distance < 0).astype(np.float32))
    assert (line[np.abs(distance) < 1] > 0.9).all()
    assert (line[np.abs(distance) > 4] == 0).all()
    assert line.sum() / (2 * np.pi * 300) == pytest.approx(4, abs=0.4)  # 0.4 % of 1000 px
    assert ((line > 0.2) & (line < 0.8)).sum() > 1000  # antialiased


@pytest.mark.parametrize("alpha", [0, 1])
def test_without_an_edge_there_is_no_contour(alpha):
    assert not view.contour(np.full((80, 80), alpha, np.float32)).any()


def test_contour_of_a_phantom_surrounds_its_lungs(phantom):
    pixels, mask = phantom
    overlay = np.asarray(view.overlay_image(analysis(pixels, mask.astype(np.float32)))).astype(int)
    drawn = (overlay.max(-1) - overlay.min(-1)) > 60
    edge = mask ^ (np.roll(mask, 1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 0) & np.roll(mask, -1, 1) & mask)
    assert drawn[edge].mean() > 0.95
    assert drawn.mean() < 0.06


def test_heat_map_lies_over_the_overlay():
    chest = analysis(np.full((500, 500), 0.4, np.float32), left_half())
    saliency = np.zeros((500, 500), np.float32)
    saliency[100:200, 100:200] = 1
    image = np.asarray(view.saliency_image(chest, saliency))
    cold = np.asarray(view.overlay_image(chest)).copy()
    expected = np.round(102 + view.HEAT_OPACITY * (view.HEAT_COLOURS[-1] - 102))
    assert (image[100:200, 100:200] == expected).all()
    cold[100:200, 100:200] = expected
    assert (image == cold).all()


def test_heat_colours_are_plasma():
    plasma = pytest.importorskip("matplotlib").colormaps["plasma"]
    assert np.abs(view.HEAT_COLOURS / 255 - plasma(np.linspace(0, 1, 9))[:, :3]).max() <= 1 / 255


# Layers, to be laid over the radiograph in a browser


def laid(layer, under):
    """A layer over a radiograph (h, w) in [0, 1] → (h, w, 3) in [0, 255], as a browser shows it after PNG."""
    file = BytesIO()
    layer.save(file, "PNG")
    over = Image.open(file).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.fromarray(view.as_bytes(255 * under)).convert("RGBA"), over))[..., :3]


def test_the_background_layer_looks_as_the_masked_picture_does():
    chest = analysis(ramp(300, 400), left_half(300, 400))
    masked = laid(view.background_layer(chest), chest.radiograph.pixels)[..., 0].astype(int)
    assert np.abs(masked - np.asarray(view.masked_image(chest))).max() <= 2


def test_heat_is_transparent_where_it_is_cold_and_hides_what_is_below_where_it_is_hot():
    under, heat = np.full((300, 400), 0.4, np.float32), ramp(300, 400)
    shown = laid(view.heat_layer(heat), under)
    assert (shown[heat < view.COLD] == 102).all()
    assert np.abs(shown[:, -1] - view.HEAT_COLOURS[-1]).max() <= 3
    half = (heat - view.COLD) / (1 - view.COLD)
    expected = view.blend(np.full((300, 400, 3), 102.0), view.heat_colours(heat), half.clip(0, 1))
    assert np.abs(shown - expected).max() <= 5
