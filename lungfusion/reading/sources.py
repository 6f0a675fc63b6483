"""What a pipeline is given, read: of a person of a known age, and one that can't be read as an error or an answer."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from .radiograph import RadiographError, load_radiograph

MAX_AGE = 130  # years


def is_several(source):
    """Whether a source is several: what can be gone through and is no picture, file, or row of a data set itself."""
    dimensions = getattr(source, "ndim", 0)
    if dimensions == 4:
        return source.shape[0] != 1  # a batch
    if isinstance(source, np.ndarray):
        return source.dtype.kind in "OSU"  # of paths or pictures
    one = isinstance(source, str | bytes | bytearray | memoryview | os.PathLike | Image.Image | Mapping)
    one = one or hasattr(source, "read") or dimensions > 1  # a file; a tensor
    return not one and (isinstance(source, Iterable) or hasattr(source, "__getitem__"))


def load(source, age=None, errors="raise", where=""):
    """`load_radiograph`, of a person of that age if it is given; where `errors` is `"return"`, it returns what it would
    raise. where: begins the message.
    """
    try:
        radiograph = load_radiograph(source)
    except RadiographError as error:
        if errors == "return":
            return error
        raise RadiographError(f"{where}{error}", error.code, error.values, f"{where}{error.name}") from error
    return radiograph if age is None else replace(radiograph, age=check_age(age))


def check_age(years):
    if not (isinstance(years, int | float | np.number) and 0 <= years <= MAX_AGE):
        raise ValueError(f"The age is {years!r}: give years from 0 to {MAX_AGE}, or None where it is not known.")
    return years
