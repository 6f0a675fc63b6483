"""One picture in every image format, and what must come of it."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from lungfusion.reading.radiograph import RadiographError, load_radiograph

HEIGHT, WIDTH = 80, 96


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


def jpeg_2000(stored: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, level=0)


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


def png(width: int, height: int, compressed_rows: bytes, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG file put together by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", compressed_rows) + chunk(b"IEND", b"")
