"""What is said: in every language, of every answer, and never more than is so."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from string import Formatter

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from lungfusion.analysis import AnalysisWarning, Correction, Finding
from lungfusion.app.view import answer, batch, comparison, phrases, viewer
from lungfusion.app.view.pictures import mask_image
from lungfusion.app.view.sheet import sheet_pdf
from lungfusion.app.view.words import LANGUAGES, words_for
from lungfusion.checks import input_checks as gate
from lungfusion.checks.orientation import UPRIGHT
from tests.conftest import analysis

TUBERCULOSIS = Finding("tuberculosis", 0.63, 0.31, sensitivity=0.9149, specificity=0.88, source="the Elm set (adults)")
PNEUMONIA = Finding("pneumonia", 0.2, 0.5, sensitivity=0.93, specificity=0.85)
ENGLISH = LANGUAGES["en"]
MAPS = {name: np.full((32, 32), 0.5, np.float32) for name in ("tuberculosis", "pneumonia", "effusion", "gout")}


class Page(HTMLParser):
    """The text of a page, its tags, and whether they are nested well."""

    VOID = ("img", "input")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def having(self, attribute):
        return [attributes for _, attributes in self.tags if attribute in attributes]


def page(*findings, warnings=(), correction=UPRIGHT, words=ENGLISH, **changes):
    chest = analysis(findings=findings, warnings=warnings, areas=(0.2, 0.1), **changes)
    return Page(answer.answer_html(words, chest, MAPS, correction))


# Languages


def placeholders(sentence):
    return {field for _, field, _, _ in Formatter().parse(sentence) if field}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language):
    sentences = LANGUAGES[language].sentences
    assert list(sentences) == list(ENGLISH.sentences)
    for key, sentence in sentences.items():
        assert sentence.strip() == sentence != ""
        assert placeholders(sentence) == placeholders(ENGLISH.sentences[key]), key
        if language != "en" and len(sentence) > 25:
            assert sentence != ENGLISH.sentences[key]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_makes_a_page(language):
    wrong = [warning for warning in vars(gate).values() if isinstance(warning, AnalysisWarning)]
    said = page(TUBERCULOSIS, PNEUMONIA, warnings=wrong[3:], words=LANGUAGES[language])
    assert LANGUAGES[language].title("tuberculosis") in said.text
    assert "63%" in said.text and "the Elm set (adults)" in said.text


def test_the_english_warnings_are_those_of_the_gate():
    warnings = [warning for warning in vars(gate).values() if isinstance(warning, AnalysisWarning)]
    assert len(warnings) == 8
    for warning in warnings:
        assert ENGLISH.sentences[f"warning_{warning.code}"] == warning.sentence


@pytest.mark.parametrize(
    ("wished", "given"),
    [
        (None, "en"),
        ("", "en"),
        ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", "fr"),
        ("de, es;q=0.7, en;q=0.9", "en"),
        ("zh-TW", "zh"),
        ("hi;q=broken, es", "es"),
        ("xx" * 5000, "en"),
    ],
)
def test_the_language_is_the_one_wished_for(wished, given):
    assert words_for(wished).language == given


# Findings


def test_a_finding_is_said_with_its_meaning_and_threshold():
    said = page(TUBERCULOSIS)
    assert "Detected: signs of tuberculosis" in said.text
    assert "Probability 63%: at or above 31%, the threshold this model uses." in said.text
    assert "Of 100 without it, about 12 are named all the same." in said.text
    assert "it found 91 of 100 with the finding and passed 88 of 100 without" in said.text
    assert "Measured on validation patients of the Elm set (adults)." in said.text
    assert [bar["style"] for bar in said.having("style")][1:] == ["width:63.0%", "left:31.0%"]
    assert ENGLISH("about_probabilities") in said.text
    assert ENGLISH.meaning("tuberculosis") in said.text


def test_what_is_above_its_threshold_but_unlikely_is_not_called_detected():
    said = page(Finding("effusion", 0.08, 0.06, 0.9, 0.47), TUBERCULOSIS)
    assert "Detected: signs of tuberculosis" in said.text
    assert "Not ruled out: effusion" in said.text
    assert ENGLISH("about_levels") in said.text
    alone = page(Finding("effusion", 0.08, 0.06, 0.9, 0.47))
    assert not re.search("Detected:|No finding", alone.text)


def test_cancer_needs_a_specialist_and_unknown_findings_keep_their_names():
    assert all("Suspicious for lung cancer" in ENGLISH.meaning(name) for name in ("nodule", "mass"))
    assert ENGLISH.title("a_rare_one") == "A rare one"
    assert "<p></p>" not in answer.finding_html(ENGLISH, Finding("gout", 0.2, 0.5))


@pytest.mark.parametrize(("names", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_findings_are_listed_as_in_a_sentence(names, said):
    assert ENGLISH.listed(names) == said


def test_nothing_detected_is_not_called_healthy():
    said = page(PNEUMONIA)
    assert "No finding detected" in said.text
    assert "looks for pneumonia, and for nothing else" in said.text
    assert "Probability 20%: below 50%" in said.text
    assert "Of 100 with it, about 7 are missed." in said.text
    assert not re.search("healthy|normal|all clear|Detected:", said.text)
    unknown = page(Finding("pneumonia", 0.2, 0.5))
    assert "How often it is right at this threshold is not known." in unknown.text


def test_detected_findings_come_first():
    said = page(PNEUMONIA, TUBERCULOSIS)
    assert "Detected: signs of tuberculosis" in said.text
    assert "looks for pneumonia and signs of tuberculosis" in said.text
    classes = [attributes["class"].strip() for tag, attributes in said.tags if tag == "section"]
    assert classes == ["finding detected", "finding"]


def test_warnings_come_first_and_a_refused_image_has_neither_findings_nor_outline():
    refused = page(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])
    assert refused.text.startswith(gate.NOT_A_CHEST_RADIOGRAPH.sentence)
    assert not re.search("detected|[Pp]robability|Heat map", refused.text)
    assert [attributes["class"] for tag, attributes in refused.tags if tag == "img"] == ["base"]
    warned = page(TUBERCULOSIS, warnings=[gate.ONE_LUNG_FOUND])
    assert warned.text.startswith(gate.ONE_LUNG_FOUND.sentence)
    assert [attributes["class"] for tag, attributes in warned.tags if tag == "img"] == [
        "base",
        "background",
        "heat",
        "contour",
    ]


def test_a_segmenters_warned_answer_has_its_outline():
    chest = analysis(warnings=[gate.LOW_RESOLUTION], areas=(0.2, 0.1))
    said = Page(answer.answer_html(ENGLISH, chest, {}, UPRIGHT))
    assert [attributes["class"] for tag, attributes in said.tags if tag == "img"] == ["base", "background", "contour"]


@pytest.mark.parametrize(("share", "said"), [(0, 0), (0.29, 29), (0.919, 91), (0.996, 99), (1, 100)])
def test_shares_are_rounded_down(share, said):
    assert phrases.of_100(share) == said


@pytest.mark.parametrize(
    ("probability", "threshold", "said"),
    [(0.5, 0.3, ("50%", "30%")), (0.4996, 0.5, ("49.96%", "50.00%")), (0.5, 0.5, ("50.00%", "50.00%"))],
)
def test_probability_and_threshold_can_be_told_apart(probability, threshold, said):
    assert phrases.percentages(ENGLISH, Finding("pneumonia", probability, threshold)) == said


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.0, "under 1%"), (0.004, "under 1%"), (0.006, "1%"), (0.994, "99%"), (0.997, "over 99%"), (1.0, "over 99%")],
)
def test_no_probability_is_shown_as_certain(probability, words):
    assert phrases.percentages(ENGLISH, Finding("pneumonia", probability, 0.5))[0] == words


def test_details_say_what_was_looked_at():
    chest = analysis(np.zeros((60, 80), np.float32), areas=(0.2, 0.12))
    text = Page(answer.details_html(ENGLISH, chest)).text
    sizes = "The lungs cover 32% of it (right lung 20%, left lung 12%)."
    quality = "Their outline should agree with one drawn by hand to 0.96 (Dice; 1 is perfect)."
    assert text == f"chest.png: PNG, 80 × 60 pixels. {sizes} {quality}"


# Heat maps


def test_a_heat_map_says_what_it_is_and_how_weak():
    alpha = np.zeros((64, 64), np.float32)
    alpha[:, :16] = 1
    said = page(TUBERCULOSIS, alpha=alpha)
    assert "Where the score is sensitive (Grad-CAM). Weak evidence; not an outline of disease." in said.text
    assert "25% of it lies inside the lungs." in said.text
    empty = viewer.share_words(ENGLISH, analysis(), np.zeros((32, 32), np.float32))
    assert empty == "The map is empty."


# Turning and inverting


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Correction(0, False), Correction(90, False), Correction(90, False)),
        (Correction(90, True), Correction(90, True), Correction(180, False)),
        (Correction(180, False), Correction(90, True), Correction(-90, True)),
        (Correction(-90, False), Correction(-90, False), Correction(180, False)),
        (Correction(30, False), Correction(-30, False), Correction(0, False)),
    ],
)
def test_corrections_add_up(one, other, both):
    assert viewer.after(one, other) == both


def test_what_is_wrong_is_offered_to_be_set_right():
    inverted = page(
        TUBERCULOSIS, warnings=[gate.INVERTED], correction=Correction(90, False), wanted=Correction(0, True)
    )
    offered = [(button["data-angle"], button["data-invert"]) for button in inverted.having("data-angle")]
    assert offered[0] == ("90", "1")
    assert "Swap black and white" in inverted.text and "As uploaded" in inverted.text
    lying = page(warnings=[gate.NOT_UPRIGHT], wanted=Correction(-90, True))
    assert "Straighten it, by 90°, and swap black and white" in lying.text
    fine = page(TUBERCULOSIS, wanted=Correction(0, True))
    assert 'class="offer"' not in fine.rawdata
    assert "As uploaded" not in fine.text


# What is taken home


def downloads(chest):
    links = Page(answer.downloads_html(ENGLISH, chest)).having("download")
    return {link["download"]: base64.b64decode(link["href"].split(",")[1]) for link in links}


def test_downloads_hold_the_page_the_mask_at_full_size_and_the_numbers():
    alpha = np.random.default_rng(0).random((1100, 1200), dtype=np.float32)
    chest = analysis(np.zeros((1100, 1200), np.float32), alpha, [TUBERCULOSIS])
    files = downloads(chest)
    assert list(files) == ["chest.pdf", "chest_lungs.png", "chest.json"]
    assert (np.asarray(Image.open(BytesIO(files["chest_lungs.png"]))) == np.asarray(mask_image(chest))).all()
    assert json.loads(files["chest.json"]) == chest.to_dict()


@pytest.mark.parametrize("count", [0, 2, 16])
def test_the_printed_page_is_one_and_says_what_the_screen_does(count):
    findings = [Finding(f"finding_{i}", 0.63, 0.31, 0.9149, 0.88, "the Elm set (adults)") for i in range(count)]
    warnings = [gate.INVERTED] if count else [gate.NOT_A_CHEST_RADIOGRAPH]
    chest = analysis(findings=findings, warnings=warnings, name="胸片 <b>&.png")
    pages = PdfReader(BytesIO(sheet_pdf(chest))).pages
    assert len(pages) == 1
    text = " ".join(pages[0].extract_text().split())
    assert "For research and education. Not a medical device." in text
    assert warnings[0].sentence in text
    assert "?? <b>&.png: PNG, 64 × 64 pixels." in text
    assert text.count(": detected") == count
    assert text.count(" 63% ") == count == text.count("it found 91 of 100")
    assert len(pages[0].images) == 2


def test_strangers_text_is_escaped():
    bad = '<script>"&'
    finding = Finding(f"a_{bad}", 0.5, 0.2, 0.9, 0.8, source=bad)
    warning = AnalysisWarning("code", f"warning {bad}")
    strange = analysis(findings=[finding], warnings=[warning], name=f"{bad}.png", areas=(0.1, 0.1))
    maps = {finding.name: np.ones((8, 8), np.float32)}
    for html in (
        answer.answer_html(ENGLISH, strange, maps, UPRIGHT),
        comparison.comparison_html(ENGLISH, strange, strange),
    ):
        assert "script" not in [tag for tag, _ in Page(html).tags]
        assert f"{bad}.png" in Page(html).text
    assert Page(answer.downloads_html(ENGLISH, strange)).having("download")[1]["download"] == f"{bad}_lungs.png"


# Two, and many


def test_two_are_compared():
    other = Finding("tuberculosis", 0.11, 0.31, 0.9149, 0.88)
    first, second = (analysis(findings=[f], name=n) for f, n in ((TUBERCULOSIS, "a.png"), (other, "b.png")))
    said = Page(comparison.comparison_html(ENGLISH, first, second))
    assert "Findinga.pngb.pngThresholdSigns of tuberculosis63%11%31%" in said.text
    assert [a["class"] for tag, a in said.tags if tag == "td" and "class" in a] == ["detected", ""]
    refused = analysis(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])
    assert "%" not in Page(comparison.table_html(ENGLISH, first, refused)).text


def test_many_become_one_table():
    rows = [
        batch.batch_row(ENGLISH, "=bad.png", analysis(findings=[TUBERCULOSIS, PNEUMONIA])),
        batch.batch_row(ENGLISH, "b.png", analysis(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])),
        batch.batch_row(ENGLISH, "c.txt", error="this is not a picture"),
    ]
    titles, cells = batch.batch_table(ENGLISH, ["tuberculosis", "pneumonia"], rows)
    assert titles == ["File", "Detected", "Not ruled out", "Signs of tuberculosis", "Pneumonia", "Note"]
    assert cells == [
        ["=bad.png", "signs of tuberculosis", "", 63.0, 20.0, ""],
        ["b.png", "", "", "", "", gate.NOT_A_CHEST_RADIOGRAPH.sentence],
        ["c.txt", "", "", "", "", "this is not a picture"],
    ]
    link = Page(batch.csv_html(ENGLISH, titles, cells)).having("download")[0]["href"]
    lines = base64.b64decode(link.split(",")[1]).decode("utf-8-sig").splitlines()
    assert lines[1] == "'=bad.png,signs of tuberculosis,,63.0,20.0,"  # not taken for a formula
