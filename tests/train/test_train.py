"""Training for real, tiny: both mains, resume after a cut-off, two processes, evaluation, card and bundle."""

import copy
import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lungfusion import LungFusionPipeline
from tests.support.helpers import PATIENTS, TINY_FINDINGS, TINY_LUNGS
from tests.support.launching import RECIPES, launch, share, train_here
from tests.support.tiny import draw_phantom, find_lungs_everywhere, tiny_segmenter
from tests.support.trained import FEW_DRAWS
from train import classify, evaluate, segment
from train.bundle import bundle
from train.engine import loop
from train.engine.loop import round_weights
from train.io import read_rows
from train.report.card import base_models
from train.scoring.classical import CLASSIFIERS

pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def segmenter(phantom_segmenter, tmp_path_factory):
    """Folder of a segmenter good enough for its masks not to be refused."""
    folder = tmp_path_factory.mktemp("segmenter")
    round_weights(copy.deepcopy(phantom_segmenter)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def findings_run(training_data, segmenter, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "findings"
    overrides = [f"data_root={training_data}", f"segmenter={segmenter}", *TINY_FINDINGS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*FEW_DRAWS)
        train_here(classify, "findings.yaml", output, *overrides)
    return output


def test_segmentation_run_learns_and_loads(lungs_run, training_data):
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
    assert list(config.findings) == ["pneumonia", "tuberculosis", "effusion"]
    assert set(pipeline.findings) == set(config.shown) <= set(config.findings)
    evidence = pipeline.evidence
    assert evidence["pneumonia"].sources == ("Kermany pneumonia set, children of 1 to 5 years, Guangzhou",)
    assert evidence["tuberculosis"].sources[0].startswith("Shenzhen")
    assert all(set(evidence[name].home) == {"sensitivity", "specificity"} for name in config.findings)


def test_card_repeats_the_metrics_and_nothing_else(findings_run):
    card = (findings_run / "README.md").read_text()
    metrics = json.loads((findings_run / "metrics.json").read_text())
    auc = metrics["kermany"]["findings"]["pneumonia"]["auc"]
    told = f"{auc['value']:.3f} ({auc['interval'][0]:.3f}–{auc['interval'][1]:.3f})"
    assert told in (findings_run / "metrics.md").read_text() and "[metrics.md](metrics.md)" in card
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0" and front["language"] == "en"
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "image-classification"
    assert front["datasets"] == ["hf-vision/chest-xray-pneumonia"]  # of those on the Hub
    assert "base_model" not in front  # began with no one's weights
    assert "roc_auc" in front["metrics"]
    metrics_told = [metric for result in front["model-index"][0]["results"] for metric in result["metrics"]]
    assert ("ROC AUC, pneumonia", round(auc["value"], 4)) in [(one["name"], one["value"]) for one in metrics_told]
    assert 'pipeline("image-classification", "FOLDER_OR_ID", trust_remote_code=True)' in card
    assert "## Intended use" in card
    assert str(findings_run) not in card + (findings_run / "recipe.json").read_text()


def test_the_card_names_the_weights_training_began_with():
    recipe = {
        "pretrained": "hub",
        "model": {"branches": ["tf_efficientnet_lite0", "mobilenetv2_100", "tf_efficientnet_lite0"]},
    }
    assert base_models(recipe) == ["timm/tf_efficientnet_lite0.in1k", "timm/mobilenetv2_100.ra_in1k"]
    assert base_models({"pretrained": "hub", "model": {"encoder": "tu-resnet18"}}) == ["timm/resnet18.a1_in1k"]
    assert base_models({"pretrained": "hub", "model": {"encoder": "plain"}}) is None
    assert base_models(recipe | {"init_from": "owner/name"}) == ["owner/name"]
    assert base_models(recipe | {"init_from": "lungfusion/checkpoints/default"}) == base_models(recipe)


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


def assert_same_weights(run, other):
    undisturbed, resumed = (load_file(folder / "checkpoint-2" / "model.safetensors") for folder in (run, other))
    for key, tensor in undisturbed.items():
        assert torch.equal(resumed[key], tensor), key


def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(lungs_run, training_data, tmp_path):
    """Killed within an epoch, by a signal that no process hears."""
    command = ["--recipe", RECIPES / "lungs_teacher.yaml", "--output", tmp_path / "killed"]
    command += [f"data_root={training_data}", *TINY_LUNGS]
    killed_and_resumed(command, tmp_path, processes=1)
    assert_same_weights(lungs_run, tmp_path / "killed")


def test_two_processes_train_together_and_go_on_as_if_undisturbed(training_data, tmp_path):
    overrides = [f"data_root={training_data}", *TINY_LUNGS]
    launch("train.segment", "lungs_teacher.yaml", tmp_path / "two", *overrides, processes=2)
    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert metrics["shenzhen"]["lungs"]["dice"]["value"] > 0
    assert len(list((tmp_path / "two").glob("checkpoint-*/random_states_*.pkl"))) == 2  # one of each process
    command = ["--recipe", RECIPES / "lungs_teacher.yaml", "--output", tmp_path / "killed", *overrides]
    killed_and_resumed(command, tmp_path, processes=2)
    assert_same_weights(tmp_path / "two", tmp_path / "killed")


def killed_and_resumed(command, folder, processes):
    """A run of `train.segment` that is killed as soon as it has saved within its first epoch, and begun again."""
    share(
        segment_saving_always,
        command,
        folder / "logs",
        processes,
        kill_when=lambda: list((folder / "killed").glob("checkpoint-0-*")),
    )
    assert not (folder / "killed" / "checkpoint-2").exists()
    said = share(segment.main, command, folder / "logs", processes)
    assert re.search(r"Resuming after epoch (0 and [1-9]\d* steps|1)", said), said


def segment_saving_always(arguments):
    """`train.segment`, that saves after every step."""
    loop.SAVE_EVERY = 0
    segment.main(arguments)


def test_evaluate_scores_a_data_set(findings_run, training_data, tmp_path, capsys, one_thread):
    command = ["--model", str(findings_run), "--output", str(tmp_path)]  # the run's folder: its model is meant
    evaluate.main([*command, "--dataset", str(training_data / "shenzhen-tuberculosis"), "--split", "validation"])
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
    with pytest.raises(SystemExit, match="shenzhen-tuberculosis"):
        train_here(segment, "lungs_teacher.yaml", tmp_path / "run", f"data_root={tmp_path}", *TINY_LUNGS)


def test_a_run_without_hospitals_scores_them_upright_tilted_and_by_classical_classifiers(
    training_data, segmenter, tmp_path
):
    overrides = [f"data_root={training_data}", f"segmenter={segmenter}", *TINY_FINDINGS, "epochs=1", "rivals={}"]
    overrides += ["epoch_size=64", "left_out=[shenzhen, guangzhou]", "tilts=[0, 20]", "classical=true", "lungs=poor"]
    train_here(classify, "findings.yaml", tmp_path, *overrides)
    rows = read_rows(tmp_path / "left_out.csv")
    assert {row["hospital"] for row in rows if row["home"] == "no"} == {"shenzhen", "guangzhou"}
    assert {row["hospital"] for row in rows if row["home"] == "yes"} == {"nih"}
    tilted = read_rows(tmp_path / "tilted.csv")
    assert {row["tilt"] for row in tilted} == {0, 20} and {row["home"] for row in tilted} == {"no"}
    upright, turned = ([row["logit_effusion"] for row in tilted if row["tilt"] == tilt] for tilt in (0, 20))
    assert len(upright) == len(turned) and upright != turned
    for name in CLASSIFIERS:
        others = read_rows(tmp_path / f"left_out.{name}.csv")
        assert [row["file_name"] for row in others] == [row["file_name"] for row in rows]
        assert [row.get("logit_effusion") for row in others] != [row["logit_effusion"] for row in rows]
        assert all("logit_tuberculosis" not in row for row in others)  # nobody left is known to have it
