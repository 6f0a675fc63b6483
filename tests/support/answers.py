"""Findings made by hand, and the text of the page that tells them."""

from html.parser import HTMLParser

import numpy as np

from lungfusion.analysis import Finding
from lungfusion.app.view import answer
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks.orientation import UPRIGHT
from lungfusion.evidence import FindingEvidence
from tests.support.tiny import analysis


def at_home(sensitivity, specificity, *sources):
    return FindingEvidence(sources, {"sensitivity": sensitivity, "specificity": specificity})


TUBERCULOSIS = Finding("tuberculosis", 0.63, 0.31, evidence=at_home(0.9149, 0.88, "the Elm set (adults)"))
PNEUMONIA = Finding("pneumonia", 0.2, 0.5, population=("child",), evidence=at_home(0.93, 0.85))
EFFUSION = Finding("effusion", 0.3, 0.6, 0.1, population=("adult",), evidence=at_home(0.9, 0.47))
GOUT = Finding("gout", None, 0.5, population=("adult",), reason="age")
MADE_BY = {"model": "owner/model", "version": "9.9"}
ENGLISH = LANGUAGES["en"]
MAPS = {name: np.full((32, 32), 0.5, np.float32) for name in ("tuberculosis", "pneumonia", "effusion", "gout")}


class Page(HTMLParser):
    """The text of a page, its tags, and whether they are nested well."""

    VOID = ("img", "input")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text, self.headings = [], [], "", []
        self.feed(str(html))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    def having(self, attribute):
        return [attributes for _, attributes in self.tags if attribute in attributes]


def page(*findings, warnings=(), correction=UPRIGHT, words=ENGLISH, by_hand=False, **changes):
    chest = analysis(findings=findings, warnings=warnings, areas=(0.2, 0.1), **changes)
    return Page(answer.answer_html(words, chest, MAPS, correction, by_hand=by_hand))


def said(html):
    """Its text, white space as a browser shows it."""
    return " ".join(html.text.split())
