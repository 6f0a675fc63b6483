"""The model that a server begins with: the one asked for, or the bundled one while that can't be reached."""

import logging
from pathlib import Path
from threading import Thread

from ..allocator import keep_freed_memory
from ..pipeline import LungFusionPipeline

logger = logging.getLogger(__name__)


def load_or_bundled(name=None):
    """Load a model; where it is on the Hub and can't be had from there, the bundled one, so that the server starts.

    Args:
        name: id on the Hub, or a folder; the bundled checkpoint if None or empty.

    Returns:
        `LungFusionPipeline`, and whether it is the one asked for.

    Raises:
        OSError: the folder holds no model.
        ValueError: what is there is no LungFusion checkpoint.
    """
    keep_freed_memory()
    if not name:
        return LungFusionPipeline.from_pretrained(), True
    try:
        return LungFusionPipeline.from_pretrained(name), True
    except OSError as error:
        if Path(name).exists():
            raise
        logger.warning("%s could not be loaded from the Hub: %s", name, error)
        return LungFusionPipeline.from_pretrained(), False


def compile_in_background(pipe):
    """Compile the model while the page is served, and torch answers: else the third visitor would wait for it."""
    thread = Thread(target=pipe.compile)
    thread.start()
    return thread
