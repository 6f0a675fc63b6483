"""From a CSV to a model on the Hub: prepare, finetune, push, load."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from lungfusion import LungFusionPipeline
from lungfusion.models import LungFusionImageProcessor
from tests.support.helpers import ROOT
from tests.support.launching import train_here
from tests.support.tiny import tiny_model
from train import classify, finetune, prepare, push
from train.augment.phantom.radiograph import draw_phantom
from train.data.splits import patient_fold
from train.finetune import summary, write_recipe

PATIENTS = 24
QUICK = ["shown=all", "epochs=1", "epoch_size=16", "batch_size=4", "workers=0", "pretrained=null"]


@pytest.fixture(scope="module")
def trained(phantom_segmenter, tmp_path_factory):
    """Folder of a small checkpoint that finds a phantom's lungs."""
    folder = tmp_path_factory.mktemp("trained")
    model = tiny_model(
        segmenter=phantom_segmenter.config.to_dict(), image_size=64, concatenation="crop", fusion="gated"
    )
    model.segmenter.load_state_dict(phantom_segmenter.state_dict())
    model.save_pretrained(folder)
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A table and the pictures it names: every second phantom has an opacity, in every fold."""
    folder = tmp_path_factory.mktemp("own")
    numbers = {
        held_out: [n for n in range(200) if (patient_fold(str(n)) == 0) == held_out] for held_out in (True, False)
    }
    rows = []
    for seed, number in enumerate([*numbers[True][:8], *numbers[False][: PATIENTS - 8]]):
        pixels, _ = draw_phantom(seed=seed, size=96, opacity="consolidation" if seed % 2 else None)
        Image.fromarray((pixels * 255).astype(np.uint8)).save(folder / f"{seed}.png")
        rows.append({"file_name": f"{seed}.png", "patient_id": number, "Opacity": seed % 2})
    pd.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def prepared(own, tmp_path_factory):
    """The same as a data set."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare.main(["table", str(own / "own.csv"), str(own), str(folder)])
    return folder


def test_from_a_table_to_a_model_on_the_hub(prepared, trained, tmp_path, online, monkeypatch, capfd):
    """Training is launched as a person launches it, in a process of its own."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run, options = tmp_path / "run", ["--findings", "opacity", "--model", str(trained), "--set", *QUICK]
    finetune.main(["--data", str(prepared), "--output", str(run), *options])
    assert "1 learned, 1 shown: opacity." in capfd.readouterr().out
    push.main([str(run), "--repo-id", "owner/own"])
    files = online.repos["owner/own"].find("main")[1]
    config = json.loads(files["config.json"])
    assert config["shown"] == ["opacity"] and config["thresholds"].keys() == {"opacity"}
    assert 'LungFusionPipeline.from_pretrained("owner/own")' in files["README.md"].decode()
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe["sources"]["data"]["findings"] == ["opacity"]
    analysis = LungFusionPipeline.from_pretrained(run / "model")(draw_phantom(seed=1, size=96)[0])
    assert [finding.name for finding in analysis.findings] == ["opacity"]
    before, after = (LungFusionPipeline.from_pretrained(place).model for place in (trained, run / "model"))
    kept, new = before.segmenter.state_dict(), after.segmenter.state_dict()
    rounded = {key: x.half().float() if x.is_floating_point() else x for key, x in kept.items()}
    assert [key for key in rounded if not np.array_equal(rounded[key], new[key])] == []  # the same U-Net


def test_a_fault_of_the_data_is_said_before_training(prepared, trained, tmp_path):
    path = write_recipe(prepared, str(prepared), ["opacityy"], str(trained), tmp_path / "run")
    with pytest.raises(SystemExit, match="opacityy: no source says anything of it in the training patients"):
        train_here(classify, path, tmp_path / "run", *QUICK)
    assert not (tmp_path / "run" / "history.json").exists()


def test_where_training_fails_so_does_the_command(prepared, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(returncode=3))
    with pytest.raises(SystemExit) as ended:
        finetune.main(["--data", str(prepared), "--findings", "a", "--model", str(trained), "--output", str(tmp_path)])
    assert ended.value.code == 3


def test_what_was_learned_and_what_is_shown_is_said(tmp_path):
    recipe = {"model": {"findings": ["a", "b"]}}
    none = summary({"shown": []}, recipe, tmp_path)
    assert none.startswith("2 learned, none shown: on patients not trained on none proved to work.")
    assert "The same command with --set shown=all shows them" in none
    assert summary({"shown": ["b"]}, recipe, tmp_path).startswith("2 learned, 1 shown: b.\n")


def test_a_segmenter_alone_can_not_be_finetuned(phantom_segmenter, tmp_path):
    phantom_segmenter.save_pretrained(tmp_path / "lungs")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "lungs")
    with pytest.raises(ValueError, match="is a segmenter alone"):
        write_recipe(tmp_path, str(tmp_path), ["a"], str(tmp_path / "lungs"), tmp_path / "run")
