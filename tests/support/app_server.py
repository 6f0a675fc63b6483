"""The app as a process of its own, for those who call it as strangers do."""

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
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from train.augment.phantom.radiograph import write_dicom

ROOT = Path(__file__).parents[2]


class Served(NamedTuple):
    address: str  # http://127.0.0.1:PORT
    process: subprocess.Popen
    cache: Path  # where Gradio keeps what is uploaded
    log: Path

    def raised(self):
        """The names of the exceptions whose tracebacks are in the log."""
        return set(re.findall(r"^[\w.]*(?:Error|Exception|Warning)\b", self.log.read_text(), re.MULTILINE))


@contextmanager
def serving(model, folder):
    """`python app.py` with a model's folder, begun in `folder`, until the block is left."""
    port = free_port()
    settings = {
        "LUNGFUSION_MODEL": str(model or ""),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    with open(folder / "log", "w") as log:
        command = [sys.executable, str(ROOT / "app.py")]
        process = subprocess.Popen(command, env=os.environ | settings, cwd=folder, stdout=log, stderr=log)
    served = Served(f"http://127.0.0.1:{port}", process, folder / "cache", folder / "log")
    try:
        wait_for(served)
        yield served
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def radiograph_files(phantom, tmp_path_factory):
    """Paths of one phantom in several formats, and of a text file."""
    folder = tmp_path_factory.mktemp("files")
    pixels, _ = phantom
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(folder / "chest.png")
    Image.fromarray(np.round(pixels * 65535).astype(np.uint16)).save(folder / "deep.png")
    write_dicom(folder / "chest.dcm", pixels)
    shutil.copy(folder / "chest.dcm", folder / "IM000001")  # as DICOM files are often called
    (folder / "notes.txt").write_text("No radiograph.")
    return {path.name: str(path) for path in folder.iterdir()}


@pytest.fixture(scope="session")
def server(checkpoint, tmp_path_factory):
    """Address of `python app.py`, started elsewhere than in the repository. It must leave no one's images behind."""
    with serving(checkpoint, tmp_path_factory.mktemp("server")) as served:
        yield served.address
    kept = [path for path in served.cache.rglob("*") if path.is_file() and path.stat().st_size]
    assert [path.name for path in kept if not path.name.startswith("phantom_")] == []  # but the app's own drawings
    assert served.raised() <= {"gradio.exceptions.InvalidPathError"}  # asked for by a test


@pytest.fixture(scope="session")
def served(checkpoint, tmp_path_factory):
    """Another one, for what strangers try: it may log errors and keep what they leave."""
    with serving(checkpoint, tmp_path_factory.mktemp("served")) as served:
        yield served


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(served, seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end and served.process.poll() is None:
        try:
            return urllib.request.urlopen(served.address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"The app did not start:\n{served.log.read_text()}")


# The API, by hand: what a client library would not send


def request(url, data=None, headers=None, method=None, timeout=60):
    """(status, headers, body) whatever the status is; redirections are not followed."""
    asked = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.build_opener(NoRedirection).open(asked, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def upload(address, name, content):
    """Upload a file → its path on the server."""
    boundary = "lungfusion-boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = (
        f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, _, answer = request(f"{address}/gradio_api/upload", body, kind)
    if status != 200:
        raise ConnectionError(f"upload: {status} {answer[:200]}")
    return json.loads(answer)[0]


def analyze(address, file, timeout=120):
    """Call the API with a file's description → ("complete" or "error", what came with it)."""
    url = f"{address}/gradio_api/call/analyze"
    status, _, answer = request(url, json.dumps({"data": [file]}).encode(), {"Content-Type": "application/json"})
    if status != 200:
        return "error", answer.decode(errors="replace")
    status, _, events = request(f"{url}/{json.loads(answer)['event_id']}", timeout=timeout)
    event, data = re.findall(r"event: (\w+)\ndata: (.*)", events.decode())[-1]
    return event, json.loads(data)


def analyze_upload(address, name, content):
    path = upload(address, name, content)
    return analyze(address, {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}})
