"""All pixels of a radiograph as the browser gets them."""

import base64
import re
import zlib

import numpy as np
import pytest

from lungfusion.app.view.viewer import depth, key, pixels_html


def unpacked(html):
    """What viewer.js makes of it."""
    sent = dict(re.findall(r'data-(\w+)="([^"]*)"', html))
    planes = np.frombuffer(zlib.decompress(base64.b64decode(sent["pixels"])), np.uint8).reshape(2, -1).astype(np.uint16)
    steps = (planes[0] + (planes[1] << 8)).reshape(int(sent["height"]), int(sent["width"]))
    return np.cumsum(steps, axis=1, dtype=np.uint16), sent


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_grey_arrives(bits):
    values = np.random.default_rng(0).integers(0, 2**bits, (70, 90))
    pixels = (values / (2**bits - 1)).astype(np.float32)
    found, sent = unpacked(pixels_html(pixels))
    assert int(sent["bits"]) == bits == depth(pixels)
    assert np.array_equal(found, values)
    assert sent["key"] == key(pixels) != key(1 - pixels)


def test_a_large_one_is_reduced_to_2048_pixels():
    pixels = np.tile(np.linspace(0, 1, 3000, dtype=np.float32), (1500, 1))
    found, _ = unpacked(pixels_html(pixels))
    assert found.shape == (1024, 2048)
