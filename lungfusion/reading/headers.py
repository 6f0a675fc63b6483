"""What the bytes of an image file announce, read before a decoder trusts them.

Decoders take a file's word for how much there is to do. A megabyte can announce gigabytes, so each function here raises
ValueError for a file that asks for more than any honest one does. They decode nothing.
"""

import re
import struct

MAX_SCANS = 32  # of a JPEG: each is a pass over the whole picture, and progressive ones have about ten
MAX_BOXES = 64  # before a codestream
MAX_NUMBERS = 2**20  # in one entry of a TIFF directory, which Pillow makes a tuple of; a strip for each row is far less

_JPEG_2000 = b"\xff\x4f\xff\x51"

# JPEG markers (ISO 10918-1 B.1, ISO 14495-1 C.1)
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)  # neither stuffing, nor filling, nor a restart
_WITHOUT_CONTENT, _END, _SCAN, _EXIF = (0x01, 0xD8), 0xD9, 0xDA, 0xE1
_JPEG_LS, _CAMERA = 0xF7, (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_SIZES = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}

# TIFF (revision 6.0, section 2; Exif 2.3, section 4.6.3)
_SIZE_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_BYTE_TYPES = (1, 2, 6, 7)
_PLACES = (273, 324)  # StripOffsets and TileOffsets, of any type
_TILE = (322, 323)  # TileWidth and TileLength
NEXT = "next"
_DIRECTORIES = (34665, 34853, 40965)  # pointers to Exif, GPS and Interoperability directories


def codestream_size(frame):
    """(width, height, channels) that a JPEG, JPEG-LS or JPEG 2000 codestream announces, the last in a JP2, too."""
    return (jpeg_frame if frame.startswith(b"\xff\xd8") else jpeg_2000_frame)(frame)[2:]


def jpeg_2000_frame(data):
    """(place, bits of a sample, width, height, channels) of a JPEG 2000 codestream, which begins there in a JP2 (ISO
    15444-1 A.5.1).
    """
    start = 0 if data.startswith(_JPEG_2000) else box_content(data, (b"jp2c",))[0]
    if not data.startswith(_JPEG_2000, start):
        raise ValueError("The codestream gives no size.")
    right, lower, left, upper = struct.unpack_from(">IIII", data, start + 8)
    channels, depth = struct.unpack_from(">HB", data, start + 40)
    return start, (depth & 0x7F) + 1, right - left, lower - upper, channels


def box_content(data, kinds):
    """(place, kind) of the content of the first box of these kinds, in a file of boxes (ISO 15444-1 I.4)."""
    start = 0
    for _ in range(MAX_BOXES):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        content = start + 8
        if length == 1:
            length, content = int.from_bytes(data[content : content + 8], "big"), content + 8
        if kind in kinds:
            return content, kind
        if length < content - start:
            break
        start += length
    raise ValueError("No box holds a codestream.")


def jpeg_frame(data):
    """(marker, bits of a sample, width, height, channels) of a JPEG's or JPEG-LS's frame header."""
    for marker, content in jpeg_segments(data):
        if marker in _SIZES:
            bits, height, width, channels = struct.unpack_from(">BHHB", content)
            return marker, bits, width, height, channels
    raise ValueError("The codestream gives no size.")


def is_jpeg_ls(data):
    """Whether a JPEG codestream is one of ISO 14495-1."""
    return jpeg_frame(data)[0] == _JPEG_LS


def is_plain_jpeg(data):
    """Whether it is a JPEG of 8 bits as cameras write them, which Pillow reads: baseline, extended or progressive."""
    marker, bits, *_ = jpeg_frame(data)
    return bits == 8 and marker in _CAMERA


def check_jpeg(data):
    """Raise ValueError for a JPEG of more than MAX_SCANS scans, or with an Exif directory that `check_tiff` refuses."""
    scans, exif = 0, b""
    for marker, content in jpeg_segments(data):
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise ValueError(f"The JPEG has more than {MAX_SCANS} scans.")
        if marker == _EXIF and content.startswith(b"Exif\0\0"):
            exif += content[6:]  # Pillow joins several, too
    check_exif(exif)


def jpeg_segments(data):
    """(marker, content) of a JPEG's segments, to its end; what lies between them is passed over, as decoders do."""
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("This is no JPEG.")
    offset = 2
    while match := _MARKER.search(data, offset):
        marker, offset = match[1][0], match.end()
        if marker == _END:
            return
        if marker not in _WITHOUT_CONTENT:
            length = max(2, int.from_bytes(data[offset : offset + 2], "big"))
            yield marker, data[offset + 2 : offset + length]
            offset += length


def check_exif(exif):
    """`check_tiff` of the content of an Exif block; one that is no TIFF is left to Pillow, which ignores it."""
    exif = exif.removeprefix(b"Exif\0\0")
    if exif.startswith((b"II", b"MM")):
        check_tiff(exif)


def check_tiff(data):
    """Raise ValueError for a TIFF that announces more than it holds, or whose tiles are larger than its picture.

    Pillow copies the value of every entry of a directory, and nothing keeps thousands of entries from pointing to the
    same megabytes. BigTIFF, made for files of over 4 GB, is refused.

    Returns:
        tag → first number of its value, of the first directory; and under `NEXT` where the second begins, 0 for none.
    """
    order = "<" if data.startswith(b"II") else ">"
    if 43 in data[2:4]:
        raise ValueError("This is a BigTIFF.")
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    held, directories, ahead = 0, {}, [start]
    while ahead:
        start = ahead.pop()
        if start in directories or start + 2 > len(data):
            continue
        directories[start] = numbers = {}
        for tag, kind, count, value in _entries(data, start, order):
            if count > MAX_NUMBERS and (tag in _PLACES or kind not in _BYTE_TYPES):
                raise ValueError(f"Entry {tag} of the TIFF holds {count} numbers.")
            size = count * _SIZE_OF_TYPE.get(kind, 0)
            held += size if size > 4 else 0
            if held > len(data):
                raise ValueError("The entries of the TIFF hold more than the file.")
            numbers[tag] = _first_number(data, kind, size, value, order)
            if tag in _DIRECTORIES:
                ahead.append(numbers[tag])
        check_tiles(numbers)
        end = start + 2 + 12 * struct.unpack_from(f"{order}H", data, start)[0]
        numbers[NEXT] = int.from_bytes(data[end : end + 4], "little" if order == "<" else "big")
    return next(iter(directories.values()), {})


def _first_number(data, kind, size, value, order):
    """The first number of an entry, where it holds integers. value: its four bytes, or where they begin."""
    if size > 4:
        (place,) = struct.unpack(f"{order}I", value)
        value = data[place : place + 4].ljust(4, b"\0")
    return struct.unpack(f"{order}HH" if kind == 3 else f"{order}I", value)[0]


def _entries(data, start, order):
    """(tag, type, count, the four bytes of value or offset) of each entry of the directory at `start`."""
    (entries,) = struct.unpack_from(f"{order}H", data, start)
    content = data[start + 2 : start + 2 + 12 * entries]
    return struct.iter_unpack(f"{order}HHI4s", content[: len(content) // 12 * 12])


def check_tiles(numbers):
    """A tile may be larger than the picture, as one tile is the least; but not by far. numbers: tag → its first."""
    for tile, side in zip(_TILE, (256, 257), strict=True):
        if numbers.get(tile, 0) > max(1024, 2 * numbers.get(side, 0)):
            raise ValueError("The tiles of the TIFF are larger than its picture.")
