"""The page as its visitors meet it, in a browser."""

import base64
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from lungfusion.app.view.words import LANGUAGES

pytestmark = pytest.mark.browser
SCREENSHOTS = Path(__file__).parent.parent / "screenshots"
CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000  # ms
TABS = ("Analyse", "Step by step", "Compare", "Many files", "About")


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Opens the app in a window of the given width; at the end there must be no errors and no foreign requests."""
    errors, foreign, windows = [], [], []

    def open_page(width=1280, scheme="light", locale="en-US", query="", wait=".block.welcome"):
        window = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale)
        windows.append(window)
        page = window.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, server) else None)
        page.goto(server + query)
        page.locator(wait).wait_for()
        page.wait_for_function("window.lungfusion")
        page.expected_errors = 0
        return page

    yield open_page
    expected = sum(page.expected_errors for window in windows for page in window.pages)
    for window in windows:
        window.close()
    assert len(errors) <= expected, errors
    assert not foreign


def is_foreign(url, server):
    return not url.startswith((server, "data:", "blob:"))


def upload(page, file):
    page.locator("#upload input[type=file]").set_input_files(file)


def go(page, name):
    """To another tab, on a narrow window through the menu that holds those without room."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()


def shoot(page, width, scheme, name):
    """A screenshot; on the way, the page must not be wider than the window."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}-{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def barriers(page):
    """Serious ones that axe-core finds."""
    page.wait_for_timeout(500)  # until nothing fades any more
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return {v["id"]: [node["html"][:150] for node in v["nodes"]] for v in serious}


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
    page.get_by_label("Opacity").fill("30")
    assert page.locator(".background").evaluate("image => getComputedStyle(image).opacity") == "0.3"
    page.get_by_label("Contrast").fill("200")
    assert "contrast(2)" in radiograph.evaluate("image => getComputedStyle(image).filter")
    page.get_by_role("button", name="Heat map: Pneumonia").click()
    assert page.locator(".heat[data-finding=pneumonia]").is_visible()
    assert page.get_by_text("Weak evidence; not an outline of disease").is_visible()
    assert page.locator(".heat").count() == 1  # none of what is below its threshold
    shoot(page, width, scheme, "heat")

    names = {"Report": "chest.pdf", "Lung mask": "chest_lungs.png", "Lungs cut out": "chest_cut_out.png"}
    taken = {}
    for link, name in (names | {"Numbers": "chest.json"}).items():
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        assert download.value.suggested_filename == name
        taken[link] = download.value.path()
    assert Image.open(taken["Lung mask"]).size == (256, 256)
    assert Image.open(taken["Lungs cut out"]).mode == "RGBA"
    assert taken["Report"].read_bytes().startswith(b"%PDF")
    assert json.loads(taken["Numbers"].read_text())["findings"][0]["level"] == "detected"

    for tab in TABS[1:]:
        go(page, tab)
        if tab == "Step by step":
            page.get_by_role("heading", name="6. The answer").wait_for()
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


def test_the_picture_is_zoomed_moved_and_set_back(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    box = page.locator(".stage").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def transform():
        return page.locator(".stack").evaluate("stack => new DOMMatrix(getComputedStyle(stack).transform).toJSON()")

    page.mouse.move(*middle)
    for _ in range(12):
        page.mouse.wheel(0, -200)
    page.wait_for_function("document.querySelector('.zoomed')")
    assert transform()["a"] == pytest.approx(8)
    before = transform()
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] - 40)
    page.mouse.up()
    moved = transform()
    assert (moved["e"] - before["e"], moved["f"] - before["f"]) == pytest.approx(
        (60, -40), abs=1e-4
    )  # CSS has four digits
    page.mouse.dblclick(*middle)
    assert (transform()["a"], transform()["e"]) == (1, 0)
    page.locator(".stage").focus()
    page.keyboard.press("i")
    assert "invert(1)" in page.locator(".base").evaluate("image => getComputedStyle(image).filter")
    page.keyboard.press("o")
    assert not page.locator(".contour").is_visible()


def test_turns_add_up_and_what_was_chosen_stays(visit, radiograph_files):
    page = visit()
    upload(page, radiograph_files["chest.png"])
    page.locator(".answer").wait_for()
    before = page.get_by_alt_text("The radiograph").get_attribute("src")
    page.get_by_text("Lungs", exact=True).click()
    for _ in range(2):
        page.get_by_role("button", name="Turn right").click()
    page.locator(".answer[data-angle='180']").locator("text=As uploaded").wait_for()
    page.wait_for_function("src => document.querySelector('.base').src != src", arg=before)
    page.get_by_role("button", name="As uploaded").click()
    page.wait_for_function("src => document.querySelector('.base').src == src", arg=before)
    page.locator(".background").wait_for()  # the lungs are still what is shown; upside down there were none to show


def test_two_are_compared_and_many_become_a_table(visit, radiograph_files, tmp_path):
    page = visit()
    go(page, "Compare")
    for name in ("chest.png", "deep.png"):
        page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(radiograph_files[name])
        page.locator("[role=tabpanel]:visible").get_by_text(name.split(".")[0]).first.wait_for()
    page.locator(".comparison table").wait_for()
    assert page.locator(".comparison img").count() == 2
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
    page.get_by_role("button", name="File", exact=True).click()
    first = page.locator(".batch tbody th").first
    assert first.inner_text().endswith("inside.dcm")
    shoot(page, 1280, "light", "many")


def test_the_page_speaks_the_readers_language_or_the_one_of_its_address(visit, radiograph_files):
    spanish, french = LANGUAGES["es"], LANGUAGES["fr"]
    page = visit(390, locale="es-MX")
    assert page.get_by_text(spanish("notice")).first.is_visible()
    upload(page, radiograph_files["chest.png"])
    page.get_by_role("heading", name=spanish("detected", findings=spanish.finding("pneumonia"))).wait_for()
    assert page.get_by_role("link", name=spanish("download_mask")).is_visible()
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


TRANSFER = """([kind, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], `${kind}ed.png`, {type: "image/png"}));
    const event = kind === "paste" ? new ClipboardEvent(kind, {clipboardData: data, bubbles: true, cancelable: true})
        : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
    document.body.dispatchEvent(event);
}"""


def test_an_image_is_pasted_and_another_one_dropped_on_the_answer(visit, radiograph_files):
    page = visit()
    page.locator("#upload input[type=file]").wait_for(state="attached")
    content = base64.b64encode(Path(radiograph_files["chest.png"]).read_bytes()).decode()
    for kind in ("paste", "drop"):
        page.evaluate(TRANSFER, [kind, content])
        page.get_by_text(f"{kind}ed.png: PNG, 256 × 256 pixels").wait_for()


def test_the_address_keeps_example_and_tab_and_back_works(visit):
    page = visit(query="/?example=clear", wait=".answer")
    page.get_by_text("phantom_clear.png: PNG").wait_for()
    page.get_by_role("button", name="Start over").click()
    page.get_by_text("The answer appears here").wait_for()
    assert "example" not in page.url
    page.get_by_role("button", name="dicom").focus()
    page.keyboard.press("Enter")
    page.get_by_text("phantom_dicom.dcm: DICOM, 512 × 512 pixels").wait_for()
    assert "example=dicom" in page.url
    go(page, "About")
    assert "tab=about" in page.url
    page.go_back()
    page.get_by_text("phantom_dicom.dcm: DICOM").locator("visible=true").wait_for()
    page.go_back()
    page.get_by_text("The answer appears here").wait_for()
    visit(query="/?tab=about", wait="text=What it is not")


def test_quick_changes_end_with_the_last_file(visit):
    page = visit()
    page.evaluate(
        """async () => {
            for (const title of ["clear", "tilted", "16bit", "upper_lobe"]) {
                document.querySelector(`.examples [data-title="${title}"]`).click();
                await new Promise(done => setTimeout(done, 120));
            }
        }"""
    )
    page.get_by_text("phantom_upper_lobe.png: PNG").wait_for()
    page.wait_for_timeout(1500)
    assert page.get_by_text("phantom_upper_lobe.png: PNG").is_visible()


def test_a_busy_server_is_tried_again(visit, radiograph_files):
    page = visit()
    page.expected_errors = 2  # what the browser says of a 503
    page.wait_for_timeout(2000)  # until what the page asked as it opened is answered
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
    upload(page, radiograph_files["chest.png"])
    page.get_by_text("The server did not answer").wait_for()
    page.unroute("**/queue/join*")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="The model reacts to: pneumonia.").wait_for()


def test_file_name_is_shown_as_text(visit, radiograph_files):
    page = visit()
    content = Path(radiograph_files["chest.png"]).read_bytes()
    upload(page, {"name": "<img src=x onerror=alert(1)>${alert(2)}.png", "mimeType": "image/png", "buffer": content})
    page.locator(".answer").wait_for()
    assert page.locator(".answer img[src=x]").count() == 0
