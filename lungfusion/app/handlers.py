"""What happens when a visitor does something. Radiographs are read here, so that a GPU is held for computing only."""

import time
from pathlib import Path

import gradio as gr

from .. import __version__
from ..analysis import UPRIGHT, Correction
from ..reading.radiograph import RadiographError
from .answers import Answers, Request
from .front import words_of
from .gradio_compat import KEPT_MINUTES
from .view.answer import answer_html, message_html
from .view.comparison import comparison_html
from .view.downloads import FILES, file_html
from .view.phrases import GROUPS
from .view.render import render
from .view.start import start_html
from .view.viewer import pixels_html, to_analysed_geometry


class Handlers:
    """Each method answers one event of the page.

    Args:
        pipe: `LungFusionPipeline`.
        examples: `Examples`.
        model: what the model is called in downloads.
    """

    def __init__(self, pipe, examples, model="bundled"):
        self.answers = Answers(pipe)
        self.findings = pipe.findings
        self.concatenation = getattr(pipe.config, "concatenation", "segmenter")
        self.examples = examples
        self.made_by = {"model": model, "version": __version__}
        self.limits, self.anything = pipe.limits, pipe.evidence.anything

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
            return self.answers.analysed(radiograph)[0].to_dict() | self.made_by
        except RadiographError as error:
            raise gr.Error(str(error), print_exception=False) from error

    # One radiograph: outputs of the first four are those of `reset_outputs`

    def reset_outputs(self, path, request):
        """The page as a radiograph arrives, or as it begins anew without one: no stale answer may stand beside it.

        Returns:
            an empty field (so that the next file finds it), path, start, answer, `Request`, steps.
        """
        # a moment, for a browser leaves HTML alone that is as before, with what became of it
        busy = render("busy.html", words=words_of(request), moment=time.monotonic_ns()) if path else ""
        return None, path, gr.HTML(visible=not path), gr.HTML(busy, visible=bool(path)), Request(), ""

    def on_upload(self, path, request: gr.Request):
        """A file is here."""
        return self.reset_outputs(path, request)

    def on_example(self, event: gr.EventData, request: gr.Request):
        """An example, by its button."""
        return self.reset_outputs(self.examples.path(event.example), request)

    def on_restart(self, request: gr.Request):
        """The page anew."""
        return self.reset_outputs(None, request)

    def on_open(self, request: gr.Request):
        """What a page begins with: the example its address asks for (?example=NAME); else nothing changes, for
        a visitor may have sent a picture already.
        """
        name, words = request.query_params.get("example"), words_of(request)
        if not name:
            return [gr.skip()] * 6
        path = self.examples.path(name)
        outputs = list(self.reset_outputs(path, request))
        if name and path is None:
            outputs[3] = gr.HTML(render("error.html", words=words, sentence=words("no_example")), visible=True)
            outputs[2] = gr.HTML(visible=False)
        return outputs

    def start(self, words):
        """The first screen, with what the model says of the examples by now."""
        return start_html(words, self.examples, "pitch_more" if self.findings else "pitch_lungs", KEPT_MINUTES)

    def answered(self, path, asked, request: gr.Request):
        """The answer for the file at `path`, as `asked` (a `Request`) wants it."""
        words = words_of(request)
        if path is None:
            return gr.skip()
        try:
            analysis, saliency = self.answers.analysed(path, asked)
        except RadiographError as error:
            known = Path(path).exists()
            return render("error.html", words=words, sentence=words.error(error) if known else words("deleted"))
        said = {"correction": asked.correction, "who": asked.who, "by_hand": asked.by_hand}
        said |= {"truth": self.examples.truth(path), "limits": self.limits, "anything": self.anything}
        return answer_html(words, analysis, saliency, **said)

    def asked_again(self, path, event: gr.EventData, request: gr.Request):
        """The answer for the same radiograph as a button of the answer wants it, and what is asked now: a `Request`."""
        if path is None or not Path(path).exists():
            gr.Warning(words_of(request)("deleted"))
            return gr.skip(), gr.skip()
        angle = 180 - (180 - int(event.angle)) % 360
        turned = Correction(angle, bool(event.invert), mirror=bool(event.mirror))
        by_hand, who = bool(event.by_hand), event.who if event.who in GROUPS else None
        asked = Request(turned if by_hand else UPRIGHT, who, by_hand)
        return self.answered(path, asked, request), asked

    def on_file_request(self, path, asked, event: gr.EventData, request: gr.Request):
        """What the answer that is shown asks for, of the same radiograph: a file to take home, or all pixels.

        Returns:
            pixels, file (HTML); nothing once the radiograph is deleted.
        """
        words, of_file = words_of(request), event.file in FILES
        try:
            analysis, saliency = self.answers.analysed(path, asked)
        except RadiographError:
            if not of_file:
                return gr.skip(), gr.skip()
            gr.Warning(words("deleted"))
            return gr.skip(), file_html(event.file, int(event.number))
        if not of_file:
            return pixels_html(to_analysed_geometry(analysis)[0].radiograph.pixels), gr.skip()
        of_answer = words, analysis, asked.correction, self.made_by, saliency, self.anything
        return gr.skip(), file_html(event.file, int(event.number), *of_answer)

    # Two

    def compared(self, first, second, request: gr.Request):
        """Two radiographs, the second laid over the first; of one alone, what to do next."""
        words = words_of(request)
        if not first and not second:
            return ""
        try:
            analyses = [path and self.answers.analysed(path)[0] for path in (first, second)]
        except RadiographError as error:
            return message_html(words.error(error))
        return comparison_html(words, *analyses)

    def compare_with(self, path):
        """The radiograph of the first tab as the first of two, and that tab in front."""
        return path, None, gr.Tabs(selected="compare")
