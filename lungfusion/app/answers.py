"""What the model says of the radiographs that are still here: each is analysed once, however often it is asked for."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from ..analysis import UPRIGHT, Correction
from ..checks.geometry import apply_correction
from ..reading.radiograph import load_radiograph
from .trace import cover, trace_model
from .view.phrases import GROUPS

try:
    import spaces  # lends a GPU for seconds at a time on Hugging Face Spaces (ZeroGPU)
except ImportError:
    spaces = None

GPU_SECONDS = 20  # what one analysis may take of a lent GPU
MOST = 12  # answers and traces that are kept
MOST_PIXELS = 40e6  # of all radiographs that are kept: 160 MB, and their masks as much
SWEEP = 30  # seconds after which is looked whose file is gone
AGES = dict(zip(GROUPS, (3, 12, 40), strict=True))  # years, as the pipeline takes them


@dataclass(frozen=True)
class Request:
    """What is asked about a radiograph.

    correction: how the visitor sets it right first.
    who: whom it is of, one of `GROUPS`, or None.
    by_hand: whether the visitor decides how it lies; else it is set right by itself where it has to be.
    """

    correction: Correction = UPRIGHT
    who: str | None = None
    by_hand: bool = False


class Answers:
    """A small cache around a pipeline: (path of a file, `Request`) → what was computed of it, gone with the file.

    Args:
        pipe: `LungFusionPipeline`.
    """

    def __init__(self, pipe):
        def analyse(radiograph):
            return pipe(radiograph)

        def explain(radiograph, age, correct):
            return pipe.analyse_and_explain(radiograph, age, correct)

        def trace(radiograph, correction):
            return trace_model(pipe, radiograph, correction)

        def covering(image, alpha, covered):
            return cover(pipe, image, alpha, covered)

        # functions of a radiograph alone: what is given to a lent GPU is copied there
        self.analyse, self.explain, self.trace, self.covering = map(on_gpu, (analyse, explain, trace, covering))
        self.kept, self.lock, self.sweeper = OrderedDict(), threading.RLock(), None

    def analysed(self, path, request=Request()):
        """`Analysis` and saliency, as `LungFusionPipeline.analyse_and_explain` gives them.

        Raises:
            RadiographError: the file can't be read as a radiograph, or is gone.
        """

        def compute():
            radiograph = apply_correction(load_radiograph(path), request.correction)
            return self.explain(radiograph, AGES.get(request.who), not request.by_hand)

        return self.once("answer", path, request, compute)

    def traced(self, path, request=Request()):
        """`ModelTrace` of the same radiograph as it was analysed; raises what `analysed` does."""
        analysis, _ = self.analysed(path, request)
        return self.once("trace", path, request, lambda: self.trace(analysis.radiograph, analysis.correction))

    def covered(self, path, request, covered):
        """Finding → (probability before, after) with a part covered; raises what `analysed` does.

        covered: (n, n) bool, as `trace.cover` takes it.
        """
        trace = self.traced(path, request)
        after = self.covering(trace.image, trace.alpha, covered)
        return {name: (before, after[name]) for name, before in trace.probabilities.items()}

    def once(self, kind, path, request, compute):
        """What was computed before, if the file is still there; else it is computed and kept for the next."""
        key = (kind, str(path), request)
        with self.lock:
            self.sweep()
            if key not in self.kept:
                made = compute()
                if not Path(path).exists():
                    return made
                self.kept[key] = made
                self.make_room()
                self.sweep_later()
            self.kept.move_to_end(key)
            return self.kept[key]

    def make_room(self):
        while len(self.kept) > MOST or (len(self.kept) > 1 and self.pixels() > MOST_PIXELS):
            self.kept.popitem(last=False)

    def pixels(self):
        return sum(made[0].radiograph.pixels.size for (kind, *_), made in self.kept.items() if kind == "answer")

    def sweep(self):
        """Forget what was computed of files that are gone."""
        with self.lock:
            for key in [key for key in self.kept if not Path(key[1]).exists()]:
                del self.kept[key]

    def sweep_later(self):
        """Sweep by itself too, for as long as something is kept: a picture is not to outlive its file."""
        if self.sweeper is None:
            self.sweeper = threading.Timer(SWEEP, self.sweep_again)
            self.sweeper.daemon = True
            self.sweeper.start()

    def sweep_again(self):
        with self.lock:
            self.sweeper = None
            self.sweep()
            if self.kept:
                self.sweep_later()


def on_gpu(function):
    """Run it where Spaces lends GPUs; elsewhere the function itself."""
    return spaces.GPU(duration=GPU_SECONDS)(function) if spaces and "SPACE_ID" in os.environ else function
