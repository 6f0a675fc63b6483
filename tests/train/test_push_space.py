"""The Space and data sets, published to a Hub on this machine."""

import subprocess

import pytest
from huggingface_hub import SpaceCard
from PIL import Image

from tests.support.publishing import ROOT
from train.prepare import main as prepare_main
from train.publish.space import space_files
from train.push import main

SPACE_KEYS = {
    "app_file", "colorFrom", "colorTo", "emoji", "license", "models", "python_version", "sdk", "sdk_version",
    "short_description", "tags", "title", "startup_duration_timeout", "suggested_hardware",
}  # fmt: skip


def test_the_space_holds_the_app_and_nothing_else(online, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train.push", "--space", "owner/app"])
    main()
    assert f"Published: {online.url}/spaces/owner/app/commit/" in capsys.readouterr().out
    files = online.repos["spaces/owner/app"].find("main")[1]
    assert online.repos["spaces/owner/app"].variables == {}
    assert {name.split("/")[0] for name in files} == {
        ".gitattributes", "LICENSE", "README.md", "app.py", "examples", "lungfusion", "requirements.txt",
    }  # fmt: skip
    tracked = subprocess.run(["git", "ls-files", "lungfusion"], cwd=ROOT, capture_output=True, text=True).stdout
    package = {name for name in files if name.startswith("lungfusion/")}
    assert package == {name for name in tracked.splitlines() if (ROOT / name).exists()}
    assert "lungfusion/checkpoints/default/model.safetensors" in package
    assert {name for name in files if name.startswith("examples/")} == {"examples/overview.png"} | {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "examples" / "radiographs").iterdir()
    }
    assert not [name for name in files if "__pycache__" in name]


def test_a_space_serves_the_model_that_is_pushed_with_it(online, finished_run, monkeypatch, capsys):
    command = ["train.push", str(finished_run), "--repo-id", "owner/own", "--space", "owner/own-app", "--private"]
    monkeypatch.setattr("sys.argv", command)
    main()
    said = capsys.readouterr().out
    space = online.repos["spaces/owner/own-app"]
    assert space.variables == {"LUNGFUSION_MODEL": "owner/own"}
    front = SpaceCard(space.find("main")[1]["README.md"].decode()).data.to_dict()
    assert front["models"] == ["owner/own"]
    assert front["python_version"] == "3.12"  # not the number 3.12, and one that ZeroGPU has
    assert "owner/own is private: give the Space a secret HF_TOKEN" in said


def test_front_matter_of_the_space_is_what_the_hub_takes():
    front = SpaceCard.load(space_files()["README.md"]).data.to_dict()
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
    assert f"gradio[mcp]=={front['sdk_version']}" in space_files()["requirements.txt"].read_text().split()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours
    assert len(front["short_description"]) <= 60 and front["suggested_hardware"] == "cpu-basic"
    assert set(front) <= SPACE_KEYS


def test_a_space_needs_a_clone(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no README\.md: run this in a clone"):
        space_files(tmp_path)


def test_a_data_set_is_published_with_its_card(online, tmp_path, monkeypatch):
    (tmp_path / "raw/CXR_png").mkdir(parents=True)
    for name in ("CHNCXR_0001_0.png", "CHNCXR_0327_1.png"):
        Image.linear_gradient("L").save(tmp_path / "raw/CXR_png" / name)
    out = tmp_path / "out"
    command = ["train.prepare", "shenzhen", str(tmp_path / "raw"), str(out), "--push-to-hub", "owner/shenzhen"]
    monkeypatch.setattr("sys.argv", [*command, "--dry-run"])
    prepare_main()
    assert "datasets/owner/shenzhen" not in online.repos

    monkeypatch.setattr("sys.argv", command)
    prepare_main()
    files = online.repos["datasets/owner/shenzhen"].find("main")[1]
    assert set(files) == {".gitattributes", "README.md", "train-00000-of-00001.parquet"}
    assert files["train-00000-of-00001.parquet"] == (out / "train-00000-of-00001.parquet").read_bytes()
    assert b'load_dataset("owner/shenzhen")' in files["README.md"]
