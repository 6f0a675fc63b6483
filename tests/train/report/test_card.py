"""The card's sentences and tables, from figures made by hand."""

import pytest

from lungfusion import Evidence, LungFusionConfig
from lungfusion.evidence import FindingEvidence, Place, Share
from train.engine.loop import is_best
from train.report.card import card_data, outside_section, public, which_epoch
from train.report.tables import auc_of_counts, findings_table, measured_outside_table

CONFIG = LungFusionConfig(branches=["test_resnet"], findings={"mass": {}, "edema": {}, "gout": {"shown": False}})
METRICS = {
    name: {"findings": {"mass": {"auc": {"value": auc, "interval": [auc - 0.05, auc + 0.05]}, "images": 50}}}
    for name, auc in (("elm", 0.9), ("oak", 0.8))
}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_figure_is_that_of_the_worst_place():
    places = {"ash": Place(called_healthy=Share.of(1, 100)), "fir": Place(called_healthy=Share.of(9, 100))}
    titles, _, mass, edema, _, rest = findings_table(
        CONFIG, Evidence({"mass": FindingEvidence(places=places)}), METRICS
    )
    assert cells(titles) == ["finding", "ROC AUC at home", "healthy called"]
    assert cells(mass) == ["mass", "0.800 (0.750–0.850), n = 50", "0.090 (0.048–0.162), n = 100, fir"]
    assert cells(edema) == ["edema", "not measured", "not measured"]
    assert rest == "Not measured: ROC AUC, hospital left out, found, otherwise ill called."


def test_of_epochs_that_are_equal_the_first_is_the_one_that_was_kept():
    aucs = [0.8, 0.9, 0.9, 0.7]
    history = [{"epoch": n, "loss": 1.0, "mean_auc": auc, "seconds": 1.0} for n, auc in enumerate(aucs, 1)]
    kept = [n for n in range(1, 5) if is_best(history[:n], "mean_auc")][-1]
    assert f"kept: epoch {kept}, chosen by mean_auc" in which_epoch(history)
    for epoch in history[:-1]:
        del epoch["mean_auc"]  # as where the last one is kept, and it alone is looked at
    assert "4 epochs, whose last weights are kept" in which_epoch(history)
    assert which_epoch([]) == "No epoch: the weights are those it began with."


def test_what_others_measured_is_told_with_its_version():
    assert outside_section({}) == []  # a run that was not released
    own, other = outside_section({"released": "0.2.0"}), outside_section({"released": "9.9"})
    assert own[0] == other[0] == "## Version 0.2.0 measured from outside"
    assert "of this version" in own[2] and "not of this one" in other[2]


def test_intervals_follow_from_counts():
    rows = [{"what": "a", "share": 0.83, "of": 58}, {"what": "b", "dice": 0.9, "of": 3}]
    assert [cells(line)[1] for line in measured_outside_table(rows)[2:]] == [
        "0.828 (0.711–0.904), n = 58",
        "Dice 0.900, n = 3",
    ]
    half = auc_of_counts(0.5, 1000, 1000)  # of no discrimination, as of the Mann-Whitney test: √((a + b + 1) / 12ab)
    assert half.high - 0.5 == pytest.approx(1.96 * (2001 / 12e6) ** 0.5, rel=1e-3)


def test_terms_of_the_data_that_nobody_stated_are_not_taken_for_free():
    recipe = {"name": "x", "task": "classification", "pretrained": None, "model": {"branches": []}}
    for licence, told in (("CC0", "apache-2.0"), ("not stated", "other")):
        sources = {"own": {"title": "own", "licence": licence}}
        assert card_data(recipe | {"sources": sources}, {}).license == told


def test_a_recipe_is_published_without_paths(tmp_path):
    recipe = {"name": "x", "data_root": "/here", "segmenter": "/there", "away": "/runs/x", "pretrained": str(tmp_path)}
    told = public(recipe | {"init_from": str(tmp_path)})
    assert told["name"] == "x" and told["pretrained"] is True and told["init_from"] is None
    assert not {"data_root", "segmenter", "away"} & set(told) and "/" not in str(told.values())
    assert public(recipe | {"init_from": "owner/name"})["init_from"] == "owner/name"
