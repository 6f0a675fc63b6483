"""The model that a server begins with: the one asked for, or the bundled one while that can't be reached."""

import logging
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from ..allocator import keep_freed_memory
from ..checks.input_checks import Limits
from ..evidence import Evidence
from ..loading import load_config
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


class PromisedPipeline:
    """A `LungFusionPipeline` before its weights are there: what a page says of it is known from its config.json and
    evidence.json; whatever else is asked of it waits until `load` is done.

    Args:
        folder: of the checkpoint; the bundled one if None.

    Raises:
        OSError: the folder holds no model.
        ValueError: what is there is no LungFusion checkpoint.
    """

    def __init__(self, folder=None):
        keep_freed_memory()
        self.folder, self.pipe = folder, Future()
        self.config, self.evidence = load_config(folder), Evidence.from_pretrained(folder)
        self.findings = tuple(getattr(self.config, "shown", ()))
        self.limits = Limits(**getattr(self.config, "segmenter", self.config).input_limits)

    def load(self):
        """Load the weights; raises what `LungFusionPipeline.from_pretrained` does."""
        try:
            self.pipe.set_result(LungFusionPipeline.from_pretrained(self.folder))
        except BaseException as error:
            self.pipe.set_exception(error)  # who waits would keep the process from ending
            raise

    def __call__(self, *args, **settings):
        return self.pipe.result()(*args, **settings)

    def __getattr__(self, name):
        return getattr(self.pipe.result(), name)


def compile_in_background(pipe):
    """Compile the model while the page is served, and torch answers: else the third visitor would wait for it."""
    thread = Thread(target=pipe.compile)
    thread.start()
    return thread
