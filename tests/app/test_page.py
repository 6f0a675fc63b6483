"""The page as its visitors meet it, in a browser."""

import gzip
import json
import urllib.request
import zipfile
from itertools import pairwise

import pytest
from PIL import Image

from lungfusion.app.view.words import LANGUAGES
from tests.support.browser import PATIENCE, barriers, go, shoot, upload

pytestmark = pytest.mark.browser

ROOMS = ("Analyse", "Learn", "Compare", "Many files", "About")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_visit(visit, radiograph_files, width, scheme):
    page = visit(width, scheme)
    assert page.title() == "LungFusion"
    assert page.get_by_text("Not a medical device").first.is_visible()
    assert page.get_by_text("deleted within 15 minutes").is_visible()
    assert page.locator(".card").count() == 6
    while not page.locator(".card .said").count():  # the model looks at the examples while the page is served already
        page.wait_for_timeout(1000)
        page.reload()
        page.wait_for_function("window.lungfusion && document.querySelector('.card')")
        page.wait_for_timeout(1500)
    assert page.locator(".card .said:is(.right, .partly, .wrong, .unsure)").count() == 6  # none that does not say so
    assert page.locator(".reel .heat").evaluate("one => getComputedStyle(one).display") == "block"  # where a finding is
    shoot(page, width, scheme, "start")
    assert not barriers(page)

    upload(page, radiograph_files["chest.png"])
    page.get_by_role("heading", name="The model sees: pneumonia.").wait_for()
    assert page.get_by_text("Have a doctor look at the X-ray itself").is_visible()
    head, stage = page.locator(".answer h2").bounding_box(), page.locator(".stage").bounding_box()
    if width > 900:
        assert 0.56 * width < stage["width"] < 0.63 * width and stage["y"] + stage["height"] == pytest.approx(
            800, abs=2
        )
    else:
        assert head["y"] < stage["y"] < 844 and stage["width"] == width  # the headline first, the picture full width
    radiograph, outline = (
        page.get_by_alt_text("The radiograph"),
        page.get_by_role("img", name="A line around the lungs"),
    )
    page.wait_for_function("image => image.naturalWidth == 256", arg=radiograph.element_handle())
    assert radiograph.is_visible() and outline.is_visible()
    page.locator(".finding[data-name=pneumonia] summary").click()
    told = page.locator(".finding[data-name=pneumonia]").inner_text()
    assert "found 90 of 100 with the finding and passed 80 of 100 without" in told and "Its estimate:" in told
    assert "%" not in page.locator(".finding[data-name=tuberculosis]").inner_text()  # none of what is not detected
    shoot(page, width, scheme, "answer")
    assert not barriers(page)

    page.locator(".layers").get_by_text("Lungs", exact=True).click()
    assert page.locator(".background").is_visible()
    page.get_by_role("button", name="Heat map: Pneumonia").click()
    assert page.locator(".heat[data-finding=pneumonia]").is_visible()
    assert page.get_by_text("Weak evidence; not an outline of disease").count() == 1
    assert page.locator(".heat").count() == 1  # none of what is below its threshold
    shoot(page, width, scheme, "heat")
    assert not barriers(page)

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

    for room in ROOMS[1:]:
        go(page, room)
        if room == "Learn":
            page.get_by_role("heading", name="1. The X-ray").wait_for()
            shoot(page, width, scheme, "steps")
        assert not barriers(page), room
    go(page, "Analyse")

    page.get_by_role("button", name="Start over").click()
    page.locator(".hero").wait_for()
    upload(page, radiograph_files["notes.txt"])
    page.locator(".unread").wait_for()
    assert page.get_by_role("alert").first.inner_text().startswith("notes.txt: this is not a picture but a text")
    assert page.locator(".finding").count() == 0  # nothing stale beside the error
    shoot(page, width, scheme, "error")
    assert not barriers(page)


def test_two_are_compared_and_many_become_a_table(visit, radiograph_files, tmp_path):
    page = visit()
    go(page, "Compare")
    for number, name in (("first", "chest.png"), ("second", "deep.png")):
        page.locator(f"#compare-{number} input[type=file]").set_input_files(radiograph_files[name])
        page.locator(f".panel.{number}", has_text=name).wait_for()
    page.locator(".comparison table").wait_for()
    assert page.locator(".comparison .panel").count() == 2
    shoot(page, 1280, "light", "compare")

    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(radiograph_files["chest.dcm"], "folder/inside.dcm")
        archive.write(radiograph_files["notes.txt"], "folder/notes.txt")
    go(page, "Many files")
    assert "tab=many" in page.url
    files = page.locator("#many-files input[type=file]")
    files.set_input_files([radiograph_files["chest.png"], str(tmp_path / "more.zip")])
    page.locator("#many-files .file-preview .file").nth(1).wait_for(state="attached")
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
    assert page.get_by_text(spanish("notice_short")).first.is_visible()
    upload(page, radiograph_files["chest.png"])
    page.get_by_role("heading", name=spanish("detected", findings=spanish.finding("pneumonia"))).wait_for()
    assert page.get_by_role("button", name=spanish("download_mask")).is_visible()
    shoot(page, 390, "light", "spanish")
    page.locator(".languages summary").click()
    page.get_by_role("link", name="Français").click()
    page.get_by_text(french("pitch_more")).wait_for()
    upload(page, radiograph_files["notes.txt"])
    page.get_by_role("button", name=french("another")).wait_for()


def test_another_page_may_embed_the_app_and_is_left_where_it_is(browser, server, radiograph_files):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.set_content(
        f'<p style="height:900px">Above</p><iframe src="{server}/?view=embed&example=clear&lang=es&tab=analyse" '
        'width="700" height="900"></iframe>'
    )
    frame = page.frame_locator("iframe")
    frame.locator(".answer h2").wait_for()
    assert page.evaluate("scrollY") == 0
    assert not frame.locator(".top").is_visible()
    link = frame.get_by_role("link", name=LANGUAGES["es"]("open_in_full"))
    assert link.get_attribute("href") == f"{server}/?example=clear&lang=es&tab=analyse"  # all but the frame
    page.close()


def test_a_step_and_a_question_have_addresses(visit, server):
    page = visit(query="/?tab=steps&example=clear&step=3", wait=".walk")
    page.get_by_role("heading", name="3. Image and mask are joined").wait_for()
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("location.search.includes('step=4')")
    page = visit(query="/?tab=steps&view=embed&quiz=2", wait=".quiz .guesses")
    assert page.get_by_text("Picture 2 of 8").is_visible() and not page.locator(".people-lesson").is_visible()


def test_the_page_travels_small_and_in_one_language(server):
    received = urllib.request.Request(f"{server}/", headers={"Accept-Encoding": "gzip", "Accept-Language": "fr"})
    with urllib.request.urlopen(received, timeout=30) as answer:
        packed = answer.read()
    html = gzip.decompress(packed).decode()
    assert len(packed) < 60_000 and "@@" not in html
    assert LANGUAGES["fr"]("choose") in html and LANGUAGES["en"]("choose") not in html


def test_a_first_visit_weighs_little(browser, server):
    for _ in range(2):  # of the first visitor of all, assets are packed quickly; of the next, as small as can be
        window, loaded = browser.new_context(viewport={"width": 1280, "height": 800}), []
        page = window.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("requestfinished", lambda request, loaded=loaded: loaded.append(request))
        page.goto(server)
        page.locator(".hero").wait_for()
        page.wait_for_function("window.lungfusion")
        page.wait_for_timeout(3000)  # until all is here, and packed
        sizes = {request.url.removeprefix(server): request.sizes()["responseBodySize"] for request in loaded}
        window.close()
    assert sum(sizes.values()) < 250_000, sorted(sizes.items(), key=lambda one: -one[1])[:20]
