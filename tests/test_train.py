"""Training for real, tiny: both mains, resume after a cut-off, two processes, evaluation, card and bundle."""

import copy
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from examples.phantom import draw_phantom
from lungfusion import LungFusionPipeline
from tests.conftest import find_lungs_everywhere, tiny_segmenter
from tests.helpers import PATIENTS, ROOT, TINY_FINDINGS, TINY_LUNGS, launch, write_findings, write_source
from train import evaluate
from train.bundle import bundle
from train.engine.loop import round_weights
from train.report.card import base_models

RECIPE = "train/recipes/lungs_teacher.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_source(root / "shenzhen-tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=True)
    write_source(root / "kermany-pneumonia", ["normal", "bacterial_pneumonia"], "consolidation", with_mask=False)
    write_findings(root / "nih-findings", seed=100)
    write_findings(root / "nih-findings-128", seed=200)
    return root


@pytest.fixture(scope="module")
def lungs_run(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "lungs"
    launch("train.segment", "lungs_teacher.yaml", output, f"data_root={data}", *TINY_LUNGS)
    return output


@pytest.fixture(scope="module")
def segmenter(phantom_segmenter, tmp_path_factory):
    """Folder of a segmenter good enough for its masks not to be refused."""
    folder = tmp_path_factory.mktemp("segmenter")
    round_weights(copy.deepcopy(phantom_segmenter)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def findings_run(data, segmenter, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "findings"
    launch("train.classify", "findings.yaml", output, f"data_root={data}", f"segmenter={segmenter}", *TINY_FINDINGS)
    return output


def test_segmentation_run_learns_and_loads(lungs_run, data):
    history = json.loads((lungs_run / "history.json").read_text())
    assert len(history) == 2
    assert history[1]["loss"] < history[0]["loss"]
    metrics = json.loads((lungs_run / "metrics.json").read_text())["shenzhen"]
    assert metrics["images"] == metrics["lungs"]["images"] > 0
    low, high = metrics["lungs"]["dice"]["interval"]
    assert low <= metrics["lungs"]["dice"]["value"] <= high
    for name in ("hd95", "assd"):  # every phantom is 96 pixels wide
        pixels = [metrics["lungs"][name]["value"], *metrics["lungs"][name]["interval"]]
        of_width = metrics["lungs"][f"{name}_width"]
        assert 0 < pixels[1] <= pixels[0] <= pixels[2] <= 96 * 2**0.5
        assert [of_width["value"], *of_width["interval"]] == pytest.approx([p / 96 for p in pixels])
    counts = json.loads((lungs_run / "counts.json").read_text())
    assert counts["validation"] == {"shenzhen": metrics["images"]}
    assert counts["train"]["shenzhen"] + metrics["images"] == PATIENTS
    assert f"Radiographs, train: {counts['train']['shenzhen']} of shenzhen." in (lungs_run / "README.md").read_text()
    pixels, _ = draw_phantom(seed=1, size=128)
    analysis = LungFusionPipeline.from_pretrained(lungs_run / "model")(pixels)
    assert analysis.alpha.shape == (128, 128)
    assert analysis.findings == ()


def test_classification_run_holds_all_it_should(findings_run):
    names = {path.name for path in findings_run.iterdir()}
    assert {
        "recipe.yaml",
        "metrics.json",
        "history.json",
        "per_image.csv",
        "model",
        "README.md",
        "tensorboard",
    } <= names
    pipeline = LungFusionPipeline.from_pretrained(findings_run / "model")
    config = pipeline.model.config
    assert config.findings == ["pneumonia", "tuberculosis", "effusion"]
    assert set(pipeline.findings) == set(config.shown) <= set(config.findings)
    assert config.sources["pneumonia"] == "Kermany pneumonia set, children of 1 to 5 years, Guangzhou"
    assert config.sources["tuberculosis"].startswith("Shenzhen")
    assert all(point["sensitivity"] >= 0.9 for point in config.operating_points.values())


def test_card_repeats_the_metrics_and_nothing_else(findings_run):
    card = (findings_run / "README.md").read_text()
    metrics = json.loads((findings_run / "metrics.json").read_text())
    auc = metrics["kermany"]["findings"]["pneumonia"]["auc"]
    assert f"{auc['value']:.3f} ({auc['interval'][0]:.3f}–{auc['interval'][1]:.3f})" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "image-classification"
    assert front["datasets"] == ["hf-vision/chest-xray-pneumonia"]  # of those on the Hub
    assert "base_model" not in front  # began with no one's weights
    assert "roc_auc" in front["metrics"]
    named = {metric["name"] for result in front["model-index"][0]["results"] for metric in result["metrics"]}
    assert "ROC AUC, pneumonia" in named
    assert 'pipeline("image-classification", "FOLDER_OR_ID", trust_remote_code=True)' in card
    assert "## Intended use" in card
    assert str(findings_run) not in card


def test_the_card_names_the_weights_training_began_with():
    recipe = {"pretrained": "hub", "model": {"branches": ["tf_efficientnet_lite0", "mobilenetv2_100"]}}
    assert base_models(recipe) == ["timm/tf_efficientnet_lite0.in1k", "timm/mobilenetv2_100.ra_in1k"]
    assert base_models({"pretrained": "hub", "model": {"encoder": "tu-resnet18"}}) == ["timm/resnet18.a1_in1k"]
    assert base_models({"pretrained": "hub", "model": {"encoder": "plain"}}) is None


def test_findings_are_scored_only_within_the_sources_that_know_them(findings_run):
    metrics = json.loads((findings_run / "metrics.json").read_text())
    assert list(metrics["kermany"]["findings"]) == ["pneumonia"]
    assert list(metrics["shenzhen"]["findings"]) == ["tuberculosis"]
    assert list(metrics["nih"]["findings"]) == list(metrics["nih_128"]["findings"]) == ["effusion"]


def test_segmenter_inside_the_classifier_is_the_trained_one(segmenter, findings_run):
    alone = load_file(segmenter / "model.safetensors")
    inside = load_file(findings_run / "model" / "model.safetensors")
    for key, tensor in alone.items():
        assert torch.equal(inside[f"segmenter.{key}"], tensor), key


def test_a_segmenter_can_be_replaced(findings_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(findings_run, run)
    other = tiny_segmenter(width=8)
    find_lungs_everywhere(other)
    other.save_pretrained(tmp_path / "lungs")
    evaluate.main(["--run", str(run), "--segmenter", str(tmp_path / "lungs")])
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (findings_run, run))
    for key in before:
        if key.startswith("segmenter."):
            expected = other.state_dict()[key.removeprefix("segmenter.")]
            torch.testing.assert_close(after[key], expected, rtol=1e-3, atol=1e-4)  # rounded to half precision
        else:
            assert torch.equal(after[key], before[key]), key
    pixels, _ = draw_phantom(seed=1, size=128)
    assert LungFusionPipeline.from_pretrained(run / "model")(pixels).lung_area == 1
    assert "masks of an earlier segmenter" in (run / "README.md").read_text()
    assert "earlier segmenter" not in (findings_run / "README.md").read_text()


def test_a_cut_off_run_ends_with_the_weights_of_an_undisturbed_one(lungs_run, data, tmp_path):
    output = tmp_path / "lungs"
    overrides = [f"data_root={data}", *TINY_LUNGS]
    cut = subprocess.Popen(
        [sys.executable, "-c", CUT_OFF, "--recipe", RECIPE, "--output", str(output), *overrides],
        cwd=ROOT,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    assert cut.wait(300) == 9
    assert [p.name for p in output.glob("checkpoint-*")] == ["checkpoint-1"]
    said = launch("train.segment", "lungs_teacher.yaml", output, *overrides)
    assert "Resuming after epoch 1" in said
    undisturbed = load_file(lungs_run / "checkpoint-2" / "model.safetensors")
    resumed = load_file(output / "checkpoint-2" / "model.safetensors")
    for key, tensor in undisturbed.items():
        assert torch.equal(resumed[key], tensor), key


CUT_OFF = """
import os
import train.engine.loop
from train.segment import main

save = train.engine.loop.save_checkpoint

def save_then_die(accelerator, output, history):
    save(accelerator, output, history)
    os._exit(9)

train.engine.loop.save_checkpoint = save_then_die
main()
"""


def test_two_processes_train_together(data, tmp_path):
    launch("train.segment", "lungs_teacher.yaml", tmp_path / "two", f"data_root={data}", *TINY_LUNGS, processes=2)
    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert metrics["shenzhen"]["lungs"]["dice"]["value"] > 0
    assert len(list((tmp_path / "two").glob("checkpoint-*/random_states_*.pkl"))) == 2  # one of each process


def test_evaluate_scores_a_data_set(findings_run, data, tmp_path, capsys, one_thread):
    command = ["--model", str(findings_run), "--output", str(tmp_path)]  # the run's folder: its model is meant
    evaluate.main([*command, "--dataset", str(data / "shenzhen-tuberculosis"), "--split", "validation"])
    metrics = json.loads((tmp_path / "metrics.json").read_text())["shenzhen-tuberculosis"]
    in_run = json.loads((findings_run / "metrics.json").read_text())["shenzhen"]
    assert dict(numbers(metrics)) == pytest.approx(dict(numbers(in_run)), abs=1e-4)
    table = (tmp_path / "metrics.md").read_text()
    auc = metrics["findings"]["tuberculosis"]["auc"]
    assert f"{auc['value']:.3f} ({auc['interval'][0]:.3f}–{auc['interval'][1]:.3f})" in table
    assert table.strip() in capsys.readouterr().out


@pytest.fixture
def one_thread():
    """As in the runs: the order of sums decides their last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def numbers(tree, path=""):
    """Every number in a nested dict, by where it stands."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict | list):
            yield from numbers(value, f"{path}/{key}")
        elif not isinstance(value, str):
            yield f"{path}/{key}", value


def test_bundle_is_half_the_size_and_says_the_same(findings_run, tmp_path):
    bundle(findings_run, tmp_path / "bundled")
    pixels, _ = draw_phantom(seed=3, size=96)
    before = LungFusionPipeline.from_pretrained(findings_run / "model")(pixels)
    after = LungFusionPipeline.from_pretrained(tmp_path / "bundled")(pixels)
    np.testing.assert_allclose(after.alpha, before.alpha, atol=1e-5)
    for one, other in zip(before.findings, after.findings, strict=True):
        assert other.probability == pytest.approx(one.probability, abs=1e-5)
    assert not list((tmp_path / "bundled").glob("*.py"))
    assert (tmp_path / "bundled" / "curves.png").exists()
    assert {path.name for path in findings_run.rglob("images/*")} == {"worst.png", "segmentation.png"}
    assert not [*(tmp_path / "bundled").rglob("worst.png"), *(tmp_path / "bundled").rglob("segmentation.png")]
    weights = load_file(tmp_path / "bundled" / "model.safetensors")
    assert {t.dtype for t in weights.values() if t.is_floating_point()} == {torch.float16}


def test_missing_data_is_an_error(tmp_path):
    root = f"data_root={tmp_path}"
    said = launch("train.segment", "lungs_teacher.yaml", tmp_path / "run", root, *TINY_LUNGS, expect=1)
    assert "shenzhen-tuberculosis" in said
    shutil.rmtree(tmp_path)
