"""A config.json may come from anyone: whatever is wrong in it is said in a sentence, before anything is built."""

import json
import shutil
from dataclasses import FrozenInstanceError

import pytest
from transformers import AutoConfig

from lungfusion import FindingConfig, LungFusionConfig, LungFusionPipeline, LungUNetConfig

WRONG = {
    "image_size": [0, -32, 10**9, "96", None, 96.5],
    "branch_size": [0, -1, 10**7],
    "fusion_size": [0, 10**12],
    "dropout": [-0.1, 1.0, "x"],
    "branches": [[], ["no_such_net"], ["hf-hub:owner/name"], ["../x"], "test_resnet", [1], ["test_resnet"] * 100],
    "concatenation": ["zip", 3],
    "fusion": ["zip"],
    "findings": [[], ["a", "a"], "pneumonia", [1, 2], {"pneumonia": 3}, {}],
    "problem_type": ["regression", "sorting"],
    "segmenter": [3],
}
WRONG_FINDING = {
    "threshold": [0.0, 1.0, 2, float("nan"), "0.5", None, True],
    "rule_out_threshold": [0.0, 0.6, float("nan"), "0.1"],
    "temperature": [0.0, -1.0, float("nan"), float("inf"), "1", None],
    "bias": [float("inf"), float("nan"), "1", None],
    "population": ["child", ["elder"], [1], 3],
    "max_ood_score": [0.0, float("nan"), float("inf")],
    "min_side": [0, -1, "256"],
    "shown": [1, "yes", None],
    "explained": [0],
    "rivals": ["tuberculosis", ["gout"], ["pneumonia"], [2]],
    "treshold": [0.5],
}
WRONG_SEGMENTER = {
    "input_limits": [{"max_novelty": 2.0}, {"max_ood_score": -1.0}, 3, {"max_ood_score": "much"}],
    "image_size": [0, 33],
    "encoder": ["no_such", "tu-no_such", "tu-hf-hub:owner/name", 3],
    "width": [0, -4, 10**9],
    "decoder_channels": [[1], [0] * 5],
    "image_std": [0.0, -1.0, float("nan")],
    "quality_slope": [float("inf")],
}


def test_findings_survive_saving_in_the_order_of_the_logits(tmp_path):
    findings = {
        "tuberculosis": FindingConfig(0.4, 0.2, 1.5, -0.5, ("adult",), 1.7, 256, rivals=("pneumonia",)),
        "pneumonia": FindingConfig(shown=False, explained=False),
    }
    config = LungFusionConfig(branches=["test_resnet"], findings=findings)
    config.save_pretrained(tmp_path)
    again = LungFusionConfig.from_pretrained(tmp_path)
    assert again.findings == findings and list(again.findings) == ["tuberculosis", "pneumonia"]
    assert again.id2label == {0: "tuberculosis", 1: "pneumonia"}
    assert again.shown == again.explained == ("tuberculosis",)
    assert json.loads((tmp_path / "config.json").read_text())["findings"]["pneumonia"]["shown"] is False
    assert AutoConfig.from_pretrained(tmp_path).findings == findings
    for told in (config.to_dict(), config.to_diff_dict()):
        assert json.loads(json.dumps(told))["findings"]["tuberculosis"]["population"] == ["adult"]


def test_other_findings_make_another_configuration():
    config = LungFusionConfig(branches=["test_resnet"])
    changed = config.with_findings({"pneumonia": FindingConfig(bias=1.0)})
    assert changed.findings == config.findings | {"pneumonia": FindingConfig(bias=1.0)}
    assert config.findings["pneumonia"] == FindingConfig() and list(changed.findings) == list(config.findings)
    with pytest.raises(ValueError, match="no finding gout"):
        config.with_findings({"gout": FindingConfig()})
    with pytest.raises(FrozenInstanceError):
        config.findings["pneumonia"].bias = 1.0


@pytest.mark.parametrize("old", ["thresholds", "temperatures", "lesion_backbone"])
def test_a_configuration_of_an_earlier_version_is_not_taken_for_todays(old):
    with pytest.raises(ValueError, match=r"version 0\.2 and earlier"):
        LungFusionConfig.from_dict({"branches": ["test_resnet"], old: {}})


def cases(wrong):
    return [(key, value) for key, values in wrong.items() for value in values]


@pytest.mark.parametrize(("key", "value"), cases(WRONG))
def test_what_is_wrong_is_said_and_named(key, value):
    with pytest.raises(ValueError, match=f"(?i){key[:4]}"):
        LungFusionConfig.from_dict({"branches": ["test_resnet"], key: value})


@pytest.mark.parametrize(("key", "value"), cases(WRONG_FINDING))
def test_what_is_wrong_of_a_finding_is_said_and_named(key, value):
    with pytest.raises(ValueError, match=rf"pneumonia.*{key}"):
        LungFusionConfig.from_dict({"branches": ["test_resnet"], "findings": {"pneumonia": {key: value}}})


@pytest.mark.parametrize(("key", "value"), cases(WRONG_SEGMENTER))
def test_what_is_wrong_in_the_segmenter_is_said_and_named(key, value):
    with pytest.raises(ValueError, match=key):
        LungUNetConfig.from_dict({key: value})
    with pytest.raises(ValueError, match=key):
        LungFusionConfig.from_dict({"segmenter": {key: value}})


@pytest.fixture
def copy(checkpoint, tmp_path):
    """Writes a copy of the tiny checkpoint with another config.json: its text, or what to change in it."""

    def write(change):
        folder = tmp_path / "copy"
        shutil.copytree(checkpoint, folder)
        path = folder / "config.json"
        path.write_text(change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change))
        return folder

    return write


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "\0"])
def test_what_is_no_configuration_is_refused(copy, text):
    with pytest.raises((OSError, ValueError), match=r"config\.json"):
        LungFusionPipeline.from_pretrained(copy(text))


@pytest.mark.parametrize("change", [{"fusion_size": 16}, {"segmenter": None}, {"branches": ["test_resnet"]}])
def test_weights_of_another_size_are_named(copy, change):
    with pytest.raises(ValueError, match="of the model's weights"):
        LungFusionPipeline.from_pretrained(copy(change))


@pytest.mark.parametrize("change", [{"extra": {"a": 1}}, {"auto_map": {"AutoConfig": "strange.Config"}}])
def test_other_keys_change_nothing(copy, change):
    assert LungFusionPipeline.from_pretrained(copy(change)).findings == ("pneumonia", "tuberculosis")


def test_code_of_an_unknown_model_is_not_run(copy):
    folder = copy({"model_type": "strange", "auto_map": {"AutoConfig": "strange.Config"}})
    (folder / "strange.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ValueError, match="trust_remote_code"):
        LungFusionPipeline.from_pretrained(folder)
