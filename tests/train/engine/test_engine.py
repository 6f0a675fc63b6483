"""What every training relies on: whole weights, one recipe to a folder, the average, precision, processes."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file

from lungfusion import LungFusionImageProcessor
from tests.support.helpers import ROOT, TINY_FINDINGS, TINY_LUNGS, write_source
from tests.support.tiny import find_lungs_everywhere, tiny_model, tiny_segmenter
from train import classify, segment
from train.calibrate.findings import replace_segmenter
from train.engine.average import ExponentialMovingAverage
from train.engine.loop import resume
from train.engine.processes import launch, run, set_up_cpu, start_accelerator, threads_for
from train.engine.run import check_recipe
from train.engine.weights import load_classifier, load_pretrained_backbone, load_segmenter

RECIPES = ROOT / "train" / "recipes"
NO_BFLOAT16 = {"avx512_bf16": False, "amx_bf16": False}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No launcher, and none of accelerate's state from another test."""
    for name in ("WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def without_a_tensor(folder, copy):
    """A copy of a checkpoint that lacks the last tensor of those that it needs."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights.pop(max(key for key in weights if "view_head" not in key))
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    return copy


def test_a_classifier_lends_its_segmenter(checkpoint):
    lent, whole = load_segmenter(checkpoint).state_dict(), load_classifier(checkpoint).segmenter.state_dict()
    assert all(torch.equal(lent[key], tensor) for key, tensor in whole.items())


def test_nothing_begins_with_weights_that_are_not_whole(checkpoint, tmp_path):
    broken = without_a_tensor(checkpoint, tmp_path / "broken")
    for load in (load_segmenter, load_classifier):
        with pytest.raises(ValueError, match=r"lacks 1 of the model's weights.* Give a trained"):
            load(broken)
        with pytest.raises(ValueError, match=r"There is no folder .*runs/lungs/model.* Give a trained"):
            load(tmp_path / "runs/lungs/model")
    tiny_segmenter().save_pretrained(tmp_path / "lungs")
    with pytest.raises(ValueError, match=r"holds a segmenter alone\. Give a trained LungFusion classifier"):
        load_classifier(tmp_path / "lungs")


@pytest.mark.parametrize("key", ["segmenter", "init_from"])
def test_a_classifier_is_not_trained_on_weights_that_are_not_whole(key, checkpoint, tmp_path):
    broken = without_a_tensor(checkpoint, tmp_path / "broken")
    overrides = [*TINY_FINDINGS, f"segmenter={checkpoint}", f"{key}={broken}", f"data_root={tmp_path}"]
    with pytest.raises(ValueError, match="lacks 1 of the model's weights"):
        classify.main(["--recipe", str(RECIPES / "findings.yaml"), "--output", str(tmp_path / "run"), *overrides])
    assert not (tmp_path / "run" / "model").exists()


def test_a_segmenter_that_serves_nothing_does_not_take_the_place_of_the_old_one(checkpoint, tmp_path):
    write_source(tmp_path / "data" / "source", ["normal", "pneumonia"], "consolidation", with_mask=False)
    shutil.copytree(checkpoint, tmp_path / "run" / "model")
    source = {"dataset": "source", "title": "Phantoms", "population": "phantoms"}
    recipe = {"data_root": str(tmp_path / "data"), "sources": {"phantoms": source}, "validation_fold": 0}
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    blind = tiny_segmenter()
    find_lungs_everywhere(blind, logit=-3.0)
    blind.save_pretrained(tmp_path / "blind")
    with pytest.raises(ValueError, match=r"refused|rejected"):
        replace_segmenter(tmp_path / "blind", recipe, tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_folder_holds_one_run(tmp_path):
    recipe = {"epochs": 2, "model": {"width": 4}, "workers": 2, "data_root": "data", "init_from": None}
    check_recipe(recipe, tmp_path)  # nothing is there yet
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    check_recipe(recipe | {"workers": 8, "data_root": "/mnt/data", "shown": "all"}, tmp_path)
    with pytest.raises(ValueError, match=r"holds another run: model.width differs \(4 there, 8 here\)"):
        check_recipe(recipe | {"model": {"width": 8}}, tmp_path)
    with pytest.raises(ValueError, match=r"epochs differs \(2 there, 5 here\).*init_from=.*model begins with"):
        check_recipe(recipe | {"epochs": 5}, tmp_path)
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text()) == recipe


def test_a_run_is_not_relabelled_with_another_recipe(tmp_path):
    write_source(tmp_path / "shenzhen-tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=True)
    run = ["--recipe", str(RECIPES / "lungs_teacher.yaml"), "--output", str(tmp_path / "run")]
    run += [*TINY_LUNGS, f"data_root={tmp_path}"]
    (tmp_path / "run").mkdir()
    kept = yaml.safe_dump({"epochs": 1})
    (tmp_path / "run" / "recipe.yaml").write_text(kept)
    with pytest.raises(ValueError, match="holds another run: epochs differs"):
        segment.main(run)
    assert (tmp_path / "run" / "recipe.yaml").read_text() == kept


def test_only_checkpoints_are_resumed_from(tmp_path):
    for name in ("checkpoint-best", "checkpoint-3-copy", "checkpoint-"):
        (tmp_path / name).mkdir()
    assert resume(start_accelerator(), tmp_path) == ([], [])


def test_the_average_follows_the_weights():
    model = torch.nn.Linear(1, 1, bias=False)
    average = ExponentialMovingAverage(model, 0.998)
    for weight in torch.linspace(0, 1, 101)[1:]:
        torch.nn.init.constant_(model.weight, weight)
        average.update()
    assert average.model.weight.item() == pytest.approx(0.90, abs=0.02)  # of the last tenth, not of the beginning
    again = ExponentialMovingAverage(model, 0.998)
    again.load_state_dict(average.state_dict())
    again.update(), average.update()
    assert again.model.weight.item() == average.model.weight.item()


def test_the_average_is_of_what_is_trained_alone():
    model = tiny_model()
    model.segmenter.requires_grad_(False)
    average = ExponentialMovingAverage(model, 0.5)
    assert average.model.segmenter is model.segmenter
    frozen = {key: tensor._version for key, tensor in model.segmenter.state_dict().items()}
    with torch.no_grad():
        for parameter in model.branches.parameters():
            parameter.add_(1)
    average.update()
    assert {key: tensor._version for key, tensor in model.segmenter.state_dict().items()} == frozen
    old, new = average.model.branches.state_dict(), model.branches.state_dict()
    moved = [not torch.equal(old[key], tensor) for key, tensor in new.items() if "running" not in key]
    assert any(moved)
    assert not average.model.training


def test_bfloat16_is_not_emulated(monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: NO_BFLOAT16)
    assert start_accelerator("bf16").mixed_precision == "no"
    assert "Computing in float32" in capsys.readouterr().out
    AcceleratorState._reset_state(True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: NO_BFLOAT16 | {"amx_bf16": True})
    assert start_accelerator("bf16").mixed_precision == "bf16"
    assert "float32" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "cores", "processes", "threads"),
    [("", 8, 1, 8), ("", 8, 3, 2), ("", 1, 2, 1), ("4", 8, 1, 4), ("3", 2, 2, 3)],
)
def test_threads_are_what_is_asked_for_or_the_cores_that_are_free(monkeypatch, capsys, said, cores, processes, threads):
    """Not those of the machine: others may compute there, and a scheduler gives a share."""
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert threads_for(processes)[0] == threads
    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    set_up_cpu(SimpleNamespace(device=torch.device("cpu"), num_processes=processes, print=print))
    assert used == [threads] and f"Computing in {threads} thread" in capsys.readouterr().out


def test_threads_that_wait_sleep_and_what_is_said_of_them_counts():
    """OpenMP asks the environment once, where torch is imported: so it is said before."""
    ask = "import os, sys, train; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    for said, expected in ((None, "PASSIVE False"), ("ACTIVE", "ACTIVE False")):
        environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
        environment |= {"OMP_WAIT_POLICY": said} if said else {}
        done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr


def test_a_tracker_that_is_not_installed_is_named():
    with pytest.raises(ValueError, match="log_with is 'wandbb': give null, all or one of tensorboard"):
        start_accelerator(log_with="wandbb")


def test_what_cannot_be_done_is_said_in_a_sentence(monkeypatch):
    def main():
        raise ValueError("There is no such recipe")

    monkeypatch.delenv("LUNGFUSION_TRACEBACK", raising=False)
    with pytest.raises(SystemExit, match="There is no such recipe"):
        run(main)
    monkeypatch.setenv("LUNGFUSION_TRACEBACK", "1")
    with pytest.raises(ValueError, match="There is no such recipe"):
        run(main)


def test_a_hub_out_of_reach_is_said_with_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("We couldn't connect\nto the Hub")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(ValueError, match=r"no pretrained weights of resnet18 \(We couldn't connect\): say pretrained="):
        load_pretrained_backbone(None, "resnet18")


@pytest.mark.parametrize(
    ("devices", "launcher"), [(0, []), (1, []), (2, ["-m", "accelerate.commands.launch", "--quiet"])]
)
def test_the_launcher_adds_no_traceback_and_leaves_the_cores(monkeypatch, tmp_path, devices, launcher):
    def begin(command, env):
        assert command[1:] == [*launcher, "-m", "train.classify", "--recipe", "x"]
        assert env["OMP_NUM_THREADS"] == "5"
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr("train.engine.processes.default_config_file", tmp_path / "none.yaml")
    monkeypatch.setattr("torch.accelerator.device_count", lambda: devices)

    monkeypatch.setattr("subprocess.run", begin)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("train.engine.processes.free_cores", lambda: 5)
    assert launch("train.classify", "--recipe", "x") == 3


def test_processes_that_would_not_share_the_work_are_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # as `accelerate launch --cpu --num_processes 2` sets them
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(ValueError, match="torchrun --nproc_per_node"):
        start_accelerator()


def test_float32_on_disk_is_what_a_run_begins_with(checkpoint, tmp_path):
    load_classifier(checkpoint).half().save_pretrained(tmp_path / "half")
    LungFusionImageProcessor().save_pretrained(tmp_path / "half")
    assert load_segmenter(tmp_path / "half").dtype == torch.float32
