"""The quality of a mask: what the network expects of it, how that is calibrated, and what the pipeline warns of."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lungfusion import LungFusionPipeline
from lungfusion.models.mask_postprocessing import calibrated_quality, expected_dice
from tests.support.tiny import draw_phantom
from train import evaluate
from train.augment.corruptions import MILD_CORRUPTIONS, SEVERE_CORRUPTIONS
from train.calibrate.mask_quality import fit_quality, quality_table, summarise_quality
from train.io import weights_digest


def test_expected_dice_by_hand():
    alpha = np.array([[0.9, 0.8], [0.2, 0.1]], np.float32)
    assert expected_dice(alpha) == pytest.approx(2 * 1.7 / (2.0 + 2))
    assert expected_dice(np.zeros((4, 4), np.float32)) == 0
    assert expected_dice(np.eye(4, dtype=np.float32)) == 1


def test_expected_dice_is_the_mean_over_truths_drawn_from_alpha():
    rng = np.random.default_rng(0)
    _, mask = draw_phantom(seed=0, size=64)
    alpha = np.where(mask, 0.85, 0.05).astype(np.float32)
    drawn = alpha > 0.5
    truths = rng.random((300, 64, 64)) < alpha
    dice = 2 * (truths & drawn).sum((1, 2)) / (truths.sum((1, 2)) + drawn.sum())
    assert expected_dice(alpha) == pytest.approx(dice.mean(), abs=0.005)


def test_calibration_finds_the_numbers_it_was_made_with():
    expected = np.random.default_rng(0).uniform(0.5, 0.999, 400)
    dice = [calibrated_quality(value, 1.3, -0.7) for value in expected]
    assert fit_quality(expected, dice) == (pytest.approx(1.3, abs=1e-4), pytest.approx(-0.7, abs=1e-4))
    assert calibrated_quality(0.8, 1, 0) == pytest.approx(0.8)
    assert (calibrated_quality(0, 2, 1), calibrated_quality(1, 2, 1)) == (0, 1)


def test_figures_by_hand():
    dice, quality = [0.95, 0.97, 0.6, 0.8, 0.96, 0.5], [0.94, 0.96, 0.7, 0.92, 0.93, 0.4]
    rows = [
        {"patient_id": str(i % 3), "corruption": "clean" if i < 2 else "turned", "dice": d, "mask_quality": q}
        for i, (d, q) in enumerate(zip(dice, quality, strict=True))
    ]
    summary = summarise_quality(rows)
    assert (summary["all"]["masks"], summary["all"]["bad"], summary["clean"]["masks"]) == (6, 3, 2)
    assert summary["all"]["auc"]["value"] == 1
    squares = [1, 0, 0, 0, 1, 0]  # ranks of dice: 4 6 2 3 5 1, of quality: 5 6 2 3 4 1
    assert summary["all"]["spearman"]["value"] == pytest.approx(1 - 6 * sum(squares) / (6 * 35))
    assert summary["all"]["error"]["value"] == pytest.approx((0.01 + 0.01 + 0.1 + 0.12 + 0.03 + 0.1) / 6)
    assert summary["all"]["warned"]["value"] == pytest.approx(2 / 6)
    assert "auc" not in summary["clean"]
    assert "| clean | 2 | 0 |" in quality_table(summary)[-1] and "none to tell apart" in quality_table(summary)[-1]


def test_a_run_ends_with_a_calibrated_quality(lungs_run):
    config = LungFusionPipeline.from_pretrained(lungs_run / "model").model.config
    assert (config.quality_slope, config.quality_offset) != (1, 0)
    summary = json.loads((lungs_run / "mask_quality.json").read_text())
    images = json.loads((lungs_run / "metrics.json").read_text())["shenzhen"]["images"]
    assert summary["clean"]["masks"] == images
    assert summary["all"]["masks"] == images * (1 + len(MILD_CORRUPTIONS) + len(SEVERE_CORRUPTIONS))
    robustness = json.loads((lungs_run / "robustness.json").read_text())
    assert set(robustness) == {"weights", "clean", "corrupted", *MILD_CORRUPTIONS}
    assert robustness["weights"] == summary["weights"] == weights_digest(lungs_run / "model")
    card = (lungs_run / "README.md").read_text()
    for name in ("mask_quality.md", "robustness.md"):
        assert f"[{name}]({name})" in card and (lungs_run / name).is_file()


def test_calibrating_again_changes_nothing(lungs_run, tmp_path, few_draws):
    again = tmp_path / "run"
    shutil.copytree(lungs_run, again)
    evaluate.main(["--run", str(again), "--recalibrate"])
    before, after = (LungFusionPipeline.from_pretrained(folder / "model").model.config for folder in (lungs_run, again))
    assert after.quality_slope == pytest.approx(before.quality_slope, rel=1e-4)
    assert after.quality_offset == pytest.approx(before.quality_offset, rel=1e-4)
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (lungs_run, again))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_tables_of_other_weights_stay_out_of_the_card(lungs_run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(lungs_run, copy)
    stale = json.loads((copy / "mask_quality.json").read_text()) | {"weights": "0" * 64}
    (copy / "mask_quality.json").write_text(json.dumps(stale))
    evaluate.main(["--run", str(copy), "--card"])
    card = (copy / "README.md").read_text()
    assert "[robustness.md]" in card and "mask_quality.md" not in card
    assert "mask_quality.md is of other weights" in capsys.readouterr().out
