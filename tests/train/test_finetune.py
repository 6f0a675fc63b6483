"""From a CSV to a model on the Hub: prepare, finetune, push, load."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from datasets import Dataset
from PIL import Image

from lungfusion import LungFusionPipeline
from lungfusion.models import LungFusionImageProcessor
from tests.support.helpers import ROOT
from tests.support.launching import train_here
from tests.support.tiny import draw_phantom, tiny_model
from train import classify, finetune, prepare, push
from train.data.labels import known_labels
from train.data.splits import patient_fold, stratified_parts
from train.engine.head import learns_head_alone
from train.engine.recipe import load_recipe
from train.finetune import left_out_words, own_source, summary, write_recipe
from train.scoring.comparison import compare_with_before

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
    options += ["--data-licence", "CC BY 4.0"]
    finetune.main(["--data", str(prepared), "--output", str(run), *options])
    said = capfd.readouterr().out
    assert "1 learned, 1 shown: opacity." in said
    parts = json.loads((run / "parts.json").read_text())
    sizes = [list(parts.values()).count(part) for part in ("train", "validation", "test")]
    assert sizes == [14, 5, 5] and "Images: 14 to learn from, 5 to calibrate, 5 that choose nothing." in said
    card = (run / "README.md").read_text()
    assert "[test.md](test.md)" in card and "not known to it" in (run / "test.md").read_text()
    assert json.loads((run / "test.json").read_text())["opacity"]["images"] == 5
    assert "Licence: CC BY 4.0." in card
    push.main([str(run), "--repo-id", "owner/own"])
    files = online.repos["owner/own"].find("main")[1]
    config = json.loads(files["config.json"])
    assert config["findings"].keys() == {"opacity"} and config["findings"]["opacity"]["shown"]
    assert 'LungFusionPipeline.from_pretrained("owner/own")' in files["README.md"].decode()
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe["sources"]["data"]["findings"] == ["opacity"]
    analysis = LungFusionPipeline.from_pretrained(run / "model")(draw_phantom(seed=1, size=96)[0])
    assert [finding.name for finding in analysis.findings] == ["opacity"]
    before, after = (LungFusionPipeline.from_pretrained(place).model for place in (trained, run / "model"))
    kept, new = before.segmenter.state_dict(), after.segmenter.state_dict()
    rounded = {key: x.half().float() if x.is_floating_point() else x for key, x in kept.items()}
    assert [key for key in rounded if not np.array_equal(rounded[key], new[key])] == []  # the same U-Net


def test_the_classifier_alone_learns_unless_all_weights_are_asked_for(prepared, trained, tmp_path, capsys):
    """As many images an epoch as there are, within reason; small batches of few."""
    recipes = []
    for full in (False, True):
        source = {"dataset": prepared.name, "findings": ["opacity"]}
        path = write_recipe(prepared, source, ["opacity"], str(trained), tmp_path / f"run{full}", full)
        recipes.append(load_recipe(path))
    alone, full = recipes
    assert (alone["epoch_size"], alone["batch_size"]) == (64, 4)
    assert alone["frozen"] == -1 and full["frozen"] == 0 and full["augmentation"]["preset"] == "mixed"
    assert learns_head_alone(alone | {"model": alone["model"] | {"fusion": "concat"}})
    assert not learns_head_alone(alone | {"augmentation": full["augmentation"]})  # then pictures are altered
    assert "The classifier alone learns; --full: all weights do." in capsys.readouterr().out


def test_a_fault_of_the_data_is_said_before_training(prepared, trained, tmp_path):
    source = {"dataset": prepared.name, "findings": ["opacityy"]}
    path = write_recipe(prepared, source, ["opacityy"], str(trained), tmp_path / "run")
    with pytest.raises(SystemExit, match="opacityy: no source says anything of it in the training patients"):
        train_here(classify, path, tmp_path / "run", *QUICK)
    assert not (tmp_path / "run" / "history.json").exists()


def test_where_training_fails_so_does_the_command(prepared, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(returncode=3))
    with pytest.raises(SystemExit) as ended:
        finetune.main(
            ["--data", str(prepared), "--findings", "opacity", "--model", str(trained), "--output", str(tmp_path)]
        )
    assert ended.value.code == 3


def test_what_was_learned_and_what_is_shown_is_said(tmp_path):
    recipe = {"model": {"findings": ["a", "b"]}}
    hidden, told = {"shown": False}, {"shown": True}
    figure, change = {"value": 0.9, "interval": [0.8, 0.95]}, {"value": 0.1, "interval": [-0.1, 0.2]}
    figures = {"a": {"images": 20, "auc": figure, "difference": change}, "b": {"images": 20, "auc": None}}
    none = summary({"findings": {"a": hidden, "b": hidden}}, recipe, figures, tmp_path)
    assert none.startswith("2 learned, none shown: on patients not trained on none proved to work.")
    assert "The same command with --set shown=all shows them" in none
    assert "a: ROC AUC 0.900 (0.800–0.950) on 20 images that chose nothing; 0.100 (-0.100–0.200) more" in none
    assert "b: not measured, all of the 20 images that chose nothing are alike." in none
    one = summary({"findings": {"a": hidden, "b": told}}, recipe, {}, tmp_path)
    assert one.startswith("2 learned, 1 shown: b.\n")


def test_a_segmenter_alone_can_not_be_finetuned(phantom_segmenter, tmp_path):
    phantom_segmenter.save_pretrained(tmp_path / "lungs")
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path / "lungs")
    with pytest.raises(ValueError, match="is a segmenter alone"):
        write_recipe(tmp_path, {}, ["a"], str(tmp_path / "lungs"), tmp_path / "run")


def test_patients_are_dealt_out_by_what_they_have():
    """Three, one and one of five, of those with each finding as of all; who has several images stands on one side."""
    labels = np.zeros((100, 2))
    labels[:10, 0], labels[5:25, 1] = 1, 1
    labels[90:] = np.nan
    patients = [f"p{row // 2}" for row in range(100)]
    part_of = stratified_parts(patients, labels)
    assert list(part_of.values()).count("train") == 30 and len(part_of) == 50
    for column, ill in ((0, 5), (1, 10)):
        with_it = {name for name, row in zip(patients, labels, strict=True) if row[column] == 1}
        counts = [sum(part_of[name] == part for name in with_it) for part in ("train", "validation", "test")]
        assert counts == pytest.approx([0.6 * len(with_it), 0.2 * len(with_it), 0.2 * len(with_it)], abs=1.5), ill


def test_labels_of_other_names_are_told_what_they_mean(tmp_path):
    said = SimpleNamespace(data=str(tmp_path), findings=["pneumonia"], labels=["Lung Opacity=pneumonia", "0=normal"])
    source = own_source(tmp_path, SimpleNamespace(**vars(said), data_licence="CC0"))
    assert source["labels"] == {"Lung Opacity": {"present": ["pneumonia"]}, "0": {"absent": "all"}}
    data = Dataset.from_dict({"label": ["lung opacity", "0"]})
    assert known_labels(data, ["pneumonia"], source)[:, 0].tolist() == [1, 0]
    with pytest.raises(ValueError, match="write LABEL=FINDING"):
        own_source(tmp_path, SimpleNamespace(**(vars(said) | {"labels": ["pneumonia"]}), data_licence="CC0"))


def test_the_model_it_began_with_stands_beside_the_new_one():
    labels = np.repeat([0, 1], 30)
    rng = np.random.default_rng(0)

    def rows(noise, **more):
        return [
            {"source": "own", "patient_id": str(i), "label_mass": int(y), "probability_mass": y + noise * rng.normal()}
            | more
            for i, y in enumerate(labels)
        ]

    better, worse = rows(0.3), rows(2.0)
    figures = compare_with_before(better, worse, ["mass"])["mass"]
    assert figures["images"] == 60 and figures["difference"]["interval"][0] > 0
    assert figures["difference"]["value"] == pytest.approx(figures["auc"]["value"] - figures["before"]["value"])
    unknown = [{key: value for key, value in row.items() if key != "probability_mass"} for row in worse]
    assert "before" not in compare_with_before(better, unknown, ["mass"])["mass"]
    assert compare_with_before(better[:30], worse[:30], ["mass"])["mass"]["auc"] is None


def test_no_image_is_left_out_without_a_word():
    rows = [{"refused": 0, "label_mass": 0}, {"refused": 1}, {"refused": 0}, {"error": "broken"}]
    said = left_out_words(5, rows)
    assert said == (
        "1 of 5 images count; not 1 copies of others, 1 that can't be read, 1 that get no answer, 1 without a label."
    )
    assert left_out_words(1, rows[:1]) == "1 of 1 images count."
