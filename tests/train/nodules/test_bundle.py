import json

import pytest
import torch
from safetensors.torch import save_file

from lungfusion.evidence import Evidence
from lungfusion.models import LungFusionForImageClassification
from lungfusion.models.nodule_detector import NoduleDetector
from tests.support.tiny import tiny_model
from train.nodules.bundle import put_into
from train.scoring.metrics import proportion

CALLED = proportion(2, 40) | {"n": 40}
FIGURES = {
    "learned_from": "made nodules",
    "threshold": 1.0,
    "rule_out_threshold": 0.0,
    "temperature": 0.5,
    "bias": -1.0,
    "images": 60,
    "with_one": 20,
    "auc": {"value": 0.8, "interval": [0.7, 0.9]},
    "found": proportion(10, 20) | {"n": 20},
    "specificity": proportion(36, 40) | {"n": 40},
    "called_otherwise_ill": CALLED,
    "healthy": {"nih": CALLED | {"left_out": False}, "pakistan": CALLED | {"left_out": True}},
    "healthy_scores": {"nih": [-1.0, 2.0], "pakistan": [-3.0, 0.5, 1.5]},
}


def test_a_detector_becomes_part_of_a_checkpoint_with_its_thresholds_and_what_was_measured(tmp_path):
    folder, run = tmp_path / "checkpoint", tmp_path / "both"
    tiny_model(concatenation="align", findings=["cyst", "nodule", "mass"]).save_pretrained(folder)
    run.mkdir()
    torch.manual_seed(1)
    detector = NoduleDetector(64, (4, 8, 8, 8))
    save_file(detector.state_dict(), run / "model.safetensors")
    recipe = {
        "made": 0.6,
        "real": 0.1,
        "bags": None,
        "size": 64,
        "channels": [4, 8, 8, 8],
        "learn_from": ["nih"],
        "out": str(run),
    }
    put_into(folder, recipe, {"both": FIGURES}, "both")
    model = LungFusionForImageClassification.from_pretrained(folder)
    for name, weights in detector.half().float().state_dict().items():  # as it is shipped
        assert torch.equal(model.nodules.state_dict()[name], weights)
    nodule = model.config.findings["nodule"]
    assert nodule == model.config.findings["mass"]
    assert nodule.threshold == pytest.approx(torch.tensor(1.0).sigmoid())
    assert nodule.rule_out_threshold == pytest.approx(torch.tensor(-1.0).sigmoid())
    assert (nodule.shown, nodule.explained, nodule.min_side) == (True, False, 256)
    assert model.config.findings["cyst"].population == ()
    evidence = Evidence.from_pretrained(folder)
    assert list(evidence["mass"].places) == ["nih_held_back", "pakistan"]
    auc = evidence["mass"].places["nih_held_back"].auc_otherwise_ill
    assert (auc.value, auc.n) == (0.8, 60) and "held back" in evidence.places["nih_held_back"]
    assert evidence["mass"].worst_false_alarms()[1].n == 40
    assert "Pakistan" in evidence.places["pakistan"]
    written = json.loads((folder / "nodules.json").read_text())
    assert written["bundled"] == "both"
    assert "healthy_scores" not in written["variants"]["both"]
    assert "0.800 (0.700–0.900)" in (folder / "nodules.md").read_text()
