"""Values of any depth become grey levels from black to white."""

import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from lungfusion.reading.radiograph import load_radiograph
from tests.support.dicom_files import dicom
from tests.support.image_files import (
    GREY,
    HEIGHT,
    UNIT,
    UPRIGHT,
    WIDTH,
    assert_shows,
    encoded,
    exif,
    png,
    refused,
    tiff,
)

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow or pydicom may come through


def deep_files(values: np.ndarray) -> dict[str, object]:
    """Values of up to 16 bits in every container that keeps them."""
    return {
        "png": encoded(values.astype(np.uint16), "PNG"),
        "tiff": encoded(values.astype(np.uint16), "TIFF"),
        "tiff big endian": encoded(Image.frombytes("I;16B", (WIDTH, HEIGHT), values.astype(">u2").tobytes()), "TIFF"),
        "tiff 32 bit": encoded(values.astype(np.int32), "TIFF"),
        "image": Image.fromarray(values.astype(np.int32)),
        "array": values.astype(np.uint16),
        "array big endian": values.astype(">u2"),
    }


@pytest.mark.parametrize("container", deep_files(GREY))
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_values_are_scaled_by_the_depth_they_use(bits, container):
    white = 2**bits - 1
    values = np.linspace(0, white, HEIGHT * WIDTH).round().astype(np.int64).reshape(HEIGHT, WIDTH)
    assert_shows(deep_files(values)[container], values.astype(np.float32) / np.float32(white))


def test_depth_is_the_smallest_that_holds_the_maximum():
    values = GREY.astype(np.uint16) * 16  # 12 bits, with white at 4080
    assert_shows(values, values / 4095, 1e-7)
    values[0, 0] = 4096
    assert_shows(values, values / 16383, 1e-7)


def test_float_tiff_in_0_to_1_is_taken_as_it_is():
    assert_shows(encoded(UNIT / 2 + np.float32(0.25), "TIFF"), UNIT / 2 + np.float32(0.25))


def test_float_tiff_outside_0_to_1_is_spread():
    assert_shows(encoded(UNIT * 3000 - 1000, "TIFF"), UNIT, 1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_float_tiff_that_is_not_finite_is_refused(value):
    values = UNIT.copy()
    values[3, 4] = value
    refused(encoded(values, "TIFF"), "finite")


DEEP = np.linspace(0, 1000, HEIGHT * WIDTH).round().astype(np.uint16).reshape(HEIGHT, WIDTH)  # 10 bits in 16


def deep_png(channels: int, alpha=65535) -> bytes:
    """DEEP as grey, grey and alpha, RGB or RGBA of 16 bits."""
    stored = np.stack([DEEP] * channels, axis=-1)
    if channels in (2, 4):
        stored[..., -1] = alpha
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)
    return png(WIDTH, HEIGHT, zlib.compress(raw), bits=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_is_read_at_full_depth(channels):
    assert_shows(deep_png(channels), DEEP / 1023, 1e-6)
    if channels in (2, 4):
        alpha = np.where(np.arange(WIDTH) < 20, 65532, 16383)
        assert_shows(deep_png(channels, alpha), DEEP / 1023 * alpha / 65532, 1e-4)
        for everywhere in (4095, 0):  # the depth of its picture; a channel that nobody filled
            assert_shows(deep_png(channels, everywhere), DEEP / 1023, 1e-6)


@pytest.mark.parametrize("boxes", ["jp2", "j2k"])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_jpeg_2000_is_read_at_full_depth(channels, boxes):
    stored = np.stack([DEEP] * channels, axis=-1).squeeze()
    data = imagecodecs.jpeg2k_encode(stored, codecformat=boxes, reversible=True, level=0)
    assert_shows(data, DEEP / 1023, 1e-6)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_deep_colour_is_turned_upright(orientation):
    block = encoded(GREY, "PNG", exif=exif(orientation))
    start = block.index(b"eXIf") - 4
    block = block[start : start + 12 + int.from_bytes(block[start : start + 4], "big")]
    data = deep_png(3)
    assert_shows(data[:33] + block + data[33:], UPRIGHT[orientation](DEEP / 1023), 1e-6)
    colour = np.stack([DEEP] * 3, axis=-1)
    turned = tiff(colour, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    assert_shows(turned, UPRIGHT[orientation](DEEP / 1023), 1e-6)


SHORT = DEEP.astype(np.int16)
DEEP_TIFFS = {
    "rgb": tiff(np.stack([DEEP] * 3, axis=-1), photometric="rgb"),
    "rgb in planes": tiff(np.stack([DEEP] * 3), photometric="rgb", planarconfig="separate"),
    "rgb lzw": tiff(np.stack([DEEP] * 3, axis=-1), photometric="rgb", compression="lzw", predictor=True),
    "rgb big endian": tiff(np.stack([DEEP] * 3, axis=-1), photometric="rgb", byteorder=">"),
    "grey and alpha": tiff(
        np.stack([DEEP, np.full_like(DEEP, 65535)], axis=-1), photometric="minisblack", extrasamples=["unassalpha"]
    ),
    "signed from 0": tiff(SHORT),
    "unsigned of 32 bits": tiff(DEEP.astype(np.uint32)),
}


@pytest.mark.parametrize("data", DEEP_TIFFS.values(), ids=DEEP_TIFFS)
def test_deep_tiff_is_read_at_full_depth(data):
    assert_shows(data, DEEP / 1023, 1e-6)


SPREAD_TIFFS = {
    "signed": tiff(SHORT - 500),
    "signed of 8 bits": tiff((DEEP // 4).astype(np.int16).__sub__(125).astype(np.int8)),
    "wide": tiff(DEEP.astype(np.uint32) * 4_000_000),
    "wide and signed": tiff(DEEP.astype(np.int32) * 2_000_000 - 10**9),
    "half floats": tiff((DEEP * 2).astype(np.float16)),
    "doubles": tiff(DEEP * 1e-9 - 3),
    "signed, one hot pixel": tiff(np.where(np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) == 7, 32767, SHORT - 500)),
}


@pytest.mark.parametrize("name", SPREAD_TIFFS)
def test_tiff_of_other_numbers_is_spread(name):
    expected = (DEEP // 4) / 250 if "8 bits" in name else DEEP / 1000
    pixels = load_radiograph(SPREAD_TIFFS[name]).pixels
    np.testing.assert_allclose(pixels[1:], expected[1:], atol=2e-3)
    assert (pixels[0, 7] == 1) == ("hot" in name)


def test_tiff_that_no_decoder_knows_is_called_a_tiff():
    values = np.stack([DEEP] * 5)
    refused(
        tiff(values, photometric="minisblack", planarconfig="separate"), "this is a TIFF of a kind", "save it as PNG"
    )
    assert_shows(tiff(np.stack([GREY] * 3)[:1].squeeze(), compression="zlib"), UNIT)
    refused(tiff(np.stack([DEEP, DEEP]), photometric="minisblack"), "several pictures")
    refused(tiff(GREY, compression="jpeg2000"), "this is a TIFF of a kind")


MARKED = DEEP * 4  # 12 bits

MARKED[20:30, 30:40] = 65535  # 1.3 % of the pixels


@pytest.mark.parametrize("container", deep_files(GREY))
@pytest.mark.parametrize("size", [0, 1, 10], ids=["none", "hot pixel", "label"])
def test_white_markers_do_not_rule_the_range(container, size):
    values = DEEP * 4
    values[20 : 20 + size, 30 : 30 + size] = 65535
    assert_shows(deep_files(values)[container], np.minimum(values / 4095, 1), 1e-6)


def test_white_markers_do_not_rule_the_range_of_dicom():
    expected = np.clip(MARKED / MARKED[:20].max(), 0, 1)
    pixels = load_radiograph(dicom(MARKED)).pixels
    np.testing.assert_allclose(pixels[:20] / pixels[:20].max(), expected[:20], atol=1e-6)
    assert (pixels[20:30, 30:40] == 1).all() and pixels[50:].mean() > 0.7
    dark = load_radiograph(dicom(65535 - MARKED, PhotometricInterpretation="MONOCHROME1")).pixels
    np.testing.assert_allclose(dark, pixels, atol=1e-6)


def test_tiff_in_which_0_is_white():
    white_is_zero = {262: 0}  # PhotometricInterpretation
    eight_bits = encoded(GREY, "TIFF", tiffinfo=white_is_zero)
    assert (255 - GREY).tobytes() in eight_bits  # Pillow inverts 8 bits when it writes, and no others
    assert_shows(eight_bits, UNIT)
    assert_shows(encoded(65535 - GREY.astype(np.uint16) * 257, "TIFF", tiffinfo=white_is_zero), UNIT, 1e-7)
    assert_shows(encoded(1 - UNIT, "TIFF", tiffinfo=white_is_zero), UNIT, 1e-7)


def smooth(bits: int) -> np.ndarray:
    """A picture without edges, that uses all greys of so many bits: (200, 240) uint16."""
    y, x = np.mgrid[:200, :240]
    waves = np.sin(x / 40) * np.cos(y / 35) + 0.02 * np.random.default_rng(0).normal(size=x.shape)
    unit = (waves - waves.min()) / np.ptp(waves)
    return np.round(unit * (2**bits - 1)).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("shift", [0.2, 0.5, 0.8])
def test_numbers_that_overflowed_are_set_right(bits, shift):
    values, modulus = smooth(bits).astype(np.int64), 2**bits
    wrapped = ((values + round(shift * modulus)) % modulus).astype(np.uint8 if bits == 8 else np.uint16)
    colours = np.stack([wrapped] * 3, axis=-1)
    for source in (wrapped, encoded(wrapped, "PNG"), colours, wrapped / np.float32(modulus - 1)):
        pixels = load_radiograph(source).pixels
        assert abs(np.corrcoef(pixels.ravel(), values.ravel())[0, 1]) > 0.99


@pytest.mark.parametrize("bits", [8, 12])
def test_numbers_that_overflowed_in_a_part_alone_are_set_right(bits):
    values, modulus = smooth(bits).astype(np.int64), 2**bits
    values[:100] = values[:100] // 4 + modulus // 8  # the upper half is darker
    wrapped = ((values + modulus // 4) % modulus).astype(np.uint16 if bits > 8 else np.uint8)
    assert np.corrcoef(load_radiograph(wrapped).pixels.ravel(), values.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("factor", [1.15, 1.3, 1.5, 2.3])
def test_a_picture_that_was_made_brighter_beyond_white_is_no_picture_any_more(factor):
    brighter = (smooth(8) * factor).astype(np.int64) % 256
    refused(brighter.astype(np.uint8), "overflowed")


def test_a_sharp_edge_between_black_and_white_is_no_overflow():
    values = (smooth(8) // 2).astype(np.uint8)
    values[:60], values[60:80, 40:100] = 0, 250
    assert_shows(values, values / np.float32(255), 1e-6)


def test_of_numbers_that_overflowed_fewer_bits_may_be_said():
    half = (smooth(12).astype(np.int64) // 2 + 600) % 2048
    data = dicom(half.astype(np.uint16), BitsStored=12)
    assert np.corrcoef(load_radiograph(data).pixels.ravel(), smooth(12).ravel())[0, 1] > 0.99


def test_numbers_that_lost_their_high_bits_are_refused():
    for wrapped in (smooth(12) & 255, smooth(12) & 1023, smooth(8) * 3 // 2 % 256):
        refused(wrapped.astype(np.uint8) if wrapped.max() < 256 else wrapped, "overflowed")


@pytest.mark.parametrize("bits, pixels", [(10, 9), (12, 25)])
def test_low_bytes_of_a_picture_with_steep_greys_are_refused(bits, pixels):
    y, x = np.mgrid[:200, :240]
    waves = np.sin(x / pixels) * np.cos(y / pixels) + 0.001 * np.random.default_rng(0).normal(size=x.shape)
    values = np.round((waves - waves.min()) / np.ptp(waves) * (2**bits - 1)).astype(np.uint16)
    refused((values & 255).astype(np.uint8), "overflowed")


def test_sign_that_is_mistaken():
    for bits in (16, 12):
        values = smooth(bits)
        as_signed = dicom(values, PixelRepresentation=1, BitsStored=bits)
        np.testing.assert_allclose(load_radiograph(as_signed).pixels, values / (2**bits - 1), atol=1e-3)
    signed = (smooth(16).astype(np.int64) - 2**15).astype(np.int16)
    np.testing.assert_allclose(load_radiograph(dicom(signed)).pixels, smooth(16) / 65535, atol=1e-3)
    as_unsigned = dicom(signed, PixelRepresentation=0)
    assert np.corrcoef(load_radiograph(as_unsigned).pixels.ravel(), smooth(16).ravel())[0, 1] > 0.99


def test_edges_of_letters_and_frames_are_no_overflow():
    values = smooth(8).astype(np.uint8)
    page = np.where(np.random.default_rng(0).random((100, 120)) < 0.5, 0, 255).repeat(2, 0).repeat(2, 1)
    labelled = values.copy()
    labelled[:60, :60] = np.maximum(values[:60, :60], page[:60, :60])
    framed = 40 + values // 2 + 87  # brighter than a part that is black
    framed[120:, :], framed[:, :20] = framed[120:, :] * (np.arange(240) % 60 > 3), 0
    for picture in (labelled, np.hstack([values, page.astype(np.uint8)]), page.astype(np.uint8), framed):
        assert_shows(picture, picture / np.float32(255), 1e-6)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    assert_shows(noise, noise / np.float32(255), 1e-6)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_lines_drawn_across_a_picture_are_no_overflow(width):
    noise = np.random.default_rng(0).integers(0, 6, (200, 240))
    scout = (np.minimum(smooth(8), 200) + noise).astype(np.uint8)
    scout[:, :70], scout[:, 180:] = noise[:, :70], noise[:, 180:]  # the air beside a body
    scout[30 : 30 + width] = scout[150 : 150 + width] = 255  # the range that is to be scanned
    assert_shows(scout, scout / np.float32(255), 1e-6)
