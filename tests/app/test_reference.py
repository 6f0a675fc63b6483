"""This image's score among those of other people, and how like the pictures learned from this one is."""

from dataclasses import replace

import numpy as np
import pytest

from lungfusion.analysis import Finding
from lungfusion.app.view.answer import answer_html, ood_dial, unlikeness
from lungfusion.app.view.score_strip import place, row_scale, score_strip
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks import input_checks as gate
from lungfusion.checks.input_checks import Limits
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.tiny import analysis

ENGLISH = LANGUAGES["en"]
FINDING = Finding("tuberculosis", 0.6, 0.4)
MANY = tuple(np.linspace(0.05, 0.95, 100))
AUC = Share(0.8, 0.7, 0.9, 200)
SCORES = {
    "shenzhen": Place(auc_healthy=AUC, scores={"healthy": (0.1, 0.2, 0.3, 0.4, 0.7), "ill": (0.5, 0.6, 0.7, 0.8, 0.9)}),
    "nih": Place(auc_healthy=AUC, scores={"healthy": (0.1,) * 100, "ill": MANY}),
    "montgomery": Place(scores={"healthy": (0.1,) * 100}),
}


def with_places(places):
    return replace(FINDING, evidence=FindingEvidence(places=places))


def test_a_strip_shows_only_hospitals_that_have_healthy_and_ill_people():
    shown = score_strip(ENGLISH, with_places(SCORES))
    assert [hospital["name"] for hospital in shown["hospitals"]] == ["Shenzhen, China", "NIH, USA"]
    assert shown["hospitals"][0]["dots"][1][1].count("M") == 5
    (sentence,) = shown["said"]  # no sentence from fewer than 100 people
    assert sentence.startswith("NIH, USA: 0 of 100 healthy people (100 counted) and 39 of 100 with it")


def test_without_scores_there_is_no_strip():
    few = {"nih": Place(auc_healthy=AUC, scores={"healthy": (0.1,), "ill": (0.9,)})}
    confounded = {"nih": replace(SCORES["nih"], auc_healthy=None)}  # the ill are of one device, the healthy of another
    for places in ({}, few, confounded):
        assert score_strip(ENGLISH, with_places(places)) is None
    chest = analysis(findings=[with_places(SCORES)])
    assert 'class="dots"' in answer_html(ENGLISH, chest, {})
    assert 'class="dots"' not in answer_html(ENGLISH, analysis(findings=[FINDING]), {})


def test_healthy_people_of_every_hospital_stand_behind_a_row():
    row = row_scale(with_places(SCORES))
    assert [path.count("M") for path in row["people"]] == [5, 100, 100]
    assert "Grey dots: healthy people" in answer_html(ENGLISH, analysis(findings=[with_places(SCORES)]), {})


def test_scores_stand_in_order_within_the_strip():
    places = [place(score) for score in (0, 0.01, 0.2, 0.5, 0.8, 0.999, 1)]
    assert places == sorted(places) and (places[0], places[3], places[-1]) == pytest.approx((0, 0.5, 1))


@pytest.mark.parametrize(
    ("score", "quality", "name"),
    [(1.0, 0.97, "like"), (1.7, 0.97, "somewhat_unlike"), (2.2, 0.97, "unlike"), (1.0, 0.9, "somewhat_unlike")],
)
def test_the_dial_follows_the_worse_of_score_and_mask(score, quality, name):
    one = replace(analysis(quality=quality, findings=[FINDING]), ood_score=score)
    assert ood_dial(ENGLISH, one, Limits())["name"] == name
    shown = answer_html(ENGLISH, one, {})
    first = shown.index(ENGLISH(f"picture_{name}")) < shown.index("<h2>")
    assert first == (name == "unlike")  # then it comes before what may mean nothing


def test_the_dials_marks_are_the_models_limits():
    at = [unlikeness(replace(analysis(quality=1.0), ood_score=score), Limits(2, 4, 8)) for score in (2, 4, 8)]
    assert at == pytest.approx([1 / 3, 2 / 3, 1])


def test_there_is_no_dial_where_nothing_is_said_or_known():
    assert ood_dial(ENGLISH, replace(analysis(), ood_score=0.0), Limits()) is None
    assert ood_dial(ENGLISH, analysis(warnings=[gate.LUNGS_NOT_FOUND]), Limits()) is None
