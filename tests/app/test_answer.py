"""What is said of an answer: never more than is so."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lungfusion.analysis import AnalysisWarning, Correction, Finding, Spot
from lungfusion.app.view import answer, comparison, phrases, viewer
from lungfusion.app.view.batch import Batch
from lungfusion.app.view.downloads import file_html
from lungfusion.app.view.render import render
from lungfusion.app.view.score_strip import LIMIT_AT, row_scale
from lungfusion.checks import input_checks as gate
from lungfusion.checks.geometry import correct_pixels
from lungfusion.checks.orientation import UPRIGHT
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.answers import (
    EFFUSION,
    ENGLISH,
    GOUT,
    MADE_BY,
    MAPS,
    PNEUMONIA,
    TUBERCULOSIS,
    Page,
    at_home,
    page,
    said,
)
from tests.support.tiny import analysis


def test_a_finding_is_said_with_its_people_and_how_often_it_is_wrong():
    shown = page(TUBERCULOSIS)
    assert "The model sees: signs of tuberculosis." in shown.text
    assert "is not known (signs of tuberculosis); expect it to be often." in shown.text  # no figure from elsewhere
    assert "Learned from: the Elm set (adults)." in shown.text
    assert "it found 91 of 100 with the finding and passed 88 of 100 without" in shown.text
    assert "Its estimate: 63%. It counts from 31% on" in shown.text
    assert ENGLISH("now_detected") in shown.text
    assert ENGLISH.meaning("tuberculosis") in shown.text


def elsewhere(**figures):
    return FindingEvidence(home={"sensitivity": 0.9, "specificity": 0.8}, places={"Oak": Place(**figures)})


def places(**shares):
    return FindingEvidence(places={name: Place(called_healthy=share) for name, share in shares.items()})


def test_false_alarms_are_told_where_they_are_most_often_and_with_how_many_people():
    measured = places(montgomery=Share.of(13, 79), pakistan=Share.of(12, 404), jsrt=Share.of(15, 120))
    shown = page(replace(TUBERCULOSIS, evidence=measured), EFFUSION)
    assert "of 100 healthy people (Jsrt; 120 counted), it sees signs of tuberculosis in 13. Elsewhere" in shown.text
    assert "Montgomery" not in shown.text.partition("What now?")[0]  # no sentence from fewer than 100 people
    assert "Unclear: fluid around the lung (effusion)." in shown.text
    assert "is not known" not in shown.text.partition("What now?")[0]
    one = page(replace(TUBERCULOSIS, evidence=places(pakistan=Share.of(0, 404))))
    assert "(Pakistan; 404 counted), it sees signs of tuberculosis in 1. Elsewhere it may be more." in said(
        one
    )  # none of a few hundred is not never
    nodule = Finding("nodule", 0.9, 0.5, evidence=places(jsrt=Share.of(15, 120), nih_held_back=Share.of(10, 400)))
    mass, held_back = replace(nodule, name="mass"), places(nih_held_back=Share.of(12, 400))
    told = phrases.headline(ENGLISH, analysis(findings=[nodule, mass, replace(TUBERCULOSIS, evidence=held_back)]))[1][0]
    assert (
        "(Jsrt; 120 counted), it sees a nodule in 13 and a mass in 13. Of 100 others (NIH, USA; 400 counted)," in told
    )


def test_how_often_anything_is_a_false_alarm_is_said_where_it_was_measured():
    anything = {"elm": Share.of(12, 404), "oak": Share.of(15, 120), "few": Share.of(9, 20)}
    told = phrases.headline(ENGLISH, analysis(findings=[TUBERCULOSIS]), anything)[1][0]
    assert told.endswith("it sees something at all in 13 (Oak; 120 people) and 3 (Elm; 404 people).")
    assert "something at all" not in phrases.headline(ENGLISH, analysis(findings=[TUBERCULOSIS]))[1][0]
    assert "something at all" not in " ".join(phrases.headline(ENGLISH, analysis(findings=[PNEUMONIA]), anything)[1])


def test_what_is_overlooked_is_said_beside_the_calm_headline():
    seen = {"nodule": 0.21, "mass": 0.4, "effusion": 0.9}
    findings = [Finding(name, 0.1, 0.5, evidence=at_home(found, 0.9)) for name, found in seen.items()]
    lead = said(page(*findings))
    assert "even where it learned: it misses 79 of 100 with a nodule and 60 of 100 with a mass." in lead
    away = FindingEvidence(places={"oak": Place(found=Share.of(30, 100)), "elm": Place(found=Share.of(80, 100))})
    lead = said(page(Finding("nodule", 0.1, 0.5, evidence=away)))
    assert "It overlooks a lot: it misses 70 of 100 with a nodule (Oak; 100 people)." in lead
    assert "How much it overlooks is not known." in said(page(Finding("nodule", 0.1, 0.5)))


def test_figures_stand_in_a_table_by_place_the_worst_first():
    found = {"oak": Place(found=Share.of(637, 1000)), "elm": Place(found=Share.of(500, 1000))}
    rows = phrases.figures(ENGLISH, replace(TUBERCULOSIS, evidence=FindingEvidence(places=found)))
    assert rows[0]["said"] == ["Elm: 50 of 100 (46 to 54), 1000 people", "Oak: 63 of 100 (60 to 67), 1000 people"]
    assert len(rows) == 2  # what was not measured has no row


def test_what_one_shadow_sets_off_is_told_together():
    alike = replace(TUBERCULOSIS, better_fit="pneumonia")
    best = replace(PNEUMONIA, probability=0.9)
    shown = said(page(alike, best))
    assert "The model sees: pneumonia." in shown and "Unclear: signs of tuberculosis." in shown
    assert "These look alike to it: pneumonia and signs of tuberculosis. Best fit: pneumonia." in shown
    assert "Another name fits the same shadow better: pneumonia." in shown


def test_a_better_name_is_told_only_where_it_is_named_or_stands_in_the_way():
    rival = Finding("effusion", 0.2, 0.5)
    below, above = (Finding("tuberculosis", p, 0.31, 0.05, better_fit="effusion") for p in (0.1, 0.6))
    assert "fits the same shadow" not in said(page(below, rival)) and "look alike" not in said(page(below, rival))
    assert "fits the same shadow" in said(page(above, rival))
    assert "look alike" in said(page(below, replace(rival, probability=0.9)))


def test_a_place_is_told_or_that_it_is_not_known():
    spot = Spot(32.0, 16.0, 4.0, 0.9)
    nodule = Finding("nodule", 0.8, 0.5, places=(spot,))
    shown = page(nodule, TUBERCULOSIS, replace(EFFUSION, probability=0.9))
    text = said(shown)
    assert (
        "in the rings (a nodule)" in text
        and "on the heat map (fluid around the lung (effusion) and signs of tuberculosis)" in text
    )
    (ring,) = [attributes for tag, attributes in shown.tags if tag == "circle" and "data-name" in attributes]
    assert (ring["cx"], ring["cy"], ring["r"]) == ("32", "16", "4")
    assert [button["data-spot"] for button in shown.having("data-spot")] == ["32 16 4"]
    assert "Where it is, the model cannot say (a nodule)." in said(page(replace(nodule, places=())))


def test_a_place_moves_with_a_picture_that_was_set_right():
    pixels = np.zeros((60, 80), np.float32)
    finding = Finding("nodule", 0.8, 0.5, places=(Spot(70.0, 10.0, 5.0, 0.9),))
    turned = Correction(180, False)
    _, matrix = correct_pixels(pixels, turned)
    seen, _ = viewer.to_analysed_geometry(
        analysis(pixels, findings=[finding], correction=turned, original_from_corrected=matrix)
    )
    (spot,) = seen.findings[0].places
    assert (spot.x, spot.y, spot.radius) == pytest.approx((9, 49, 5), abs=0.01)


@pytest.mark.parametrize(
    ("findings", "headline"),
    [
        ([TUBERCULOSIS, EFFUSION], "The model sees: signs of tuberculosis."),
        ([EFFUSION, PNEUMONIA], "Unclear: fluid around the lung (effusion)."),
        ([PNEUMONIA, GOUT], "Nothing stands out."),
        ([GOUT], "Nothing is said about findings."),
        ([], ""),
    ],
)
def test_the_headline_follows_the_level(findings, headline):
    assert phrases.headline(ENGLISH, analysis(findings=findings))[0] == headline


def test_where_lungs_are_covered_nothing_is_ruled_out_and_nothing_is_made_up():
    covered = [replace(finding, hidden_by="covered") for finding in (PNEUMONIA, replace(PNEUMONIA, name="edema"))]
    shown = page(*covered, warnings=[gate.LUNGS_HIDDEN])
    assert shown.headings == ["Nothing stands out where the lungs can be seen."]
    assert "Whatever lies there is not ruled out" in shown.text and shown.text.count(ENGLISH("reason_hidden")) == 2
    doubted = replace(EFFUSION, hidden_by="covered")
    assert page(*covered, doubted).headings == ["Unclear: fluid around the lung (effusion)."]


def test_what_was_not_judged_is_said_beside_the_headline():
    nodule = Finding("nodule", None, 0.5, reason="resolution")
    said = " ".join(phrases.headline(ENGLISH, analysis(findings=[PNEUMONIA, nodule]))[1])
    assert "Not judged: a nodule. The image is too coarse to show it: use a larger one." in said
    said = " ".join(phrases.headline(ENGLISH, analysis(findings=[PNEUMONIA, nodule, GOUT]))[1])
    assert "Only this was judged: pneumonia." in said


def test_no_percentage_is_told_of_what_is_not_detected():
    shown = page(replace(PNEUMONIA, probability=0.23), GOUT, TUBERCULOSIS, replace(EFFUSION, probability=0.54))
    rows = {row["data-name"]: row["class"] for tag, row in shown.tags if tag == "details" and "data-name" in row}
    assert rows == {
        "tuberculosis": "finding detected",
        "effusion": "finding unclear",
        "pneumonia": "finding not_detected",
        "gout": "finding not_assessed",
    }
    assert "23%" not in shown.text and "54%" not in shown.text and "63%" in shown.text
    assert "The model did not learn it on people of this age." in shown.text
    assert [button["data-heat"] for button in shown.having("data-heat")] == ["tuberculosis"]
    assert [image["data-finding"] for image in shown.having("src") if "data-finding" in image] == ["tuberculosis"]


def test_on_the_common_scale_what_is_not_detected_stands_before_the_line():
    likelier = Finding("mass", 0.27, 0.6)  # not detected with more than what is
    rows = [Finding("edema", 0.06, 0.05), likelier, Finding("nodule", 0.059, 0.06, 0.04)]
    edema, mass, nodule = (row_scale(finding) for finding in rows)
    assert float(edema["mark"]) > LIMIT_AT > float(nodule["mark"]) > float(mass["mark"])
    assert float(nodule["doubt"]) < float(nodule["mark"]) and mass["doubt"] is None
    assert [one.name for one in phrases.by_level(rows)["not_detected"]] == ["mass"]


def test_findings_are_ordered_by_level_and_then_by_how_far_they_reach_above_their_threshold():
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
    assert "Whose X-ray is it?" not in page(TUBERCULOSIS).text
    chest = analysis(findings=[PNEUMONIA])
    chest = replace(chest, radiograph=replace(chest.radiograph, age=34.0))
    shown = Page(answer.answer_html(ENGLISH, chest, MAPS))
    who = [radio for radio in shown.having("value") if radio.get("name") == "who"]
    assert [radio["value"] for radio in who] == ["child", "older_child", "adult"]
    assert [radio["value"] for radio in who if "checked" in radio] == ["adult"]
    assert "34 years" in shown.text
    told = Page(answer.answer_html(ENGLISH, chest, MAPS, who="child"))
    assert "34 years" not in told.text  # no age is told that a visitor's word stands for
    assert [r["value"] for r in told.having("checked") if r.get("name") == "who"] == ["child"]


def test_cancer_needs_a_specialist_and_unknown_findings_keep_their_names():
    assert all("Suspicious for lung cancer" in ENGLISH.meaning(name) for name in ("nodule", "mass"))
    assert ENGLISH.title("a_rare_one") == "A rare one"
    gout = Finding("gout", 0.2, 0.5)
    assert "" not in answer.row(ENGLISH, gout, {}, [], analysis(), phrases.by_level([gout]))["said"]


def test_nothing_detected_is_not_called_healthy():
    shown = page(PNEUMONIA)
    assert "Nothing stands out." in shown.text and "does not show that all is well" in shown.text
    assert "It does not look for a collapsed lung (pneumothorax), fractures and tubes" in shown.text
    assert "Learned from children under 6." in shown.text
    assert not re.search("normal|all clear|The model sees", shown.text)
    unknown = page(Finding("pneumonia", 0.2, 0.5))
    assert "How often it is right at this threshold is not known." in unknown.text


def test_a_refused_image_has_neither_findings_nor_outline_nor_report():
    refused = page(warnings=[gate.NOT_A_CHEST_RADIOGRAPH])
    assert gate.NOT_A_CHEST_RADIOGRAPH.sentence in refused.text
    assert not re.search("The model sees|Its estimate|Heat map|The lungs cover", refused.text)
    assert [attributes["class"] for tag, attributes in refused.tags if tag == "img"] == ["base"]
    assert [button["data-file"] for button in refused.having("data-file")] == ["numbers"]
    assert refused.headings == ["No answer for this picture"] and not refused.having("data-compare")
    warned = page(TUBERCULOSIS, warnings=[gate.ONE_LUNG_FOUND])
    assert warned.text.index(gate.ONE_LUNG_FOUND.sentence) < warned.text.index("The model sees")
    images = [attributes["class"] for tag, attributes in warned.tags if tag == "img"]
    assert images == ["base", "background", "heat"] and shown_outline(warned)


def test_a_segmenters_warned_answer_has_its_outline():
    chest = analysis(warnings=[gate.LOW_RESOLUTION], areas=(0.2, 0.1))
    shown = Page(answer.answer_html(ENGLISH, chest, {}, UPRIGHT))
    assert [attributes["class"] for tag, attributes in shown.tags if tag == "img"] == ["base", "background"]
    assert shown_outline(shown)


def shown_outline(shown):
    return any(attributes.get("class") == "contour" for _, attributes in shown.tags)


def test_the_outline_is_a_line_along_one_half():
    alpha = np.zeros((8, 8), np.float32)
    alpha[2:6, 3:5] = 1
    alpha[0, 0] = alpha[7, 7] = 0.9  # at the border too
    path = viewer.outline_path(alpha)
    assert path.count("M") == path.count("Z") == 3
    numbers = np.array(re.findall(r"-?[0-9.]+", max(path.split("Z"), key=len)), float).reshape(-1, 2)
    assert numbers.min(0) == pytest.approx([2.5, 1.5], abs=0.6) and numbers.max(0) == pytest.approx([4.5, 5.5], abs=0.6)
    assert viewer.outline_path(np.zeros((8, 8))) == ""


def test_heart_and_chest_are_measured_by_the_outline():
    alpha = np.zeros((100, 100), np.float32)
    alpha[20:80, 10:40] = alpha[20:80, 60:90] = 1
    alpha[50:80, 30:40] = alpha[50:80, 60:70] = 0  # the heart, from 30 to 70 of 10 to 90
    assert viewer.cardiothoracic_ratio(alpha) == pytest.approx(0.5, abs=0.03)
    assert viewer.cardiothoracic_ratio(alpha * (np.arange(100) < 50)) is None


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
    assert leaning.having("data-turn")[0]["data-turn"] == "-32"
    assert "Straighten it, by 32°" in leaning.text and "As uploaded" in leaning.text
    for fine in (page(TUBERCULOSIS, tilt=12.0), page(TUBERCULOSIS, warnings=[gate.LOW_RESOLUTION], tilt=12.0)):
        assert "Straighten it" not in fine.text and "As uploaded" not in fine.text


def test_nothing_is_asserted_of_an_image_that_has_to_be_set_right_first():
    inverted = page(TUBERCULOSIS, warnings=[gate.INVERTED], by_hand=True)
    assert inverted.headings == ["Set the image right first"]
    (offered,) = [button for button in inverted.having("data-mirror") if button.get("data-turn")]
    assert (offered["data-turn"], offered["data-swap"], offered["data-mirror"]) == ("0", "1", "0")


def test_what_was_set_right_by_itself_is_said():
    turned = analysis(warnings=[gate.CORRECTED], correction=Correction(-90, True, mirror=True))
    said = answer.warned(ENGLISH, *turned.warnings, turned)
    assert "the image was set from a negative to a positive, turned by 90° and mirrored. Check" in said


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
