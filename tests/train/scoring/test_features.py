"""Fused features as Parquet, and classical classifiers on them."""

import json

import numpy as np
import pytest
from datasets import Dataset

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from tests.support.helpers import write_source
from tests.support.tiny import draw_phantom, tiny_segmenter
from train import evaluate
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.io import weights_digest
from train.scoring.classical import CLASSIFIERS, classical_table, compare_classifiers

pytestmark = pytest.mark.usefixtures("few_draws")


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
    source = str(tmp_path / "tuberculosis")
    command = ["--model", str(checkpoint), "--dataset", source, "--output", str(tmp_path / "scores")]
    evaluate.main([*command, "--also", "features", "classical"])
    data = Dataset.from_parquet(str(tmp_path / "scores" / "features.parquet"))
    labels = ["label_pneumonia", "label_tuberculosis"]
    assert data.column_names == ["source", "hospital", "file_name", "patient_id", "features", *labels]
    assert set(data["label_pneumonia"]) == {None} and set(data["label_tuberculosis"]) == {0, 1}
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    assert np.array(data["features"]).shape == (len(data), pipe.model.fusion.num_features)
    row = load_source(source, "validation")[0]
    assert data[0]["source"] == "tuberculosis" and data[0]["file_name"] == row["file_name"]
    np.testing.assert_allclose(data["features"][0], pipe.features(image_bytes(row["image"])), atol=1e-5)
    figures = json.loads((tmp_path / "scores" / "classical.json").read_text())
    assert figures.pop("weights") == weights_digest(checkpoint)
    assert list(figures) == ["tuberculosis"] and set(figures["tuberculosis"]) == set(CLASSIFIERS)
    assert figures["tuberculosis"]["AdaBoost"]["images"] == len(data)


def features(count, seed, shift):
    """Two features, the first of which tells the label, at another scale than the second."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    table = np.stack([labels + rng.normal(0, 0.1, count), 1000 * rng.normal(size=count)], axis=1).astype(np.float32)
    columns = {
        "source": ["elm"] * count,
        "hospital": ["elm"] * count,
        "patient_id": [f"{shift}{i}" for i in range(count)],
        "label_mass": labels.tolist(),
    }
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


def test_nobody_is_both_fitted_and_scored_on():
    with pytest.raises(ValueError, match="split them by patient"):
        compare_classifiers(features(20, 0, "a"), features(20, 1, "a"))
