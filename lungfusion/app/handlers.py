"""What happens when a visitor does something. Radiographs are read here, so that a GPU is held for computing only."""

from pathlib import Path

import gradio as gr

from ..analysis import Correction
from ..checks.orientation import UPRIGHT, apply_correction
from ..reading.archive import radiographs_in
from ..reading.radiograph import RadiographError, load_radiograph
from .examples import examples_html
from .gpu import on_gpu
from .trace import walk
from .view.answer import answer_html, message_html
from .view.batch import batch_row, batch_table, csv_html
from .view.comparison import comparison_html
from .view.render import render
from .view.steps import steps_html
from .view.words import words_for

NARROW, WIDE = 120, 180  # pixels, of columns


def words_of(request):
    """The `Words` of the visitor's language."""
    return words_for(request.headers.get("accept-language") if request else None)


class Handlers:
    """Each method answers one event of the page.

    Args:
        pipe: `LungFusionPipeline`.
        examples: `Examples`.
    """

    def __init__(self, pipe, examples):
        def analyse(radiograph):
            return pipe(radiograph)

        def explain(radiograph):
            return pipe.analyse_and_explain(radiograph)

        def trace(radiograph):
            return walk(pipe, radiograph)

        # functions of a radiograph alone: what is given to a lent GPU is copied there
        self.analyse, self.explain, self.trace = on_gpu(analyse), on_gpu(explain), on_gpu(trace)
        self.findings = pipe.findings
        self.examples = examples

    def analyze_chest_xray(self, radiograph):
        """Analyse a frontal chest X-ray (PNG, JPEG, TIFF, DICOM, …). For research and education; not a medical device.

        Args:
            radiograph: a PNG, JPEG, WebP, TIFF, BMP or DICOM file.

        Returns:
            findings (each with its calibrated probability, the threshold from which it counts as detected, and how
            often the model is right at it), warnings (no findings are told where the image is unfit), and the lungs'
            area.
        """
        try:
            return self.analyse(load_radiograph(radiograph)).to_dict()
        except RadiographError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def cleared(self, path, request: gr.Request):
        """The page as a new file arrives, or as the old one is taken away: no stale answer may stand beside it."""
        busy = render("busy.html", sentence=words_of(request)("busy"))
        return gr.Markdown(visible=path is None), gr.HTML(busy, visible=path is not None), UPRIGHT, ""

    def answered(self, path, correction, request: gr.Request):
        """The answer for the file at `path`, turned or inverted first."""
        words = words_of(request)
        if path is None:
            return ""
        try:
            analysis, saliency = self.explain(apply_correction(load_radiograph(path), correction))
        except RadiographError as error:
            known = Path(path).exists()
            return message_html(f"{error}." if known else words("deleted"))
        return answer_html(words, analysis, saliency, correction)

    def corrected(self, path, event: gr.EventData, request: gr.Request):
        """The answer for the radiograph as a button of the answer wants it, and that correction."""
        angle, invert = int(event.angle), bool(event.invert)
        correction = Correction(180 - (180 - angle) % 360, invert)
        return self.answered(path, correction, request), correction

    def stepped(self, path, correction, request: gr.Request):
        """The way of the same radiograph through the model."""
        words = words_of(request)
        if path is None or not self.findings:
            return gr.Markdown(visible=True), ""
        try:
            steps = self.trace(apply_correction(load_radiograph(path), correction))
        except RadiographError:
            return gr.Markdown(visible=True), ""
        return gr.Markdown(visible=False), steps_html(words, steps)

    def compared(self, first, second, request: gr.Request):
        """Two radiographs side by side, once both are there."""
        if not first or not second:
            return ""
        try:
            analyses = [self.analyse(load_radiograph(path)) for path in (first, second)]
        except RadiographError as error:
            return message_html(f"{error}.")
        return comparison_html(words_of(request), *analyses)

    def analysed_all(self, paths, request: gr.Request, progress=gr.Progress()):  # noqa: B008 (Gradio's way)
        """A table of many files, the bad ones with their reason, and a link that saves it."""
        words, rows = words_of(request), []
        if not paths:
            return gr.Dataframe(visible=False), ""
        try:
            radiographs = radiographs_in(paths)
        except RadiographError as error:
            return gr.Dataframe(visible=False), message_html(f"{error}.")
        for name, read in progress.tqdm(radiographs, desc=words("batch_progress"), unit=""):
            try:
                rows.append(batch_row(words, name, self.analyse(load_radiograph(read()))))
            except RadiographError as error:
                rows.append(batch_row(words, name, error=str(error).split(": ", 1)[-1]))
        titles, cells = batch_table(words, self.findings, rows)
        table = {"headers": titles, "data": cells}
        widths = [WIDE, WIDE, WIDE, *[NARROW] * len(self.findings), 2 * WIDE]
        shown = gr.Dataframe(table, label=words("batch_title"), column_widths=widths, visible=True)
        return shown, csv_html(words, titles, cells)

    def opened(self, request: gr.Request):
        """What a page begins with: the example its address asks for (?example=NAME), and real ones if there are any."""
        path = self.examples.path(request.query_params.get("example")) or gr.skip()
        fetched = self.examples.fetched
        return path, gr.Markdown(visible=bool(fetched)), gr.HTML(examples_html(fetched), visible=bool(fetched))

    def chosen(self, event: gr.EventData):
        """An example, by its button."""
        return self.examples.path(event.example)
