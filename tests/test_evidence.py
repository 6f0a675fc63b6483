"""What was measured travels with the checkpoint, is checked, and is told worst first."""

import json

import pytest

from lungfusion import Evidence, LungFusionPipeline
from lungfusion.evidence import EVIDENCE, FindingEvidence, Place, Share

PLACES = {
    "elm": Place(found=Share.of(40, 50), called_healthy=Share.of(1, 200), scores={"healthy": [0.1, 0.2], "ill": [0.9]}),
    "oak": Place(found=Share.of(30, 60), called_healthy=Share.of(9, 90), auc_healthy=Share(0.8, 0.7, 0.9, 150)),
    "ash": Place(called_otherwise_ill=Share.of(3, 12)),
}
EVIDENCE_OF_MASS = FindingEvidence(("phantoms",), {"sensitivity": 0.9}, PLACES)
WHOLE = Evidence({"mass": EVIDENCE_OF_MASS}, {"elm": Share.of(4, 200)}, {"elm": "a hospital under elms"})


def test_it_survives_saving(tmp_path):
    WHOLE.save_pretrained(tmp_path)
    assert Evidence.from_pretrained(tmp_path) == WHOLE
    assert Evidence.from_dict(json.loads(json.dumps(WHOLE.to_dict()))) == WHOLE
    assert WHOLE["mass"] is EVIDENCE_OF_MASS and WHOLE["gout"] == FindingEvidence()


def test_a_checkpoint_without_it_has_none(checkpoint, tmp_path):
    assert Evidence.from_pretrained(tmp_path) == Evidence()
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    assert pipe.evidence["pneumonia"].home == {"sensitivity": 0.9, "specificity": 0.8}


def test_a_share_has_the_interval_of_wilson():
    none = Share.of(0, 40)
    assert (none.value, none.low, none.n) == (0, 0, 40) and none.high == pytest.approx(0.0876, abs=1e-4)
    assert Share.of(2, 2).low == pytest.approx(0.342, abs=1e-3)


def test_the_worst_place_is_told_first():
    assert EVIDENCE_OF_MASS.worst_false_alarms() == ("oak", Share.of(9, 90))
    assert EVIDENCE_OF_MASS.worst_found() == ("oak", Share.of(30, 60))
    told = json.loads(json.dumps(EVIDENCE_OF_MASS.to_dict()))
    assert [one["place"] for one in told["called_healthy"]] == [one["place"] for one in told["found"]] == ["oak", "elm"]
    assert told["called_otherwise_ill"] == [{"place": "ash", **vars(Share.of(3, 12))}] and "scores" not in told
    assert FindingEvidence().worst_found() is FindingEvidence().worst_false_alarms() is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("found", "value"), 1.5),
        (("found", "low"), float("nan")),
        (("found", "n"), 0),
        (("found", "n"), 2.5),
        (("found",), 0.5),
        (("scores",), {"healthy": [1.2]}),
        (("scores",), {"dead": [0.2]}),
        (("guessed",), None),
    ],
    ids=str,
)
def test_what_is_no_evidence_is_refused_by_its_file(tmp_path, path, value):
    content = WHOLE.to_dict()
    *way, last = path
    inner = content["findings"]["mass"]["places"]["elm"]
    for key in way:
        inner = inner[key]
    inner[last] = value
    (tmp_path / EVIDENCE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"evidence\.json cannot be used"):
        Evidence.from_pretrained(tmp_path)
