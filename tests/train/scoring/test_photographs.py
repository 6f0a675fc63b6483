"""Photographs of films and screens, made and scored: shares by hand, and the command's table."""

import json

import numpy as np
import pytest

from lungfusion import load_radiograph
from lungfusion.analysis import Finding
from lungfusion.checks.framing import find_frame
from tests.support.helpers import write_source
from tests.support.tiny import draw_phantom
from train import evaluate
from train.augment.photographs import photograph
from train.scoring.photographs import summarise_pairs

pytestmark = pytest.mark.usefixtures("few_draws")


def told(**probabilities):
    return {name: Finding(name, probability, 0.5) for name, probability in probabilities.items()}


def test_the_film_is_found_in_every_photograph():
    pixels = draw_phantom(seed=1, size=320)[0]
    for seed in range(20):
        picture, corners = photograph(pixels, np.random.default_rng(seed))
        frame = find_frame(load_radiograph(picture).pixels)
        assert not frame.is_box, f"photograph {seed} is taken for a page"
        assert np.abs(frame.corners - corners).max() < 0.004, f"photograph {seed}"


def test_shares_by_hand():
    flat = told(a=0.4, b=0.8)
    pairs = [
        (flat, told(a=0.42, b=0.84), True),
        (flat, told(a=0.55, b=0.8), True),
        (flat, {}, False),
        (flat, told(b=0.6), False),
    ]
    figures = summarise_pairs(pairs)
    assert figures["images"] == 4
    shares = {name: figures[name]["value"] for name in ("found", "answered", "all_within", "within", "level_kept")}
    assert shares == {"found": 0.5, "answered": 0.75, "all_within": 0.25, "within": 3 / 8, "level_kept": 4 / 8}
    assert figures["change"] == pytest.approx(0.175)


def test_command_writes_a_table(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("train.scoring.photographs.PHANTOMS", 2)
    monkeypatch.setattr("train.scoring.photographs.SIDE", 96)
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "upper_lobe", with_mask=False)
    command = ["--model", checkpoint, "--dataset", tmp_path / "source", "--output", tmp_path]
    evaluate.main([*map(str, command), "--also", "photographs", "--images", "3"])
    figures = json.loads((tmp_path / "photographs.json").read_text())
    assert figures["phantoms"]["images"] == 2 and figures["source"]["images"] == 3
    assert len((tmp_path / "photographs.md").read_text().splitlines()) == 4
