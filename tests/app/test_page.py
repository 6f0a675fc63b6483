"""The page as its visitors meet it, in a browser."""

import json
import zipfile
from itertools import pairwise

import pytest
from PIL import Image

from lungfusion.app.view.words import LANGUAGES
from tests.support.browser import PATIENCE, barriers, go, shoot, upload

pytestmark = pytest.mark.browser

TABS = ("Analyse", "Learn", "Compare", "Many files", "About")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_visit(visit, radiograph_files, width, scheme):
    page = visit(width, scheme)
    assert page.title() == "LungFusion"
    assert page.get_by_text("For research and education. Not a medical device.").first.is_visible()
    assert page.get_by_text("deleted within 15 minutes").is_visible()
    shoot(page, width, scheme, "start")

    upload(page, radiograph_files["chest.png"])
    page.get_by_role("heading", name="The model reacts to: pneumonia.").wait_for()
    assert page.get_by_text("Show the X-ray to a doctor, not this page").is_visible()
    assert page.get_by_text("Below the threshold: signs of tuberculosis").is_visible()
    page.locator(".finding summary").first.click()
    said = page.locator(".finding").first.inner_text()
    assert "found 90 of 100 with the finding and passed 80 of 100 without" in said
    assert "Measured on validation patients of phantoms" in said
    radiograph, outline = page.get_by_alt_text("The radiograph"), page.get_by_alt_text("A line around the lungs")
    for image in (radiograph, outline):
        page.wait_for_function("image => image.naturalWidth == 256", arg=image.element_handle())
        assert image.is_visible()
    assert page.locator(".stage").bounding_box()["y"] < 500  # in sight
    if width > 900:
        assert page.locator(".stage").bounding_box()["width"] > 0.55 * width
    shoot(page, width, scheme, "answer")
    assert not barriers(page)

    page.get_by_text("Lungs", exact=True).click()
    assert page.locator(".background").is_visible()
    page.get_by_label("Outline", exact=True).uncheck()
    assert not outline.is_visible()
    page.get_by_label("Opacity", exact=True).fill("30")
    assert page.locator(".background").evaluate("image => getComputedStyle(image).opacity") == "0.3"
    page.get_by_label("Contrast", exact=True).fill("25")
    assert "greys" in radiograph.evaluate("image => getComputedStyle(image).filter")
    assert page.locator("feFuncR").get_attribute("slope") == "2"
    page.get_by_role("button", name="Heat map: Pneumonia").click()
    assert page.locator(".heat[data-finding=pneumonia]").is_visible()
    assert page.get_by_text("Weak evidence; not an outline of disease").is_visible()
    assert page.locator(".heat").count() == 1  # none of what is below its threshold
    shoot(page, width, scheme, "heat")

    names = {"Report": "chest.pdf", "Lung mask": "chest_lungs.png", "Lungs cut out": "chest_cut_out.png"}
    taken = {}
    for link, name in (names | {"Numbers": "chest.json"}).items():
        with page.expect_download() as download:
            page.get_by_role("button", name=link).click()
        assert download.value.suggested_filename == name
        taken[link] = download.value.path()
    assert Image.open(taken["Lung mask"]).size == (256, 256)
    assert Image.open(taken["Lungs cut out"]).mode == "RGBA"
    assert taken["Report"].read_bytes().startswith(b"%PDF")
    assert json.loads(taken["Numbers"].read_text())["findings"][0]["level"] == "detected"

    for tab in TABS[1:]:
        go(page, tab)
        if tab == "Learn":
            page.get_by_role("heading", name="1. The X-ray").wait_for()
            shoot(page, width, scheme, "steps")
        assert not barriers(page), tab
    go(page, "Analyse")

    page.get_by_role("button", name="Start over").click()
    page.get_by_text("The answer appears here").wait_for()
    upload(page, radiograph_files["notes.txt"])
    page.locator(".unread").wait_for()
    assert page.get_by_role("alert").first.inner_text().startswith("notes.txt: this is not a picture; use a PNG")
    assert page.locator(".finding").count() == 0  # nothing stale beside the error
    shoot(page, width, scheme, "error")


def test_two_are_compared_and_many_become_a_table(visit, radiograph_files, tmp_path):
    page = visit()
    go(page, "Compare")
    for name in ("chest.png", "deep.png"):
        page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(radiograph_files[name])
        page.locator("[role=tabpanel]:visible").get_by_text(name.split(".")[0]).first.wait_for()
    page.locator(".comparison table").wait_for()
    assert page.locator(".comparison .panel").count() == 2
    shoot(page, 1280, "light", "compare")

    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(radiograph_files["chest.dcm"], "folder/inside.dcm")
        archive.write(radiograph_files["notes.txt"], "folder/notes.txt")
    go(page, "Many files")
    assert "tab=many" in page.url
    page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(
        [radiograph_files["chest.png"], str(tmp_path / "more.zip")]
    )
    page.locator("[role=tabpanel]:visible .file-preview .file").nth(1).wait_for()
    page.get_by_role("button", name="Analyse all").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Table (CSV)").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("file,error,warnings,height,width,lung_area")
    names = [line.split(",")[0].split("/")[-1] for line in lines[1:]]
    assert names == ["chest.png", "inside.dcm"]  # what can't be a radiograph is passed over in an archive
    assert page.get_by_text("2 analysed, 0 refused, 0 unreadable.").is_visible()
    above = [page.locator(f".batch .{name}").bounding_box() for name in ("counts", "downloads", "filters", "scroll")]
    assert all(one["y"] + one["height"] <= next["y"] for one, next in pairwise(above)), above
    page.get_by_role("button", name="File", exact=True).dblclick()
    first = page.locator(".batch tbody th").first
    assert first.inner_text().startswith("inside.dcm")
    shoot(page, 1280, "light", "many")
    assert barriers(page) == {}


def test_a_file_is_that_of_the_answer_it_is_asked_of(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    names, moment = [], ""
    for then in ("Turn left", "Swap black and white", None):
        new = "moment => ![undefined, moment].includes(document.querySelector('.answer')?.dataset.moment)"
        page.wait_for_function(new, arg=moment)
        moment = page.locator(".answer").get_attribute("data-moment")
        with page.expect_download() as download:
            page.get_by_role("button", name="Numbers").click()
        names.append(download.value.suggested_filename)
        if then:
            page.get_by_role("button", name=then).click()
    assert names == ["chest.json", "chest_turned_90.json", "chest_turned_90_inverted.json"]
    page.close()


def test_the_page_speaks_the_readers_language_or_the_one_of_its_address(visit, radiograph_files):
    spanish, french = LANGUAGES["es"], LANGUAGES["fr"]
    page = visit(390, locale="es-MX")
    assert page.get_by_text(spanish("notice")).first.is_visible()
    upload(page, radiograph_files["chest.png"])
    page.get_by_role("heading", name=spanish("detected", findings=spanish.finding("pneumonia"))).wait_for()
    assert page.get_by_role("button", name=spanish("download_mask")).is_visible()
    shoot(page, 390, "light", "spanish")
    page.get_by_role("link", name="Français").click()
    page.get_by_text(french("purpose")).wait_for()
    upload(page, radiograph_files["notes.txt"])
    page.get_by_role("button", name=french("another")).wait_for()


def test_another_page_may_embed_the_app_and_is_left_where_it_is(browser, server, radiograph_files):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.set_content(
        f'<p style="height:900px">Above</p><iframe src="{server}/?view=embed&example=clear" '
        'width="700" height="900"></iframe>'
    )
    frame = page.frame_locator("iframe")
    frame.locator(".answer h2").wait_for()
    assert page.evaluate("scrollY") == 0
    assert frame.get_by_text("Not a medical device").locator("visible=true").count() == 1
    assert "view=embed" not in frame.get_by_role("link", name="Open in full").get_attribute("href")
    assert not frame.get_by_role("tab").first.is_visible()
    page.close()
