"""Thresholds for one hospital: fitted to its own people, told with what they are worth, saved with its name."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value

from lungfusion import Evidence, FindingConfig, LungFusionPipeline
from lungfusion.evidence import FindingEvidence, Place, Share
from tests.support.helpers import png
from tests.support.tiny import draw_phantom
from train.calibrate.local import (
    MIN_HEALTHY,
    local_evidence,
    local_findings,
    local_point,
    local_points,
    local_report,
)
from train.finetune import main

RNG = np.random.default_rng(0)


def rows_of(healthy, ill):
    rows = [{"label_mass": 0, "probability_mass": float(p)} for p in healthy]
    rows += [{"label_mass": 1, "probability_mass": float(p)} for p in ill]
    return [row | {"patient_id": str(number)} for number, row in enumerate(rows)]


def test_no_more_healthy_people_are_called_than_allowed():
    for count in (20, 57, 200):
        healthy = RNG.random(count)
        point = local_point(np.arange(count), np.zeros(count, int), healthy, 0.1)
        called = np.mean(healthy >= point["threshold"])
        assert called <= 0.1 < np.mean(healthy >= point["threshold"] - 1e-9) + 1.01 / count
        low, high = point["called_healthy"]["interval"]
        assert low <= point["called_healthy"]["value"] <= high and point["called_healthy"]["images"] == count


def test_the_figures_are_of_people_whom_the_threshold_was_not_fitted_to():
    """In the same people, it would call one in ten; in others, on average, it calls more."""
    quoted, fitted = [], []
    for _ in range(60):
        healthy = RNG.random(40)
        point = local_point(np.arange(40), np.zeros(40, int), healthy, 0.1)
        quoted.append(point["called_healthy"]["value"])
        fitted.append(np.mean(healthy >= point["threshold"]))
    assert np.mean(fitted) == pytest.approx(0.1) and 0.11 < np.mean(quoted) < 0.16


def test_the_ill_decide_what_is_ruled_out():
    points = local_points(rows_of(np.linspace(0, 0.5, 100), np.linspace(0.3, 1, 50)), ["mass", "edema"], 0.05)
    assert points.keys() == {"mass"}
    assert points["mass"]["rule_out_threshold"] < points["mass"]["threshold"]
    assert points["mass"]["found"]["images"] == 50
    few = local_points(rows_of(np.linspace(0, 0.5, 100), [0.9] * 5), ["mass"], 0.05)["mass"]
    assert "found" not in few and few["rule_out_threshold"] == few["threshold"]
    assert local_points(rows_of([0.1] * (MIN_HEALTHY - 1), []), ["mass"], 0.05) == {}


def test_the_hospital_takes_the_place_of_others_in_the_figures():
    elsewhere = {"elsewhere": Place(called_healthy=Share.of(50, 100), auc_healthy=Share(0.8, 0.7, 0.9, 90))}
    before = Evidence({"mass": FindingEvidence(("phantoms",), {"sensitivity": 0.9}, elsewhere)})
    points = local_points(rows_of(np.linspace(0, 0.5, 100), np.linspace(0.3, 1, 50)), ["mass"], 0.05)
    after = local_evidence(before, points, "St Mary's")
    (place,) = after["mass"].places.items()
    assert place[0] == "St Mary's" and place[1].called_healthy.n == 100 and place[1].called_healthy.value <= 0.1
    assert place[1].auc_healthy is None and after["mass"].home == {"sensitivity": 0.9}
    old = {"mass": FindingConfig(temperature=2.0)}
    (finding,) = local_findings(old, points).values()
    assert finding.threshold == points["mass"]["threshold"] and finding.temperature == 2.0
    assert old == {"mass": FindingConfig(temperature=2.0)}
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
        called = pipe.evidence[name].places["St Mary"].called_healthy
        assert called.n == count and called.value <= 0.5
    with pytest.raises(SystemExit):
        main([*arguments, "--findings", "mass"])
