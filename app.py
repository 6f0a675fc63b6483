"""The web app: a page around the pipeline, and the same as an API and an MCP server. Start it with `python app.py`."""

import contextlib
import gc
import os
import signal
from pathlib import Path

gc.disable()  # what the imports make stays: to look for garbage among it would delay the page by a second

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  lends a GPU on Hugging Face Spaces; it has to come before torch

from lungfusion.app.examples import Examples
from lungfusion.app.handlers import Handlers
from lungfusion.app.page import build_page, launch
from lungfusion.app.startup import compile_in_background, load_or_bundled

MODEL = os.environ.get("LUNGFUSION_MODEL")  # a folder, or an id on the Hub; the bundled checkpoint if not given

pipe, asked_for = load_or_bundled(MODEL)
examples = Examples(Path(__file__).parent / "examples" / "radiographs")
handlers = Handlers(pipe, examples, model=MODEL if MODEL and asked_for else "bundled")
demo = build_page(pipe, handlers, MODEL, asked_for)
gc.freeze()
gc.enable()


def prepare():
    """What the first visitors need not wait for."""
    compile_in_background(pipe)
    examples.prepare_in_background(handlers.answers.explain)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    launch(demo, examples, prepare)
