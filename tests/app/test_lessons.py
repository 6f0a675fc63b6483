"""The tab that teaches, but for the walk: people under a threshold, and the quiz."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lungfusion import Evidence, LungFusionPipeline
from lungfusion.app.answers import Request
from lungfusion.app.examples import DRAWN, IS, Examples, KnownExample, verdict
from lungfusion.app.handlers import Handlers
from lungfusion.app.lessons import Lessons, cells
from lungfusion.app.view.people import people_html
from lungfusion.app.view.quiz import GUESSES, NO_SCORE, verdict_html
from lungfusion.app.view.start import start_html
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.answers import EFFUSION, ENGLISH, GOUT, PNEUMONIA, TUBERCULOSIS, Page
from tests.support.app_server import ROOT
from tests.support.tiny import analysis
from train.augment.phantom.radiograph import EXAMPLES

REQUEST = SimpleNamespace(headers={}, query_params={})
SCORES = {"healthy": (0.1, 0.2, 0.2, 0.3, 0.9), "ill": (0.2, 0.6, 0.7, 0.8, 0.9)}
AUC = Share(0.8, 0.7, 0.9, 10)


@pytest.fixture(scope="module")
def lessons(checkpoint):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    return Lessons(pipe, Handlers(pipe, Examples(ROOT / "examples" / "radiographs")))


def people(**scores):
    evidence = Evidence()
    for name, of in scores.items():
        places = {place: Place(auc_healthy=AUC, scores=groups) for place, groups in of.items()}
        evidence.findings[name] = FindingEvidence(places=places)
    return people_html(ENGLISH, {"pneumonia": 0.5, "tuberculosis": 0.5}, evidence)


def test_people_are_of_hospitals_that_have_healthy_and_ill_ones():
    scores = {"nih": SCORES, "elm": {"healthy": [0.5] * 9}, "oak": {"ill": [0.9] * 9}}
    (option,) = Page(people(pneumonia=scores)).having("data-scores")
    assert json.loads(option["data-scores"]) == {name: [list(group)] for name, group in SCORES.items()}
    assert option["data-at"] == "0.5" and "NIH" in option["data-where"] and "Oak" not in option["data-where"]


def test_the_lesson_opens_with_what_is_most_often_a_false_alarm():
    often = {"healthy": (0.6,) * 5, "ill": SCORES["ill"]}
    options = Page(people(pneumonia={"nih": SCORES}, tuberculosis={"nih": often})).having("data-scores")
    assert [option["value"] for option in options] == ["tuberculosis", "pneumonia"]
    of_two = {"nih": SCORES, "guangzhou": SCORES}
    options = Page(people(tuberculosis={"nih": often}, pneumonia=of_two)).having("data-scores")
    assert [option["value"] for option in options] == ["pneumonia", "tuberculosis"]  # several hospitals before one


@pytest.mark.parametrize("scores", [{}, {"pneumonia": {"nih": {"healthy": [0.1] * 9}}}, {"nodule": {"nih": SCORES}}])
def test_without_scores_of_both_there_are_no_people(scores):
    assert people(**scores) == ""


def test_the_tab_shows_no_people_where_none_ship(lessons):
    assert lessons.people(REQUEST).visible is False
    assert lessons.quiz(REQUEST).visible is True


# The quiz


def test_what_was_drawn_is_what_is_said_to_be_true():
    assert {name: asked.get("opacity", "clear") for name, asked in EXAMPLES.items()} == DRAWN
    for truth in DRAWN.values():
        assert f"truth_{truth}" in ENGLISH.sentences and f"example_{truth}" in ENGLISH.sentences
        assert truth in IS and any(truth in truths for truths in GUESSES.values())


def test_real_examples_join_the_drawings(tmp_path):
    examples = Examples(ROOT / "examples" / "radiographs")
    examples.fetched = [tmp_path / "1_no_pneumonia.jpeg", tmp_path / "1_pneumonia.jpeg", tmp_path / "1_odd.jpeg"]
    assert {example.truth for example in examples.known() if not example.drawn} == {"no_pneumonia", "pneumonia"}
    assert len(examples.known()) == len(DRAWN) + 2


MASS = replace(TUBERCULOSIS, name="mass")
SEEN = replace(TUBERCULOSIS, name="pneumonia")


@pytest.mark.parametrize(
    ("truth", "findings", "judged"),
    [
        ("consolidation", [SEEN, PNEUMONIA], "right"),
        ("consolidation", [MASS], "wrong"),  # a mass is no consolidation
        ("consolidation", [MASS, SEEN], "partly"),
        ("consolidation", [PNEUMONIA], "wrong"),
        ("consolidation", [EFFUSION], "unsure"),
        ("clear", [PNEUMONIA, GOUT], "right"),
        ("clear", [TUBERCULOSIS], "wrong"),
        ("clear", [], "unsure"),
    ],
)
def test_the_model_is_judged_finding_by_finding(truth, findings, judged):
    assert verdict(truth, findings) == judged


def told(guess, findings, judged, truth="clear"):
    example = KnownExample("x.png", truth, True)
    return Page(verdict_html(ENGLISH, example, analysis(findings=findings), judged, guess, 0, 6, NO_SCORE)).text


def test_the_verdict_says_what_is_true_and_who_was_right():
    text = told("clear", [TUBERCULOSIS], "wrong")
    assert "You are right. Nothing is drawn into these lungs." in text
    assert "sees: signs of tuberculosis. That is wrong. It learned from real X-rays only" in text
    assert "you 1, the model 0" in text
    text = told("nodule", [PNEUMONIA], "right")
    assert "Not so." in text and "Nothing stands out. That is right." in text and "you 0, the model 1" in text
    assert "That is partly right" in told("consolidation", [MASS, SEEN], "partly", "consolidation")


def test_a_question_does_not_give_its_answer_away_and_the_score_travels(lessons):
    score = {"asked": "3", "visitor": "2", "model": "1"}
    asked = Page(lessons.asked(SimpleNamespace(number=7, guess="", score=score), REQUEST))
    assert "What is to be seen" in asked.text and "truth" not in asked.text.lower()
    assert [button["data-guess"] for button in asked.having("data-guess")] == list(GUESSES)
    assert "of 3: you 2, the model 1" in asked.text
    answered = Page(lessons.asked(SimpleNamespace(number=7, guess="clear", score=score), REQUEST))
    assert answered.having("data-asked")[0]["data-asked"] == "4"
    assert answered.having("data-next")[0]["data-next"] == "8"


def test_the_quiz_begins_anew_with_no_score(lessons):
    score = {"asked": "6", "visitor": "4", "model": "2"}
    last = Page(lessons.asked(SimpleNamespace(number=5, guess="clear", score=score), REQUEST))
    assert last.having("data-next")[0]["data-next"] == "0"
    again = Page(lessons.asked(SimpleNamespace(number=0, guess="", score=score), REQUEST))
    assert again.having("data-asked")[0]["data-asked"] == "0"


def test_a_question_has_an_address(lessons):
    at = SimpleNamespace(headers={}, query_params={"quiz": "2"})
    assert "Picture 2 of 6" in lessons.quiz(at).value
    for strange in ("0", "99", "x", ""):
        assert "Start the quiz" in lessons.quiz(SimpleNamespace(headers={}, query_params={"quiz": strange})).value


def test_the_truth_of_an_example_stands_beside_its_answer(lessons, radiograph_files):
    path = lessons.handlers.examples.path("phantom_clear.png")
    answer = lessons.handlers.answered(path, Request(), REQUEST)
    assert "What is true here: Nothing is drawn into these lungs." in answer
    answer = lessons.handlers.answered(radiograph_files["chest.png"], Request(), REQUEST)
    assert "What is true" not in answer


def test_cards_say_what_is_true_and_how_right_the_model_is(lessons):
    examples = lessons.handlers.examples
    page = Page(start_html(ENGLISH, examples, "pitch_more", 15))
    assert len(page.having("data-example")) == 6 and "The model sees" not in page.text
    examples.look(lessons.handlers.answers.explain)
    page = Page(start_html(ENGLISH, examples, "pitch_more", 15))
    assert page.text.count("The model sees") == 6 and page.text.count("no patient") == 1  # told once of all
    pictures = [Path(picture["src"].removeprefix("gradio_api/file=")) for picture in page.having("src")]
    assert len(pictures) >= 7 and all(path.is_file() for path in pictures)  # browsers fetch them by themselves
    assert sum(path.stat().st_size for path in set(pictures)) < 60_000
    assert all(examples.verdict(example) for example in examples.known())


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
