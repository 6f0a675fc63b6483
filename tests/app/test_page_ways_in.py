"""How a radiograph reaches the page, and what a visitor sees who is quick, or unlucky."""

import base64
import re
from pathlib import Path

import pytest

from lungfusion.app.view.words import LANGUAGES
from tests.support.browser import barriers, go, upload

pytestmark = pytest.mark.browser
SPANISH = LANGUAGES["es"]

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
    page.locator(".hero").wait_for()
    assert "example" not in page.url
    page.locator(".card[data-title=dicom]").focus()
    page.keyboard.press("Enter")
    page.get_by_text("phantom_dicom.dcm: DICOM, 512 × 512 pixels").wait_for()
    assert "example=dicom" in page.url
    go(page, "About")
    assert "tab=about" in page.url
    page.go_back()
    page.get_by_text("phantom_dicom.dcm: DICOM").locator("visible=true").wait_for()
    page.go_back()
    page.locator(".hero").wait_for()
    visit(query="/?tab=about", wait="text=What it is not")


def test_quick_changes_end_with_the_last_file(visit):
    page = visit()
    page.evaluate(
        """async () => {
            for (const title of ["clear", "tilted", "16bit", "upper_lobe"]) {
                window.lungfusion_example(`phantom_${title}.png`);
                await new Promise(done => setTimeout(done, 120));
            }
        }"""
    )
    page.get_by_text("phantom_upper_lobe.png: PNG").wait_for()
    page.wait_for_timeout(1500)
    assert page.get_by_text("phantom_upper_lobe.png: PNG").is_visible()


def test_a_full_queue_is_said_and_tried_again(visit, radiograph_files):
    page = visit(locale="es-MX")
    page.expected_errors = 2  # what the browser says of a 503
    page.wait_for_timeout(2000)  # until what the page asked as it opened is answered
    page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
    upload(page, radiograph_files["chest.png"])
    page.get_by_role("alert").get_by_text(SPANISH("queue_full")).wait_for()
    assert not barriers(page) and not page.get_by_text("Queue is full.").is_visible()
    page.unroute("**/queue/join*")
    page.get_by_role("button", name=SPANISH("try_again")).click()
    page.get_by_role("heading", name=SPANISH("detected", findings=SPANISH.finding("pneumonia"))).wait_for()


def test_without_a_connection_it_says_so_and_tries_again(visit):
    page = visit(locale="es-MX")
    page.expected_errors = 20  # what the browser says of each request that fails
    page.wait_for_timeout(2000)
    page.context.set_offline(True)
    page.locator(".card").first.click()
    page.locator(".toast", has_text=SPANISH("offline")).wait_for()
    assert not barriers(page)
    page.context.set_offline(False)
    page.evaluate("document.querySelector('.card')?.click()")  # or Gradio loads the page anew, at the example's address
    page.locator(".answer h2").wait_for()
    assert not page.locator(".toast").is_visible()


def test_what_was_sent_outlives_a_server_that_was_gone(visit, radiograph_files):
    page = visit(locale="es-MX")
    page.expected_errors = 50  # what the browser says of each request that fails
    page.wait_for_timeout(2000)
    of_server = re.compile("/queue/|/app_id")
    page.route(of_server, lambda route: route.abort())
    upload(page, radiograph_files["chest.png"])
    page.get_by_role("alert").get_by_text(SPANISH("failed")).wait_for()
    assert not barriers(page)
    page.unroute(of_server)  # Gradio notices, and loads the page anew
    page.get_by_role("heading", name=SPANISH("detected", findings=SPANISH.finding("pneumonia"))).wait_for()
    assert page.evaluate("indexedDB.databases().then(kept => kept.length)") == 0


def test_a_case_of_ones_own_is_fetched_by_the_browser(visit, radiograph_files):
    page = visit()
    page.expected_errors = 2  # of what Gradio still asked for when the page was left
    case = Path(radiograph_files["chest.png"]).read_bytes()
    page.route(re.compile(r"^[^?]*/cases/"), lambda route: route.fulfill(body=case, content_type="image/png"))
    page.goto(page.url.split("?")[0] + "?file=/cases/mine.png")
    page.get_by_text("mine.png: PNG, 256 × 256 pixels").wait_for()


def test_file_name_is_shown_as_text(visit, radiograph_files):
    page = visit()
    content = Path(radiograph_files["chest.png"]).read_bytes()
    upload(page, {"name": "<img src=x onerror=alert(1)>${alert(2)}.png", "mimeType": "image/png", "buffer": content})
    page.locator(".answer").wait_for()
    assert page.locator(".answer img[src=x]").count() == 0
