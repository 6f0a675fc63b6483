"""What is said of an answer: never more than is so."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lungfusion.analysis import AnalysisWarning, Correction, Finding
from lungfusion.app.view import answer, comparison, phrases, viewer
from lungfusion.app.view.batch import Batch
from lungfusion.app.view.downloads import file_html
from lungfusion.app.view.render import render
from lungfusion.checks import input_checks as gate
from lungfusion.checks.orientation import UPRIGHT
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.answers import EFFUSION, ENGLISH, GOUT, MADE_BY, MAPS, PNEUMONIA, TUBERCULOSIS, Page, at_home, page
from tests.support.tiny import analysis


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


def elsewhere(**figures):
    return FindingEvidence(home={"sensitivity": 0.9, "specificity": 0.8}, places={"Oak": Place(**figures)})


def test_the_headline_counts_false_alarms_of_other_hospitals():
    away = replace(TUBERCULOSIS, evidence=elsewhere(called_healthy=Share(0.741, 0.7, 0.78, 500)))
    shown = page(away, EFFUSION)
    assert "signs of tuberculosis is a false alarm in 75 of 100 healthy people" in shown.text
    assert "Unclear: fluid around the lung (effusion)." in shown.text
    assert "is not known" not in shown.text
    rare = replace(PNEUMONIA, probability=0.5, evidence=elsewhere(called_healthy=Share.of(0, 300)))
    shown = page(away, rare)
    assert "false alarms among 100 healthy people: signs of tuberculosis 75 and pneumonia 1." in shown.text
    assert shown.text.count("Away from the hospitals") == 1


def test_a_card_tells_how_many_are_found_in_other_hospitals():
    away = replace(TUBERCULOSIS, evidence=elsewhere(found=Share(0.637, 0.6, 0.67, 500)))
    assert "Away from the hospitals it learned from, it finds 63 of 100 people with it." in page(away).text
    assert "it finds" not in page(TUBERCULOSIS).text


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
    assert [button["data-file"] for button in refused.having("data-file")] == ["numbers"]
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


def test_a_heat_map_says_what_it_is_and_how_weak():
    alpha = np.zeros((64, 64), np.float32)
    alpha[:, :16] = 1
    said = page(TUBERCULOSIS, alpha=alpha)
    assert "Where the score is sensitive (Grad-CAM). Weak evidence; not an outline of disease." in said.text
    assert "25% of it lies inside the lungs." in said.text
    empty = viewer.share_words(ENGLISH, analysis(), np.zeros((32, 32), np.float32))
    assert empty == "The map is empty."


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


def test_strangers_text_is_escaped():
    bad = '<script>"&'
    finding = Finding(f"a_{bad}", 0.5, 0.2, evidence=at_home(0.9, 0.8, bad))
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
    (link,) = Page(file_html("mask", 0, ENGLISH, strange, UPRIGHT, MADE_BY, maps)).having("download")
    assert link["download"] == f"{bad}_lungs.png"
