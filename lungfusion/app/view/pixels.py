"""All pixels of a radiograph for the browser, as deep as they are: viewer.js unpacks and windows them."""

import base64
import zlib

import numpy as np

from ...visualization import reduced
from .render import render

DEEP_SIDE = 2048  # pixels, at most
DEPTHS = (8, 12, 16)  # bits


def pixels_html(pixels):
    """(H, W) float32 in [0, 1] → an element that holds them as whole numbers of the radiograph's own depth."""
    bits = depth(pixels)
    values = np.round(reduced(pixels, DEEP_SIDE).clip(0, 1) * (2**bits - 1)).astype(np.uint16)
    height, width = values.shape
    sent = base64.b64encode(packed(values)).decode()
    return render("pixels.html", key=key(pixels), width=width, height=height, bits=bits, pixels=sent)


def key(pixels):
    """A few letters that tell one radiograph from another."""
    return f"{zlib.crc32(np.ascontiguousarray(pixels)):08x}"


def depth(pixels):
    """The least of `DEPTHS` that holds every grey of (H, W) float in [0, 1]."""
    some = pixels[:: max(1, len(pixels) // 256)]
    for bits in DEPTHS[:-1]:
        values = some * (2**bits - 1)
        if np.abs(values - np.round(values)).max() < 0.02:
            return bits
    return DEPTHS[-1]


def packed(values):
    """(h, w) uint16 → bytes: differences along each row, the lower bytes before the higher ones, deflated."""
    steps = np.diff(values, axis=1, prepend=np.zeros((len(values), 1), np.uint16))
    return zlib.compress((steps & 255).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes(), 1)
