"""A config.json may come from anyone: whatever is wrong in it is said in a sentence, before anything is built."""

import json
import shutil

import pytest

from lungfusion import LungFusionConfig, LungFusionPipeline, LungUNetConfig

WRONG = {
    "image_size": [0, -32, 10**9, "96", None, 96.5],
    "branch_size": [0, -1, 10**7],
    "fusion_size": [0, 10**12],
    "dropout": [-0.1, 1.0, "x"],
    "branches": [[], ["no_such_net"], ["hf-hub:owner/name"], ["../x"], "test_resnet", [1], ["test_resnet"] * 100],
    "concatenation": ["zip", 3],
    "fusion": ["zip"],
    "findings": [[], ["a", "a"], "pneumonia", [1, 2]],
    "thresholds": [{"pneumonia": 0.5}, {"pneumonia": 0.5, "tuberculosis": 2.0}, {"zzz": 0.5}, [0.5], 0.5],
    "temperatures": [{"pneumonia": 0.0}, {"pneumonia": float("nan")}, {"pneumonia": "1"}],
    "biases": [{"pneumonia": float("inf")}],
    "operating_points": [{"pneumonia": {"sensitivity": 5.0}}, {"pneumonia": 0.9}],
    "rule_out_thresholds": [{"zzz": 0.1}, {"pneumonia": 0.0}, {"pneumonia": 0.6}, {"pneumonia": float("nan")}, 0.1],
    "populations": [{"zzz": ["child"]}, {"pneumonia": ["elder"]}, {"pneumonia": "child"}, ["child"]],
    "max_ood_scores": [{"zzz": 1.0}, {"pneumonia": 0.0}, {"pneumonia": float("nan")}],
    "min_sides": [{"zzz": 256}, {"pneumonia": 0}, {"pneumonia": -1}, {"pneumonia": "256"}],
    "hospitals": [
        {"zzz": {}},
        {"pneumonia": {"Elm": {"auc": 2.0}}},
        {"pneumonia": {"Elm": {"n_ill": -1}}},
        {"pneumonia": {"Elm": 0.5}},
    ],
    "shown": [["zzz"], "pneumonia"],
    "segmenter": [3],
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


def test_figures_of_other_hospitals_survive_saving(tmp_path):
    said = {
        "rule_out_thresholds": {"pneumonia": 0.2},
        "populations": {"pneumonia": ["child"], "tuberculosis": []},
        "max_ood_scores": {"tuberculosis": 1.7},
        "min_sides": {"pneumonia": 256},
        "operating_points": {"pneumonia": {"sensitivity": 0.9, "away_auc_low": 0.7, "away_n": 1}},
        "hospitals": {"pneumonia": {"Elm": {"auc": None, "called_healthy": 0.1, "n_healthy": 200, "n_ill": 0}}},
    }
    LungFusionConfig(branches=["test_resnet"], **said).save_pretrained(tmp_path)
    again = LungFusionConfig.from_pretrained(tmp_path)
    assert {key: getattr(again, key) for key in said} == said


def cases(wrong):
    return [(key, value) for key, values in wrong.items() for value in values]


@pytest.mark.parametrize(("key", "value"), cases(WRONG))
def test_what_is_wrong_is_said_and_named(key, value):
    with pytest.raises(ValueError, match=f"(?i){key[:4]}"):
        LungFusionConfig.from_dict({"branches": ["test_resnet"], key: value})


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
