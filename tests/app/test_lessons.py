"""The tab that teaches, but for the walk: people under a threshold, and the quiz."""

import json
from types import SimpleNamespace

import pytest

from lungfusion import Evidence, LungFusionConfig, LungFusionPipeline
from lungfusion.app.answers import Request
from lungfusion.app.examples import DRAWN, Examples, KnownExample
from lungfusion.app.handlers import Handlers
from lungfusion.app.lessons import Lessons, cells
from lungfusion.app.view.people import people_html
from lungfusion.app.view.quiz import model_guess, verdict_html
from lungfusion.evidence import FindingEvidence, Place
from tests.support.answers import EFFUSION, ENGLISH, GOUT, PNEUMONIA, TUBERCULOSIS, Page
from tests.support.app_server import ROOT
from tests.support.tiny import analysis
from train.augment.phantom.radiograph import EXAMPLES

REQUEST = SimpleNamespace(headers={}, query_params={})
NO_SCORE = {"asked": 0, "visitor": 0, "model": 0}
SCORES = {"healthy": [0.1, 0.2, 0.2, 0.3, 0.9], "ill": [0.2, 0.6, 0.7, 0.8, 0.9]}


@pytest.fixture(scope="module")
def lessons(checkpoint):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    return Lessons(pipe, Handlers(pipe, Examples(ROOT / "examples" / "radiographs")))


def people(**scores):
    places = {name: {place: Place(scores=groups) for place, groups in of.items()} for name, of in scores.items()}
    evidence = Evidence({name: FindingEvidence(places=of) for name, of in places.items()})
    return people_html(ENGLISH, LungFusionConfig(), evidence)


def test_people_are_those_whose_scores_ship_with_the_checkpoint():
    scores = {"nih": SCORES, "elm": {"healthy": [0.5] * 9}, "oak": {"ill": [0.9]}}
    page = Page(people(pneumonia=scores))
    (option,) = page.having("data-scores")
    assert json.loads(option["data-scores"]) == {"healthy": [SCORES["healthy"], [0.5] * 9], "ill": [SCORES["ill"]]}
    assert option["data-at"] == "0.5" and "Elm" in option["data-where"] and "Oak" not in option["data-where"]


@pytest.mark.parametrize("scores", [{}, {"pneumonia": {"nih": {"healthy": [0.1] * 9}}}, {"nodule": {"nih": SCORES}}])
def test_without_scores_of_both_there_are_no_people(scores):
    assert people(**scores) == ""


def test_the_tab_shows_no_people_where_none_ship(lessons):
    assert lessons.people(REQUEST).visible is False
    assert lessons.quiz(REQUEST).visible is True


# The quiz


def test_what_was_drawn_is_what_is_said_to_be_true():
    assert {name: asked.get("opacity", "clear") for name, asked in EXAMPLES.items()} == DRAWN
    assert all(f"truth_{truth}" in ENGLISH.sentences for truth in DRAWN.values())


def test_real_examples_join_the_drawings(tmp_path):
    examples = Examples(ROOT / "examples" / "radiographs")
    examples.fetched = [tmp_path / "1_no_pneumonia.jpeg", tmp_path / "1_pneumonia.jpeg", tmp_path / "1_odd.jpeg"]
    real = {example.truth: example.kind for example in examples.known() if not example.drawn}
    assert real == {"no_pneumonia": "clear", "pneumonia": "sign"}
    assert len(examples.known()) == len(DRAWN) + 2


@pytest.mark.parametrize(
    ("findings", "guess"),
    [((TUBERCULOSIS, PNEUMONIA), "sign"), ((PNEUMONIA, GOUT), "clear"), ((EFFUSION, PNEUMONIA), None), ((GOUT,), None)],
)
def test_what_the_model_guesses_follows_its_levels(findings, guess):
    assert model_guess(analysis(findings=findings)) == guess


def test_the_verdict_says_what_is_true_and_who_was_right():
    example = KnownExample("x.png", "clear", True)
    page = Page(verdict_html(ENGLISH, example, analysis(findings=[TUBERCULOSIS]), "clear", 0, 6, NO_SCORE))
    assert "You are right. Nothing is drawn into these lungs." in page.text
    assert "reacts to: signs of tuberculosis. It is wrong. It learned from real X-rays only" in page.text
    assert "you 1, the model 0" in page.text
    page = Page(verdict_html(ENGLISH, example, analysis(findings=[PNEUMONIA]), "sign", 0, 6, NO_SCORE))
    assert "Not so." in page.text and "Nothing stands out. It is right." in page.text


def test_a_question_does_not_give_its_answer_away_and_the_score_travels(lessons):
    score = {"asked": "3", "visitor": "2", "model": "1"}
    asked = Page(lessons.asked(SimpleNamespace(number=7, guess="", score=score), REQUEST))
    assert "Is there a sign" in asked.text and "truth" not in asked.text.lower()
    assert "of 3: you 2, the model 1" in asked.text
    answered = Page(lessons.asked(SimpleNamespace(number=7, guess="clear", score=score), REQUEST))
    assert answered.having("data-asked")[0]["data-asked"] == "4"
    assert answered.having("data-next")[0]["data-next"] == "8"


def test_the_truth_of_an_example_stands_beside_its_answer(lessons, radiograph_files):
    path = lessons.handlers.examples.path("phantom_clear.png")
    answer = lessons.handlers.answered(path, Request(), REQUEST)
    assert "What is true here: Nothing is drawn into these lungs." in answer
    answer = lessons.handlers.answered(radiograph_files["chest.png"], Request(), REQUEST)
    assert "What is true" not in answer


# The brush


def test_what_a_brush_sends_is_a_square_of_places():
    assert cells("0110").tolist() == [[False, True], [True, False]]
    for wrong in ("", "011", "2222", "0" * 65**2):
        with pytest.raises(ValueError, match="A brush covers"):
            cells(wrong)


def test_covered_scores_are_those_of_the_radiograph_in_view(lessons, radiograph_files):
    event = SimpleNamespace(covered="1" * 1024)
    page = Page(lessons.covered(radiograph_files["chest.png"], Request(), event, REQUEST))
    assert "Pneumonia" in page.text and page.text.count("%") == 4
    assert lessons.covered(None, Request(), event, REQUEST) == ""
    assert "notes.txt" in lessons.covered(radiograph_files["notes.txt"], Request(), event, REQUEST)


def test_the_walk_is_of_the_same_radiograph(lessons, radiograph_files):
    hint, shown = lessons.stepped(radiograph_files["chest.png"], Request(), REQUEST)
    assert hint.visible is False and "walk" in shown
    assert lessons.stepped(None, Request(), REQUEST)[0].visible is True
