"""This image's score among those of other people, and how like the pictures learned from this one is."""

from dataclasses import replace

import pytest

from lungfusion.analysis import Finding
from lungfusion.app.view.answer import answer_html, ood_dial, unlikeness
from lungfusion.app.view.score_strip import place, score_strip
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks import input_checks as gate
from lungfusion.checks.input_checks import Limits
from tests.support.tiny import analysis

ENGLISH = LANGUAGES["en"]
FINDING = Finding("tuberculosis", 0.6, 0.4)
SCORES = {
    "shenzhen": {"healthy": [0.1, 0.2, 0.3, 0.4, 0.7], "ill": [0.5, 0.6, 0.7, 0.8, 0.9]},
    "nih": {"healthy": [0.1] * 10, "ill": [0.9]},
    "empty": {"healthy": [], "ill": []},
}


def test_each_hospital_counts_as_much_in_what_the_strip_says():
    shown = score_strip(ENGLISH, FINDING, SCORES)
    assert "10 of 100 healthy people and 80 of 100 with it" in shown["said"]  # (1/5 + 0/10) / 2, and 4/5
    assert [hospital["name"] for hospital in shown["hospitals"]] == ["Shenzhen, China", "NIH, USA"]
    assert [[name for name, _ in hospital["dots"]] for hospital in shown["hospitals"]] == [
        ["healthy", "ill"],
        ["healthy"],
    ]
    assert len(shown["hospitals"][0]["dots"][1][1]) == 5


def test_without_scores_there_is_no_strip_but_the_bar():
    assert (
        score_strip(ENGLISH, FINDING, {})
        is score_strip(ENGLISH, FINDING, {"nih": {"healthy": [0.1], "ill": []}})
        is None
    )
    one = analysis(findings=[FINDING])
    maps = {"tuberculosis": one.alpha}
    with_strip = answer_html(ENGLISH, one, maps, reference_scores={"tuberculosis": SCORES})
    without = answer_html(ENGLISH, one, maps)
    assert 'class="dots"' in with_strip and 'class="bar"' not in with_strip
    assert 'class="dots"' not in without and 'class="bar"' in without


def test_scores_stand_in_order_within_the_strip():
    places = [float(place(score).rstrip("%")) for score in (0, 0.01, 0.2, 0.5, 0.8, 0.999, 1)]
    assert places == sorted(places) and (places[0], places[3], places[-1]) == (0, 50, 100)


@pytest.mark.parametrize(
    ("score", "quality", "name"),
    [(1.0, 0.97, "like"), (1.7, 0.97, "somewhat_unlike"), (2.2, 0.97, "unlike"), (1.0, 0.9, "somewhat_unlike")],
)
def test_the_dial_follows_the_worse_of_score_and_mask(score, quality, name):
    one = replace(analysis(quality=quality, findings=[FINDING]), ood_score=score)
    assert ood_dial(ENGLISH, one)["name"] == name
    shown = answer_html(ENGLISH, one, {})
    first = shown.index(ENGLISH(f"picture_{name}")) < shown.index("<h2>")
    assert first == (name == "unlike")  # then it comes before what may mean nothing


def test_the_dials_marks_are_the_models_limits():
    at = [unlikeness(replace(analysis(quality=1.0), ood_score=score), Limits(2, 4, 8)) for score in (2, 4, 8)]
    assert at == pytest.approx([1 / 3, 2 / 3, 1])


def test_there_is_no_dial_where_nothing_is_said_or_known():
    assert ood_dial(ENGLISH, replace(analysis(), ood_score=0.0)) is None
    assert ood_dial(ENGLISH, analysis(warnings=[gate.LUNGS_NOT_FOUND])) is None
