"""Pictures are checked pixel by pixel, words by what they say and must not say."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lungfusion import view
from lungfusion.analysis import Analysis, AnalysisWarning, Finding
from lungfusion.orientation import UPRIGHT
from lungfusion.radiograph import Radiograph

TUBERCULOSIS = Finding("tuberculosis", 0.63, 0.31, sensitivity=0.9149, specificity=0.88, source="the Elm set (adults)")
PNEUMONIA = Finding("pneumonia", 0.2, 0.5)


def analysis(pixels=None, alpha=None, findings=(), warnings=(), name="chest.png", areas=(0.0, 0.0), quality=0.96):
    pixels = np.full((64, 64), 0.5, np.float32) if pixels is None else pixels
    alpha = np.zeros(pixels.shape, np.float32) if alpha is None else alpha
    return Analysis(
        Radiograph(pixels, name, "PNG"), alpha, *areas, quality, 1.0, UPRIGHT, tuple(findings), tuple(warnings)
    )


def left_half(height=500, width=500):
    alpha = np.zeros((height, width), np.float32)
    alpha[:, : width // 2] = 1
    return alpha


def ramp(height, width):
    return np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))


# Pictures


def test_radiograph_is_shown_as_it_is():
    image = view.radiograph_image(analysis(np.array([[0, 0.2], [0.6, 1]], np.float32)))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 51], [153, 255]]


@pytest.mark.parametrize(
    ("shape", "shown"), [((64, 96), (64, 96)), ((1024, 1024), (1024, 1024)), ((3000, 1500), (1024, 512))]
)
def test_large_pictures_are_reduced_and_small_ones_are_not(shape, shown):
    big = analysis(ramp(*shape), left_half(*shape))
    saliency = np.zeros(shape, np.float32)
    pictures = [view.radiograph_image(big), view.overlay_image(big), view.masked_image(big)]
    for picture in [*pictures, view.saliency_image(big, saliency)]:
        assert picture.size == shown[::-1]
    assert abs(np.asarray(view.radiograph_image(big)).mean() - 127.5) < 1


def test_mask_keeps_the_radiographs_size():
    alpha = ramp(1100, 1300)
    mask = view.mask_image(analysis(np.zeros((1100, 1300), np.float32), alpha))
    assert (mask.mode, mask.size) == ("L", (1300, 1100))
    assert np.asarray(mask)[0, [0, 1299]].tolist() == [0, 255]
    assert np.abs(np.asarray(mask) / 255 - alpha).max() <= 0.5 / 255 + 1e-6


def test_masked_image_is_weighted_by_alpha():
    alpha = np.array([[0, 0.5, 1]] * 3, np.float32)
    masked = view.masked_image(analysis(np.full((3, 3), 0.8, np.float32), alpha))
    assert np.asarray(masked)[0].tolist() == [0, 102, 204]


def test_contour_lies_where_alpha_is_one_half_and_nowhere_else():
    image = np.asarray(view.overlay_image(analysis(np.full((500, 500), 0.4, np.float32), left_half())))
    assert tuple(image[250, 249]) == tuple(image[250, 250]) == view.CONTOUR_COLOUR
    drawn = (image != 102).any(-1)
    assert drawn.any(0).nonzero()[0].tolist() == [
        248,
        249,
        250,
        251,
    ]  # 0.4 % of 500 px is 2, and 1 on either side fades
    assert drawn[:, 249].all()  # the picture's own edge is no contour, but the line reaches it
    slope = view.contour(ramp(100, 400))
    assert abs(slope[50].argmax() - 199.5) <= 1


def test_contour_is_as_thick_as_asked_and_smooth():
    y, x = np.mgrid[:1000, :1000]
    distance = np.hypot(x - 500, y - 500) - 300
    line = view.contour((distance < 0).astype(np.float32))
    assert (line[np.abs(distance) < 1] > 0.9).all()
    assert (line[np.abs(distance) > 4] == 0).all()
    assert line.sum() / (2 * np.pi * 300) == pytest.approx(4, abs=0.4)  # 0.4 % of 1000 px
    assert ((line > 0.2) & (line < 0.8)).sum() > 1000  # antialiased


@pytest.mark.parametrize("alpha", [0, 1])
def test_without_an_edge_there_is_no_contour(alpha):
    assert not view.contour(np.full((80, 80), alpha, np.float32)).any()


def test_contour_of_a_phantom_surrounds_its_lungs(phantom):
    pixels, mask = phantom
    overlay = np.asarray(view.overlay_image(analysis(pixels, mask.astype(np.float32)))).astype(int)
    drawn = (overlay.max(-1) - overlay.min(-1)) > 60
    edge = mask ^ (np.roll(mask, 1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 0) & np.roll(mask, -1, 1) & mask)
    assert drawn[edge].mean() > 0.95
    assert drawn.mean() < 0.06


def test_heat_map_lies_over_the_overlay():
    chest = analysis(np.full((500, 500), 0.4, np.float32), left_half())
    saliency = np.zeros((500, 500), np.float32)
    saliency[100:200, 100:200] = 1
    image = np.asarray(view.saliency_image(chest, saliency))
    cold = np.asarray(view.overlay_image(chest)).copy()
    expected = np.round(102 + view.HEAT_OPACITY * (view.HEAT_COLOURS[-1] - 102))
    assert (image[100:200, 100:200] == expected).all()
    cold[100:200, 100:200] = expected
    assert (image == cold).all()


def test_heat_colours_are_plasma():
    plasma = pytest.importorskip("matplotlib").colormaps["plasma"]
    assert np.abs(view.HEAT_COLOURS / 255 - plasma(np.linspace(0, 1, 9))[:, :3]).max() <= 1 / 255


# Words


class Page(HTMLParser):
    """The text of a page, its tags, and whether they are nested well."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_finding_is_said_with_its_meaning_and_threshold():
    page = Page(view.findings_html(analysis(findings=[TUBERCULOSIS])))
    assert "Detected: signs of tuberculosis" in page.text
    assert "Probability 63%: at or above 31%, the threshold this model uses." in page.text
    assert (
        "At this threshold it found 91 of 100 with tuberculosis and passed 88 of 100 without, "
        "in validation patients of the Elm set (adults)." in page.text
    )
    styles = [attributes["style"] for _, attributes in page.tags if "style" in attributes]
    assert styles == ["width:63.0%", "left:31.0%"]
    assert view.ABOUT_PROBABILITIES in page.text


def test_a_finding_is_explained_and_cancer_needs_a_specialist():
    text = Page(view.findings_html(analysis(findings=[TUBERCULOSIS]))).text
    assert view.FINDING_MEANINGS["tuberculosis"] in text
    assert all("Suspicious for lung cancer" in view.FINDING_MEANINGS[name] for name in ("nodule", "mass"))
    assert "<p></p>" not in view.findings_html(analysis(findings=[Finding("gout", 0.2, 0.5)]))


@pytest.mark.parametrize(
    ("phrases", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_phrases_are_listed_as_in_a_sentence(phrases, said):
    assert view.listed(phrases) == said


def test_nothing_detected_is_not_called_healthy():
    page = Page(view.report_html(analysis(findings=[PNEUMONIA])))
    assert "No finding detected" in page.text
    assert "looks for pneumonia, and for nothing else" in page.text
    assert "Probability 20%: below 50%" in page.text
    assert "How often it is right at this threshold is not known." in page.text
    assert not re.search("healthy|normal|all clear|Detected:", page.text)


def test_only_what_is_detected_is_named_so():
    page = Page(view.findings_html(analysis(findings=[PNEUMONIA, TUBERCULOSIS])))
    assert "Detected: signs of tuberculosis" in page.text
    assert "looks for pneumonia and signs of tuberculosis" in page.text
    assert [attributes["class"].strip() for tag, attributes in page.tags if tag == "section"] == [
        "finding",
        "finding detected",
    ]


def test_warnings_come_first_and_a_refused_image_has_no_findings():
    refused = analysis(warnings=[AnalysisWarning("lungs_not_found", "No lungs were found.")])
    page = Page(view.report_html(refused))
    assert page.text.startswith("No lungs were found.")
    assert not re.search("detected|[Pp]robability", page.text)
    warned = analysis(warnings=refused.warnings, findings=[TUBERCULOSIS])
    assert Page(view.report_html(warned)).text.startswith("No lungs were found.")


@pytest.mark.parametrize(("share", "said"), [(0, 0), (0.29, 29), (0.919, 91), (0.996, 99), (1, 100)])
def test_shares_are_rounded_down(share, said):
    assert view.of_100(share) == said


@pytest.mark.parametrize(
    ("probability", "threshold", "said"),
    [(0.5, 0.3, ("50%", "30%")), (0.4996, 0.5, ("49.96%", "50.00%")), (0.5, 0.5, ("50.00%", "50.00%"))],
)
def test_probability_and_threshold_can_be_told_apart(probability, threshold, said):
    assert view.percentages(Finding("pneumonia", probability, threshold)) == said


def test_strangers_text_is_escaped():
    bad = '<script>"&'
    warning = AnalysisWarning("code", f"warning {bad}")
    finding = Finding(f"a_{bad}", 0.5, 0.2, 0.9, 0.8, source=bad)
    strange = analysis(findings=[finding], warnings=[warning], name=f"{bad}.png")
    for html in (view.report_html(strange), view.downloads_html(strange), view.saliency_html(finding.name, None)):
        page = Page(html)
        assert "script" not in [tag for tag, _ in page.tags]
        assert "<script>" not in html
    assert f"{bad}.png" in Page(view.details_html(strange)).text
    assert Page(view.downloads_html(strange)).tags[1][1]["download"] == f"{bad}_lungs.png"


def test_details_say_what_was_looked_at():
    text = Page(view.details_html(analysis(np.zeros((60, 80), np.float32), areas=(0.2, 0.12)))).text
    sizes = "The lungs cover 32% of it (right lung 20%, left lung 12%)."
    quality = "Their outline should agree with one drawn by hand to 0.96 (Dice; 1 is perfect)."
    assert text == f"chest.png: PNG, 80 × 60 pixels. {sizes} {quality}"


def test_heat_map_words_say_how_weak_it_is():
    text = Page(view.saliency_html("tuberculosis", 0.456)).text
    assert text.startswith("Signs of tuberculosis. Where the score is sensitive (Grad-CAM). Weak evidence;")
    assert text.endswith("46% of it lies inside the lungs.")
    assert Page(view.saliency_html("pneumonia", None)).text.endswith("The map is empty.")


def test_downloads_hold_the_mask_at_full_size_and_the_numbers():
    alpha = np.random.default_rng(0).random((1100, 1200), dtype=np.float32)
    chest = analysis(np.zeros((1100, 1200), np.float32), alpha, [TUBERCULOSIS])
    links = {a["download"]: a["href"] for tag, a in Page(view.downloads_html(chest)).tags if tag == "a"}
    files = {name: base64.b64decode(address.split(",")[1]) for name, address in links.items()}
    mask = Image.open(BytesIO(files["chest_lungs.png"]))
    assert (np.asarray(mask) == np.asarray(view.mask_image(chest))).all()
    assert json.loads(files["chest.json"]) == chest.to_dict()


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.0, "under 1%"), (0.004, "under 1%"), (0.006, "1%"), (0.994, "99%"), (0.997, "over 99%"), (1.0, "over 99%")],
)
def test_no_probability_is_shown_as_certain(probability, words):
    assert view.percentages(Finding("pneumonia", probability, 0.5))[0] == words
