"""The Hub's own idiom for a new head: labels have one source, and what is said of old findings does not survive."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForImageClassification

from lungfusion import LungFusionConfig, LungFusionForImageClassification, LungFusionPipeline
from tests.support.tiny import tiny_model

NAMES = ["mass", "nodule", "effusion"]
ID2LABEL = dict(enumerate(NAMES))
LABEL2ID = {name: number for number, name in ID2LABEL.items()}
SAID = {
    "thresholds": {"pneumonia": 0.9, "tuberculosis": 0.1},
    "operating_points": {"pneumonia": {"sensitivity": 0.9}},
    "sources": {"pneumonia": "phantoms"},
    "shown": ["pneumonia"],
}


@pytest.fixture
def folder(tmp_path):
    tiny_model(**SAID).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize(
    "labels",
    [
        {"num_labels": 3, "id2label": ID2LABEL, "label2id": LABEL2ID},
        {"id2label": {str(number): name for number, name in ID2LABEL.items()}},
        {"label2id": LABEL2ID},
        {"findings": NAMES},
    ],
    ids=["all", "id2label", "label2id", "findings"],
)
@pytest.mark.parametrize("auto", [AutoModelForImageClassification, LungFusionForImageClassification])
def test_a_new_head_has_the_new_labels_and_keeps_them(folder, labels, auto, tmp_path, pixel_values):
    model = auto.from_pretrained(folder, ignore_mismatched_sizes=True, **labels)
    assert model.num_labels == model.config.num_labels == 3
    assert model(pixel_values, labels=torch.ones(2, 3)).logits.shape == (2, 3)
    assert torch.equal(model.classifier[1].weight, tiny_model().classifier[1].weight)  # as it was
    assert not any(parameter.requires_grad for parameter in model.segmenter.parameters())
    model.save_pretrained(tmp_path / "again")
    config = LungFusionConfig.from_pretrained(tmp_path / "again")
    assert config.findings == config.shown == NAMES
    assert (config.id2label, config.label2id) == (ID2LABEL, LABEL2ID)
    assert config.thresholds == dict.fromkeys(NAMES, 0.5)
    assert config.operating_points == config.sources == {}


def test_the_same_labels_keep_what_was_said(folder):
    config = LungFusionConfig.from_pretrained(folder, id2label={0: "pneumonia", 1: "tuberculosis"})
    assert {key: getattr(config, key) for key in SAID} == SAID


def test_a_number_alone_gives_names_as_elsewhere(folder):
    assert LungFusionConfig.from_pretrained(folder, num_labels=1).findings == ["LABEL_0"]
    assert LungFusionConfig(num_labels=2).findings == ["LABEL_0", "LABEL_1"]


@pytest.mark.parametrize(
    "labels",
    [
        {"num_labels": 2, "id2label": ID2LABEL},
        {"findings": ["mass"], "id2label": ID2LABEL},
        {"id2label": ID2LABEL, "label2id": {"mass": 1, "nodule": 0, "effusion": 2}},
        {"id2label": {0: "mass", 2: "nodule"}},
        {"id2label": {0: "mass", 1: "mass"}},
        {"id2label": {}},
    ],
    ids=str,
)
def test_labels_that_contradict_each_other_are_refused_at_once(folder, labels):
    with pytest.raises(ValueError, match="findings"):
        LungFusionConfig(**labels)
    with pytest.raises(ValueError, match="findings"):
        AutoModelForImageClassification.from_pretrained(folder, ignore_mismatched_sizes=True, **labels)


def test_labels_changed_without_the_head_are_not_saved(tmp_path):
    model = tiny_model()
    model.config.id2label = ID2LABEL
    with pytest.raises(ValueError, match="names 3 findings, the classifier has 2"):
        model.save_pretrained(tmp_path)
    model.config.id2label = {0: "mass", 1: "nodule"}
    with pytest.raises(ValueError, match="label2id"):
        model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="label2id"):
        LungFusionForImageClassification(model.config)


def test_a_configuration_of_version_0_1_0_is_read(checkpoint, tmp_path):
    """It named the findings beside id2label, and the segmenter's only label was lung."""
    folder = tmp_path / "old"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    assert "findings" not in config
    config["findings"] = ["pneumonia", "tuberculosis"]
    config["segmenter"] |= {"id2label": {"0": "lung"}, "label2id": {"lung": 0}}
    for name in ("rule_out_thresholds", "populations", "max_ood_scores", "min_sides", "hospitals"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config))
    pipe, new = (LungFusionPipeline.from_pretrained(place) for place in (folder, checkpoint))
    assert pipe.findings == ("pneumonia", "tuberculosis")
    assert pipe.model.config.to_dict() | {"_name_or_path": ""} == new.model.config.to_dict() | {"_name_or_path": ""}
    assert "segmenter.novelty.mean" in pipe.model.state_dict()
