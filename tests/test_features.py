"""Fused features as Parquet, and classical classifiers on them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from examples.phantom import draw_phantom
from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from tests.conftest import tiny_segmenter
from tests.helpers import write_source
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.scoring.classical import CLASSIFIERS, classical_table, compare_classifiers

ROOT = Path(__file__).parent.parent


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def test_features_are_those_of_the_forward(checkpoint):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    images = [draw_phantom(seed=seed, size=96)[0] for seed in range(9)]
    together = pipe.features(images)
    assert together.shape == (9, pipe.model.fusion.num_features) and together.dtype == np.float32
    np.testing.assert_allclose(together[3], pipe.features(images[3]), atol=1e-5)
    expected = pipe.model(pipe.processor(images[3])["pixel_values"]).fused_features
    np.testing.assert_allclose(together[3], expected[0].detach().numpy(), atol=1e-5)
    assert pipe.features([]).shape == (0, pipe.model.fusion.num_features)


def test_a_segmenter_has_no_features():
    processor = LungFusionImageProcessor(size={"height": 64, "width": 64})
    with pytest.raises(ValueError, match="no fused features"):
        LungFusionPipeline(tiny_segmenter(), processor).features(np.eye(64))


def test_features_are_written_and_classified(checkpoint, tmp_path):
    write_source(tmp_path / "tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=False)
    files = {split: tmp_path / "features" / f"{split}.parquet" for split in ("train", "validation")}
    for split, path in files.items():
        where = ("--model", checkpoint, "--dataset", tmp_path / "tuberculosis", "--split", split, "--output", path)
        done = run("train.scoring.features", *where)
        assert done.returncode == 0, done.stderr
    data = Dataset.from_parquet(str(files["train"]))
    assert data.column_names == ["file_name", "patient_id", "label_pneumonia", "label_tuberculosis", "features"]
    assert set(data["label_pneumonia"]) == {None} and set(data["label_tuberculosis"]) == {0, 1}
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    assert np.array(data["features"]).shape == (len(data), pipe.model.fusion.num_features)
    row = load_source(tmp_path / "tuberculosis", "train")[0]
    np.testing.assert_allclose(data["features"][0], pipe.features(image_bytes(row["image"])), atol=1e-5)
    output = ("--output", tmp_path / "classical")
    done = run("train.scoring.classical", "--train", files["train"], "--validation", files["validation"], *output)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "classical" / "classical.json").read_text())
    assert list(figures) == ["tuberculosis"] and set(figures["tuberculosis"]) == set(CLASSIFIERS)
    leaking = run("train.scoring.classical", "--train", files["train"], "--validation", files["train"], *output)
    assert leaking.returncode == 2 and "split them by patient" in leaking.stderr


def features(count, seed, shift):
    """Two features, the first of which tells the label, at another scale than the second."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    table = np.stack([labels + rng.normal(0, 0.1, count), 1000 * rng.normal(size=count)], axis=1).astype(np.float32)
    columns = {"patient_id": [f"{shift}{i}" for i in range(count)], "label_mass": labels.tolist()}
    unknown = {"label_edema": [None] * count, "label_hernia": [0] * count}
    return Dataset.from_dict(columns | unknown | {"features": list(table)})


def test_every_classifier_learns_what_can_be_learned():
    figures = compare_classifiers(features(300, 0, "a"), features(60, 1, "b"))
    assert list(figures) == ["mass"]  # edema is unknown, hernia all alike
    for name, row in figures["mass"].items():
        assert row["images"] == 60
        assert row["auc"]["value"] > 0.9 and row["accuracy"]["value"] > 0.85, name
        low, high = row["auc"]["interval"]
        assert low <= row["auc"]["value"] <= high
    assert len(classical_table(figures)) == 2 + len(CLASSIFIERS)
