"""Every image format gives the same picture: colour as luma, black behind what is transparent, upright."""

import io

import numpy as np
import pytest
from PIL import Image

from lungfusion.reading.radiograph import load_radiograph
from tests.support.image_files import (
    COLOUR,
    GREY,
    HEIGHT,
    IMAGE_FILES,
    LUMA,
    UNIT,
    UPRIGHT,
    WIDTH,
    assert_shows,
    encoded,
    exif,
    grey_palette,
    refused,
)

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow or pydicom may come through


@pytest.mark.parametrize("data", IMAGE_FILES.values(), ids=IMAGE_FILES)
def test_every_lossless_image_format_gives_the_same_pixels(data):
    assert_shows(data, UNIT)


@pytest.mark.parametrize(("format", "levels"), [("JPEG", 2), ("WEBP", 4), ("AVIF", 4)])
def test_lossy_formats_come_close(format, levels):
    smooth = np.linspace(10, 240, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    assert_shows(encoded(smooth, format, quality=100), smooth / 255, levels / 255)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_image_format_is_reported(format):
    assert load_radiograph(encoded(GREY, format)).format == format


def test_one_bit_image():
    assert_shows(encoded(Image.fromarray(GREY > 100), "PNG"), (GREY > 100).astype(np.float32))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "YCbCr", "CMYK", "HSV"])
def test_colour_becomes_luma(mode):
    assert_shows(Image.fromarray(COLOUR).convert(mode), LUMA, 4 / 255 if mode in ("YCbCr", "HSV") else 1e-5)


def test_colour_palette_becomes_luma():
    image = Image.fromarray(COLOUR).quantize(64)
    assert_shows(encoded(image, "PNG"), np.asarray(image.convert("RGB")) @ [0.299, 0.587, 0.114] / 255, 1e-5)


def half_transparent(mode: str):
    alpha = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 64) * np.ones((HEIGHT, 1))
    image = Image.fromarray(GREY).convert(mode)
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image, UNIT * alpha / 255


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparency_shows_black_behind(mode):
    image, expected = half_transparent(mode)
    assert image.mode in ("LA", "RGBA")
    assert_shows(encoded(image, "PNG"), expected, 1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_transparent_array_shows_black_behind(dtype):
    image, expected = half_transparent("RGB")
    array = np.asarray(image)
    scaled = {np.uint8: array, np.uint16: array.astype(np.uint16) * 257, np.float64: array / 255}[dtype]
    assert_shows(scaled, expected, 1e-6)


@pytest.mark.parametrize(("format", "image"), [("PNG", Image.fromarray(GREY)), ("PNG", grey_palette())], ids=["L", "P"])
def test_transparent_colour_shows_black(format, image):
    assert_shows(encoded(image, format, transparency=200), np.where(GREY == 200, 0, UNIT))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("depth", [1, 257])
def test_exif_orientation_is_applied(orientation, depth):
    stored = GREY * np.array(depth, np.uint8 if depth == 1 else np.uint16)
    assert_shows(encoded(stored, "PNG", exif=exif(orientation)), UPRIGHT[orientation](UNIT))


def test_jpeg_of_a_telephone_shows_its_first_picture():
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=100)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert_shows(data, UNIT, 0.1)
    assert load_radiograph(data).format == "JPEG"


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "PNG"])
def test_several_pictures_are_refused(format):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    refused(encoded(frames[0], format, save_all=True, append_images=frames[1:]), "several pictures")
