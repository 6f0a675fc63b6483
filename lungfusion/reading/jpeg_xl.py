"""JPEG XL (ISO/IEC 18181-1): how large a picture is, by its header; and its pixels, once that is bearable."""

from itertools import count

import imagecodecs
import numpy as np

from .errors import check_size, refusal
from .headers import box_content

SIGNATURE, BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL "
HEADER = 32  # bytes that hold what is read of it
RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}  # of width to height
LENGTHS = (9, 13, 18, 30)  # bits of a side


def decode_jpeg_xl(data: bytes) -> np.ndarray:
    """A file of one still picture → (H, W) or (H, W, C), of uint8, uint16, float16 or float32, upright."""
    width, height, animated = read_header(data)
    check_size(width, height)
    if animated:
        raise refusal("several_pictures")
    return imagecodecs.jpegxl_decode(data, index=0, numthreads=1)


def read_header(data: bytes) -> tuple[int, int, bool]:
    """(width, height, whether it is an animation) that the file announces: SizeHeader and ImageMetadata, D.2 and D.3.

    Raises:
        ValueError: it announces none.
    """
    stream = codestream(data)
    if stream[:2] != SIGNATURE:
        raise ValueError("The codestream does not begin as one of JPEG XL.")
    bits, places = int.from_bytes(stream[2:], "little"), count()

    def read(length):
        return sum((bits >> next(places) & 1) << i for i in range(length))

    def read_size():
        in_eights = read(1)

        def side():
            return 8 * (read(5) + 1) if in_eights else read(LENGTHS[read(2)]) + 1

        height, ratio = side(), read(3)
        across, down = RATIOS.get(ratio, (0, 1))
        return (height * across // down if ratio else side()), height

    width, height = read_size()
    animated = False
    if not read(1) and read(1):  # neither all by default, nor without the rarer fields
        read(3)  # orientation
        if read(1):
            read_size()  # that it is meant to be shown in
        animated = bool(read(1) or read(1))  # a preview is a second picture as well
    return width, height, animated


def codestream(data: bytes) -> bytes:
    """Its first HEADER bytes; in a file of boxes, those of the first that holds any of it."""
    if not data.startswith(BOXES):
        return data[:HEADER]
    start, kind = box_content(data, (b"jxlc", b"jxlp"))
    start += 4 if kind == b"jxlp" else 0  # a part of it, behind its number
    return data[start : start + HEADER]
