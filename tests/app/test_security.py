"""What a stranger may ask of the app: others' files, other servers, garbage. Each is refused, and survived."""

import json
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.app_server import ROOT, analyze, analyze_upload, request, upload
from tests.support.dicom_files import dicom
from tests.support.image_files import GREY, encoded

PNG = encoded(GREY, "PNG")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def still_serves(request):
    """After whatever a test of the server did, the next one gets its answer."""
    yield
    if "served" in request.fixturenames:
        served = request.getfixturevalue("served")
        assert analyze_upload(served.address, "chest.png", PNG)[0] == "complete"


@pytest.fixture
def neighbour():
    """(address of a server on this machine that has a radiograph, the requests it got)."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PNG)

        do_HEAD = do_GET

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


def of_file(path, **more):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}} | more


@pytest.mark.parametrize("prefix", ["", "../../../../../../..", "/proc/self/root", "file://"])
def test_files_of_the_server_are_not_handed_out(served, prefix, tmp_path):
    (tmp_path / "chest.png").write_bytes(PNG)
    for path in (tmp_path / "chest.png", ROOT / "app.py", "/etc/passwd"):
        for route in ("file=", "file/", "file=%2f..%2f", "stream/"):
            status, _, body = request(f"{served.address}/gradio_api/{route}{prefix}{path}")
            assert status in (400, 403, 404, 405, 500), (route, path)
            assert PNG not in body and b"root:" not in body and b"gradio as gr" not in body
        for more in ({}, {"is_stream": True}, {"url": f"{served.address}/gradio_api/file={path}"}):
            event, answer = analyze(served.address, of_file(f"{prefix}{path}", **more))
            assert event == "error"
            assert "findings" not in str(answer)


@pytest.mark.parametrize(
    "route", ["static/", "assets/", "svelte/", "custom_component/", "gradio_api/custom_component/"]
)
def test_paths_do_not_lead_out_of_what_gradio_serves(served, route):
    for path in ("../../../../../../etc/passwd", "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd"):
        status, _, body = request(f"{served.address}/{route}{path}")
        assert status in (400, 403, 404, 405) or b"root:" not in body


def test_file_names_do_not_lead_out_of_the_upload_folder(served):
    for name in ("../../escaped.png", "/tmp/escaped.png", "..\\..\\escaped.png", "....//escaped.png"):
        event, answer = analyze_upload(served.address, name, PNG)
        assert event == "error" or answer[0]["name"] == "escaped.png"
    for place in (served.cache.parent, Path("/tmp")):
        assert not (place / "escaped.png").exists()
    assert all(served.cache in path.parents for path in served.cache.parent.rglob("*escaped*"))


def test_nothing_is_fetched_from_anywhere(served, neighbour):
    """Not by the API, nor by the routes through which Gradio hands on what lies elsewhere."""
    here, requests = neighbour
    port = here.split(":")[1]
    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "2130706433", "127.1")]
    for host in [*hosts, "169.254.169.254", "10.0.0.1", "192.168.0.1", "public.example"]:
        for file in (of_file(f"http://{host}/chest.png"), of_file("", url=f"http://{host}/chest.png")):
            event, answer = analyze(served.address, file)
            assert event == "error", host
            assert "findings" not in str(answer)
            if file["path"]:
                assert "Addresses are not fetched" in str(answer)
        for scheme in ("http", "https", "HTTP", "%68ttp"):
            assert request(f"{served.address}/gradio_api/file={scheme}://{host}/chest.png")[0] == 403
        request(f"{served.address}/gradio_api/proxy=http://{host}/chest.png")
    assert not requests


def test_other_protocols_are_not_spoken(served):
    for url in ("ftp://127.0.0.1/chest.png", "gopher://127.0.0.1", "data:image/png;base64,AAAA", "file:///etc/passwd"):
        assert analyze(served.address, of_file(url))[0] == "error"


def test_any_page_may_embed_the_app(served):
    headers = request(served.address)[1]
    assert headers.get("X-Frame-Options") is None
    assert "frame-ancestors" not in (headers.get("Content-Security-Policy") or "")


def test_only_local_pages_may_call_a_local_app_from_a_browser(served):
    """As Gradio has it: an app on localhost answers pages of localhost; one on a public host answers any page."""
    port = served.address.rsplit(":", 1)[1]
    url = f"{served.address}/gradio_api/info"
    for origin, host, allowed in (
        ("https://strange.example", f"127.0.0.1:{port}", False),
        ("null", f"127.0.0.1:{port}", False),
        (f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", True),
        ("https://any.example", "lungs.example", True),
    ):
        headers = request(url, headers={"Origin": origin, "Host": host})[1]
        assert (headers.get("Access-Control-Allow-Origin") == origin) == allowed, origin


BODIES = (
    b"", b"{", b"null", b"[]", b"3", b'"x"', b"\xff\xfe\x00", b"{}", b'{"data": null}', b'{"data": {}}',
    b'{"data": []}',
    b'{"data": [1]}', b'{"data": ["chest.png"]}', b'{"data": [[]]}', b'{"data": [{}]}', b'{"data": [{"path": 3}]}',
    b'{"data": [{"path": null, "meta": {"_type": "gradio.FileData"}}]}', b'{"data": [null, null, null]}',
    b'{"data": [{"path": "\\u0000", "meta": {"_type": "gradio.FileData"}}]}', b'{"fn_index": 99, "data": []}',
    b'{"fn_index": -1, "data": [], "session_hash": "x"}', b'{"data": ' + b"[" * 50_000, b'{"data": [NaN]}',
)  # fmt: skip

ROUTES = ("call/analyze", "queue/join", "run/analyze", "api/analyze", "call/v2/analyze", "cancel")


@pytest.mark.parametrize("route", ROUTES)
def test_garbage_is_refused(served, route):
    for body in BODIES:
        url = f"{served.address}/gradio_api/{route}"
        status, _, answer = request(url, body, JSON)
        assert b"findings" not in answer
        assert b"Traceback" not in answer and b"/site-packages/" not in answer
        if status == 200 and route == "call/analyze":
            assert b"findings" not in request(f"{url}/{json.loads(answer)['event_id']}")[2]


UNCHANGED = {"props": {"__type__": "update"}, "__type__": "update"}


def test_what_the_page_calls_tells_strangers_nothing(served):
    for name in ("answered", "asked_again", "chosen", "received", "nothing"):
        url = f"{served.address}/gradio_api/call/{name}"
        status, _, answer = request(url, b'{"data": ["chest.png", "tuberculosis"]}', JSON)
        if status == 200:
            said = request(f"{url}/{json.loads(answer)['event_id']}")[2]
            if b"event: error" not in said:
                told = json.loads(said.split(b"data: ")[1])
                assert all(part in (UNCHANGED, None) for part in told), name


def test_oversized_requests_are_refused(served):
    for url, headers in ((served.address, {"X-Long": "x" * 1_000_000}), (f"{served.address}/{'x' * 200_000}", {})):
        try:
            assert request(url, headers=headers)[0] in (400, 404, 413, 414, 431)
        except (ConnectionError, urllib.error.URLError) as refusal:  # it hangs up on them
            assert "timed out" not in str(refusal)


def test_an_upload_is_not_shown_as_a_page(served):
    """What is uploaded and handed back is never HTML to a browser."""
    page = b"<script>alert(1)</script>" + dicom(GREY)
    for name in ("page.html", "page.svg", "page.xml"):
        path = upload(served.address, name, page)
        status, headers, _ = request(f"{served.address}/gradio_api/file={path}")
        assert status != 200 or headers["Content-Disposition"].startswith("attachment")
