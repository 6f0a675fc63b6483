"""The image processor keeps a picture's depth, whatever the order of its bytes or its mode."""

import numpy as np
import pytest
import torch
from PIL import Image

from examples.phantom import draw_phantom
from lungfusion import LungFusionImageProcessor

PIXELS, _ = draw_phantom(seed=0, size=96)
DEEP = (PIXELS * 4095).astype(np.uint16)
GREY = Image.fromarray((PIXELS * 255).astype(np.uint8))


def opaque(mode):
    image = GREY.convert(mode)
    image.putalpha(255)
    return image


DEEP_IMAGES = {
    "I;16": Image.fromarray(DEEP),
    "I;16B": Image.frombytes("I;16B", (96, 96), DEEP.astype(">u2").tobytes()),
    "I": Image.fromarray(DEEP.astype(np.int32)),
    "F": Image.fromarray(DEEP.astype(np.float32)),
    "big endian": DEEP.astype(">u2"),
    "big endian float": DEEP.astype(">f4"),
    "unsigned of 32 bits": DEEP.astype(np.uint32),
    "double": DEEP.astype(np.float64),
    "three channels": np.stack([DEEP] * 3, axis=-1),
    "flipped twice": DEEP[::-1].copy()[::-1],
    "tensor": torch.from_numpy(DEEP.astype(np.int32)),
}
FLAT_IMAGES = {mode: GREY.convert(mode) for mode in ("L", "P", "RGB", "CMYK", "YCbCr")} | {
    mode: opaque(mode) for mode in ("LA", "RGBA")
}


@pytest.fixture(scope="module")
def processor():
    return LungFusionImageProcessor(size={"height": 64, "width": 64})


@pytest.mark.parametrize("image", DEEP_IMAGES.values(), ids=DEEP_IMAGES)
def test_deep_pictures_keep_their_depth(image, processor):
    expected = processor(DEEP.astype(np.float32))["pixel_values"]
    assert torch.allclose(processor(image)["pixel_values"], expected, atol=1e-4)


@pytest.mark.parametrize("image", FLAT_IMAGES.values(), ids=FLAT_IMAGES)
def test_8_bit_pictures_of_any_mode_are_the_same(image, processor):
    expected = processor(np.asarray(GREY))["pixel_values"]
    assert torch.allclose(processor(image)["pixel_values"], expected, atol=0.02)
