"""What happens when a visitor does something. Radiographs are read here, so that a GPU is held for computing only."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr

from .. import __version__
from ..analysis import UPRIGHT, Correction
from ..checks.geometry import apply_correction, correct_pixels
from ..reading.radiograph import RadiographError, load_radiograph
from .examples import examples_html
from .gpu import on_gpu
from .view.answer import answer_html, message_html
from .view.comparison import comparison_html
from .view.downloads import FILES, file_html
from .view.phrases import GROUPS
from .view.pixels import pixels_html
from .view.render import render
from .view.words import LANGUAGES, words_for

AGES = dict(zip(GROUPS, (3, 12, 40), strict=True))  # years, as the pipeline takes them


@dataclass(frozen=True)
class Asked:
    """What is asked about a radiograph.

    correction: how the visitor sets it right first.
    who: whom it is of, one of `GROUPS`, or None.
    by_hand: whether the visitor decides how it lies; else it is set right by itself where it has to be.
    set_right: how it was, in the answer that is shown.
    """

    correction: Correction = UPRIGHT
    who: str | None = None
    by_hand: bool = False
    set_right: Correction = UPRIGHT


def words_of(request):
    """The `Words` of the language that the address asks for (?lang=CODE), else of the browser's."""
    if not request:
        return words_for(None)
    return LANGUAGES.get(request.query_params.get("lang")) or words_for(request.headers.get("accept-language"))


class Handlers:
    """Each method answers one event of the page.

    Args:
        pipe: `LungFusionPipeline`.
        examples: `Examples`.
        model: what the model is called in downloads.
    """

    def __init__(self, pipe, examples, model="bundled"):
        def analyse(radiograph):
            return pipe(radiograph)

        def explain(radiograph, age, correct):
            return pipe.analyse_and_explain(radiograph, age, correct)

        # functions of a radiograph alone: what is given to a lent GPU is copied there
        self.analyse, self.explain = on_gpu(analyse), on_gpu(explain)
        self.findings = pipe.findings
        self.concatenation = getattr(pipe.model.config, "concatenation", "segmenter")
        self.examples = examples
        self.made_by = {"model": model, "version": __version__}
        self.measured = {
            "reference_scores": getattr(pipe.model.config, "reference_scores", {}),
            "limits": pipe.limits,
        }

    def analyze_chest_xray(self, radiograph):
        """Analyse a frontal chest X-ray (PNG, JPEG, TIFF, DICOM, …). For research and education; not a medical device.

        Args:
            radiograph: a data: URI, or …/gradio_api/file=PATH of what was sent to /gradio_api/upload; no other address

        Returns:
            findings (each with its calibrated probability, its level, the threshold from which it counts as detected,
            and how often the model is right at it), warnings (no findings are told where the image is unfit), the
            lungs' area, and the model and version that answered.
        """
        try:
            return self.analyse(load_radiograph(radiograph)).to_dict() | self.made_by
        except RadiographError as error:
            raise gr.Error(str(error), print_exception=False) from error

    # One radiograph: outputs of the first four are those of `begun`

    def begun(self, path, request):
        """The page as a radiograph arrives, or as it begins anew without one: no stale answer may stand beside it.

        Returns:
            an empty field (so that the next file finds it), path, welcome, answer, `Asked`, steps.
        """
        # a moment, for a browser leaves HTML alone that is as before, with what became of it
        busy = render("busy.html", words=words_of(request), moment=time.monotonic_ns()) if path else ""
        return None, path, gr.Markdown(visible=not path), gr.HTML(busy, visible=bool(path)), Asked(), ""

    def received(self, path, request: gr.Request):
        """A file is here."""
        return self.begun(path, request)

    def chosen(self, event: gr.EventData, request: gr.Request):
        """An example, by its button."""
        return self.begun(self.examples.path(event.example), request)

    def restarted(self, request: gr.Request):
        """The page anew."""
        return self.begun(None, request)

    def opened(self, request: gr.Request):
        """What a page begins with: the example its address asks for (?example=NAME), and real ones if there are any."""
        name, fetched = request.query_params.get("example"), self.examples.fetched
        path = self.examples.path(name)
        begun = list(self.begun(path, request))
        if name and path is None:
            words = words_of(request)
            begun[3] = gr.HTML(render("error.html", words=words, sentence=words("no_example")), visible=True)
        real = gr.Markdown(visible=bool(fetched)), gr.HTML(examples_html(fetched), visible=bool(fetched))
        return *begun, *real

    def answered(self, path, asked, request: gr.Request):
        """The answer for the file at `path`, turned or inverted first; and what was asked."""
        words = words_of(request)
        if path is None:
            return gr.skip(), gr.skip()
        try:
            radiograph = apply_correction(load_radiograph(path), asked.correction)
            analysis, saliency = self.explain(radiograph, AGES.get(asked.who), not asked.by_hand)
        except RadiographError as error:
            known = Path(path).exists()
            return render("error.html", words=words, sentence=words.error(error) if known else words("deleted")), asked
        said = {"correction": asked.correction, "who": asked.who, "by_hand": asked.by_hand}
        answer = answer_html(words, analysis, saliency, truth=self.examples.truth(path), **said, **self.measured)
        return answer, replace(asked, set_right=analysis.correction)

    def asked_again(self, path, event: gr.EventData, request: gr.Request):
        """The answer for the same radiograph as a button of the answer wants it, and what is asked now."""
        if path is None or not Path(path).exists():
            gr.Warning(words_of(request)("deleted"))
            return gr.skip(), gr.skip()
        turned = Correction(180 - (180 - int(event.angle)) % 360, bool(event.invert))
        by_hand, who = bool(event.by_hand), event.who if event.who in GROUPS else None
        return self.answered(path, Asked(turned if by_hand else UPRIGHT, who, by_hand), request)

    def wanted(self, path, asked, event: gr.EventData, request: gr.Request):
        """What the answer that is shown asks for, of the same radiograph: a file to take home, or all pixels.

        Returns:
            pixels, file (HTML); nothing once the radiograph is deleted.
        """
        if event.file in FILES:
            return gr.skip(), self.file(path, asked, event, words_of(request))
        try:
            radiograph = apply_correction(load_radiograph(path), asked.correction)
        except RadiographError:
            return gr.skip(), gr.skip()
        return pixels_html(correct_pixels(radiograph.pixels, asked.set_right)[0]), gr.skip()

    def file(self, path, asked, event, words):
        try:
            radiograph = apply_correction(load_radiograph(path), asked.correction)
        except RadiographError:
            gr.Warning(words("deleted"))
            return file_html(event.file, int(event.number))
        analysis, saliency = self.explain(radiograph, AGES.get(asked.who), not asked.by_hand)
        of_answer = words, analysis, asked.correction, self.made_by, saliency
        return file_html(event.file, int(event.number), *of_answer)

    # Two

    def compared(self, first, second, request: gr.Request):
        """Two radiographs, the second laid over the first; of one alone, what to do next."""
        words = words_of(request)
        if not first and not second:
            return ""
        try:
            analyses = [path and self.analyse(load_radiograph(path)) for path in (first, second)]
        except RadiographError as error:
            return message_html(words.error(error))
        return comparison_html(words, *analyses)

    def compare_with(self, path):
        """The radiograph of the first tab as the first of two, and that tab in front."""
        return path, None, gr.Tabs(selected="compare")
