"""The tab that teaches: the walk of one radiograph through the model, a brush that covers a part, people, a quiz."""

from types import SimpleNamespace

import gradio as gr
import numpy as np

from ..reading.radiograph import RadiographError, load_radiograph
from .handlers import words_of
from .view.answer import message_html
from .view.people import people_html
from .view.quiz import begin_html, question_html, verdict_html
from .view.steps import covered_html, steps_html
from .view.viewer import to_analysed_geometry

MAX_CELLS = 64  # rows and columns of what a brush covers


class Lessons:
    """The events of the tab.

    Args:
        pipe: `LungFusionPipeline`.
        handlers: `Handlers`.
    """

    def __init__(self, pipe, handlers):
        self.config, self.evidence, self.findings = pipe.model.config, pipe.evidence, pipe.findings
        self.handlers = handlers

    def stepped(self, path, asked, request: gr.Request):
        """The way of the same radiograph through the model.

        Returns:
            the hint, seen without a radiograph; the walk.
        """
        words = words_of(request)
        if path is None or not self.findings:
            return gr.Markdown(visible=True), ""
        try:
            analysis, saliency = self.handlers.answers.analysed(path, asked)
            trace = self.handlers.answers.traced(path, asked)
        except RadiographError as error:
            return gr.Markdown(visible=False), message_html(words.error(error))
        return gr.Markdown(visible=False), steps_html(words, trace, *to_analysed_geometry(analysis, saliency))

    def covered(self, path, asked, event: gr.EventData, request: gr.Request):
        """The scores with a part of the radiograph covered."""
        words = words_of(request)
        if path is None:
            return ""
        try:
            analysis, _ = self.handlers.answers.analysed(path, asked)
            scores = self.handlers.answers.covered(path, asked, cells(event.covered))
        except RadiographError as error:
            return message_html(words.error(error))
        told = [finding.name for finding in analysis.findings if finding.probability is not None]
        return covered_html(words, scores, told)

    def people(self, request: gr.Request):
        """100 people under a threshold that can be moved; nothing where no scores ship with the checkpoint."""
        html = people_html(words_of(request), self.config, self.evidence) if self.findings else ""
        return gr.HTML(html, visible=bool(html))

    def quiz(self, request: gr.Request):
        """The quiz before its first question; nothing without examples whose truth is known."""
        known = self.findings and self.handlers.examples.known()
        return gr.HTML(begin_html(words_of(request)) if known else "", visible=bool(known))

    def asked(self, event: gr.EventData, request: gr.Request):
        """The quiz goes on: the next question, or what is true once the visitor has guessed."""
        words, known = words_of(request), self.handlers.examples.known()
        number, guess = int(event.number), event.guess
        score = {name: int(event.score.get(name, 0)) for name in ("asked", "visitor", "model")}
        example = known[number % len(known)]
        radiograph = load_radiograph(example.path)
        if guess not in ("clear", "sign"):
            return question_html(words, example, radiograph, number, len(known), score)
        analysis, _ = self.handlers.answers.analysed(example.path)
        return verdict_html(words, example, analysis, guess, number, len(known), score)


def cells(sent):
    """What a brush has covered, "0" and "1" of a square row by row → (n, n) bool.

    Raises:
        ValueError: it is no such square.
    """
    side = round(len(sent) ** 0.5)
    if not 0 < side <= MAX_CELLS or side * side != len(sent) or set(sent) - {"0", "1"}:
        raise ValueError(f"A brush covers a square of at most {MAX_CELLS} × {MAX_CELLS} places, as 0 and 1.")
    return np.array([place == "1" for place in sent]).reshape(side, side)


def lessons_tab(texts, lessons, scripts):
    """The tab's components.

    Args:
        texts: `Texts`.
        lessons: `Lessons`.
        scripts: of the walk, the people and the quiz, JavaScript.

    Returns:
        hint, shown (the walk), covered, people, quiz: components.
    """
    plain = {"apply_default_css": False}
    return SimpleNamespace(
        hint=texts("steps_hint" if lessons.findings else "steps_none", gr.Markdown),
        shown=gr.HTML(js_on_load=scripts[0], **plain),
        covered=gr.HTML(elem_id="covered", **plain),
        quiz=gr.HTML(visible=False, js_on_load=scripts[2], **plain),
        people=gr.HTML(visible=False, js_on_load=scripts[1], **plain),
    )


def connect_lessons(demo, lessons, tab, parts, path, asked, once):
    """The tab's events.

    Args:
        demo: `gr.Blocks`.
        lessons: `Lessons`.
        tab: `gr.Tab`.
        parts: what `lessons_tab` gave.
        path, asked: states that hold the radiograph and what is asked about it.
        once: settings of an event whose last call alone counts.
    """
    unqueued = {"queue": False, "api_visibility": "private"}
    tab.select(lessons.stepped, [path, asked], [parts.hint, parts.shown], **once)
    demo.load(lessons.people, None, parts.people, **unqueued)
    demo.load(lessons.quiz, None, parts.quiz, **unqueued)
    every = once | {"trigger_mode": "multiple"}  # else Gradio would replay an earlier one's data
    parts.shown.submit(lessons.covered, [path, asked], parts.covered, show_progress="hidden", **every)
    parts.quiz.submit(lessons.asked, None, parts.quiz, show_progress="hidden", **every)
