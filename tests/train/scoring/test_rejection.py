"""The gate, scored: ood_images are drawn as named, and shares come with Wilson's interval."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lungfusion.checks.input_checks import INVERTED, LUNGS_NOT_FOUND, NOT_A_CHEST_RADIOGRAPH
from tests.support.helpers import write_source
from train import evaluate
from train.augment.ood_images import DRAWINGS, not_one_frontal_chest, ood_images
from train.io import weights_digest
from train.scoring.rejection import VERSIONS, summarise_answers

pytestmark = pytest.mark.usefixtures("few_draws")


def test_strangers_are_pictures_and_differ():
    kinds = ood_images()
    assert set(kinds) >= {"photographs", "photographs without colour", *(kind.__name__ for kind in DRAWINGS)}
    for kind, pictures in kinds.items():
        assert len(pictures) >= 8, kind
        for picture in pictures:
            assert picture.dtype == np.uint8 and min(picture.shape[:2]) >= 64, kind
            assert picture.min() < picture.max(), kind
        assert len({picture.tobytes() for picture in pictures}) == len(pictures), kind


def test_versions_of_a_radiograph():
    pixels = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    turned = {name: version(pixels, np.random.default_rng(0)) for name, version in VERSIONS.items()}
    assert turned["as they are"] is pixels
    np.testing.assert_array_equal(turned["inverted"], 1 - pixels)
    assert turned["turned by 90°"].shape == (60, 40)
    assert turned["turned by 40°"].shape == (40, 60) and turned["turned by 40°"][0, 0] == 0
    assert turned["photographed"].shape == (52, 78, 3)
    assert turned["twice in one picture"].size == turned["beside a caption"].size == 2 * pixels.size


def test_views_of_the_phantom_are_as_many_as_persons(monkeypatch):
    monkeypatch.setattr("train.augment.ood_images.PERSONS", 2)
    monkeypatch.setattr("train.augment.ood_images.SIDE", 96)
    kinds = not_one_frontal_chest()
    assert kinds["phantoms from the side"][0].shape == (96, 96)
    assert kinds["two phantoms side by side"][1].shape == (96, 192)
    for kind, pictures in kinds.items():
        assert len({picture.tobytes() for picture in pictures}) == 2, kind


def test_shares_by_hand():
    answers = [SimpleNamespace(warnings=w) for w in [(LUNGS_NOT_FOUND,), (NOT_A_CHEST_RADIOGRAPH,), (INVERTED,), ()]]
    figures = summarise_answers(answers)
    assert figures["images"] == 4
    assert figures["no answer"]["value"] == 0.5 and figures["inverted"]["value"] == 0.25
    all_of_four = summarise_answers(answers[:1] * 4)["no answer"]
    assert all_of_four["value"] == 1
    assert all_of_four["interval"] == [pytest.approx(4 / (4 + 1.96**2), abs=1e-3), 1]  # Wilson's, in closed form


def test_command_writes_a_table(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("train.augment.ood_images.PERSONS", 2)
    monkeypatch.setattr("train.augment.ood_images.SIDE", 96)
    monkeypatch.setattr("train.augment.ood_images.DRAWN", 1)
    monkeypatch.setattr("train.augment.ood_images.PHOTOGRAPHS", ["camera"])
    write_source(tmp_path / "source", ["normal", "tuberculosis"], "upper_lobe", with_mask=False)
    (tmp_path / "holiday").mkdir()
    Image.fromarray(ood_images()["photographs"][0]).save(tmp_path / "holiday" / "1.jpg")
    command = ["--model", checkpoint, "--dataset", tmp_path / "source", "--output", tmp_path]
    evaluate.main([*map(str, command), "--also", "rejection", "--images", "3", "--pictures", str(tmp_path / "holiday")])
    figures = json.loads((tmp_path / "rejection.json").read_text())
    assert figures.pop("weights") == weights_digest(checkpoint)
    assert figures["source, inverted"]["images"] == 3
    assert {f"source, {version}" for version in VERSIONS} < set(figures)
    assert figures["holiday"]["images"] == 1
    assert len((tmp_path / "rejection.md").read_text().splitlines()) == 2 + len(figures)
