"""The Hub's own idiom for a new head: labels have one source, and what is said of old findings does not survive."""

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification, pipeline

from lungfusion import FindingConfig, LungFusionConfig, LungFusionForImageClassification, LungFusionImageProcessor
from tests.support.tiny import SIDE, tiny_model

NAMES = ["mass", "nodule", "effusion"]
ID2LABEL = dict(enumerate(NAMES))
LABEL2ID = {name: number for number, name in ID2LABEL.items()}
SAID = {"pneumonia": FindingConfig(threshold=0.9), "tuberculosis": FindingConfig(threshold=0.1, shown=False)}


@pytest.fixture
def folder(tmp_path):
    tiny_model(findings=SAID).save_pretrained(tmp_path / "saved")
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
    assert config.findings == dict.fromkeys(NAMES, FindingConfig()) and config.shown == tuple(NAMES)
    assert (config.id2label, config.label2id) == (ID2LABEL, LABEL2ID)


def test_the_same_labels_keep_what_was_said(folder):
    config = LungFusionConfig.from_pretrained(folder, id2label={0: "pneumonia", 1: "tuberculosis"})
    assert config.findings == SAID


def test_a_number_alone_gives_names_as_elsewhere(folder):
    assert LungFusionConfig.from_pretrained(folder, num_labels=1).findings == {"LABEL_0": FindingConfig()}
    assert list(LungFusionConfig(num_labels=2).findings) == ["LABEL_0", "LABEL_1"]


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


def test_single_label_heads_take_integer_labels(folder, pixel_values, tmp_path):
    """As examples of the Hub make them: cross-entropy, and probabilities that sum to one."""
    new = {"num_labels": 3, "problem_type": "single_label_classification", "ignore_mismatched_sizes": True}
    model = AutoModelForImageClassification.from_pretrained(folder, **new)
    output = model(pixel_values, labels=torch.tensor([2, 0]))
    expected = torch.nn.functional.cross_entropy(output.logits, torch.tensor([2, 0]))
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(model.probabilities(output.logits).sum(1), torch.ones(2))
    model.save_pretrained(tmp_path / "again")
    LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / "again")
    answer = pipeline("image-classification", str(tmp_path / "again"), top_k=3)(Image.new("L", (SIDE, SIDE)))
    assert sum(one["score"] for one in answer) == pytest.approx(1, abs=1e-5)
