"""From a CSV to a model on the Hub: prepare, finetune, push, load."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from examples.phantom import draw_phantom
from lungfusion import LungFusionPipeline
from lungfusion.models import LungFusionImageProcessor
from tests.conftest import tiny_model
from tests.helpers import ROOT
from tests.hub_server import HubServer
from train.data.splits import patient_fold
from train.finetune import summary, write_recipe

PATIENTS = 24
QUICK = ["shown=all", "epochs=1", "epoch_size=16", "batch_size=4", "workers=0", "pretrained=null"]


def python(*arguments, cwd=ROOT, **variables):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment | variables, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


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


def test_from_a_table_to_a_model_on_the_hub(own, trained, tmp_path):
    python("-m", "train.prepare", "table", own / "own.csv", own, tmp_path / "data")
    run, options = tmp_path / "run", ["--findings", "opacity", "--model", trained, "--set", *QUICK]
    said = python("-m", "train.finetune", "--data", tmp_path / "data", "--output", run, *options)
    assert "1 learned, 1 shown: opacity." in said
    with HubServer({"hf_owner": "owner"}) as hub:
        online = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_owner", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        python("-m", "train.push", run, "--repo-id", "owner/own", HF_HOME=str(tmp_path / "home"), **online)
        files = hub.repos["owner/own"].find("main")[1]
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


def test_a_fault_of_the_data_is_said_before_training(own, trained, tmp_path):
    python("-m", "train.prepare", "table", own / "own.csv", own, tmp_path / "data")
    command = [sys.executable, "-m", "train.finetune", "--data", tmp_path / "data", "--output", tmp_path / "run"]
    command += ["--findings", "opacityy", "--model", trained, "--set", *QUICK]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=ROOT, env=environment, timeout=500
    )
    assert done.returncode != 0
    assert "opacityy: no source says anything of it in the training patients." in done.stderr
    assert not (tmp_path / "run" / "history.json").exists()


def test_what_was_learned_and_what_is_shown_is_said(tmp_path):
    recipe = {"model": {"findings": ["a", "b"]}}
    none = summary({"shown": []}, recipe, tmp_path)
    assert none.startswith("2 learned, none shown: on patients not trained on none proved to work.")
    assert "--set shown=all" in none
    assert summary({"shown": ["b"]}, recipe, tmp_path).startswith("2 learned, 1 shown: b.\n")


def test_a_segmenter_alone_can_not_be_finetuned(phantom_segmenter, tmp_path):
    phantom_segmenter.save_pretrained(tmp_path / "lungs")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "lungs")
    with pytest.raises(ValueError, match="is a segmenter alone"):
        write_recipe(tmp_path, str(tmp_path), ["a"], str(tmp_path / "lungs"), tmp_path / "run")
