"""Every source, format and depth gives the same picture, and nothing but RadiographError comes out of a bad one."""

import io
import random
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from lungfusion.reading import dicom as reading_dicom
from lungfusion.reading import radiograph
from lungfusion.reading.radiograph import Radiograph, RadiographError, load_radiograph

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow or pydicom may come through

HEIGHT, WIDTH = 80, 96
PATIENT = "Doe^Jane"


# The picture of all tests: every grey from 0 to 255, different under every flip and turn.


def picture() -> np.ndarray:
    """(HEIGHT, WIDTH) uint8."""
    ramp = np.linspace(0, 255, HEIGHT * WIDTH).round().astype(np.uint8).reshape(HEIGHT, WIDTH)
    ramp[10:20, 5:40] = np.arange(35) * 7
    return ramp


GREY = picture()
UNIT = GREY.astype(np.float32) / np.float32(255)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
LUMA = COLOUR @ np.array([0.299, 0.587, 0.114]) / 255


def encoded(image, format: str, **options) -> bytes:
    """A PIL image or array as the bytes of an image file."""
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, format, **options)
    return buffer.getvalue()


def dataset(stored: np.ndarray, syntax=ExplicitVRLittleEndian, **elements) -> Dataset:
    """A DICOM radiograph of stored values (H, W) or (H, W, 3), with any elements set by keyword."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = generate_uid()
    ds.PatientName = PATIENT
    ds.Modality = "DX"
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 * stored.itemsize
    ds.BitsStored = elements.pop("BitsStored", ds.BitsAllocated)
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.PixelData = stored.astype(stored.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
    ds["PixelData"].VR = "OW" if stored.itemsize > 1 else "OB"
    return ds


def file_bytes(ds: Dataset) -> bytes:
    """A dataset as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom(stored: np.ndarray, syntax=ExplicitVRLittleEndian, **elements) -> bytes:
    return file_bytes(dataset(stored, syntax, **elements))


def encapsulated(frame: bytes, stored: np.ndarray, syntax, **elements) -> bytes:
    """A DICOM file whose pixel data is an already compressed frame."""
    ds = dataset(stored, syntax, **elements)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return file_bytes(ds)


def compressed(stored: np.ndarray, syntax, **elements) -> bytes:
    if syntax == JPEG2000Lossless:
        return encapsulated(jpeg_2000(stored), stored, syntax, **elements)
    ds = dataset(stored, **elements)
    ds.compress(syntax, encoding_plugin="pydicom")
    return file_bytes(ds)


def jpeg_2000(stored: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, level=0)


def table(values: np.ndarray, bits: int, first: int = 0) -> Sequence:
    """A Modality or VOI LUT Sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    return Sequence([item])


def jpeg_lossless(stored: np.ndarray, bits: int) -> bytes:
    """A lossless JPEG (ISO 10918-1 annex H), predictor 1, with 17 Huffman codes of 5 bits each."""
    predicted = np.empty(stored.shape, np.int64)
    predicted[0, 0], predicted[0, 1:] = 2 ** (bits - 1), stored[0, :-1]
    predicted[1:, 0], predicted[1:, 1:] = stored[:-1, 0], stored[1:, :-1]
    scan = ""
    for difference in ((stored - predicted + 2**15) % 2**16 - 2**15).ravel().tolist():
        size = abs(difference).bit_length()
        low_bits = difference if difference > 0 else difference + 2**size - 1
        scan += f"{size:05b}" + (f"{low_bits:0{size}b}" if size % 16 else "")
    scan += "1" * (-len(scan) % 8)
    data = int(scan, 2).to_bytes(len(scan) // 8, "big").replace(b"\xff", b"\xff\x00")
    height, width = stored.shape
    frame_header = struct.pack(">BBHBHHBBBB", 0xFF, 0xC3, 11, bits, height, width, 1, 1, 0x11, 0)
    huffman_table = b"\xff\xc4" + struct.pack(">HB", 36, 0) + bytes([0] * 4 + [17] + [0] * 11 + [*range(17)])
    scan_header = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0)
    return b"\xff\xd8" + frame_header + huffman_table + scan_header + data + b"\xff\xd9"


def assert_shows(source, expected: np.ndarray, tolerance: float = 0) -> None:
    """The source's pixels are the expected ones, and are what a Radiograph promises."""
    pixels = load_radiograph(source).pixels
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    if tolerance == 0:
        np.testing.assert_array_equal(pixels, expected)
    else:
        np.testing.assert_allclose(pixels, expected, rtol=0, atol=tolerance)


def refused(source, *words: str) -> str:
    """The message with which the source is refused, which holds all the words."""
    with pytest.raises(RadiographError) as caught:
        load_radiograph(source)
    message = str(caught.value)
    assert all(word in message for word in words), message
    return message


# One picture through every way in


def grey_cmyk() -> Image.Image:
    nothing = Image.new("L", (WIDTH, HEIGHT))
    return Image.merge("CMYK", [nothing, nothing, nothing, Image.fromarray(255 - GREY)])


def grey_palette() -> Image.Image:
    image = Image.fromarray(GREY).convert("P")
    image.putpalette([value for grey in range(256) for value in (grey, grey, grey)])
    return image


def tiff(array: np.ndarray, **options) -> bytes:
    """A TIFF of any type, as research software writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


IMAGE_FILES = {
    "png grey": encoded(GREY, "PNG"),
    "png grey and alpha": encoded(Image.fromarray(GREY).convert("LA"), "PNG"),
    "png palette": encoded(grey_palette(), "PNG"),
    "png rgb": encoded(Image.fromarray(GREY).convert("RGB"), "PNG"),
    "png rgba": encoded(Image.fromarray(GREY).convert("RGBA"), "PNG"),
    "png 16 bit": encoded(GREY.astype(np.uint16) * 257, "PNG"),
    "bmp grey": encoded(GREY, "BMP"),
    "bmp rgb": encoded(Image.fromarray(GREY).convert("RGB"), "BMP"),
    "tiff grey": encoded(GREY, "TIFF"),
    "tiff rgb": encoded(Image.fromarray(GREY).convert("RGB"), "TIFF"),
    "tiff cmyk": encoded(grey_cmyk(), "TIFF"),
    "tiff lzw": encoded(GREY, "TIFF", compression="tiff_lzw"),
    "tiff float": encoded(UNIT, "TIFF"),
    "tiff float64": tiff(UNIT.astype(np.float64)),
    "gif": encoded(grey_palette(), "GIF"),
    "jpeg 2000": encoded(GREY, "JPEG2000", irreversible=False),
    "jpeg 2000 codestream": jpeg_2000(GREY),
    "jpeg lossless": jpeg_lossless(GREY.astype(int), 8),
    "jpeg lossless 16 bit": jpeg_lossless(GREY.astype(int) * 257, 16),
    "jpeg-ls 12 bit": imagecodecs.jpegls_encode(GREY.astype(np.uint16) * 257),
    "after an empty line": b"\r\n" + encoded(GREY, "PNG"),
    "webp lossless": encoded(Image.fromarray(GREY).convert("RGB"), "WEBP", lossless=True),
}
DICOM_FILES = {
    "8 bit": dicom(GREY),
    "implicit": dicom(GREY, ImplicitVRLittleEndian),
    "big endian": dicom(GREY.astype(np.uint16) * 257, ExplicitVRBigEndian),
    "no preamble": dicom(GREY)[132:],
    "monochrome1": dicom(255 - GREY, PhotometricInterpretation="MONOCHROME1"),
    "16 bit": dicom(GREY.astype(np.uint16) * 257),
    "signed": dicom((GREY.astype(int) * 257 - 32768).astype(np.int16)),
    "rgb": dicom(np.stack([GREY] * 3, axis=-1)),
    "rle": compressed(GREY, RLELossless),
    "rle 16 bit": compressed(GREY.astype(np.uint16) * 257, RLELossless),
    "jpeg 2000": compressed(GREY, JPEG2000Lossless),
    "jpeg 2000 16 bit": compressed(GREY.astype(np.uint16) * 257, JPEG2000Lossless),
    "jpeg lossless": encapsulated(jpeg_lossless(GREY.astype(int), 8), GREY, JPEGLosslessSV1),
    "jpeg lossless 16 bit": encapsulated(
        jpeg_lossless(GREY.astype(int) * 257, 16), GREY.astype(np.uint16), JPEGLosslessSV1
    ),
    "other capture": dicom(GREY, Modality="OT"),
    "no modality": dicom(GREY, Modality=""),
}


@pytest.mark.parametrize("data", IMAGE_FILES.values(), ids=IMAGE_FILES)
def test_every_lossless_image_format_gives_the_same_pixels(data):
    assert_shows(data, UNIT)


@pytest.mark.parametrize("data", DICOM_FILES.values(), ids=DICOM_FILES)
def test_every_lossless_dicom_gives_the_same_pixels(data):
    assert_shows(data, UNIT)


@pytest.mark.parametrize(("format", "levels"), [("JPEG", 2), ("WEBP", 4), ("AVIF", 4)])
def test_lossy_formats_come_close(format, levels):
    smooth = np.linspace(10, 240, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    assert_shows(encoded(smooth, format, quality=100), smooth / 255, levels / 255)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_image_format_is_reported(format):
    assert load_radiograph(encoded(GREY, format)).format == format


def test_dicom_without_any_file_header():
    ds = dataset(GREY)
    del ds.file_meta
    buffer = io.BytesIO()
    ds.save_as(buffer, implicit_vr=True, little_endian=True)
    assert buffer.getvalue().startswith(b"\x08\x00")
    assert_shows(buffer.getvalue(), UNIT)


def test_dicom_format_is_reported():
    assert load_radiograph(DICOM_FILES["8 bit"]).format == "DICOM"


def test_paths(tmp_path):
    path = tmp_path / "folder.dcm" / "chest film.png"
    path.parent.mkdir()
    path.write_bytes(IMAGE_FILES["png grey"])
    for source in (path, str(path)):
        assert_shows(source, UNIT)
        assert load_radiograph(source).name == "chest film.png"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes(kind):
    source = kind(IMAGE_FILES["png grey"])
    assert_shows(source, UNIT)
    assert load_radiograph(source).name == "bytes"


def test_file_objects_are_read_from_where_they_stand_and_left_open(tmp_path):
    path = tmp_path / "chest.png"
    path.write_bytes(b"skipped" + IMAGE_FILES["png grey"])
    with path.open("rb") as file:
        file.seek(7)
        result = load_radiograph(file)
        assert not file.closed
    np.testing.assert_array_equal(result.pixels, UNIT)
    assert result.name == "chest.png"
    assert load_radiograph(io.BytesIO(IMAGE_FILES["png grey"])).name == "file"


def test_pil_image():
    result = load_radiograph(Image.fromarray(GREY))
    np.testing.assert_array_equal(result.pixels, UNIT)
    assert (result.name, result.format) == ("image", "image")


def test_pil_image_is_left_as_it_was():
    image = Image.open(io.BytesIO(encoded(COLOUR, "PNG", exif=exif(6))))
    assert load_radiograph(image).format == "PNG"
    assert (image.mode, image.size) == ("RGB", (WIDTH, HEIGHT))


def test_radiograph_is_returned_as_it_is():
    first = load_radiograph(GREY)
    assert load_radiograph(first) is first


# Arrays


@pytest.mark.parametrize(
    "array",
    [
        GREY,
        GREY[..., None],
        GREY[None],
        np.stack([GREY] * 3, axis=-1),
        np.stack([GREY] * 3 + [np.full_like(GREY, 255)], axis=-1),
        UNIT,
        UNIT.astype(np.float64),
        np.stack([UNIT] * 3, axis=-1),
        np.stack([UNIT] * 3 + [np.ones_like(UNIT)], axis=-1).astype(np.float64),
        np.asfortranarray(GREY),
        GREY.astype(np.int64),
        GREY.astype(np.uint16) * 257,
        np.stack([GREY.astype(np.uint16) * 257] * 3, axis=-1),
        np.stack([GREY.astype(np.int32) * 257] * 3 + [np.full(GREY.shape, 65535)], axis=-1),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_arrays_of_every_shape_and_dtype(array):
    assert_shows(array, UNIT)
    result = load_radiograph(array)
    assert (result.name, result.format) == ("array", "array")
    assert not np.shares_memory(result.pixels, array)


def test_bool_array():
    assert_shows(GREY > 100, (GREY > 100).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [-0.01, 1.01, 255, np.nan, np.inf])
def test_floats_outside_0_to_1_are_refused(value, dtype):
    array = UNIT.astype(dtype)
    array[3, 4] = value
    refused(array, "array: ", "[0, 1]", "divide")


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_outside_16_bits_are_refused(value):
    array = GREY.astype(np.int32)
    array[3, 4] = value
    refused(array, "0 to 65535")


@pytest.mark.parametrize("shape", [(WIDTH,), (3, HEIGHT, WIDTH), (HEIGHT, WIDTH, 2), (1, 1, HEIGHT, WIDTH), (0, 0), ()])
def test_other_shapes_are_refused(shape):
    refused(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [complex, object, "U3", "datetime64[s]"])
def test_other_dtypes_are_refused(dtype):
    refused(np.zeros((HEIGHT, WIDTH), dtype), "uint8")


# Depth, colour, transparency, orientation


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


def deep_png(channels: int, alpha: int = 65535) -> bytes:
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
        assert_shows(deep_png(channels, alpha=65535 // 4), DEEP / 1023 / 4, 1e-4)


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


def test_one_bit_image():
    assert_shows(encoded(Image.fromarray(GREY > 100), "PNG"), (GREY > 100).astype(np.float32))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "YCbCr", "CMYK", "HSV"])
def test_colour_becomes_luma(mode):
    assert_shows(Image.fromarray(COLOUR).convert(mode), LUMA, 4 / 255 if mode in ("YCbCr", "HSV") else 1e-5)


def test_colour_arrays_become_luma():
    for array in (COLOUR, COLOUR / 255, COLOUR.astype(np.uint16) * 257):
        assert_shows(array, LUMA, 1e-5)


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


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


UPRIGHT = {  # EXIF orientation → how the stored picture is turned upright
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


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


# DICOM: from stored values to what is shown


@pytest.mark.parametrize(("bits", "factor"), [(12, 16), (16, 256), (12, 4), (14, 20)])
def test_8_bit_picture_in_a_deeper_dicom(bits, factor):
    stored = GREY.astype(np.uint16) * factor
    white = (2**bits - 1) if factor * 256 > 2 ** (bits - 2) else stored.max()
    assert_shows(dicom(stored, BitsStored=bits), stored / white, 1e-6)
    if factor == 2 ** (bits - 8):
        assert_shows(dicom(stored, BitsStored=bits), UNIT, 1 / 255)


def test_dicom_that_uses_little_of_its_bits_is_spread():
    assert_shows(dicom(GREY.astype(np.uint16) * 16 + 500), UNIT, 1e-6)  # 12 bits, declared as 16
    inverted = dicom(4580 - GREY.astype(np.uint16) * 16, PhotometricInterpretation="MONOCHROME1")
    assert_shows(inverted, UNIT, 1e-6)


def test_dark_8_bit_dicom_is_as_dark_as_its_png():
    dark = GREY // 8
    np.testing.assert_array_equal(load_radiograph(dicom(dark)).pixels, load_radiograph(encoded(dark, "PNG")).pixels)


STORED = GREY.astype(np.uint16) * 16  # 12 bits


def linear(values, center, width):
    """DICOM PS3.3 C.11.2.1.2.1."""
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


WINDOWED = {
    "linear": (dict(WindowCenter=2000, WindowWidth=3000), linear(STORED, 2000.0, 3000)),
    "first of several": (dict(WindowCenter=[2000, 1], WindowWidth=[3000, 2]), linear(STORED, 2000.0, 3000)),
    "linear exact": (
        dict(WindowCenter=2000, WindowWidth=3000, VOILUTFunction="LINEAR_EXACT"),
        np.clip((STORED - 2000.0) / 3000 + 0.5, 0, 1),
    ),
    "sigmoid": (
        dict(WindowCenter=2000, WindowWidth=3000, VOILUTFunction="SIGMOID"),
        1 / (1 + np.exp(-4 * (STORED - 2000.0) / 3000)),
    ),
    "monochrome1": (
        dict(WindowCenter=2000, WindowWidth=3000, PhotometricInterpretation="MONOCHROME1"),
        1 - linear(STORED, 2000.0, 3000),
    ),
    "after rescale": (
        dict(WindowCenter=3000, WindowWidth=6000, RescaleSlope=2, RescaleIntercept=-1000),
        linear(STORED * 2.0 - 1000, 3000, 6000),
    ),
    "after falling rescale": (
        dict(WindowCenter=2000, WindowWidth=3000, RescaleSlope=-1, RescaleIntercept=4095),
        linear(4095.0 - STORED, 2000, 3000),
    ),
    "falling rescale only": (dict(RescaleSlope=-1, RescaleIntercept=4095), (4095 - STORED) / 4095),
    "empty": (dict(WindowCenter=None, WindowWidth=None), STORED / 4095),
    "no width": (dict(WindowCenter=2000, WindowWidth=None), STORED / 4095),
    "width 0": (dict(WindowCenter=0, WindowWidth=0), STORED / 4095),
}


@pytest.mark.parametrize(("elements", "expected"), WINDOWED.values(), ids=WINDOWED)
def test_window_and_rescale(elements, expected):
    assert_shows(dicom(STORED, BitsStored=12, **elements), expected, 1e-6)


CURVE = (np.linspace(0, 1, 4096) ** 2 * 4095).round().astype(np.int64)  # one output per 12-bit value
TABLES = {
    "voi": (dict(VOILUTSequence=table(CURVE, 12)), CURVE[STORED] / 4095),
    "voi before window": (
        dict(VOILUTSequence=table(CURVE, 12), WindowCenter=1, WindowWidth=2),
        CURVE[STORED] / 4095,
    ),
    "voi of 8 bits": (dict(VOILUTSequence=table(CURVE >> 4, 8)), (CURVE >> 4)[STORED] / 255),
    "voi from 1000 on": (
        dict(VOILUTSequence=table(CURVE[:2000], 10, first=1000)),
        np.clip(CURVE[np.clip(STORED.astype(int) - 1000, 0, 1999)] / 1023, 0, 1),
    ),
    "voi that uses little of its bits": (dict(VOILUTSequence=table(CURVE, 16)), CURVE[STORED] / CURVE[STORED].max()),
    "voi, monochrome1": (
        dict(VOILUTSequence=table(CURVE, 12), PhotometricInterpretation="MONOCHROME1"),
        1 - CURVE[STORED] / 4095,
    ),
    "modality": (dict(ModalityLUTSequence=table(CURVE, 12)), CURVE[STORED] / 4095),
    "modality, window": (
        dict(ModalityLUTSequence=table(CURVE, 16), WindowCenter=2000, WindowWidth=3000),
        linear(CURVE[STORED], 2000.0, 3000),
    ),
    "modality, voi": (
        dict(ModalityLUTSequence=table(CURVE, 12), VOILUTSequence=table(4095 - CURVE, 12)),
        (4095 - CURVE)[CURVE[STORED]] / 4095,
    ),
}


@pytest.mark.parametrize(("elements", "expected"), TABLES.values(), ids=TABLES)
def test_tables(elements, expected):
    assert_shows(dicom(STORED, BitsStored=12, **elements), expected, 1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 4090])
def test_padding_is_as_dark_as_the_darkest_of_the_rest(photometric, limit):
    stored = STORED // 2 + 1000  # 1000 to 3040
    stored[:5], stored[-5:] = 4095, 4095 if limit is None else 4092
    elements = {"PixelPaddingValue": 4095} | ({} if limit is None else {"PixelPaddingRangeLimit": limit})
    pixels = load_radiograph(dicom(stored, BitsStored=12, PhotometricInterpretation=photometric, **elements)).pixels
    expected = stored / 4095 if photometric == "MONOCHROME2" else 1 - stored / 4095
    expected[:5] = expected[-5:] = expected[5:-5].min()
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_padding_does_not_count_as_data():
    stored = GREY.astype(np.int16) * 4
    stored[:, :3] = -32768
    elements = {"PixelPaddingValue": -32768}
    pixels = load_radiograph(dicom(stored, **elements)).pixels
    np.testing.assert_allclose(pixels[:, 3:], UNIT[:, 3:], atol=0.02)
    assert (pixels[:, :3] == 0).all()


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_dicom_colour_becomes_luma(photometric):
    stored = convert_color_space(COLOUR, "RGB", photometric)
    assert_shows(dicom(stored, PhotometricInterpretation=photometric), LUMA, 1e-5 if photometric == "RGB" else 2 / 255)


def test_dicom_palette_becomes_luma():
    channels = {"Red": np.arange(256), "Green": np.arange(256)[::-1], "Blue": np.arange(256) // 2}
    ds = dataset(GREY, PhotometricInterpretation="PALETTE COLOR")
    for name, values in channels.items():
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", values.astype(np.uint8).tobytes())
    colour = np.stack([values[GREY] for values in channels.values()], axis=-1)
    assert_shows(file_bytes(ds), colour @ [0.299, 0.587, 0.114] / 255, 1e-5)


def test_jpeg_in_dicom_is_the_jpeg():
    jpeg = encoded(GREY, "JPEG", quality=80)
    one_level = 1.01 / 255  # two decoders may round differently
    assert_shows(encapsulated(jpeg, GREY, JPEGBaseline8Bit), load_radiograph(jpeg).pixels, one_level)


def test_jpeg_ls_in_dicom_is_lossless():
    """The one codec without an encoder here: the same small picture twice from pydicom's own files."""
    plain, jpeg_ls = (
        pydicom.dcmread(get_testdata_file(name, download=False))
        for name in ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm")
    )
    plain.Modality = jpeg_ls.Modality = "DX"
    assert_shows(file_bytes(jpeg_ls), load_radiograph(file_bytes(plain)).pixels)


def test_dicom_without_picture_is_refused():
    ds = dataset(GREY)
    del ds.PixelData
    refused(file_bytes(ds), "no picture")


def test_dicom_of_several_frames_is_refused():
    refused(dicom(GREY, NumberOfFrames=2), "several frames")


def test_deflated_dicom_is_inflated_to_a_limit(monkeypatch):
    data = dicom(GREY, DeflatedExplicitVRLittleEndian)
    assert_shows(data, UNIT)
    refused(data[:-20], "cannot be decoded")
    monkeypatch.setattr(reading_dicom, "MAX_INFLATED", GREY.size)
    refused(data, "cannot be decoded")


def test_nothing_of_the_patient_is_kept_or_told():
    result = load_radiograph(DICOM_FILES["8 bit"])
    assert set(vars(result)) == {"pixels", "name", "format", "colour", "view", "age"}
    assert PATIENT not in repr(result)
    for data in (dicom(GREY, Modality="CT"), dicom(GREY)[:-50], dicom(GREY, SamplesPerPixel=7)):
        assert PATIENT.encode() in data
        assert PATIENT not in refused(data)


# Limits


def png(width: int, height: int, compressed_rows: bytes, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG file put together by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", compressed_rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_001, 20_000, 2**31 - 1])
def test_too_many_pixels_are_refused_from_the_header(side):
    refused(png(side, side, b""), "100 megapixels")  # decoding would complain of the missing rows


def test_too_many_pixels_in_dicom_are_refused_from_the_header():
    ds = dataset(GREY)
    ds.Rows = ds.Columns = 20_000
    refused(file_bytes(ds), "100 megapixels")


def test_too_many_pixels_in_an_array_are_refused():
    refused(np.broadcast_to(np.uint8(1), (10_000, 10_001)), "100 megapixels")


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless], ids=["jpeg", "jpeg 2000"])
def test_compressed_frame_that_is_larger_than_the_dicom_says_is_not_decoded(syntax, monkeypatch):
    def decode(*args, **kwargs):
        raise AssertionError("decoded")

    large = np.zeros((400, 400), np.uint8)
    ds = dataset(large)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([jpeg_2000(large) if syntax == JPEG2000Lossless else encoded(large, "JPEG")])
    ds["PixelData"].is_undefined_length = True
    ds.Rows, ds.Columns = HEIGHT, WIDTH
    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", decode)
    monkeypatch.setattr(imagecodecs, "jpeg_decode", decode)
    with pytest.raises(RadiographError) as caught:
        load_radiograph(file_bytes(ds))
    assert "AssertionError" not in repr(caught.value.__cause__)


def test_large_picture_passes_without_a_warning_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    assert_shows(IMAGE_FILES["png grey"], UNIT)


@pytest.mark.parametrize("shape", [(63, 200), (200, 63)])
def test_small_picture_is_refused(shape):
    small = np.resize(GREY, shape)
    for source in (small, encoded(small, "PNG"), dicom(small), Image.fromarray(small)):
        refused(source, "64 pixels")


def test_smallest_picture_is_read():
    small = np.resize(GREY, (radiograph.MIN_SIDE, radiograph.MIN_SIDE))
    assert load_radiograph(small).pixels.shape == (64, 64)


def test_single_shade_is_refused():
    flat = np.full((HEIGHT, WIDTH), 7, np.uint8)
    deep = flat.astype(np.uint16)
    for source in (flat, encoded(flat, "PNG"), encoded(deep, "PNG"), encoded(flat * np.float32(3.5), "TIFF")):
        refused(source, "single shade")
    for stored in (flat, deep):
        refused(dicom(stored), "single shade")


def test_too_large_file_is_refused(tmp_path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(radiograph.MAX_BYTES + 1)  # a sparse file
    refused(path, "large.png: ", "100 MB")


# What is no radiograph


def test_missing_file(tmp_path):
    message = refused(tmp_path / "nowhere.png", "nowhere.png: ", "no such file")
    assert str(tmp_path) not in message
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file" / "nowhere.png", "no such file")


def test_folder(tmp_path):
    refused(tmp_path, "not a file but a folder")


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    path = tmp_path / "chest.png"
    path.write_bytes(IMAGE_FILES["png grey"])
    monkeypatch.setattr(Path, "open", denied)
    assert str(tmp_path) not in refused(path, "chest.png: ", "permissions")


def test_empty_file(tmp_path):
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty.png: ", "is empty")
    refused(b"", "is empty")


def box(kind: bytes) -> bytes:
    """The beginning of an ISO media file, which HEIC, AVIF and videos are."""
    return struct.pack(">I", 24) + b"ftyp" + kind + bytes(4) + b"mif1" + kind + bytes(500)


OTHER_KINDS = {
    "text": (b"not a picture " * 50, "not_a_picture", "PNG, JPEG, WebP, TIFF, BMP or DICOM"),
    "zeros": (bytes(500), "not_a_picture", "not a picture"),
    "heic": (box(b"heic"), "heic", "HEIC picture"),
    "heif": (box(b"mif1"), "heic", "HEIC picture"),
    "jpeg xl": (b"\xff\x0a" + bytes(500), "jpeg_xl", "JPEG XL picture"),
    "jpeg xl in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(500), "jpeg_xl", "JPEG XL picture"),
    "svg": (b'<?xml version="1.0"?>\n<svg width="9">' + b" " * 500, "svg", "SVG drawing"),
    "photoshop": (b"8BPS" + bytes(500), "photoshop", "Photoshop"),
    "pdf": (b"%PDF-1.7\n" * 30, "pdf", "PDF document"),
    "word": (b"\xd0\xcf\x11\xe0" + bytes(500), "document", "document"),
    "zip": (b"PK\x03\x04" + bytes(500), "zip", "ZIP archive; unpack it"),
    "gzip": (zlib.compress(bytes(500), wbits=31), "archive", "unpack it"),
    "nifti": (struct.pack("<I", 348) + bytes(340) + b"n+1\0" + bytes(500), "nifti", "NIfTI"),
    "nrrd": (b"NRRD0004\n" + bytes(500), "volume", "NRRD file"),
    "video": (box(b"isom"), "video", "video"),
    "big tiff": (b"II\x2b\0" + bytes(500), "bigtiff", "BigTIFF"),
}


@pytest.mark.parametrize(("data", "code", "words"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_file_of_another_kind_is_named(tmp_path, data, code, words):
    for name in ("notes.txt", "notes.png", "notes.dcm"):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, f"{name}: this is ", words)
        with pytest.raises(RadiographError) as caught:
            load_radiograph(tmp_path / name)
        assert caught.value.code == code


def test_text_file_object():
    refused(io.StringIO("text"), "binary mode")


@pytest.mark.parametrize("source", [None, 3, [1, 2], {"path": "chest.png"}])
def test_source_of_another_type(source):
    refused(source, "give a path")


TRUNCATED = {"jpeg": encoded(GREY, "JPEG"), "webp": encoded(GREY, "WEBP")} | IMAGE_FILES | DICOM_FILES


@pytest.mark.parametrize("data", TRUNCATED.values(), ids=TRUNCATED)
@pytest.mark.parametrize("part", [0.2, 0.6])
def test_file_cut_short_is_refused(data, part):
    refused(data[: int(len(data) * part)])


def test_error_comes_from_the_decoder_s_own():
    with pytest.raises(RadiographError) as caught:
        load_radiograph(IMAGE_FILES["bmp grey"][:-500])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, OSError)


WHOLE = TRUNCATED | {
    "mpo": encoded(GREY, "MPO", save_all=True, append_images=[Image.fromarray(GREY)]),
    "tiff jpeg": encoded(COLOUR, "TIFF", compression="jpeg"),
    "png exif": encoded(COLOUR, "PNG", exif=exif(6)),
    "dicom jpeg": encapsulated(encoded(GREY, "JPEG"), GREY, JPEGBaseline8Bit),
    "dicom window": dicom(STORED, BitsStored=12, WindowCenter=2000, WindowWidth=3000, PixelPaddingValue=0),
    "dicom tables": dicom(STORED, BitsStored=12, **TABLES["modality, voi"][0]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_file_is_read_or_refused_but_nothing_else(name):
    chance = random.Random(name)
    for _ in range(20):
        data = bytearray(WHOLE[name])
        for _ in range(chance.choice([1, 2, 8])):
            data[chance.randrange(min(len(data), chance.choice([200, 1000, len(data)])))] = chance.randrange(256)
        del data[chance.choice([len(data), chance.randrange(len(data))]) :]
        try:
            result = load_radiograph(bytes(data))
        except RadiographError:
            continue
        assert isinstance(result, Radiograph)
        assert 0 <= result.pixels.min() < result.pixels.max() <= 1
