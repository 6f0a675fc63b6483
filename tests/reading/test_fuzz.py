"""Spoiled files and files made to exhaust: read or refused, soon, in little memory.

The long run is `tests.benchmarks.fuzz`.
"""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from lungfusion.reading.dicom import MAX_LENGTH, MAX_READS
from lungfusion.reading.headers import MAX_SCANS
from tests.benchmarks.fuzz import MEMORY, READ, REFUSED, Reader, fuzz
from tests.support.dicom_files import dataset, dicom, file_bytes
from tests.support.image_files import GREY, assert_shows, encoded
from tests.support.mutations import spoiled

INPUTS = 1500
LITTLE = 150 * 2**20  # bytes: the files below are of some megabytes
MANY = 10 * MAX_READS


def test_spoiled_files_are_read_or_refused():
    report = fuzz(INPUTS, seed="suite")
    assert not report.faults
    assert report.ends[READ] > INPUTS / 10 and report.ends[REFUSED] > INPUTS / 10
    assert report.peak < MEMORY


def test_spoiled_files_are_the_same_at_every_call():
    assert spoiled(3, 7) == spoiled(3, 7) != spoiled(3, 8)


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    yield reader
    reader.end()


def tiff(entries, before):
    """`before`, which begins with a header of eight bytes, then a directory of (tag, type, count, value)."""
    header = b"II*\0" + struct.pack("<I", len(before))
    content = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return header + before[8:] + struct.pack("<H", len(entries)) + content + bytes(4)


def greedy_directory():
    """Sixty thousand entries that all point to the same megabyte: Pillow would copy it for each."""
    return tiff([(1 + tag, 7, 2**20, 8) for tag in range(60_000)], bytes(8 + 2**20))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(kind, content):
    data = encoded(GREY, "PNG")
    return data[:33] + chunk(kind, content) + data[33:]


def jpeg_with_exif(exif):
    data = encoded(GREY, "JPEG")
    parts = [b"Exif\0\0" + exif[i : i + 65_000] for i in range(0, len(exif), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return data[:2] + segments + data[4 + int.from_bytes(data[4:6], "big") :]  # without JFIF, which gives a resolution


def jpeg_of_many_scans(count):
    data = encoded(GREY, "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def strips():
    """More strips than rows, by far."""
    sizes = [(256, 4, 1, 96), (257, 4, 1, 80), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    return tiff([*sizes, (273, 4, 2_000_000, 8), (278, 4, 1, 1)], bytes(8 + 8_000_000))


def tile():
    """A picture in one tile of two gigabytes."""
    sizes = [(256, 4, 1, 96), (257, 4, 1, 80), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1)]
    return tiff([*sizes, (322, 4, 1, 46_336), (323, 4, 1, 46_208), (324, 4, 1, 8), (325, 4, 1, 9000)], bytes(9008))


def framed(frame, syntax):
    """A DICOM file of a compressed frame, or of what already is encapsulated."""
    ds = dataset(GREY)
    ds.PixelData = frame if syntax is None else encapsulate([frame])
    ds.file_meta.TransferSyntaxUID = syntax or JPEGBaseline8Bit
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    return file_bytes(ds)


def rle(segment):
    return framed(struct.pack("<16I", 1, 64, *[0] * 14) + segment, RLELossless)


def fragments():
    content = encapsulate([encoded(GREY, "JPEG")])
    return framed(content[:8] + b"\xfe\xff\x00\xe0\0\0\0\0" * MANY + content[8:], None)


def inside(content, before=b"\x08\x00\x60\x00CS"):
    """A DICOM file with more elements in it, before that of the modality."""
    data = dicom(GREY)
    place = data.index(before)
    return data[:place] + content + data[place:]


def elements():
    return inside(b"".join(struct.pack("<HH2sH", 9 + 2 * (i >> 16), i & 0xFFFF, b"LO", 0) for i in range(MANY)))


def items():
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    return inside(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + item * MANY + b"\xfe\xff\xdd\xe0\0\0\0\0")


def nested():
    return inside(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * MANY)


EXHAUSTING = {
    "tiff entries": greedy_directory,
    "tiff strips": strips,
    "tiff tile": tile,
    "png exif": lambda: png_with(b"eXIf", greedy_directory()),
    "jpeg exif": lambda: jpeg_with_exif(greedy_directory()),
    "webp exif": lambda: encoded(Image.fromarray(GREY).convert("RGB"), "WEBP", exif=greedy_directory()),
    "jpeg scans": lambda: jpeg_of_many_scans(MAX_SCANS),
    "dicom elements": elements,
    "dicom items": items,
    "dicom nested": nested,
    "dicom fragments": fragments,
}


@pytest.mark.parametrize("name", EXHAUSTING)
def test_exhausting_files_are_refused_in_little_memory(reader, name):
    end, _, peak = reader.read(EXHAUSTING[name]())
    assert end == REFUSED
    assert peak < LITTLE


def test_rle_is_unpacked_no_further_than_the_picture():
    packed = b"".join(b"\x00" + bytes([value]) for value in GREY.ravel())
    assert_shows(rle(packed), GREY / np.float32(255))
    assert_shows(rle(packed + b"\x81\x05" * 3), GREY / np.float32(255))


def test_rle_that_would_unpack_to_gigabytes_takes_little_memory(reader):
    end, _, peak = reader.read(rle(b"\x00\x01\x81\x05" * 5_000_000))  # 65 bytes for each 4 of 20 MB
    assert end == READ
    assert peak < LITTLE


def test_values_of_megabytes_are_left_out(reader):
    numbers = b"1\\" * MAX_LENGTH
    data = inside(b"\x28\x00\x50\x10UT\0\0" + struct.pack("<I", len(numbers)) + numbers, before=b"\xe0\x7f\x10\x00")
    assert reader.read(data)[0] == READ


def test_large_pictures_take_a_few_times_their_size(reader):
    row = np.tile(np.arange(250, dtype=np.uint8), 20)
    content = zlib.compressobj(1)
    rows = b"".join(content.compress(b"\0" + row.tobytes()) for _ in range(5000)) + content.flush()
    header = struct.pack(">IIBBBBB", 5000, 5000, 8, 0, 0, 0, 0)
    end, _, peak = reader.read(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    assert end == READ
    assert peak < 10 * 5000 * 5000  # as bytes, in Pillow and in NumPy, and as floats
