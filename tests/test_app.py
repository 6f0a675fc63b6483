"""The app as its users meet it: a server of its own, called by a client and visited with a browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gradio.route_utils import delete_files_created_by_app
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from examples.phantom import write_dicom
from lungfusion import LungFusionPipeline
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
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    settings = {
        "LUNGFUSION_MODEL": str(checkpoint),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")], env=os.environ | settings, cwd=folder, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)
    assert not [path for path in (folder / "cache").rglob("*") if path.is_file() and path.stat().st_size]
    raised = re.findall(r"^[\w.]*(?:Error|Exception)\b", (folder / "log").read_text(), re.MULTILINE)
    assert set(raised) <= {"gradio.exceptions.InvalidPathError"}  # asked for by a test


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(address, process, log, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            return urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"The app did not start:\n{log.read_text()}")


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
    assert frequency + age <= 60 * app.KEPT_MINUTES
    assert f"within {app.KEPT_MINUTES} minutes" in app.HEADER + app.PRIVACY
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


def test_refused_image_is_warned_of_and_has_no_heat_maps(app, files, monkeypatch):
    segmenter = tiny_segmenter()
    find_lungs_everywhere(segmenter, logit=-5.0)
    monkeypatch.setattr(app, "pipe", LungFusionPipeline(segmenter, app.pipe.processor))
    page = app.answered(files["chest.png"])
    assert "No lungs were found" in page[app.report]
    assert "Probability" not in page[app.report]
    assert page[app.heat_tab].visible is False
    assert app.analyze(files["chest.png"])["warnings"][0]["code"] == "lungs_not_found"


def test_heat_map_of_a_deleted_image_asks_for_it_again(app):
    heat_map, words = app.heated("deleted.png", "pneumonia")
    assert heat_map is None
    assert app.DELETED in words


def test_examples_are_drawings_and_can_all_be_read(app):
    assert app.EXAMPLES
    for path in app.EXAMPLES:
        assert path.stem.startswith("phantom")
        assert "findings" in app.analyze(path)


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

    def open_page(width=1280, scheme="light"):
        window = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        windows.append(window)
        page = window.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, server) else None)
        page.goto(server)
        page.get_by_text("The answer appears here").wait_for()
        return page

    yield open_page
    for window in windows:
        window.close()
    assert not errors
    assert not foreign


def is_foreign(url, server):
    return not url.startswith((server, "data:", "blob:"))


def upload(page, file):
    page.locator("input[type=file]").set_input_files(file)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (360, "dark")])
def test_visit(visit, files, width, scheme):
    page = visit(width, scheme)
    assert page.title() == "LungFusion"
    assert page.get_by_text("For research and education. Not a medical device.").is_visible()
    assert page.get_by_text("deleted within 15 minutes").is_visible()
    shoot(page, width, scheme, "start")

    upload(page, files["chest.png"])
    page.get_by_role("heading", name="Detected: pneumonia").wait_for()
    report = page.locator(".report").inner_text()
    assert "the threshold this model uses" in report
    assert "found 90 of 100 with pneumonia and passed 80 of 100 without, in validation patients of phantoms" in report
    for alternative in ("The radiograph with a line around the lungs", "The lungs on black"):
        image = page.get_by_alt_text(alternative)
        image.wait_for()
        page.wait_for_function("image => image.naturalWidth == 256", arg=image.element_handle())
    assert page.locator(".report").bounding_box()["y"] < 800  # in sight
    shoot(page, width, scheme, "answer")

    page.get_by_role("tab", name="Heat map").click()
    page.get_by_label("Signs of tuberculosis").check()
    page.get_by_text("Weak evidence; not an outline of disease").wait_for()
    page.get_by_alt_text("A heat map over the radiograph").wait_for()
    shoot(page, width, scheme, "heat")

    with page.expect_download() as download:
        page.get_by_role("link", name="Lung mask").click()
    assert download.value.suggested_filename == "chest_lungs.png"
    assert Image.open(download.value.path()).size == (256, 256)

    page.get_by_label("Clear", exact=True).click()
    page.get_by_text("The answer appears here").wait_for()
    upload(page, files["notes.txt"])
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text().startswith("notes.txt: this is not a picture; use a PNG")
    assert not page.locator(".report").is_visible()  # nothing stale beside the error
    assert not page.get_by_role("link", name="Lung mask").is_visible()
    shoot(page, width, scheme, "error")


def shoot(page, width, scheme, name):
    """A screenshot; on the way, the page must not be wider than the window."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}-{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_example_is_chosen_with_the_keyboard(visit):
    page = visit()
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
    assert page.get_by_alt_text("The lungs on black").is_visible()


def test_file_name_is_shown_as_text(visit, files):
    page = visit()
    content = Path(files["chest.png"]).read_bytes()
    upload(page, {"name": "<img src=x onerror=alert(1)>${alert(2)}.png", "mimeType": "image/png", "buffer": content})
    page.locator(".report").wait_for()
    assert page.locator(".report img").count() == 0
