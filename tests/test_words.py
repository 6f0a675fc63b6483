"""What is said: in every language, of every answer, and never more than is so."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from string import Formatter

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from lungfusion.analysis import AnalysisWarning, Correction, Finding
from lungfusion.app.view import answer, comparison, downloads, phrases, viewer
from lungfusion.app.view.batch import Batch
from lungfusion.app.view.pictures import mask_image
from lungfusion.app.view.render import render
from lungfusion.app.view.sheet import sheet_pdf
from lungfusion.app.view.words import LANGUAGES, words_for
from lungfusion.checks import input_checks as gate
from lungfusion.checks.orientation import UPRIGHT
from lungfusion.reading.errors import REASONS, RadiographError
from tests.conftest import analysis

TUBERCULOSIS = Finding("tuberculosis", 0.63, 0.31, sensitivity=0.9149, specificity=0.88, source="the Elm set (adults)")
PNEUMONIA = Finding("pneumonia", 0.2, 0.5, sensitivity=0.93, specificity=0.85, population=("child",))
EFFUSION = Finding("effusion", 0.3, 0.6, 0.9, 0.47, rule_out_threshold=0.1, population=("adult",))
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
    return Page(answer.answer_html(words, chest, MAPS, correction, made_by=MADE_BY, by_hand=by_hand))


def said(html):
    """Its text, white space as a browser shows it."""
    return " ".join(html.text.split())


# Languages


def placeholders(sentence):
    return {field for _, field, _, _ in Formatter().parse(sentence) if field}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language):
    sentences = LANGUAGES[language].sentences
    assert list(sentences) == list(ENGLISH.sentences)
    for key, sentence in sentences.items():
        assert sentence.strip() == sentence != "" or key == "comma"
        assert placeholders(sentence) == placeholders(ENGLISH.sentences[key]), key
        if language != "en" and len(sentence) > 25:
            assert sentence != ENGLISH.sentences[key]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_makes_a_page(language):
    wrong = [warning for warning in vars(gate).values() if isinstance(warning, AnalysisWarning)]
    shown = page(TUBERCULOSIS, PNEUMONIA, EFFUSION, GOUT, warnings=wrong[3:], words=LANGUAGES[language])
    assert LANGUAGES[language].title("tuberculosis") in shown.text
    assert LANGUAGES[language]("percent", number=63) in shown.text and "the Elm set (adults)" in shown.text
    assert LANGUAGES[language]("reason_age") in shown.text


def test_the_english_warnings_are_those_of_the_gate():
    warnings = [warning for warning in vars(gate).values() if isinstance(warning, AnalysisWarning)]
    assert len(warnings) == 14
    for warning in warnings:
        assert ENGLISH.sentences[f"warning_{warning.code}"] == warning.sentence


def test_the_english_errors_are_those_of_the_reader():
    keys = [key for key in ENGLISH.sentences if key.startswith("error_")]
    assert len(keys) > 10
    for key in keys:
        assert ENGLISH.sentences[key] == f"{REASONS[key.removeprefix('error_')]}."
    too_large = RadiographError("x", "file_too_large", {"limit": 100}, "a.png")
    assert LANGUAGES["es"].error(too_large) == "a.png: el archivo tiene más de 100 MB; redúzcalo primero."
    assert LANGUAGES["es"].error(RadiographError("a.png: it is odd", "odd", name="a.png")) == "a.png: it is odd."


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


def test_a_finding_is_said_with_its_people_and_how_often_it_is_wrong():
    shown = page(TUBERCULOSIS)
    assert "The model reacts to: signs of tuberculosis." in shown.text
    assert "is not known; expect it to be often" in shown.text  # no figure from elsewhere
    assert "Learned from: the Elm set (adults)." in shown.text
    assert "about 12 of 100 people without it are named all the same" in shown.text
    assert "it found 91 of 100 with the finding and passed 88 of 100 without" in shown.text
    assert [bar["style"] for bar in shown.having("style")][-2:] == ["width:63.0%", "left:31.0%"]
    assert ENGLISH("what_to_do") in shown.text
    assert ENGLISH.meaning("tuberculosis") in shown.text


def test_the_headline_counts_false_alarms_of_other_hospitals():
    away = replace(TUBERCULOSIS, away={"false_alarms": 0.741})
    shown = page(away, EFFUSION)
    assert "signs of tuberculosis is a false alarm in 75 of 100 healthy people" in shown.text
    assert "Unclear: fluid around the lung (effusion)." in shown.text
    assert "is not known" not in shown.text


@pytest.mark.parametrize(
    ("findings", "headline"),
    [
        ([TUBERCULOSIS, EFFUSION], "The model reacts to: signs of tuberculosis."),
        ([EFFUSION, PNEUMONIA], "Unclear: fluid around the lung (effusion)."),
        ([PNEUMONIA, GOUT], "Nothing stands out."),
        ([GOUT], "Nothing is said about findings."),
        ([], ""),
    ],
)
def test_the_headline_follows_the_level(findings, headline):
    assert phrases.headline(ENGLISH, analysis(findings=findings))[0] == headline


def test_what_is_below_the_threshold_or_not_judged_is_folded_into_a_line():
    shown = page(PNEUMONIA, GOUT, TUBERCULOSIS)
    assert "Below the threshold: pneumonia 20%" in shown.text
    assert "Not judged: gout" in shown.text
    assert "The model did not learn it on people of this age." in shown.text
    cards = [attributes["class"] for tag, attributes in shown.tags if tag == "section"]
    assert cards == ["finding detected", "finding not_detected"]
    assert [button["data-heat"] for button in shown.having("data-heat")] == ["tuberculosis"]
    assert [image["data-finding"] for image in shown.having("src") if "data-finding" in image] == ["tuberculosis"]


def test_findings_are_ordered_by_level_and_then_by_probability():
    more = replace(TUBERCULOSIS, name="mass", probability=0.93)
    levels = phrases.by_level([PNEUMONIA, EFFUSION, TUBERCULOSIS, more, GOUT])
    assert [finding.name for level in levels.values() for finding in level] == [
        "mass",
        "tuberculosis",
        "effusion",
        "pneumonia",
        "gout",
    ]


def test_who_it_is_is_asked_where_that_matters_and_read_from_the_file():
    assert not page(TUBERCULOSIS).having("data-turn")[0].get("name")
    assert "Who is it?" not in page(TUBERCULOSIS).text
    chest = analysis(findings=[PNEUMONIA])
    chest = replace(chest, radiograph=replace(chest.radiograph, age=34.0))
    shown = Page(answer.answer_html(ENGLISH, chest, MAPS))
    who = [radio for radio in shown.having("value") if radio.get("name") == "who"]
    assert [radio["value"] for radio in who] == ["child", "older_child", "adult"]
    assert [radio["value"] for radio in who if "checked" in radio] == ["adult"]
    told = Page(answer.answer_html(ENGLISH, chest, MAPS, who="child"))
    assert [r["value"] for r in told.having("checked") if r.get("name") == "who"] == ["child"]


def test_cancer_needs_a_specialist_and_unknown_findings_keep_their_names():
    assert all("Suspicious for lung cancer" in ENGLISH.meaning(name) for name in ("nodule", "mass"))
    assert ENGLISH.title("a_rare_one") == "A rare one"
    assert "" not in answer.card(ENGLISH, Finding("gout", 0.2, 0.5))["more"]


@pytest.mark.parametrize(("names", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_findings_are_listed_as_in_a_sentence(names, said):
    assert ENGLISH.listed(names) == said


def test_nothing_detected_is_not_called_healthy():
    shown = page(PNEUMONIA)
    assert "Nothing stands out." in shown.text
    assert "looks for pneumonia, and for nothing else" in shown.text
    assert "Learned from children under 6." in shown.text
    assert "about 7 of 100 people with it are missed" in shown.text
    assert not re.search("normal|all clear|reacts to:", shown.text)
    unknown = page(Finding("pneumonia", 0.2, 0.5))
    assert "How often it is right at this threshold is not known." in unknown.text


def test_a_refused_image_has_neither_findings_nor_outline_nor_report():
    refused = page(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])
    assert gate.NOT_A_CHEST_RADIOGRAPH.sentence in refused.text
    assert not re.search("reacts|[Pp]robability|Heat map|The lungs cover", refused.text)
    assert [attributes["class"] for tag, attributes in refused.tags if tag == "img"] == ["base"]
    assert [link["download"] for link in refused.having("download")] == ["chest.json"]
    warned = page(TUBERCULOSIS, warnings=[gate.ONE_LUNG_FOUND])
    assert warned.text.index(gate.ONE_LUNG_FOUND.sentence) < warned.text.index("The model reacts to")
    images = [attributes["class"] for tag, attributes in warned.tags if tag == "img"]
    assert images == ["base", "background", "heat", "contour"]


def test_a_segmenters_warned_answer_has_its_outline():
    chest = analysis(warnings=[gate.LOW_RESOLUTION], areas=(0.2, 0.1))
    shown = Page(answer.answer_html(ENGLISH, chest, {}, UPRIGHT))
    assert [attributes["class"] for tag, attributes in shown.tags if tag == "img"] == ["base", "background", "contour"]


@pytest.mark.parametrize(("share", "said"), [(0, 0), (0.29, 29), (0.919, 91), (0.996, 99), (1, 100)])
def test_shares_are_rounded_down(share, said):
    assert phrases.of_100(share) == said


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "under 1%"), (0.004, "under 1%"), (0.006, "1%"), (0.994, "99%"), (0.997, "over 99%"), (1.0, "over 99%")],
)
def test_shares_are_whole_percents_and_never_certain(share, words):
    assert phrases.percentage(ENGLISH, share) == words


def test_details_say_what_was_looked_at():
    chest = analysis(np.zeros((60, 80), np.float32), areas=(0.2, 0.12))
    sizes = "The lungs cover 32% of it (right lung 20%, left lung 12%)."
    quality = "Their outline should agree with one drawn by hand to 0.96 (Dice; 1 is perfect)."
    assert answer.details(ENGLISH, chest) == f"chest.png: PNG, 80 × 60 pixels. {sizes} {quality}"


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


def test_a_chest_that_leans_is_offered_to_be_straightened():
    leaning = page(TUBERCULOSIS, warnings=[gate.ROTATED], correction=Correction(90, True), by_hand=True, tilt=-31.6)
    offered = [(button["data-turn"], button["data-swap"]) for button in leaning.having("data-turn")]
    assert offered[0] == ("-32", "0")
    assert "Straighten it, by 32°" in leaning.text and "As uploaded" in leaning.text
    for fine in (page(TUBERCULOSIS, tilt=12.0), page(TUBERCULOSIS, warnings=[gate.LOW_RESOLUTION], tilt=12.0)):
        assert "Straighten it" not in fine.text and "As uploaded" not in fine.text


def test_nothing_is_asserted_of_an_image_that_has_to_be_set_right_first():
    inverted = page(TUBERCULOSIS, warnings=[gate.INVERTED], by_hand=True)
    assert inverted.headings == ["Set the image right first"]


# What is taken home


def files_of(chest, correction=UPRIGHT):
    links = downloads.download_links(ENGLISH, chest, correction, MADE_BY)
    return {name: base64.b64decode(address.split(",")[1]) for name, address, _ in links}


def test_downloads_hold_the_page_the_mask_and_the_lungs_at_full_size_and_the_numbers():
    alpha = np.random.default_rng(0).random((1100, 1200), dtype=np.float32)
    alpha[:500] = 0
    chest = analysis(np.full((1100, 1200), 0.4, np.float32), alpha, [TUBERCULOSIS])
    files = files_of(chest)
    assert list(files) == ["chest.pdf", "chest_lungs.png", "chest_cut_out.png", "chest.json"]
    assert (np.asarray(Image.open(BytesIO(files["chest_lungs.png"]))) == np.asarray(mask_image(chest))).all()
    cut_out = Image.open(BytesIO(files["chest_cut_out.png"]))
    assert cut_out.mode == "RGBA" and cut_out.size == (1200, 1100)
    assert (np.asarray(cut_out)[..., 3] == np.asarray(mask_image(chest))).all()
    assert np.asarray(cut_out)[-1, -1, :3].tolist() == [102] * 3 and not np.asarray(cut_out)[:500].any()
    numbers = json.loads(files["chest.json"])
    assert numbers["findings"][0]["level"] == "detected" and numbers["findings"][0]["probability"] == 0.63
    assert numbers["model"] == "owner/model" and numbers["version"] == "9.9"
    assert numbers["applied_correction"] == {"angle": 0, "invert": False, "corners": None}


def test_downloads_of_a_turned_image_say_so():
    files = files_of(analysis(), Correction(90, True))
    assert "chest_turned_90_inverted_lungs.png" in files
    numbers = json.loads(files["chest_turned_90_inverted.json"])
    assert numbers["applied_correction"] == {"angle": 90, "invert": True, "corners": None}
    (page,) = PdfReader(BytesIO(files["chest_turned_90_inverted.pdf"])).pages
    assert "Turned by 90 degrees first. Black and white swapped first." in " ".join(page.extract_text().split())


@pytest.mark.parametrize("count", [0, 2, 16])
def test_the_printed_page_is_one_and_says_what_the_screen_does(count):
    findings = [Finding(f"finding_{i}", 0.63, 0.31, 0.9149, 0.88, "the Elm set (adults)") for i in range(count)]
    findings += [GOUT] * bool(count)
    chest = analysis(findings=findings, warnings=[gate.LOW_RESOLUTION], name="胸片 <b>&.png")
    pages = PdfReader(BytesIO(sheet_pdf(chest, UPRIGHT, MADE_BY))).pages
    assert len(pages) == 1
    text = " ".join(pages[0].extract_text().split())
    assert "For research and education. Not a medical device." in text
    assert gate.LOW_RESOLUTION.sentence in text
    assert "?? <b>&.png: PNG, 64 × 64 pixels." in text
    assert "LungFusion 9.9, model owner/model." in text
    assert ("The model reacts to: finding 0" in text) == bool(count) == ("Gout: not judged" in text)
    assert text.count(": detected") == count
    assert text.count(" 63% ") == count == text.count("it found 91 of 100")
    assert len(pages[0].images) == 2


def test_strangers_text_is_escaped():
    bad = '<script>"&'
    finding = Finding(f"a_{bad}", 0.5, 0.2, 0.9, 0.8, source=bad)
    warning = AnalysisWarning("code", f"warning {bad}")
    strange = analysis(findings=[finding], warnings=[warning], name=f"{bad}.png", areas=(0.1, 0.1))
    maps = {finding.name: np.ones((8, 8), np.float32)}
    table = Batch(ENGLISH, [finding.name], MADE_BY)
    table.add(f"{bad}.png", strange)
    for html in (
        answer.answer_html(ENGLISH, strange, maps, UPRIGHT),
        comparison.comparison_html(ENGLISH, strange, strange),
        table.html(),
        render("error.html", words=ENGLISH, sentence=f"{bad}.png"),
    ):
        assert "script" not in [tag for tag, _ in Page(html).tags]
        assert f"{bad}.png" in Page(html).text
    assert Page(answer.answer_html(ENGLISH, strange, maps)).having("download")[1]["download"] == f"{bad}_lungs.png"


# Two, and many


def test_two_are_compared():
    other = replace(TUBERCULOSIS, probability=0.11)
    first, second = (analysis(findings=[f], name=n) for f, n in ((TUBERCULOSIS, "a.png"), (other, "b.png")))
    shown = Page(comparison.comparison_html(ENGLISH, first, second))
    assert shown.headings == ["First X-ray", "Second X-ray"]
    assert "a.png: PNG" in shown.text and "b.png: PNG" in shown.text
    answers = [(a["class"], a) for tag, a in shown.tags if tag == "td" and "class" in a]
    assert [level for level, _ in answers] == ["detected", "not_detected"]
    assert said(shown).index("63%") < said(shown).index("11%") < said(shown).index("31%")
    refused = analysis(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])
    assert comparison.rows(ENGLISH, first, refused) == []
