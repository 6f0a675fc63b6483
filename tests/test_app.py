"""The app as its users meet it: a server of its own, called by a client and visited with a browser."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio.route_utils import delete_files_created_by_app
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from examples.phantom import write_dicom
from lungfusion import LungFusionPipeline, load_radiograph
from lungfusion.analysis import Correction
from lungfusion.app.card import model_card
from lungfusion.app.handlers import Handlers
from lungfusion.app.page import page_words
from lungfusion.app.uploads import KEPT_MINUTES
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks.orientation import UPRIGHT, apply_correction
from tests.app_server import free_port, serving
from tests.conftest import find_lungs_everywhere, tiny_segmenter

ROOT = Path(__file__).parent.parent
SCREENSHOTS = ROOT / "screenshots"
CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def files(phantom, tmp_path_factory):
    """Paths of one phantom in several formats, and of a text file."""
    folder = tmp_path_factory.mktemp("files")
    pixels, _ = phantom
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(folder / "chest.png")
    Image.fromarray(np.round(pixels * 65535).astype(np.uint16)).save(folder / "deep.png")
    write_dicom(folder / "chest.dcm", pixels)
    shutil.copy(folder / "chest.dcm", folder / "IM000001")  # as DICOM files are often called
    (folder / "notes.txt").write_text("No radiograph.")
    return {path.name: str(path) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    """Address of `python app.py`, started elsewhere than in the repository. It must leave no one's images behind."""
    with serving(checkpoint, tmp_path_factory.mktemp("server")) as served:
        yield served.address
    kept = [path for path in served.cache.rglob("*") if path.is_file() and path.stat().st_size]
    assert [path.name for path in kept if not path.name.startswith("phantom_")] == []  # but the app's own drawings
    assert served.raised() <= {"gradio.exceptions.InvalidPathError"}  # asked for by a test


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


@pytest.fixture(scope="module")
def app(checkpoint, tmp_path_factory):
    """The module app.py, not launched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGFUSION_MODEL", str(checkpoint))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        import app

        yield app
        sys.modules.pop("app")


# The API


@pytest.mark.parametrize("name", ["chest.png", "deep.png", "chest.dcm", "IM000001"])
def test_api_says_what_the_pipeline_says(client, checkpoint, files, name):
    expected = LungFusionPipeline.from_pretrained(checkpoint)(files[name]).to_dict()
    answer = client.predict(radiograph=handle_file(files[name]), api_name="/analyze")
    for finding, wanted in zip(answer["findings"], expected["findings"], strict=True):
        assert finding.pop("probability") == pytest.approx(wanted.pop("probability"), abs=1e-5)
    assert answer == expected


def test_api_has_one_documented_endpoint(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/analyze"]
    assert [parameter["parameter_name"] for parameter in endpoints["/analyze"]["parameters"]] == ["radiograph"]
    assert "DICOM" in endpoints["/analyze"]["description"]


def test_api_is_described_for_programs_and_language_models(server):
    schema = json.load(urllib.request.urlopen(f"{server}/gradio_api/openapi.json", timeout=10))
    assert [path for path in schema["paths"] if "analyze" in path]
    tools = json.load(urllib.request.urlopen(f"{server}/gradio_api/mcp/schema", timeout=10))
    assert [tool["name"] for tool in tools] == ["analyze_chest_xray"]
    assert "not a medical device" in tools[0]["description"]


def test_api_answers_curl_as_the_readme_says(server, files):
    """Upload, ask, wait: three calls."""

    def curl(*arguments):
        return subprocess.run(
            ["curl", "-sf", *arguments], capture_output=True, text=True, timeout=60, check=True
        ).stdout

    (path,) = json.loads(curl("-F", f"files=@{files['chest.png']}", f"{server}/gradio_api/upload"))
    question = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]})
    call = f"{server}/gradio_api/call/analyze"
    event = json.loads(curl("-H", "Content-Type: application/json", "-d", question, call))["event_id"]
    answer = curl("-N", f"{call}/{event}")
    assert "event: complete" in answer
    assert json.loads(answer.split("data: ", 1)[1])[0]["findings"][0]["name"] == "pneumonia"


def test_api_tells_why_a_file_is_refused_and_goes_on(client, files):
    with pytest.raises(AppError, match=r"notes\.txt: this is not a picture; use a PNG"):
        client.predict(radiograph=handle_file(files["notes.txt"]), api_name="/analyze")
    assert client.predict(radiograph=handle_file(files["chest.png"]), api_name="/analyze")["findings"]


def test_api_answers_several_at_once_alike(client, files):
    def call(name):
        return client.predict(radiograph=handle_file(files[name]), api_name="/analyze")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(call, ["chest.png", "chest.dcm"] * 3))
    assert answers == answers[:2] * 3


def test_server_hands_out_none_of_its_own_files(server, files):
    for path in (files["chest.png"], ROOT / "app.py"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{server}/gradio_api/file={path}", timeout=10)
        assert refusal.value.code in (403, 404)
    file = {"path": files["chest.png"], "meta": {"_type": "gradio.FileData"}}  # on the server, not uploaded
    address = f"{server}/gradio_api/call/analyze"
    request = urllib.request.Request(
        address, json.dumps({"data": [file]}).encode(), {"Content-Type": "application/json"}
    )
    event = json.load(urllib.request.urlopen(request, timeout=10))["event_id"]
    answer = urllib.request.urlopen(f"{address}/{event}", timeout=10).read().decode()
    assert "event: error" in answer
    assert "findings" not in answer


# What the promises of the page rest on


def test_uploads_and_pictures_are_deleted_and_nothing_is_recorded(app, files):
    frequency, age = app.demo.delete_cache
    assert frequency + age <= 60 * KEPT_MINUTES
    assert f"within {KEPT_MINUTES} minutes" in page_words(LANGUAGES["en"], app.pipe.findings, None)["privacy"]
    assert app.demo.analytics_enabled is False

    cache = Path(os.environ["GRADIO_TEMP_DIR"])
    app.demo.launch(prevent_thread_lock=True, quiet=True, server_port=free_port(), run_history=False)
    try:
        kept = set(cache.rglob("*.*"))
        client = Client(app.demo.local_url, verbose=False)
        client.predict(radiograph=handle_file(files["chest.png"]), api_name="/analyze")
        assert [path.name for path in set(cache.rglob("*.*")) - kept] == ["chest.png"]
        delete_files_created_by_app(app.demo, age=-1)  # what Gradio does every `frequency` seconds
        assert set(cache.rglob("*.*")) == kept
    finally:
        app.demo.close()


def request(language="en"):
    return SimpleNamespace(headers={"accept-language": language}, query_params={})


def test_refused_image_is_warned_of_and_has_no_heat_maps(app, files):
    segmenter = tiny_segmenter()
    find_lungs_everywhere(segmenter, logit=-5.0)
    handlers = Handlers(LungFusionPipeline(segmenter, app.pipe.processor), app.examples)
    answer = handlers.answered(files["chest.png"], UPRIGHT, request())
    assert "No lungs were found" in answer
    assert "Probability" not in answer
    assert "Heat map" not in answer
    assert handlers.analyze_chest_xray(files["chest.png"])["warnings"][0]["code"] == "lungs_not_found"


def test_a_deleted_image_is_asked_for_again(app):
    assert "Upload it again" in app.handlers.answered("deleted.png", UPRIGHT, request())
    assert escape(LANGUAGES["es"]("deleted")) in app.handlers.answered("deleted.png", UPRIGHT, request("es"))


@pytest.mark.parametrize(("angle", "kept"), [(90, 90), (-90, -90), (180, 180), (-180, 180), (450, 90), (10**9, -80)])
def test_an_answer_is_for_the_image_as_it_was_turned(app, files, angle, kept):
    event = SimpleNamespace(angle=angle, invert=1)
    answer, correction = app.handlers.corrected(files["chest.png"], event, request())
    assert correction == Correction(kept, True)
    expected = app.pipe(apply_correction(load_radiograph(files["chest.png"]), correction))
    assert f"{expected['pneumonia'].probability:.0%}" in answer
    assert "As uploaded" in answer


def test_the_page_says_which_model_answers_while_the_hub_is_down(app):
    assert app.asked_for is True
    words = page_words(LANGUAGES["en"], app.pipe.findings, "nobody/nothing")
    assert "nobody/nothing could not be loaded" in words["model_unreachable"]


def test_a_deep_link_names_an_example(app):
    asked = request()
    asked.query_params["example"] = "upper_lobe"
    assert app.handlers.opened(asked)[0].endswith("phantom_upper_lobe.png")
    asked.query_params["example"] = "../../etc/passwd"
    assert not isinstance(app.handlers.opened(asked)[0], str)


def test_real_examples_are_shown_once_the_hub_has_answered(app, files, monkeypatch, capsys):
    def refuse(folder):
        raise OSError("no network")

    monkeypatch.setattr("lungfusion.app.examples.fetch_radiographs", refuse)
    app.examples.fetch()
    assert "No real examples: the Hub gave none. no network" in capsys.readouterr().out
    assert app.handlers.opened(request())[2].visible is False
    monkeypatch.setattr(app.examples, "fetched", [])
    monkeypatch.setattr("lungfusion.app.examples.fetch_radiographs", lambda folder: [Path(files["chest.png"])])
    app.examples.fetch()
    shown = app.handlers.opened(request())[2]
    assert shown.visible and 'value="chest.png"' in shown.value
    assert app.handlers.chosen(SimpleNamespace(example="chest.png")) == files["chest.png"]


def test_the_card_is_shown_with_its_pictures():
    card = model_card()
    assert card.lstrip().startswith("#")
    assert "data:image/png;base64," in card
    assert "](curves.png)" not in card


def test_examples_are_drawings_and_can_all_be_read(app):
    assert app.examples.drawn
    for path in app.examples.drawn:
        assert path.stem.startswith("phantom")
        assert "findings" in app.handlers.analyze_chest_xray(path)


# The page


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
        page.set_default_timeout(20_000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, server) else None)
        page.goto(server + query)
        page.locator(wait).wait_for()
        return page

    yield open_page
    for window in windows:
        window.close()
    assert not errors
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


WINDOWS = [(1280, "light"), (1280, "dark"), (390, "light"), (360, "dark")]


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_visit(visit, files, width, scheme):
    page = visit(width, scheme)
    assert page.title() == "LungFusion"
    assert page.get_by_text("For research and education. Not a medical device.").is_visible()
    assert page.get_by_text("deleted within 15 minutes").is_visible()
    shoot(page, width, scheme, "start")

    started = time.monotonic()
    upload(page, files["chest.png"])
    page.get_by_role("heading", name="Detected: pneumonia").wait_for()
    print(f"From upload to answer at {width} px: {time.monotonic() - started:.1f} s")
    said = page.locator(".answer").inner_text()
    assert "the threshold this model uses" in said
    page.locator(".finding summary").first.click()
    assert (
        "found 90 of 100 with the finding and passed 80 of 100 without" in page.locator(".finding").first.inner_text()
    )
    assert "Measured on validation patients of phantoms" in page.locator(".finding").first.inner_text()
    radiograph, outline = page.get_by_alt_text("The radiograph"), page.get_by_alt_text("A line around the lungs")
    for image in (radiograph, outline):
        page.wait_for_function("image => image.naturalWidth == 256", arg=image.element_handle())
        assert image.is_visible()
    assert page.locator(".answer").bounding_box()["y"] < 800  # in sight
    assert not page.locator(".background, .heat").first.is_visible()
    shoot(page, width, scheme, "answer")

    page.get_by_text("Lungs", exact=True).click()
    assert page.locator(".background").is_visible()
    page.get_by_label("Outline").uncheck()
    assert not outline.is_visible()
    page.get_by_label("Opacity").fill("30")
    assert page.locator(".background").evaluate("image => getComputedStyle(image).opacity") == "0.3"
    page.get_by_label("Window").fill("200")
    assert "contrast(2)" in radiograph.evaluate("image => getComputedStyle(image).filter")

    page.locator("button[data-heat=tuberculosis]").click()
    assert page.locator(".heat[data-finding=tuberculosis]").is_visible()
    assert not page.locator(".heat[data-finding=pneumonia]").is_visible()
    assert page.get_by_text("Weak evidence; not an outline of disease").is_visible()
    page.get_by_label("Heat map for").select_option("Pneumonia")
    assert page.locator(".heat[data-finding=pneumonia]").is_visible()
    shoot(page, width, scheme, "heat")

    names = {"Report": "chest.pdf", "Lung mask": "chest_lungs.png", "Numbers": "chest.json"}
    taken = {}
    for link, name in names.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        assert download.value.suggested_filename == name
        taken[link] = download.value.path()
    assert Image.open(taken["Lung mask"]).size == (256, 256)
    assert taken["Report"].read_bytes().startswith(b"%PDF")
    assert json.loads(taken["Numbers"].read_text())["findings"]

    go(page, "Step by step")
    page.get_by_role("heading", name="6. The answer").wait_for()
    shoot(page, width, scheme, "steps")
    go(page, "Analyse")

    page.get_by_label("Clear", exact=True).first.click()
    page.get_by_text("The answer appears here").wait_for()
    upload(page, files["notes.txt"])
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text().startswith("notes.txt: this is not a picture; use a PNG")
    assert page.locator(".answer").count() == 0  # nothing stale beside the error
    shoot(page, width, scheme, "error")


def shoot(page, width, scheme, name):
    """A screenshot; on the way, the page must not be wider than the window."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}-{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_no_serious_barriers_stand_in_the_way(visit, files, width, scheme):
    """axe-core, on every tab, with an answer."""
    page, found = visit(width, scheme), {}
    upload(page, files["chest.png"])
    page.locator(".answer").wait_for()
    for tab in ("Analyse", "Step by step", "Compare", "Many files", "About"):
        go(page, tab)
        if tab == "Step by step":
            page.get_by_role("heading", name="6. The answer").wait_for()
        page.wait_for_timeout(500)  # until nothing fades any more
        for violation in Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                targets = [node["html"][:150] for node in violation["nodes"]]
                found[f"{tab}: {violation['id']}"] = targets
    assert not found


def test_the_image_is_turned_and_inverted_without_uploading_it_again(visit, files):
    page = visit()
    upload(page, files["chest.png"])
    page.locator(".answer").wait_for()
    before = page.get_by_alt_text("The radiograph").get_attribute("src")
    page.get_by_role("button", name="Turn right").click()
    page.get_by_role("button", name="As uploaded").wait_for()
    turned = page.get_by_alt_text("The radiograph").get_attribute("src")
    assert turned != before
    page.get_by_role("button", name="Swap black and white").click()
    page.wait_for_function("src => document.querySelector('.base').src != src", arg=turned)
    page.get_by_role("button", name="As uploaded").click()
    page.wait_for_function("src => document.querySelector('.base').src == src", arg=before)


def test_two_images_are_compared(visit, files):
    page = visit()
    go(page, "Compare")
    inputs = page.locator("input[type=file]:not(#upload input)")
    inputs.nth(0).set_input_files(files["chest.png"])
    page.wait_for_timeout(500)
    page.locator("input[type=file]:not(#upload input)").nth(0).set_input_files(files["deep.png"])
    page.locator(".comparison").wait_for()
    assert page.locator(".comparison img").count() == 2
    said = page.locator(".comparison").inner_text()
    assert "chest.png" in said and "deep.png" in said and "Threshold" in said
    shoot(page, 1280, "light", "compare")


def test_many_files_become_a_table_and_bad_ones_have_a_reason(visit, files, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(files["chest.dcm"], "folder/inside.dcm")
        archive.write(files["notes.txt"], "folder/notes.txt")
    page = visit()
    go(page, "Many files")
    page.locator("input[type=file]:not(#upload input)").last.set_input_files(
        [files["chest.png"], str(tmp_path / "more.zip")]
    )
    page.locator(".file-preview .file").nth(1).wait_for()
    page.get_by_role("button", name="Analyse all").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Table (CSV)").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0] == "File,Detected,Not ruled out,Pneumonia,Signs of tuberculosis,Note"
    assert [line.split(",")[0] for line in lines[1:]] == ["chest.png", "inside.dcm", "notes.txt"]
    assert "this is not a picture" in lines[3]
    page.get_by_text("inside.dcm").locator("visible=true").first.wait_for()
    shoot(page, 1280, "light", "many")


def test_the_page_speaks_the_readers_language(visit, files):
    page = visit(390, locale="es-MX")
    spanish = LANGUAGES["es"]
    assert page.get_by_text(spanish("notice")).is_visible()
    upload(page, files["chest.png"])
    page.get_by_role("heading", name=spanish("detected", findings=spanish.finding("pneumonia"))).wait_for()
    assert page.get_by_role("link", name=spanish("download_mask")).is_visible()
    shoot(page, 390, "light", "spanish")


def test_another_page_may_embed_the_app(browser, server, files, tmp_path):
    page = browser.new_page()
    page.set_content(f'<iframe src="{server}/?view=embed&__theme=dark" width="700" height="900"></iframe>')
    frame = page.frame_locator("iframe")
    frame.locator("#upload input[type=file]").set_input_files(files["chest.png"])
    frame.get_by_role("heading", name="Detected: pneumonia").wait_for()
    assert not frame.get_by_role("tab").first.is_visible()
    page.screenshot(path=SCREENSHOTS / "embedded.png")
    page.close()


def test_an_image_is_pasted(visit, files):
    page = visit()
    page.locator("#upload input[type=file]").wait_for(state="attached")  # else nobody listens yet
    content = base64.b64encode(Path(files["chest.png"]).read_bytes()).decode()
    page.evaluate(
        """content => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "pasted.png", {type: "image/png"}));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        content,
    )
    page.get_by_text("pasted.png: PNG, 256 × 256 pixels").wait_for()


def test_example_is_linked_to_and_chosen_with_the_keyboard(visit):
    page = visit(query="/?example=clear", wait=".answer")
    page.get_by_text("phantom_clear.png: PNG").wait_for()
    page.get_by_role("button", name="dicom").focus()
    page.keyboard.press("Enter")
    page.get_by_text("phantom_dicom.dcm: DICOM, 512 × 512 pixels").wait_for()


def test_quick_changes_end_with_the_last_file(visit):
    page = visit()
    for name in ("clear", "tilted", "16bit", "upper lobe"):
        page.get_by_role("button", name=name).click()
        page.wait_for_timeout(120)
    page.get_by_text("phantom_upper_lobe.png: PNG").wait_for()
    page.wait_for_timeout(1500)
    assert page.get_by_text("phantom_upper_lobe.png: PNG").is_visible()
    assert page.get_by_alt_text("The radiograph").is_visible()


def test_file_name_is_shown_as_text(visit, files):
    page = visit()
    content = Path(files["chest.png"]).read_bytes()
    upload(page, {"name": "<img src=x onerror=alert(1)>${alert(2)}.png", "mimeType": "image/png", "buffer": content})
    page.locator(".answer").wait_for()
    assert page.locator(".answer img[src=x]").count() == 0
