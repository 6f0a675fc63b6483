"""The page to print: one, in the reader's language, with what the screen says."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from lungfusion.analysis import Correction, Finding, Spot
from lungfusion.app.view import report
from lungfusion.app.view.print_fonts import markup
from lungfusion.app.view.report import report_pdf
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks import input_checks as gate
from lungfusion.checks.orientation import UPRIGHT
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.answers import ENGLISH, GOUT, MADE_BY, PNEUMONIA, TUBERCULOSIS
from tests.support.tiny import analysis

MAPS = {name: np.full((32, 32), 0.5, np.float32) for name in ("tuberculosis", "pneumonia", "gout")}


def printed(chest, words=ENGLISH, correction=UPRIGHT, saliency=None):
    return PdfReader(BytesIO(report_pdf(words, chest, correction, MADE_BY, saliency))).pages


def text_of(pages):
    return " ".join(pages[0].extract_text().split())


@pytest.mark.parametrize("count", [0, 2, 16])
def test_the_printed_page_is_one_and_says_what_the_screen_does(count):
    findings = [Finding(f"finding_{i}", 0.63, 0.31, evidence=TUBERCULOSIS.evidence) for i in range(count)]
    findings += [GOUT] * bool(count)
    pages = printed(analysis(findings=findings, warnings=[gate.LOW_RESOLUTION], name="胸片 ☃ <b>&.png"))
    assert len(pages) == 1
    text = text_of(pages)
    assert "For research and education. Not a medical device." in text
    assert gate.LOW_RESOLUTION.sentence in text
    assert "胸片 ? <b>&.png: PNG, 64 × 64 pixels." in text
    assert "LungFusion 9.9, model owner/model." in text
    assert ("The model sees: finding 0" in text) == bool(count) == ("Gout Not judged" in text)
    assert text.count("Detected 63%") == count


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_printed_in_letters_that_its_fonts_have(language):
    words = LANGUAGES[language]
    chest = analysis(findings=[TUBERCULOSIS, PNEUMONIA, GOUT], warnings=[gate.CUT_OFF])
    pages = printed(chest, words, Correction(90, True), MAPS)
    assert len(pages) == 1
    for key, sentence in words.sentences.items():
        assert markup(sentence, language).count("?") == sentence.count("?"), key
    text = "".join(text_of(pages).split())
    if language != "hi":  # shaped letters are stored in the order in which they are drawn
        assert "".join(words("detected", findings=words.finding("tuberculosis")).split()) in text
    fonts = {str(font["/BaseFont"]) for font in (f.get_object() for f in pages[0]["/Resources"]["/Font"].values())}
    assert any("Lohit" in font for font in fonts) == (language == "hi")
    assert any("Droid" in font for font in fonts) == (language == "zh")


def test_the_page_says_what_was_done_to_the_picture_first():
    text = text_of(printed(analysis(correction=Correction(0, True)), correction=Correction(90, False)))
    assert "Turned by 90° first. Black and white swapped first." in text


def test_a_place_is_ringed_and_a_figure_names_its_hundred():
    share = Share.of(12, 404)
    found = FindingEvidence(places={"pakistan": Place(called_healthy=share)})
    nodule = Finding("nodule", 0.9, 0.5, evidence=found, places=(Spot(32.0, 16.0, 6.0, 0.9),))
    text = text_of(printed(analysis(np.zeros((64, 64), np.float32), findings=[nodule])))
    assert "The radiograph with a line around the lungs. Where: in the rings (a nodule)." in text
    assert "named all the same: Pakistan: 3 of 100 (1 to 6), 404 people" in text
    picture = Image.new("RGB", (64, 64))
    report.with_rings(picture, analysis(np.zeros((64, 64), np.float32), findings=[nodule]))
    assert picture.getpixel((38, 16)) == (240, 228, 66) and picture.getpixel((32, 16)) == (0, 0, 0)


def test_the_heat_map_is_of_what_the_model_reacts_to_and_of_nothing_else():
    reacts, calm = (analysis(findings=findings) for findings in ([TUBERCULOSIS, PNEUMONIA], [PNEUMONIA]))
    assert "Heat map for signs of tuberculosis." in text_of(printed(reacts, saliency=MAPS))
    for chest, maps in ((reacts, None), (calm, MAPS)):
        assert "Heat map" not in text_of(printed(chest, saliency=maps))
