"""The app as programs meet it, and what the promises of its page rest on."""

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import escape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gradio.route_utils import delete_files_created_by_app
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import lungfusion
from lungfusion import LungFusionPipeline, load_radiograph
from lungfusion.analysis import Correction
from lungfusion.app.answers import Request
from lungfusion.app.card import model_card
from lungfusion.app.gradio_compat import KEPT_MINUTES
from lungfusion.app.handlers import Handlers, words_of
from lungfusion.app.page import mount, page_words, room_of
from lungfusion.app.view import report
from lungfusion.app.view.viewer import pixels_html
from lungfusion.app.view.words import LANGUAGES
from lungfusion.checks.geometry import apply_correction
from tests.support.answers import Page
from tests.support.app_server import free_port
from tests.support.tiny import alike, find_lungs_everywhere, tiny_segmenter

ROOT = Path(__file__).parents[2]


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
def test_api_says_what_the_pipeline_says(client, checkpoint, radiograph_files, name):
    expected = LungFusionPipeline.from_pretrained(checkpoint)(radiograph_files[name]).to_dict()
    answer = client.predict(radiograph=handle_file(radiograph_files[name]), api_name="/analyze")
    assert answer == alike(expected | {"model": str(checkpoint), "version": lungfusion.__version__})


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


def test_api_answers_curl_as_the_readme_says(server, radiograph_files):
    """Upload, ask, wait: three calls."""

    def curl(*arguments):
        return subprocess.run(
            ["curl", "-sf", *arguments], capture_output=True, text=True, timeout=60, check=True
        ).stdout

    (path,) = json.loads(curl("-F", f"files=@{radiograph_files['chest.png']}", f"{server}/gradio_api/upload"))
    question = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]})
    call = f"{server}/gradio_api/call/analyze"
    event = json.loads(curl("-H", "Content-Type: application/json", "-d", question, call))["event_id"]
    answer = curl("-N", f"{call}/{event}")
    assert "event: complete" in answer
    assert json.loads(answer.split("data: ", 1)[1])[0]["findings"][0]["name"] == "pneumonia"


def test_api_tells_why_a_file_is_refused_and_goes_on(client, radiograph_files):
    with pytest.raises(AppError, match=r"notes\.txt: this is not a picture but a text"):
        client.predict(radiograph=handle_file(radiograph_files["notes.txt"]), api_name="/analyze")
    assert client.predict(radiograph=handle_file(radiograph_files["chest.png"]), api_name="/analyze")["findings"]


def test_api_answers_several_at_once_alike(server, radiograph_files):
    def call(client, name):
        return client.predict(radiograph=handle_file(radiograph_files[name]), api_name="/analyze")

    clients = [Client(server, verbose=False) for _ in range(6)]  # one in several threads loses messages now and then
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(call, clients, ["chest.png", "chest.dcm"] * 3))
    assert answers == alike(answers[:2] * 3)


def test_server_hands_out_none_of_its_own_files(server, radiograph_files):
    for path in (radiograph_files["chest.png"], ROOT / "app.py"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{server}/gradio_api/file={path}", timeout=10)
        assert refusal.value.code in (403, 404)
    file = {"path": radiograph_files["chest.png"], "meta": {"_type": "gradio.FileData"}}  # on the server, not uploaded
    address = f"{server}/gradio_api/call/analyze"
    request = urllib.request.Request(
        address, json.dumps({"data": [file]}).encode(), {"Content-Type": "application/json"}
    )
    event = json.load(urllib.request.urlopen(request, timeout=10))["event_id"]
    answer = urllib.request.urlopen(f"{address}/{event}", timeout=10).read().decode()
    assert "event: error" in answer
    assert "findings" not in answer


# What the promises of the page rest on


def test_uploads_and_pictures_are_deleted_and_nothing_is_recorded(app, radiograph_files):
    frequency, age = app.demo.delete_cache
    assert frequency + age <= 60 * KEPT_MINUTES
    assert f"within {KEPT_MINUTES} minutes" in page_words(LANGUAGES["en"], app.handlers, None)["privacy"]
    assert app.demo.analytics_enabled is False

    cache = Path(os.environ["GRADIO_TEMP_DIR"])
    app.demo.launch(prevent_thread_lock=True, quiet=True, server_port=free_port(), run_history=False)
    try:
        kept = set(cache.rglob("*.*"))
        client = Client(app.demo.local_url, verbose=False)
        client.predict(radiograph=handle_file(radiograph_files["chest.png"]), api_name="/analyze")
        assert [path.name for path in set(cache.rglob("*.*")) - kept] == ["chest.png"]
        delete_files_created_by_app(app.demo, age=-1)  # what Gradio does every `frequency` seconds
        assert set(cache.rglob("*.*")) == kept
    finally:
        app.demo.close()


def request(language="en", **query):
    return SimpleNamespace(headers={"accept-language": language}, query_params=query)


def test_the_address_may_name_another_language_than_the_browser():
    assert words_of(request("fr")).language == "fr"
    assert words_of(request("fr", lang="es")).language == "es"
    assert words_of(request("fr", lang="xx")).language == "fr"


def test_refused_image_is_warned_of_and_has_no_heat_maps(app, radiograph_files):
    segmenter = tiny_segmenter()
    find_lungs_everywhere(segmenter, logit=-5.0)
    handlers = Handlers(LungFusionPipeline(segmenter, app.pipe.processor), app.examples)
    answer = handlers.answered(radiograph_files["chest.png"], Request(), request())
    assert "No lungs were found" in answer
    assert "Heat map" not in answer and "<h2>No answer for this picture</h2>" in answer
    assert handlers.analyze_chest_xray(radiograph_files["chest.png"])["warnings"][0]["code"] == "lungs_not_found"


def test_a_deleted_image_is_asked_for_again(app):
    assert "Upload it again" in app.handlers.answered("deleted.png", Request(), request())
    assert escape(LANGUAGES["es"]("deleted")) in app.handlers.answered("deleted.png", Request(), request("es"))


def test_beside_a_file_that_is_no_radiograph_another_one_is_offered(app, radiograph_files):
    answer = app.handlers.answered(radiograph_files["notes.txt"], Request(), request("zh"))
    assert "notes.txt" in answer and "data-another" in answer
    assert LANGUAGES["zh"]("another") in answer


@pytest.mark.parametrize(("angle", "kept"), [(90, 90), (-90, -90), (180, 180), (-180, 180), (450, 90), (10**9, -80)])
def test_an_answer_is_for_the_image_as_it_was_turned(app, radiograph_files, angle, kept):
    event = SimpleNamespace(angle=angle, invert=1, mirror=1, by_hand=1, who="somebody")
    answer, asked = app.handlers.asked_again(radiograph_files["chest.png"], event, request())
    assert asked == Request(Correction(kept, True, mirror=True), None, by_hand=True)
    expected = app.pipe(
        apply_correction(load_radiograph(radiograph_files["chest.png"]), asked.correction), correct=False
    )
    assert f"{expected['pneumonia'].probability:.0%}" in answer
    assert "As uploaded" in answer


def test_all_pixels_lie_as_in_the_answer(app, radiograph_files):
    path, asked = radiograph_files["chest.png"], Request(Correction(180, True), by_hand=True)
    app.handlers.answered(path, asked, request())
    turned = np.ascontiguousarray(1 - load_radiograph(path).pixels[::-1, ::-1])
    pixels, file = app.handlers.on_file_request(path, asked, SimpleNamespace(file=""), request())
    assert pixels == pixels_html(turned) and file == gr.skip()


def test_a_file_is_made_of_the_answer_that_is_shown_when_it_is_asked_for(app, radiograph_files, monkeypatch):
    path, made = radiograph_files["chest.png"], []
    monkeypatch.setattr(report, "report_pdf", lambda *of_answer: made.append(of_answer) or b"%PDF")
    asked = Request(Correction(90, False), by_hand=True)
    html = app.handlers.answered(path, asked, request())
    assert "data-file" in html and "application/pdf" not in html and not made
    pixels, file = app.handlers.on_file_request(path, asked, SimpleNamespace(file="report", number=3), request())
    assert pixels == gr.skip()
    (link,) = Page(file).having("download")
    assert link["data-number"] == "3" and link["download"] == "chest_turned_90.pdf"
    assert base64.b64decode(link["href"].split(",")[1]) == b"%PDF"
    ((_, analysis, correction, made_by, *_),) = made
    assert correction.angle == 90 and made_by == app.handlers.made_by and analysis.radiograph.name == "chest.png"


def test_no_file_of_a_deleted_radiograph(app, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    event = SimpleNamespace(file="report", number=0)
    _, file = app.handlers.on_file_request("/nowhere/chest.png", Request(), event, request())
    assert 'data-number="0"' in file and "download" not in file and len(said) == 1


def test_the_pipeline_is_told_whom_the_radiograph_is_of(app, radiograph_files, monkeypatch):
    asked = []
    config = app.pipe.model.config
    of_children = replace(config.findings["pneumonia"], population=("child",))
    monkeypatch.setattr(app.pipe.model, "config", config.with_findings({"pneumonia": of_children}))
    for who in (None, "child", "older_child", "adult"):
        event = SimpleNamespace(angle=0, invert=0, mirror=0, by_hand=0, who=who)
        asked.append(app.handlers.asked_again(radiograph_files["chest.png"], event, request())[0])
    judged = ["finding not_assessed" not in answer for answer in asked]
    assert judged == [True, True, False, False]
    assert 'value="adult" checked' in asked[-1]


def test_the_page_says_which_model_answers_while_the_hub_is_down(app):
    assert app.asked_for is True
    words = page_words(LANGUAGES["en"], app.handlers, "nobody/nothing")
    assert "nobody/nothing could not be loaded" in words["model_unreachable"]
    assert LANGUAGES["en"](f"joined_{app.handlers.concatenation}") in words["about"]
    assert "data-example" in words["start"]


def test_a_deep_link_names_an_example_and_a_tab(app):
    path = app.handlers.on_open(request(example="upper_lobe"))[1]
    assert path.endswith("phantom_upper_lobe.png")
    unknown = app.handlers.on_open(request(example="../../etc/passwd"))
    assert unknown[1] is None and "There is no example of that name" in unknown[3].value
    assert room_of(request(tab="steps")).selected == "steps"
    assert not hasattr(room_of(request(tab="nowhere")), "selected")


def test_real_examples_are_shown_once_the_hub_has_answered(app, radiograph_files, tmp_path, monkeypatch, capsys):
    chest, name = radiograph_files["chest.png"], "1_pneumonia.jpeg"

    def refuse(folder):
        raise OSError("no network")

    monkeypatch.setattr("lungfusion.app.examples.fetch_radiographs", refuse)
    app.examples.fetch()
    assert "No real examples: the Hub gave none. no network" in capsys.readouterr().out
    monkeypatch.setattr(app.examples, "fetched", [])
    monkeypatch.setattr(
        "lungfusion.app.examples.fetch_radiographs", lambda folder: [Path(shutil.copy(chest, tmp_path / name))]
    )
    app.examples.fetch()
    assert app.handlers.on_open(request()) == [gr.skip()] * 6  # what was sent meanwhile stays
    shown = app.handlers.start(LANGUAGES["en"])
    assert f'data-example="{name}"' in shown and "Kermany 2018, CC BY 4.0" in shown
    assert app.handlers.on_example(SimpleNamespace(example=name), request())[1] == str(tmp_path / name)


def test_the_same_page_is_served_within_another_app(app):
    other = mount(FastAPI(), app.demo, app.examples, "/lungs")
    with TestClient(other) as client:
        html = client.get("/lungs/", headers={"accept-language": "es"}).text
    assert LANGUAGES["es"]("pitch") in html and "@@" not in html and 'content="Gradio"' not in html
    assert "--t5" in html and "lungfusion_example" in html  # its looks and its scripts


def test_the_card_is_shown_with_its_pictures(tmp_path):
    assert model_card().lstrip().startswith("#")
    (tmp_path / "README.md").write_text(
        "---\na: b\n---\n# Card\n\n![Curves](curves.png) ![Lost](lost.png)\n[a](b.md) [c](https://d)\n"
    )
    Image.new("L", (2, 2)).save(tmp_path / "curves.png")
    card = model_card(tmp_path)
    assert card.lstrip().startswith("# Card")
    assert "![Curves](data:image/png;base64," in card and "](curves.png)" not in card and "Lost" in card
    assert "](b.md)" not in card and "[c](https://d)" in card  # the page serves no file of the model's


def test_examples_are_drawings_and_can_all_be_read(app):
    assert app.examples.drawn
    for path in app.examples.drawn:
        assert path.stem.startswith("phantom")
        assert "findings" in app.handlers.analyze_chest_xray(path)
