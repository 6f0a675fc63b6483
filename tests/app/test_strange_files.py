"""What strangers put into files: code that never runs, names that are text, patients who are not told of."""

import ast
import base64
import json
import re
import shutil
from pathlib import Path

import pydicom
import pytest
import torch

from lungfusion import LungFusionPipeline
from lungfusion.app.trace import trace_model
from lungfusion.app.view.answer import answer_html
from lungfusion.app.view.steps import steps_html
from lungfusion.app.view.viewer import to_analysed_geometry
from lungfusion.app.view.words import LANGUAGES
from tests.support.app_server import ROOT, analyze_upload
from tests.support.image_files import GREY, encoded
from train.augment.phantom.radiograph import draw_phantom, write_dicom

PNG = encoded(GREY, "PNG")
SECRET = "Doe^Jane"


def test_weights_are_never_unpickled(checkpoint, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Exploit(tmp_path / "it_ran")}, folder / "pytorch_model.bin")
    with pytest.raises((OSError, ValueError), match="safetensors"):
        LungFusionPipeline.from_pretrained(folder)
    assert not (tmp_path / "it_ran").exists()


class Exploit:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "lungfusion").rglob("*.py"), *(ROOT / "train").glob("*.py")]), ids=str
)
def test_no_module_unpickles_or_evaluates(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {name.split(".")[0] for name in names} & UNPICKLING
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "torch.hub.load", "eval", "exec", "yaml.load", "os.system")
            if called == "np.load":
                assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords)


TELLING = ("PatientName", "PatientID", "InstitutionName", "StudyDescription", "SeriesDescription", "Manufacturer")


def test_nothing_of_a_dicom_header_comes_out(served, checkpoint, tmp_path):
    pixels, _ = draw_phantom(seed=0, size=128)
    path = tmp_path / "chest.dcm"
    write_dicom(path, pixels)
    ds = pydicom.dcmread(path)
    for keyword in TELLING:
        setattr(ds, keyword, SECRET)
    ds.PatientComments = f"<script>{SECRET}</script>"
    ds.add_new(0x00091001, "LO", SECRET)
    ds.save_as(path)
    assert path.read_bytes().count(SECRET.encode()) >= 8
    pipeline = LungFusionPipeline.from_pretrained(checkpoint)
    analysis, saliency = pipeline.analyse_and_explain(path)
    trace = trace_model(pipeline, analysis.radiograph, analysis.correction)
    steps = steps_html(LANGUAGES["en"], trace, *to_analysed_geometry(analysis, saliency))
    pages = (answer_html(LANGUAGES["en"], analysis, saliency), steps)
    for said in (*pages, json.dumps(analysis.to_dict()), repr(analysis)):
        assert SECRET not in said
    for file in re.findall(r"base64,([^\"]+)", "".join(pages)):  # the pictures, the page to print, the numbers
        assert SECRET.encode() not in base64.b64decode(file)
    event, answer = analyze_upload(served.address, "chest.dcm", path.read_bytes())
    assert event == "complete"
    assert "Doe" not in json.dumps(answer)
    event, answer = analyze_upload(served.address, "chest.dcm", path.read_bytes()[:-500])
    assert event == "error"
    assert "Doe" not in json.dumps(answer) and "Doe" not in served.log.read_text()


def page_of(folder, source):
    """The page's text without its own pictures."""
    page = answer_html(LANGUAGES["en"], *LungFusionPipeline.from_pretrained(folder).analyse_and_explain(source))
    return re.sub(r'<img class="\w+"( data-finding="[^"<>]*")? src="data:[^"]*" alt="[^"<>]*">', "", page)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.png", '"><script>alert(1)</script>.png'])
def test_names_are_text(checkpoint, tmp_path, name):
    path = tmp_path / name.replace("/", "_")
    path.write_bytes(PNG)
    report = page_of(checkpoint, path)
    assert "<img" not in report and "<script" not in report


def test_names_of_findings_from_a_strange_checkpoint_are_text(checkpoint, tmp_path):
    folder = tmp_path / "strange"
    shutil.copytree(checkpoint, folder)
    config = (folder / "config.json").read_text().replace("tuberculosis", "<script>alert(1)<\\/script>")
    (folder / "config.json").write_text(config.replace('"phantoms"', '"<img src=x>"'))
    report = page_of(folder, PNG)
    assert "<script" not in report and "<img" not in report
