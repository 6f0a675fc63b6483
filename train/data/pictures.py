"""The pictures of a row: bytes, masks as arrays, and which can't be read."""

from io import BytesIO
from pathlib import Path

import numpy as np
from datasets import Features, Value
from PIL import Image

from lungfusion import RadiographError, load_radiograph

FEW = 500  # images that one process decodes sooner than several begin to


def image_bytes(image):
    return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()


def load_image(image):
    """A row's picture → `Radiograph`.

    Raises:
        RadiographError: there is none, or it can't be read; the message says why.
    """
    if image is None:
        raise RadiographError("the row holds no image")
    try:
        return load_radiograph(image_bytes(image))
    except (RadiographError, OSError) as error:
        raise RadiographError(str(error).removeprefix("bytes: ")) from error


def read_mask(image):
    """A mask's picture → (H, W) float32, 1 in the lungs and 0 elsewhere.

    Lung is what is brighter than half of the brightest pixel: masks are stored as 0 and 255 or 0 and 1, and some of
    them as JPEG. An all-black mask is empty.
    """
    with Image.open(BytesIO(image_bytes(image))) as picture:
        pixels = np.asarray(picture.convert("L"))
    return (pixels > pixels.max() / 2).astype(np.float32)


def reading_errors(data, workers=None):
    """Why each row's radiograph, or its mask, can't be decoded: a list of str, None where they can.

    Every one is decoded once; `datasets` keeps the answer on disk.

    Args:
        data: `datasets.Dataset` with undecoded `image` and perhaps `mask`.
        workers: processes.
    """
    if not len(data):
        return []
    pictures = data.select_columns([name for name in ("image", "mask") if name in data.column_names])
    return pictures.map(
        reading_error,
        features=Features({"error": Value("string")}),
        remove_columns=pictures.column_names,
        num_proc=(workers or None) if len(data) > FEW else None,
        desc="Checking radiographs",
    )["error"]


def reading_error(row):
    try:
        load_radiograph(image_bytes(row["image"]))
    except Exception as error:  # decoders raise nearly anything over a broken file
        return {"error": "there is no image." if row["image"] is None else str(error).removeprefix("bytes: ")}
    try:
        if row.get("mask") is not None:
            read_mask(row["mask"])
    except Exception:
        return {"error": "its mask is damaged or not a picture"}
    return {"error": None}
