"""The command line, run as a user runs it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from lungfusion.__main__ import main


@pytest.fixture
def xray(phantom, tmp_path):
    path = tmp_path / "xray.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).save(path)
    return str(path)


def test_table(checkpoint, xray, capsys):
    assert main([xray, "--model", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert xray in said
    assert "lungs cover 100% of the image (right 0%, left 100%)" in said
    assert "! Only one lung was found" in said
    assert "pneumonia" in said and "(threshold 1.0%)  detected" in said
    assert "(threshold 99.0%)  not detected" in said
    assert "pneumonia: learned from, and calibrated on, phantoms." in said
    assert "Not a medical device" in said


def test_who_was_not_learned_from_is_not_assessed(checkpoint, xray, tmp_path, capsys):
    folder = tmp_path / "children"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"populations": {"pneumonia": ["child"]}}))
    assert main([xray, "--age", "40", "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "pneumonia     not assessed: it was not learned on people of this age" in said
    with pytest.raises(SystemExit):
        main([xray, "--age", "400", "--model", str(folder)])
    assert "give years from 0 to 130" in capsys.readouterr().err


def test_only_what_is_told_is_explained(checkpoint, xray, tmp_path, capsys):
    folder = tmp_path / "shy"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"shown": ["tuberculosis"]}))
    assert main([xray, "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "tuberculosis" in said and "pneumonia" not in said.replace(xray, "")


def test_json(checkpoint, xray, capsys):
    assert main([xray, "--json", "--model", str(checkpoint)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer[0]["path"] == xray
    assert [finding["name"] for finding in answer[0]["findings"]] == ["pneumonia", "tuberculosis"]


def test_a_bad_file_is_reported_and_the_rest_go_on(checkpoint, xray, tmp_path, capsys):
    bad = tmp_path / "notes.txt"
    bad.write_text("not a radiograph")
    again = tmp_path / "again" / "xray.png"
    again.parent.mkdir()
    again.write_bytes((tmp_path / "xray.png").read_bytes())
    out = tmp_path / "out"
    assert main([str(bad), xray, str(again), "--json", "--out", str(out), "--model", str(checkpoint)]) == 1
    captured = capsys.readouterr()
    answers = json.loads(captured.out)
    assert answers[0].keys() == {"path", "error"}
    assert answers[1]["findings"] == answers[2]["findings"] != []
    assert f"{bad}: this is not a picture" in captured.err
    names = ["xray-2_mask.png", "xray-2_overlay.png", "xray_mask.png", "xray_overlay.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    mask = Image.open(out / "xray_mask.png")
    assert mask.size == (256, 256) and mask.mode == "L"


def test_no_model_says_so(tmp_path, xray, capsys):
    assert main([xray, "--model", str(tmp_path / "nowhere")]) == 1
    assert "could not be loaded" in capsys.readouterr().err
