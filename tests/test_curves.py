"""Robustness curves: each change is what its name says, and the command draws them for several models."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.phantom import draw_phantom
from tests.helpers import write_source
from train.data.splits import load_source
from train.scoring.curves import (
    CHANGES,
    auc_and_accuracy,
    compressed,
    contrasted,
    inverted,
    magnified,
    rotated,
    shifted,
)

ROOT = Path(__file__).parent.parent


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
    assert auc_and_accuracy(labels, probabilities, 0.5) == {"auc": 0.75, "accuracy": 0.5}
    assert auc_and_accuracy(np.ones(4), probabilities, 0.5) is None


def test_command_draws_curves(checkpoint, tmp_path):
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "upper_lobe", with_mask=False)
    command = [sys.executable, "-m", "train.scoring.curves", "--models", f"one={checkpoint}", f"two={checkpoint}"]
    command += ["--dataset", tmp_path / "source", "--finding", "tuberculosis", "--output", tmp_path]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    curves = json.loads((tmp_path / "curves_tuberculosis.json").read_text())
    assert list(curves) == ["one", "two"] and curves["one"] == curves["two"]
    points = curves["one"]["tilt, degrees"]
    assert [point["level"] for point in points] == [-45, -30, -20, -10, 0, 10, 20, 30, 45]
    assert {point["images"] for point in points} == {len(load_source(tmp_path / "source", "validation"))}
    table = (tmp_path / "curves_tuberculosis.md").read_text().splitlines()
    assert table[0] == "| change | level | images | one: ROC AUC | two: ROC AUC |"
    upright = points[4]["auc"]
    assert len(table) == 2 + sum(len(levels) for _, levels in CHANGES.values())
    assert table[6].startswith(f"| tilt, degrees | 0 | {points[4]['images']} | {upright['value']:.3f} (")
    assert (tmp_path / "curves_tuberculosis.png").stat().st_size > 10_000
    command[command.index("tuberculosis")] = "gout"
    wrong = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert wrong.returncode == 2 and "gout" in wrong.stderr
