"""The tab that teaches, and the lungs on another background, in a browser."""

from importlib.resources import files

import pytest
from PIL import Image, ImageChops

from lungfusion import Evidence
from lungfusion.app.view.people import people_html
from lungfusion.app.view.words import LANGUAGES
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.browser import barriers, go, shoot, upload

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_walk_a_brush_and_a_quiz(visit, radiograph_files, width, scheme):
    page = visit(width, scheme)
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    go(page, "Learn")
    page.get_by_role("heading", name="1. The X-ray").wait_for()
    assert page.locator(".step:visible").count() == 1
    page.locator(".picture:visible").click(position={"x": 60, "y": 60})
    assert page.locator(".mark:visible").count() == 1
    shoot(page, width, scheme, "learn")
    assert not barriers(page)
    page.get_by_role("button", name="Next").click()
    page.get_by_role("heading", name="2. The alpha mask").wait_for()
    before = page.locator(".picture:visible img").get_attribute("src")
    page.get_by_role("button", name="The mask alone").click()
    assert page.locator(".picture:visible img").get_attribute("src") != before

    page.locator("[data-go]").last.click()
    brush = page.locator(".brush")
    brush.scroll_into_view_if_needed()
    box = brush.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=5)
    page.mouse.up()
    page.locator(".cover-said").get_by_text("Pneumonia").wait_for()
    page.get_by_role("button", name="Uncover all").click()
    assert page.locator(".cover-said table").count() == 0
    brush.focus()
    page.keyboard.press("Enter")
    page.locator(".cover-said").get_by_text("Pneumonia").wait_for()
    lesson = page.locator(".lesson:visible").first
    assert lesson.evaluate("one => one.scrollWidth <= one.clientWidth")  # else its words are cut off
    shoot(page, width, scheme, "cover")

    page.get_by_role("button", name="Start the quiz").click()
    page.get_by_role("button", name="A round spot").click()
    page.get_by_text("Right so far, of 1:").wait_for()
    assert page.locator(".quiz .truth").inner_text().startswith(("You are right.", "Not so."))
    assert not barriers(page)
    page.locator(".quiz").get_by_role("button", name="Next").click()
    page.get_by_text("Picture 2 of").wait_for()


def test_people_are_counted_from_the_start_and_as_the_threshold_moves(browser):
    scores = {"healthy": [0.1, 0.2, 0.2, 0.3, 0.9], "ill": [0.2, 0.6, 0.7, 0.8, 0.9]}
    place = Place(auc_healthy=Share(0.8, 0.7, 0.9, 10), scores=scores)
    evidence = Evidence({"pneumonia": FindingEvidence(places={"nih": place})})
    page = browser.new_page()
    shown = people_html(LANGUAGES["en"], {"pneumonia": 0.5}, evidence)
    page.set_content(f"<html lang=en><title>People</title><div id=people>{shown}</div>")
    script = (files("lungfusion.app.view") / "people.js").read_text(encoding="utf-8")
    page.evaluate("script => new Function('element', script)(document.querySelector('#people'))", script)
    assert page.locator(".outcome li").all_inner_texts() == [
        "Of 10 with it, 8 are named and 2 missed.",
        "Of 90 without it, 18 are named all the same.",
        "So of 26 who are named, 8 have it.",
    ]
    assert page.locator(".crowd .person").count() == 100
    assert not barriers(page)
    page.locator("[name=people-threshold]").fill("6")
    assert page.locator(".called-said").inner_text() == "So nobody is named."
    page.close()


def test_the_lungs_are_put_on_another_background(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    page.get_by_text("The lungs on another background").click()
    page.wait_for_function("document.querySelector('.cut-out canvas').width == 256")
    page.locator(".cut-out").get_by_role("button", name="White").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert download.value.suggested_filename == "chest_composite.png"
    with page.expect_download() as cut_out:
        page.get_by_role("button", name="Lungs cut out").click()
    lungs = Image.open(cut_out.value.path())
    white = Image.alpha_composite(Image.new("RGBA", lungs.size, "white"), lungs)
    saved = Image.open(download.value.path()).convert("RGBA")
    assert saved.size == lungs.size
    assert max(most for _, most in ImageChops.difference(white, saved).getextrema()) <= 2
