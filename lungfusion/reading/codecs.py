"""Codestreams of medical imaging → arrays. Their size is checked before, by `headers`."""

import imagecodecs
import numpy as np

from .headers import check_jpeg, is_jpeg_ls

_END = b"\xff\xd9"


def decode_jpeg(data: bytes) -> np.ndarray:
    """A JPEG of 8 to 16 bits, lossy or lossless, or a JPEG-LS → (H, W) or (H, W, 3) uint8 or uint16."""
    if is_jpeg_ls(data):
        return imagecodecs.jpegls_decode(data + _END)  # CharLS 2.4 may wait for ever for an end that was cut off
    check_jpeg(data)
    return imagecodecs.jpeg_decode(data)
