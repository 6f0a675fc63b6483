"""Shortcuts: what is blacked out, who belongs to which group, and a table from tiny real data."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset

from tests.support.helpers import write_source
from train import evaluate
from train.data.splits import load_source
from train.io import weights_digest
from train.scoring.shortcuts import aucs, border, groups, source_figures, without_lungs

pytestmark = pytest.mark.usefixtures("few_draws")


def test_lungs_and_a_rim_around_them_are_blacked_out():
    alpha = torch.zeros(1, 1, 100, 100)
    alpha[..., 40:60, 20:30] = 0.9
    kept = without_lungs(alpha)[0, 0]
    assert kept[37:63, 17:33].sum() == 0
    assert kept.sum() == 100 * 100 - 26 * 16


def test_border_is_a_tenth_of_each_side():
    kept = border(torch.rand(3, 1, 50, 50))
    assert kept.shape == (1, 1, 50, 50)
    assert kept.sum() == 50 * 50 - 40 * 40 and kept[0, 0, 5, 5] == 0 and kept[0, 0, 4, 25] == 1


def test_groups_by_view_sex_and_age():
    data = Dataset.from_dict({"view": ["PA", "AP", "PA"], "sex": ["F", "M", "M"], "age": [39, 40, 75]})
    found = {name: members.tolist() for name, members in groups(data).items()}
    assert found == {
        "everyone": [True] * 3,
        "view AP": [False, True, False],
        "view PA": [True, False, True],
        "sex F": [True, False, False],
        "sex M": [False, True, True],
        "age 0–39": [True, False, False],
        "age 40–59": [False, True, False],
        "age 60–119": [False, False, True],
    }


def test_a_group_that_is_everyone_or_unknown_is_no_row_of_its_own():
    data = Dataset.from_dict({"view": ["PA", "PA", None], "sex": [None] * 3, "age": [50, 50, 50]})
    found = {name: members.tolist() for name, members in groups(data).items() if any(members)}
    assert found == {"everyone": [True] * 3, "view PA": [True, True, False]}


def test_auc_of_each_version():
    truth, logits = np.array([0, 0, 1, 1]), np.array([[0, 1, 0], [1, 1, 1], [2, 1, 0], [3, 1, 1]])
    assert aucs(truth, logits) == {"as it is": 1, "lungs blacked out": 0.5, "border only": 0.5}
    assert aucs(np.ones(4), logits) is None


def test_sources_are_told_apart_only_where_features_differ():
    rng = np.random.default_rng(0)
    sources = {name: Dataset.from_dict({"patient_id": [str(i) for i in range(60)]}) for name in ("here", "there")}
    same = {name: {"features": rng.normal(size=(60, 4))} for name in sources}
    assert abs(source_figures(sources, same)["balanced_accuracy"]["value"] - 0.5) < 0.15
    apart = {"here": same["here"], "there": {"features": same["there"]["features"] + 5}}
    assert source_figures(sources, apart)["balanced_accuracy"]["value"] == 1


def test_command_writes_a_table(checkpoint, tmp_path):
    for name, sign in (("tuberculosis", "upper_lobe"), ("pneumonia", "consolidation")):
        write_source(tmp_path / name, ["normal", name], sign, with_mask=False)
        path = tmp_path / name / "train-00000-of-00001.parquet"
        data = Dataset.from_parquet(str(path))
        data = data.add_column("view", ["PA", "AP"] * (len(data) // 2))
        data.to_parquet(path)
        data.to_parquet(tmp_path / name / "validation-00000-of-00001.parquet")  # all, so that there are enough
    places = [str(tmp_path / name) for name in ("tuberculosis", "pneumonia")]
    evaluate.main(["--model", str(checkpoint), "--output", str(tmp_path), "--dataset", *places, "--also", "shortcuts"])
    figures = json.loads((tmp_path / "shortcuts.json").read_text())
    assert figures["weights"] == weights_digest(checkpoint)
    images = len(load_source(tmp_path / "tuberculosis", "validation"))
    everyone = [row for row in figures["findings"] if row["group"] == "everyone"]
    assert [(row["source"], row["finding"]) for row in everyone] == [
        ("tuberculosis", "tuberculosis"),
        ("pneumonia", "pneumonia"),
    ]
    assert everyone[0]["images"] == images and everyone[0]["positive"] == images // 2
    assert figures["source"]["sources"] == 2
    table = (tmp_path / "shortcuts.md").read_text()
    assert "0.50 would be chance" in table and "| tuberculosis | tuberculosis | everyone |" in table
