"""Robustness curves: each change is what its name says, and the command draws them for several models."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lungfusion import LungFusionImageProcessor
from tests.support.helpers import write_source
from tests.support.tiny import SIDE, draw_phantom, tiny_model
from train import compare, evaluate
from train.data.splits import load_source
from train.io import weights_digest
from train.scoring.curves import (
    CHANGES,
    compressed,
    contrasted,
    figures_at,
    inverted,
    magnified,
    probability_of,
    rotated,
    shifted,
)

pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def pixels():
    return torch.from_numpy(draw_phantom(seed=0, size=100)[0])[None]


@pytest.mark.parametrize(
    "change, level", [(change, level) for change, (_, levels) in CHANGES.items() for level in levels]
)
def test_changes_keep_shape_and_range(change, level, pixels):
    changed = CHANGES[change][0](pixels, level)
    assert changed.shape == pixels.shape and changed.dtype == torch.float32
    assert changed.min() >= 0 and changed.max() <= 1
    neutral = {"tilt, degrees": 0, "shift, share of the side": 0, "magnification": 1, "contrast": 1, "inverted": 0}
    if change in neutral:
        assert torch.allclose(changed, pixels, atol=1e-5) == (level == neutral[change])


def test_each_change_by_hand(pixels):
    dot = torch.zeros(1, 100, 60)
    dot[0, 20, 30] = 1
    assert shifted(dot, 0.1)[0, 30, 36].item() == pytest.approx(1, abs=1e-4)
    square = torch.zeros(1, 100, 60)
    square[0, 40:60, 20:40] = 1  # around the middle
    assert magnified(square, 2).sum().item() == pytest.approx(4 * square.sum().item(), rel=0.1)
    assert rotated(pixels, 90).allclose(torch.rot90(pixels, 1, (1, 2)), atol=0.02)
    assert contrasted(torch.tensor([0.0, 0.25, 0.5, 1.0]), 2).tolist() == [0, 0, 0.5, 1]
    assert torch.equal(inverted(pixels, 1), 1 - pixels)
    small, large = ((compressed(pixels, quality) - pixels).abs().mean() for quality in (95, 5))
    assert 0 < small < large


def test_scores_by_hand():
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    figures = figures_at(labels, probabilities, np.arange(4), 0.5)
    assert figures["auc"]["value"] == 0.75 and figures["accuracy"]["value"] == 0.5
    assert figures_at(np.ones(4), probabilities, np.arange(4), 0.5)["auc"] is None


def test_what_is_not_assessed_is_no_probability_of_0():
    """It says nothing of ranking; a refused image is one in which nothing is detected."""
    answers = [SimpleNamespace(findings=()), Answer(None), Answer(0.3)]
    assert probability_of(answers[0], "mass") == 0 and probability_of(answers[2], "mass") == 0.3
    assert np.isnan(probability_of(answers[1], "mass"))
    labels, probabilities = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9, np.nan])
    figures = figures_at(labels, probabilities, np.arange(5), 0.5)
    assert (figures["images"], figures["auc"]["value"], figures["accuracy"]["images"]) == (4, 0.75, 4)


class Answer:
    findings = ("mass",)

    def __init__(self, probability):
        self.probability = probability

    def __getitem__(self, name):
        return self


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "source"
    write_source(folder, ["normal", "tuberculosis"], "upper_lobe", with_mask=False)
    return folder


def test_models_are_compared_side_by_side(checkpoint, source, tmp_path, capsys):
    models = [f"one={checkpoint}", f"two={checkpoint}"]
    compare.main(["--models", *models, "--dataset", str(source), "--output", str(tmp_path)])
    curves = json.loads((tmp_path / "curves_tuberculosis.json").read_text())
    assert list(curves) == ["one, source", "two, source"] and curves["one, source"] == curves["two, source"]
    points = curves["one, source"]["tilt, degrees"]
    assert [point["level"] for point in points] == [-45, -30, -20, -10, 0, 10, 20, 30, 45]
    images = len(load_source(source, "validation"))
    assert {point["images"] for point in points} == {images}
    table = (tmp_path / "curves_tuberculosis.md").read_text().splitlines()
    assert table[0] == "| change | level | one, source: ROC AUC | two, source: ROC AUC |"
    assert f", n = {images} |" in table[6]
    upright = points[4]["auc"]
    assert len(table) == 2 + sum(len(levels) for _, levels in CHANGES.values())
    assert table[6].startswith(f"| tilt, degrees | 0 | {upright['value']:.3f} (")
    assert "\n".join(table) in capsys.readouterr().out
    assert (tmp_path / "curves_tuberculosis.png").stat().st_size > 10_000
    assert not list(tmp_path.glob("curves_pneumonia*"))  # which the source does not label


def test_models_without_a_finding_in_common_are_not_compared(checkpoint, source, tmp_path):
    other = tiny_model(findings=["gout"])
    other.save_pretrained(tmp_path / "other")
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / "other")
    models = [f"one={checkpoint}", f"two={tmp_path / 'other'}"]
    with pytest.raises(SystemExit, match="No finding that all models tell of"):
        compare.main(["--models", *models, "--dataset", str(source), "--output", str(tmp_path)])


def test_the_curves_of_one_model_say_of_which_weights_they_are(checkpoint, source, tmp_path):
    command = ["--model", str(checkpoint), "--dataset", str(source), "--output", str(tmp_path)]
    evaluate.main([*command, "--also", "curves", "--images", "4"])
    curves = json.loads((tmp_path / "curves_tuberculosis.json").read_text())
    assert curves.pop("weights") == weights_digest(checkpoint)
    assert list(curves) == [f"{checkpoint.name}, source"]
    assert {point["images"] for points in curves.popitem()[1].values() for point in points} == {4}
