"""The pictures of a row: bytes, and masks as arrays."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def image_bytes(image):
    return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()


def read_mask(image):
    """A mask's picture → (H, W) float32, 1 in the lungs and 0 elsewhere.

    Lung is what is brighter than half of the brightest pixel: masks are stored as 0 and 255 or 0 and 1, and some of
    them as JPEG. An all-black mask is empty.
    """
    with Image.open(BytesIO(image_bytes(image))) as picture:
        pixels = np.asarray(picture.convert("L"))
    return (pixels > pixels.max() / 2).astype(np.float32)
