"""Which weights a table or a prediction is of, and how many they are."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import safe_open
from transformers.utils import cached_file

from lungfusion.loading import BUNDLED

WEIGHTS = "model.safetensors"


def weights_digest(model=None):
    """SHA-256 of a model's weights file, as hexadecimal digits.

    Args:
        model: folder, or id on the Hub, which has been loaded before; the bundled checkpoint if None.
    """
    with Path(cached_file(str(model or BUNDLED), WEIGHTS)).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def weights_in(run):
    """How many numbers the model of a run holds."""
    with safe_open(run / "model" / WEIGHTS, "np") as weights:
        shapes = [weights.get_slice(key).get_shape() for key in weights.keys()]  # noqa: SIM118 (it is no dict)
    return int(sum(np.prod(shape) for shape in shapes))
