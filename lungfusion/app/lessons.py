"""The tab that teaches: the walk of one radiograph through the model, a brush that covers a part, people, a quiz."""

import json
from types import SimpleNamespace

import gradio as gr
import numpy as np

from ..loading import BUNDLED
from ..models.concatenation import CONCATENATION_MODULES
from ..reading.radiograph import RadiographError, load_radiograph
from .examples import verdict
from .front import PLACEHOLDERS, words_of
from .view.answer import message_html
from .view.people import people_html
from .view.quiz import GUESSES, NO_SCORE, begin_html, question_html, verdict_html
from .view.render import render
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
        self.handlers, self.findings, self.evidence = handlers, pipe.findings, pipe.evidence
        self.worth = worth_of_ways()
        self.thresholds = {name: pipe.config.findings[name].threshold for name in pipe.findings}

    def stepped(self, path, asked, request: gr.Request):
        """The way of the same radiograph through the model.

        Returns:
            the hint, seen without a radiograph; the walk.
        """
        words = words_of(request)
        if path is None or not self.findings:
            return gr.HTML(visible=True), ""
        try:
            analysis, saliency = self.handlers.answers.analysed(path, asked)
            trace = self.handlers.answers.traced(path, asked)
        except RadiographError as error:
            return gr.HTML(visible=False), message_html(words.error(error))
        return gr.HTML(visible=False), steps_html(words, trace, *to_analysed_geometry(analysis, saliency), self.worth)

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
        html = people_html(words_of(request), self.thresholds, self.evidence)
        return gr.HTML(html, visible=bool(html))

    def quiz(self, request: gr.Request):
        """The quiz before its first question, or at the one that the address asks for (?quiz=NUMBER, from 1 on);
        nothing without examples whose truth is known.
        """
        words, known = words_of(request), self.findings and self.handlers.examples.known()
        if not known:
            return gr.HTML(visible=False)
        number = request.query_params.get("quiz", "")
        if number.isdecimal() and 0 < int(number) <= len(known):
            return gr.HTML(self.question(words, int(number) - 1, NO_SCORE), visible=True)
        return gr.HTML(begin_html(words), visible=True)

    def question(self, words, number, score):
        known = self.handlers.examples.known()
        example = known[number % len(known)]
        return question_html(words, example, load_radiograph(example.path), number, len(known), score)

    def asked(self, event: gr.EventData, request: gr.Request):
        """The quiz goes on: the next question, or what is true once the visitor has guessed."""
        words, known = words_of(request), self.handlers.examples.known()
        number, guess = int(event.number), event.guess
        score = {name: int(event.score.get(name, 0)) for name in ("asked", "visitor", "model")}
        if guess not in GUESSES:
            return self.question(words, number, score)
        example = known[number % len(known)]
        analysis, _ = self.handlers.answers.analysed(example.path)
        judged = verdict(example.truth, analysis.findings)
        return verdict_html(words, example, analysis, judged, guess, number, len(known), score)


def worth_of_ways(folder=BUNDLED / "compare_findings"):
    """Way to join image and mask → what it is worth in hospitals left out, see `steps_html`; {} where not measured.

    folder: `Path`, of what `train.compare` wrote of the ways, which is no one model's.
    """
    if not (folder / "compare.json").exists():
        return {}
    rows = json.loads((folder / "compare.json").read_text())
    return {way: rows[way]["sources"]["all left out"]["auc"] for way in CONCATENATION_MODULES if way in rows}


def cells(sent):
    """What a brush has covered, "0" and "1" of a square row by row → (n, n) bool.

    Raises:
        ValueError: it is no such square.
    """
    side = round(len(sent) ** 0.5)
    if not 0 < side <= MAX_CELLS or side * side != len(sent) or set(sent) - {"0", "1"}:
        raise ValueError(f"A brush covers a square of at most {MAX_CELLS} × {MAX_CELLS} places, as 0 and 1.")
    return np.array([place == "1" for place in sent]).reshape(side, side)


def lessons_tab(lessons, scripts):
    """The tab's components.

    Args:
        lessons: `Lessons`.
        scripts: of the walk, the people and the quiz, JavaScript.

    Returns:
        hint, shown (the walk), covered, people, quiz: components.
    """
    plain = {"apply_default_css": False}
    key = "steps_hint" if lessons.findings else "steps_none"
    return SimpleNamespace(
        hint=gr.HTML(render("hint.html", words=PLACEHOLDERS, key=key, cards=lessons.findings), **plain),
        shown=gr.HTML(js_on_load=scripts[0], elem_id="walk", **plain),
        covered=gr.HTML(elem_id="covered", **plain),
        quiz=gr.HTML(visible=False, js_on_load=scripts[2], elem_id="quiz", **plain),
        people=gr.HTML(visible=False, js_on_load=scripts[1], elem_id="people", **plain),
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
    unqueued = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    tab.select(lessons.stepped, [path, asked], [parts.hint, parts.shown], show_progress="hidden", **once)
    demo.load(lessons.people, None, parts.people, **unqueued)
    demo.load(lessons.quiz, None, parts.quiz, **unqueued)
    every = once | {"trigger_mode": "multiple"}  # else Gradio would replay an earlier one's data
    parts.shown.submit(lessons.covered, [path, asked], parts.covered, show_progress="hidden", **every)
    parts.quiz.submit(lessons.asked, None, parts.quiz, show_progress="hidden", **every)
