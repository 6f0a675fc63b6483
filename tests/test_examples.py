"""Every example does what it says; those for the app ask a running one."""

import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from PIL import Image

from examples import batch_to_csv, call_api, explain, export_onnx, features_to_sklearn, fine_tune, quickstart
from lungfusion import FindingConfig, LungFusionPipeline
from tests.support.tiny import alike, draw_phantom

EXAMPLES = Path(__file__).parents[1] / "examples"
PHANTOM = EXAMPLES / "radiographs" / "phantom_clear.png"
PATHS = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(EXAMPLES.parent)}
NODE = shutil.which("node")


@pytest.fixture
def folder(tmp_path):
    """train/ and validation/, each with phantoms that have a consolidation, and some that don't."""
    for part, seeds in (("train", range(6)), ("validation", range(6, 10))):
        for seed in seeds:
            kind = "consolidation" if seed % 2 else "normal"
            pixels, _ = draw_phantom(seed=seed, size=96, opacity="consolidation" if seed % 2 else None)
            (tmp_path / part / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255).astype(np.uint8)).save(tmp_path / part / kind / f"{seed}.png")
    return tmp_path


def test_batch_to_csv(checkpoint, tmp_path):
    (tmp_path / "notes.txt").write_text("No radiograph.")
    batch_to_csv.main(tmp_path / "table.csv", str(PHANTOM), str(tmp_path / "notes.txt"), model=checkpoint)
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        read, refused = csv.DictReader(file)
    expected = LungFusionPipeline.from_pretrained(checkpoint)(PHANTOM)
    assert float(read["pneumonia"]) == pytest.approx(expected["pneumonia"].probability, abs=1e-4)
    assert read["error"] == "" and refused["pneumonia"] == ""
    assert "not a picture" in refused["error"]


def test_features_to_sklearn(checkpoint, folder, capsys):
    accuracy = features_to_sklearn.main(folder / "train", model=checkpoint)
    assert accuracy.shape == (3,)
    assert "6 images, 8 features: accuracy" in capsys.readouterr().out


def test_explain(checkpoint, tmp_path, capsys):
    explain.main(PHANTOM, "tuberculosis", tmp_path / "heat.png", model=checkpoint)
    assert Image.open(tmp_path / "heat.png").size == (512, 512)
    assert "tuberculosis: not detected" in capsys.readouterr().out


def test_a_map_that_says_nothing_of_its_own_is_not_drawn(checkpoint, tmp_path, monkeypatch):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    pipe.model.config = pipe.model.config.with_findings({"tuberculosis": FindingConfig(explained=False)})
    monkeypatch.setattr(LungFusionPipeline, "from_pretrained", lambda *_: pipe)
    for finding, sentence in (("tuberculosis", "no heat map of tuberculosis"), ("gout", "not 'gout'")):
        with pytest.raises(SystemExit, match=sentence):
            explain.main(PHANTOM, finding, tmp_path / "heat.png")


def test_the_readmes_lines_run_on_a_small_picture(checkpoint, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(), re.DOTALL)[:1]
    Image.open(PHANTOM).resize((200, 200)).save(tmp_path / "small.png")
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    pipe.model.config = pipe.model.config.with_findings({"pneumonia": FindingConfig(min_side=256)})
    monkeypatch.setattr(LungFusionPipeline, "from_pretrained", lambda: pipe)
    exec(code.replace("examples/radiographs/phantom_clear.png", str(tmp_path / "small.png")), {})
    assert capsys.readouterr().out.startswith("pneumonia not_assessed \ntuberculosis not_detected 0.")


def test_quickstart(checkpoint, tmp_path, capsys):
    before = (EXAMPLES / "overview.png").read_bytes()
    quickstart.main(PHANTOM, tmp_path / "lungs.png", checkpoint)
    assert Image.open(tmp_path / "lungs.png").size == (3 * 512, 512)
    assert re.search(r"pneumonia: detected, \d+\.\d%, threshold 1\.0%\n", capsys.readouterr().out)
    assert (EXAMPLES / "overview.png").read_bytes() == before  # what is published is of phantoms alone


@pytest.mark.parametrize("name", ["explain", "features_to_sklearn", "batch_to_csv", "score_stream"])
def test_without_arguments_the_usage_is_said(name, monkeypatch):
    monkeypatch.setattr("sys.argv", [f"{name}.py"])
    with pytest.raises(SystemExit, match=f"python examples/{name}.py"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def test_export_onnx(checkpoint, tmp_path):
    export_onnx.main(tmp_path / "model.onnx", checkpoint)
    names = [output.name for output in onnx.load(tmp_path / "model.onnx").graph.output]
    assert names[:2] == ["logits", "alpha"]


def test_fine_tune(checkpoint, folder):
    before = LungFusionPipeline.from_pretrained(checkpoint).model.state_dict()
    trainer = fine_tune.main(folder, folder / "tuned", checkpoint, epochs=8, batch_size=3)
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(losses) == 8 and losses[-1] < losses[0]

    pipe = LungFusionPipeline.from_pretrained(folder / "tuned")
    assert pipe.findings == ("consolidation",)
    assert 0 < pipe(PHANTOM)["consolidation"].probability < 1
    after = pipe.model.state_dict()
    kept = [key for key in before if key.startswith(("segmenter", "branches"))]
    assert all((after[key] == before[key]).all() for key in kept)
    assert not (after["fusion.gate.weight"] == before["fusion.gate.weight"]).all()


def test_fine_tune_learns_folders_of_radiographs_alone(folder):
    for part in ("train", "validation"):
        (folder / part / "normal").rename(folder / part / "NORMAL")
        (folder / part / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / part / ".cache").mkdir()
        (folder / part / "NORMAL" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
        (folder / part / "NORMAL" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / part / ".cache" / "0.png").write_bytes(PHANTOM.read_bytes())
    findings = fine_tune.findings_in(folder / "train")
    assert findings == ["consolidation"]
    part = fine_tune.Folder(folder / "train", findings, lambda pixels: {"pixel_values": [pixels]})
    assert len(part) == 6
    assert sorted(part[index]["labels"].item() for index in range(6)) == [0, 0, 0, 1, 1, 1]


# Against a running app


def test_call_api(server, capsys):
    analysis = call_api.main(server, PHANTOM)
    assert f"pneumonia: {analysis['findings'][0]['probability']:.1%}, detected" in capsys.readouterr().out


def test_what_the_app_does_not_assess_is_told_without_a_share(phantom, monkeypatch, capsys):
    finding = {"name": "pneumonia", "probability": None, "level": "not_assessed"}
    answer = {"warnings": [], "findings": [finding]}
    monkeypatch.setattr(call_api, "Client", lambda *_, **__: SimpleNamespace(predict=lambda **_: answer))
    call_api.main("owner/space", PHANTOM)
    assert capsys.readouterr().out == "pneumonia: not assessed\n"


def test_call_api_from_javascript(server, tmp_path):
    if not NODE and not os.environ.get("CI"):
        pytest.skip("node is not installed")

    def node(image):
        return subprocess.run([NODE, EXAMPLES / "call_api.mjs", server, image], capture_output=True, text=True)

    done = node(PHANTOM)
    assert done.returncode == 0, done.stderr
    answer, expected = json.loads(done.stdout), call_api.main(server, PHANTOM)
    assert answer == alike(expected)
    (tmp_path / "notes.txt").write_text("No radiograph.")
    refused = node(tmp_path / "notes.txt")
    assert refused.returncode != 0
    assert "The app refused" in refused.stderr


def test_embed(server, browser, tmp_path):
    page_text = (EXAMPLES / "embed.html").read_text()
    (tmp_path / "index.html").write_text(page_text.replace("http://127.0.0.1:7860", server))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{pages.server_port}/")
        page.frame_locator("iframe").locator("#upload").wait_for(state="attached")
        page.close()
        pages.shutdown()
