"""The web app: a page around the pipeline, and the same as an API and an MCP server. Start it with `python app.py`."""

import contextlib
import gc
import os
import signal
from pathlib import Path

gc.disable()  # what the imports make stays: to look for garbage among it would delay the page by a second

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  lends a GPU on Hugging Face Spaces; it has to come before torch

from lungfusion.app import gradio_compat  # noqa: F401  before whatever else imports Gradio, which starts sooner then
from lungfusion.app.examples import Examples
from lungfusion.app.handlers import Handlers
from lungfusion.app.page import build_page, launch
from lungfusion.app.startup import PromisedPipeline, compile_in_background, load_or_bundled

MODEL = os.environ.get("LUNGFUSION_MODEL")  # a folder, or an id on the Hub; the bundled checkpoint if not given
# The page is served before the weights are there, but where the Hub is to be asked for them, which may not answer; on
# Spaces, where a GPU is lent to what lies on it from the start; and where others serve the page.
LATER = __name__ == "__main__" and "SPACE_ID" not in os.environ and (not MODEL or Path(MODEL).exists())

pipe, asked_for = (PromisedPipeline(MODEL), True) if LATER else load_or_bundled(MODEL)
examples = Examples(Path(__file__).parent / "examples" / "radiographs")
handlers = Handlers(pipe, examples, model=MODEL if MODEL and asked_for else "bundled")
demo = build_page(pipe, handlers, MODEL, asked_for)
gc.freeze()
gc.enable()


def prepare():
    """What the page need not wait for."""
    if LATER:
        pipe.load()
    compile_in_background(pipe)
    examples.prepare_in_background(handlers.answers.explain)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    launch(demo, examples, prepare)
