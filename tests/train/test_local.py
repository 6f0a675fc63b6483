"""Thresholds for one hospital: fitted to its own people, told with what they are worth, saved with its name."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value

from lungfusion import LungFusionPipeline
from tests.support.helpers import png
from tests.support.tiny import tiny_model
from train.augment.phantom.radiograph import draw_phantom
from train.calibrate.local import MIN_HEALTHY, apply_local_points, local_point, local_points, local_report
from train.finetune import main

RNG = np.random.default_rng(0)


def rows_of(healthy, ill):
    rows = [{"label_mass": 0, "probability_mass": float(p)} for p in healthy]
    return rows + [{"label_mass": 1, "probability_mass": float(p)} for p in ill]


def test_no_more_healthy_people_are_called_than_allowed():
    for count in (20, 57, 200):
        healthy = RNG.random(count)
        point = local_point(np.zeros(count, int), healthy, 0.1)
        assert point["called_without"]["value"] <= 0.1 < np.mean(healthy >= point["threshold"] - 1e-9) + 1.01 / count
        low, high = point["called_without"]["interval"]
        assert low < point["called_without"]["value"] < high


def test_the_ill_decide_what_is_ruled_out():
    points = local_points(rows_of(np.linspace(0, 0.5, 100), np.linspace(0.3, 1, 50)), ["mass", "edema"], 0.05)
    assert points.keys() == {"mass"}
    assert points["mass"]["rule_out_threshold"] < points["mass"]["threshold"]
    assert points["mass"]["found_ill"]["images"] == 50
    few = local_points(rows_of(np.linspace(0, 0.5, 100), [0.9] * 5), ["mass"], 0.05)["mass"]
    assert "found_ill" not in few and few["rule_out_threshold"] == few["threshold"]
    assert local_points(rows_of([0.1] * (MIN_HEALTHY - 1), []), ["mass"], 0.05) == {}


def test_the_hospital_takes_the_place_of_others_in_the_figures():
    config = tiny_model(findings=["mass"]).config
    config.hospitals["mass"] = {"elsewhere": {"called_healthy": 0.5}}
    config.operating_points["mass"] = {"sensitivity": 0.9, "away_auc": 0.8, "away_false_alarms": 0.5}
    points = local_points(rows_of(np.linspace(0, 0.5, 100), np.linspace(0.3, 1, 50)), ["mass"], 0.05)
    apply_local_points(config, points, "St Mary's")
    assert list(config.hospitals["mass"]) == ["St Mary's"]
    assert config.hospitals["mass"]["St Mary's"]["n_healthy"] == 100
    assert config.operating_points["mass"]["away_false_alarms"] <= 0.05
    assert "away_auc" not in config.operating_points["mass"] and config.operating_points["mass"]["sensitivity"] == 0.9
    report = "\n".join(local_report(points, "St Mary's", 0.05))
    assert "St Mary's" in report and "| 800 |" in report


def test_a_folder_of_healthy_people_is_enough(checkpoint, tmp_path):
    count = MIN_HEALTHY + 4
    pictures = [png(draw_phantom(seed=seed, size=64)[0]) for seed in range(count)]
    numbers = [str(seed) for seed in range(count)]
    rows = {"image": pictures, "label": [0] * count, "patient_id": numbers, "file_name": numbers}
    text = Value("string")
    types = {"image": Image(), "label": ClassLabel(names=["normal"]), "patient_id": text, "file_name": text}
    (tmp_path / "own").mkdir()
    Dataset.from_dict(rows, Features(types)).to_parquet(tmp_path / "own" / "train-00000-of-00001.parquet")
    run = tmp_path / "run"
    arguments = ["--data", str(tmp_path / "own"), "--thresholds-for", "St Mary", "--output", str(run)]
    main([*arguments, "--model", str(checkpoint), "--alarms", "0.25"])
    pipe = LungFusionPipeline.from_pretrained(run / "model")
    for name in pipe.findings:
        figures = pipe.model.config.hospitals[name]["St Mary"]
        assert figures["n_healthy"] == count and figures["called_healthy"] <= 0.25
    with pytest.raises(SystemExit):
        main([*arguments, "--findings", "mass"])
