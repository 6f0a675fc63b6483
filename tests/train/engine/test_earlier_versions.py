"""Runs begin with weights of earlier versions, whose files look otherwise."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lungfusion import LungFusionPipeline
from train.engine.weights import load_classifier, load_segmenter

BEFORE = {"ood_head.": "novelty.", "precision_cholesky": "whitening"}


@pytest.fixture
def earlier(checkpoint, tmp_path):
    """The tiny checkpoint, its files as version 0.2.0 wrote them."""
    config = json.loads((checkpoint / "config.json").read_text())
    findings = config.pop("findings")
    config |= {
        "thresholds": {name: finding["threshold"] for name, finding in findings.items()},
        "temperatures": {"pneumonia": 2.0},
        "shown": ["pneumonia"],
        "lesion_backbone": "test_resnet",
        "coarse_size": 96,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = {"lesions.head.weight": torch.ones(1)}
    for key, tensor in load_file(checkpoint / "model.safetensors").items():
        for new, old in BEFORE.items():
            key = key.replace(new, old)
        weights[key] = tensor
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_a_classifier_of_an_earlier_version_begins_a_run(earlier, checkpoint):
    old, new = load_classifier(earlier), load_classifier(checkpoint)
    assert set(old.state_dict()) == set(new.state_dict())
    assert all(torch.equal(tensor, old.state_dict()[key]) for key, tensor in new.state_dict().items())
    assert old.config.findings["pneumonia"].temperature == 2.0 and old.config.shown == ("pneumonia",)
    assert old.config.findings["tuberculosis"].threshold == 0.99
    segmenter = load_segmenter(earlier)
    assert torch.equal(segmenter.ood_head.mean, new.segmenter.ood_head.mean)


def test_a_segmenter_of_an_earlier_version_does_too(checkpoint, tmp_path):
    segmenter = load_segmenter(checkpoint)
    segmenter.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights = {
        k.replace("ood_head.", "novelty.").replace("precision_cholesky", "whitening"): v for k, v in weights.items()
    }
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert set(load_segmenter(tmp_path).state_dict()) == set(segmenter.state_dict())


def test_the_pipeline_says_why_it_does_not_answer_with_one(earlier):
    with pytest.raises(ValueError, match=r"version 0\.2 and earlier"):
        LungFusionPipeline.from_pretrained(earlier)
