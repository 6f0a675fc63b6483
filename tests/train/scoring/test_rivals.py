"""Findings that compete, in a checkpoint whose weights stay."""

import numpy as np
import pytest

from lungfusion.evidence import Evidence, FindingEvidence, Place, Share
from lungfusion.models import LungFusionConfig
from train.calibrate.rivals import counted_again, let_compete

FINDINGS = ["pneumonia", "tuberculosis"]


def rows_of(home, hospital, ill, healthy, other, age="adult"):
    """People with tuberculosis, with nothing and with pneumonia; pneumonia sets tuberculosis's logit off, too."""
    generator, rows = np.random.default_rng(0), []
    for (pneumonia, tuberculosis), count in zip([(0, 1), (0, 0), (1, 0)], [ill, healthy, other], strict=True):
        for number in range(count):
            labels = {"label_pneumonia": pneumonia, "label_tuberculosis": tuberculosis}
            logits = {"logit_pneumonia": 6 * pneumonia - 3, "logit_tuberculosis": 3 * pneumonia + 6 * tuberculosis - 3}
            noisy = {name: value + float(generator.normal(0, 0.5)) for name, value in logits.items()}
            facts = {"home": home, "hospital": hospital, "source": hospital, "age": age}
            rows.append({"patient_id": f"{pneumonia}{tuberculosis}{number}"} | facts | labels | noisy)
    return rows


def test_a_checkpoint_learns_which_of_two_fits_better(tmp_path):
    LungFusionConfig(branches=["test_resnet"], findings=FINDINGS).save_pretrained(tmp_path)
    earlier = Place(found=Share.of(60, 100), scores={"ill": np.linspace(0, 1, 40).tolist()})
    Evidence(
        {"tuberculosis": FindingEvidence(places={"old": earlier}), "pneumonia": FindingEvidence()}
    ).save_pretrained(tmp_path)
    rows = rows_of("yes", "home", 60, 60, 60) + rows_of("no", "away", 0, 0, 60)
    let_compete(tmp_path, rows, {"tuberculosis": ["pneumonia"], "pneumonia": ["tuberculosis"]}, {"away": "Another"})
    config, evidence = LungFusionConfig.from_pretrained(tmp_path), Evidence.from_pretrained(tmp_path)
    assert config.findings["tuberculosis"].rivals == ("pneumonia",)
    place = evidence["tuberculosis"].places["away"]
    assert place.called_otherwise_ill.value < 0.05 and place.called_otherwise_ill.n == 60
    assert evidence["pneumonia"].places["away"].found.value > 0.9
    assert evidence["tuberculosis"].home["specificity"] > 0.9
    assert evidence.places["away"] == "Another"
    old = evidence["tuberculosis"].places["old"].found
    assert old.value == pytest.approx(1 - config.findings["tuberculosis"].threshold, abs=0.03) and old.n == 100


def test_shares_are_counted_again_where_scores_were_kept():
    place = Place(found=Share.of(80, 100), called_healthy=Share.of(3, 100), scores={"ill": [0.1, 0.4, 0.6, 0.9]})
    again = counted_again(place, 0.5)
    assert again.found == Share.of(50, 100) and again.called_healthy == place.called_healthy
