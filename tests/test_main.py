"""The command line, run as a user runs it."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from lungfusion.__main__ import main
from lungfusion.app.view.words import LANGUAGES
from tests.support.tiny import alike


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


@pytest.mark.parametrize(
    "options, correction",
    [
        (["--mirror"], {"angle": 0, "invert": False, "mirror": True}),
        (["--turn", "-90", "--invert"], {"angle": -90, "invert": True, "mirror": False}),
        (["--turn", "346"], {"angle": -14, "invert": False, "mirror": False}),
        (["--turn", "0"], {"angle": 0, "invert": False, "mirror": False}),
    ],
)
def test_a_picture_is_set_right_by_hand(checkpoint, xray, capsys, options, correction):
    assert main([xray, "--json", "--model", str(checkpoint), *options]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["correction"] == correction | {"corners": None}


def test_who_was_not_learned_from_is_not_assessed(checkpoint, xray, tmp_path, capsys):
    folder = tmp_path / "children"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    config["findings"]["pneumonia"]["population"] = ["child"]
    (folder / "config.json").write_text(json.dumps(config))
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
    config["findings"]["pneumonia"]["shown"] = False
    (folder / "config.json").write_text(json.dumps(config))
    assert main([xray, "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "tuberculosis" in said and "pneumonia" not in said.replace(xray, "")


def test_where_nothing_learned_is_shown_it_says_so_and_how_to_be_told(checkpoint, xray, tmp_path, capsys):
    folder = tmp_path / "silent"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    for finding in config["findings"].values():
        finding["shown"] = False
    (folder / "config.json").write_text(json.dumps(config))
    assert main([xray, "--model", str(folder)]) == 0
    assert "! 2 learned, none shown: on patients not trained on none of pneumonia" in capsys.readouterr().out
    assert main([xray, "--json", "--model", str(folder)]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    (told,) = [warning for warning in answer["warnings"] if warning["code"] == "none_shown"]
    assert answer["findings"] == [] and "shown=all" in told["sentence"]
    assert all("shown=all" in words.sentences["warning_none_shown"] for words in LANGUAGES.values())
    for finding in config["findings"].values():
        del finding["shown"]
    (folder / "config.json").write_text(json.dumps(config))
    assert main([xray, "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "none shown" not in said and "tuberculosis" in said


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
    assert answers[0].keys() == {"path", "error", "code"}
    assert answers[1]["findings"] and answers[1]["findings"] == alike(answers[2]["findings"])
    assert f"{bad}: this is not a picture" in captured.err
    names = ["xray-2_mask.png", "xray-2_overlay.png", "xray_mask.png", "xray_overlay.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    mask = Image.open(out / "xray_mask.png")
    assert mask.size == (256, 256) and mask.mode == "L"


def test_a_name_too_long_for_a_file_is_reported(checkpoint, xray, capsys):
    assert main(["l" * 304 + ".png", xray, "--json", "--model", str(checkpoint)]) == 1
    answers = json.loads(capsys.readouterr().out)
    assert [answer.get("code") for answer in answers] == ["name_too_long", None]


def test_no_model_says_so(tmp_path, xray, capsys):
    assert main([xray, "--model", str(tmp_path / "nowhere")]) == 1
    assert "could not be loaded" in capsys.readouterr().err


def test_no_picture_is_lost_or_mistaken_for_another(checkpoint, phantom, tmp_path, capsys):
    pixels = (phantom[0] * 255).astype(np.uint8)
    files = ["x.png", "x.bmp", "x-2.png", "1.2.840.1", "1.2.840.2", "X.png", "l" * 200 + ".png"]
    for name in files:
        Image.fromarray(pixels).save(tmp_path / name, "PNG")
    out = tmp_path / "out"
    paths = [str(tmp_path / name) for name in files]
    assert main([*paths, "--json", "--out", str(out), "--model", str(checkpoint)]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["path"] for answer in answers] == paths
    assert [answer["name"] for answer in answers] == files
    written = [answer[kind] for answer in answers for kind in ("overlay", "mask")]
    assert sorted(written) == sorted(map(str, out.iterdir())) and len(written) == len(set(map(str.casefold, written)))
    assert [Path(answer["mask"]).name for answer in answers[:5]] == [
        "x_mask.png",
        "x-3_mask.png",
        "x-2_mask.png",
        "1.2.840.1_mask.png",
        "1.2.840.2_mask.png",
    ]


def test_folders_and_archives_are_walked(checkpoint, xray, tmp_path, capsys):
    study = tmp_path / "study"
    for place in ("a", "b"):
        (study / place).mkdir(parents=True)
        shutil.copy(xray, study / place / "IM1.png")
    (study / "notes.txt").write_text("no radiograph")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", study)
    (tmp_path / "empty").mkdir()
    assert main([str(study), archive, str(tmp_path / "empty"), "--json", "--model", str(checkpoint)]) == 1
    answers = json.loads(capsys.readouterr().out)
    expected = [f"{place}/{name}/IM1.png" for place in (study, archive) for name in ("a", "b")]
    assert sorted(answer["path"] for answer in answers) == sorted([*expected, str(tmp_path / "empty")])
    assert [answer.get("code") for answer in answers] == [None] * 4 + ["no_radiographs"]


def test_names_that_the_output_lacks_are_replaced(checkpoint, xray, tmp_path, monkeypatch):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/r\xf6ntgen \xf0\x9f\xab\x81.png")
    shutil.copy(xray, name)
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, encoding="cp1252", write_through=True))
    assert main([name, xray, "--out", str(tmp_path / "out"), "--model", str(checkpoint)]) == 0
    answer = said.getvalue().decode("cp1252")
    assert "r?ntgen ?.png" in answer and xray in answer
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_where_nothing_can_be_written_one_sentence_says_so_before_any_work(xray, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "lungfusion.__main__.LungFusionPipeline.from_pretrained", lambda *_, **__: pytest.fail("work was done")
    )
    assert main([xray, "--out", xray]) == 1
    assert capsys.readouterr().err == f"{xray}: this is a file; give --out a folder.\n"
    assert main([xray, "--out", f"{xray}/out"]) == 1
    assert "no file can be written there (Not a directory)" in capsys.readouterr().err
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    assert main([xray, "--out", str(tmp_path / "out")]) == 1
    assert "no file can be written there (Permission denied); give --out another folder." in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="the system has no /dev/fd")
def test_pipes_are_read(checkpoint, xray, tmp_path, capsys, monkeypatch):
    first, second = os.pipe(), os.pipe()
    for _, end in (first, second):
        with os.fdopen(end, "wb") as file:
            file.write(Path(xray).read_bytes())
    os.mkfifo(named := tmp_path / "pipe")
    Thread(target=named.write_bytes, args=[Path(xray).read_bytes()], daemon=True).start()
    with os.fdopen(first[0]) as standard:
        monkeypatch.setattr(sys, "stdin", standard)
        paths = ["-", f"/dev/fd/{second[0]}", xray, str(named)]
        assert main([*paths, "--json", "--out", str(tmp_path / "out"), "--model", str(checkpoint)]) == 0
    os.close(second[0])
    answers = json.loads(capsys.readouterr().out)
    assert [answer["path"] for answer in answers] == paths
    expected = alike(answers[2]["findings"])
    assert expected and all(alike(answer["findings"]) == expected for answer in answers)
    assert Path(answers[0]["mask"]).name == "stdin_mask.png"
    for nothing in (io.TextIOWrapper(io.BytesIO(b"")), None):
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(["-", "--model", str(checkpoint)]) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_is_told_of(checkpoint, xray, capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([xray, "--model", str(checkpoint)]) == 1
        monkeypatch.setattr(sys, "stdout", None)
        assert main([xray, "--model", str(checkpoint)]) == 0
    assert "The answer could not be written (No space left on device)." in capsys.readouterr().err


def test_a_closed_pipe_ends_quietly(checkpoint, xray):
    code = "import sys; from lungfusion.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, xray, "--model", str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
