"""One hospital against the others: what is drawn, left out, fitted and shown."""

from collections import Counter

import numpy as np
import pytest
import torch

from lungfusion.models import FindingConfig
from tests.support.tiny import tiny_model
from train.augment.corruptions import MILD_CORRUPTIONS
from train.calibrate.mask_quality import summarise_quality
from train.calibrate.operating_points import (
    healthy_scores,
    is_shown,
    operating_points,
    places_of,
    threshold_of_alarms,
    told_of_any,
    told_of_anything,
    with_thresholds,
    worst,
)
from train.data.crops import LabelledCrops, LungCrops, Part, cut_inputs
from train.data.sampler import balanced_sampler, epoch_sampler, shares_sampler
from train.engine.losses import by_finding, which_of_rivals
from train.engine.weights import freeze
from train.io import read_rows, write_csv
from train.scoring.hospitals import is_healthy, patients, split_hospital, summarise_hospital
from train.scoring.robustness import CLEAN, summarise_robustness

SOURCES = {
    "a": {"hospital": "one", "age": "child"},
    "b": {"hospital": "two", "age": "adult"},
    "c": {"hospital": "two", "age": "adult"},
}


def test_a_hospital_is_left_out_with_all_its_sources():
    home, away = split_hospital({"sources": SOURCES, "left_out": ["two"]})
    assert list(home) == ["a"] and list(away) == ["b", "c"]
    assert split_hospital({"sources": SOURCES, "left_out": []}) == (SOURCES, {})


@pytest.mark.parametrize("sources, left_out", [(SOURCES, ["three"]), ({"a": SOURCES["a"]}, ["one"])])
def test_a_hospital_that_is_not_there_or_alone_is_named(sources, left_out):
    with pytest.raises(ValueError, match="left_out is"):
        split_hospital({"sources": sources, "left_out": left_out})


def test_healthy_are_drawn_four_times_in_ten_and_few_images_not_too_often():
    groups = [("big", None)] * 600 + [("big", 1)] * 300 + [("big", 2)] * 100 + [("small", 1)] * 5
    weights = balanced_sampler(groups, 1000).weights
    assert weights[:600].sum() / weights[:1000].sum() == pytest.approx(0.4)
    assert weights[1000:].sum() == pytest.approx(0.5)


def test_no_image_is_drawn_more_often_than_allowed():
    """Counted, for weights are made to sum to 1 by who draws; what is cut off goes to the others."""
    groups = [("small", 0)] * 10 + [("large", 0)] * 1000
    sampler = balanced_sampler(groups, 4000, max_draws=10)
    drawn = Counter(row for _ in range(50) for row in sampler)
    assert sum(drawn[row] for row in range(10)) / 10 / 50 == pytest.approx(10, rel=0.05)
    assert len(sampler) == 4000 and sum(drawn.values()) == 50 * 4000
    groups = [("a", None)] * 20 + [("a", 0)] * 5 + [("b", None)] * 300 + [("b", 1)] * 60
    sampler = balanced_sampler(groups, 40_000, max_draws=60)
    drawn = Counter(row for _ in range(20) for row in sampler)
    assert len(sampler) == 60 * 385  # all of them as often as allowed are fewer
    assert max(drawn.values()) / 20 < 60 * 1.15 and min(drawn.values()) / 20 > 60 * 0.85


def test_first_stages_are_frozen_and_keep_their_batch_norms():
    model = tiny_model(branches=["test_efficientnet"], concatenation="crop")
    freeze(model.branches, 2)
    backbone = model.branches[0].backbone
    assert not any(p.requires_grad for p in backbone.conv_stem.parameters())
    assert not any(p.requires_grad for p in backbone.blocks[1].parameters())
    assert all(p.requires_grad for p in backbone.blocks[2].parameters())
    model.train()
    assert not backbone.blocks[0].training and backbone.blocks[2].training
    with_alpha = tiny_model(branches=["test_efficientnet"], concatenation="rgba").branches
    freeze(with_alpha, 2)
    stem = with_alpha[0].backbone
    assert stem.conv_stem.weight.requires_grad and not any(p.requires_grad for p in stem.blocks[1].parameters())
    freeze(model.branches, -1)
    assert not any(p.requires_grad for p in model.branches.parameters())
    resnet = tiny_model(branches=["test_resnet"]).branches
    freeze(resnet, 1)
    assert not any(p.requires_grad for p in resnet[0].backbone.layer1.parameters())
    assert all(p.requires_grad for p in resnet[0].backbone.layer2.parameters())
    resnet[0].backbone = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="stages of"):
        freeze(resnet, 1)


def test_each_finding_weighs_the_same_or_as_told(pixel_values):
    model = tiny_model()
    labels = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    batch = {"pixel_values": pixel_values, "alpha": torch.ones_like(pixel_values), "labels": labels}
    logits = model(pixel_values, alpha=batch["alpha"]).logits
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    first, second = loss(logits[:, 0], labels[:, 0]), loss(logits[1:, 1], labels[1:, 1])
    assert by_finding(model, batch).item() == pytest.approx(((first + second) / 2).item(), rel=1e-4)
    weighted = by_finding(model, batch, torch.tensor([3.0, 1.0])).item()
    assert weighted == pytest.approx(((3 * first + second) / 4).item(), rel=1e-4)


def test_crops_are_bytes_until_they_are_on_the_device():
    generator = np.random.default_rng(0)
    crops = LungCrops(generator.integers(0, 255, (5, 40, 40), np.uint8), np.full((5, 40, 40), 255, np.uint8))
    data = LabelledCrops([Part("x", None, crops.select(np.array([4, 1])), np.array([[1.0], [np.nan]], np.float32))])
    assert len(data) == 2 and data[0]["pixels"].dtype == torch.uint8
    np.testing.assert_array_equal(data[0]["pixels"][0], crops.pixels[4])
    inputs = cut_inputs({key: value[None] for key, value in data[0].items()}, 32)
    np.testing.assert_allclose(inputs["pixel_values"][0, 0] * 255, crops.pixels[4][4:36, 4:36], atol=1e-3)  # the middle
    assert inputs["alpha"].shape == (1, 1, 32, 32) and inputs["alpha"].min() == 1 and inputs["is_cut"]


def test_two_findings_that_one_shadow_sets_off_compete():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, -5.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, float("nan")]])  # of the third it is not known
    expected = torch.nn.functional.cross_entropy(logits[:2], torch.tensor([0, 0]))
    torch.testing.assert_close(which_of_rivals(logits, labels, [(0, 1), (1, 0)]), expected)
    assert which_of_rivals(logits, labels, [(1, 0)]) == 0


def test_each_kind_is_drawn_from_its_hospitals_in_fixed_shares():
    kinds, hospitals = ["ill"] * 30 + ["healthy"] * 70, ["one"] * 10 + ["two"] * 60 + ["three"] * 30
    groups = [(hospital, None) for hospital in hospitals]
    shares = {"ill": {"one": 0.3, "two": 0.1, "left out": 0.2}, "healthy": {"two": 0.4}}
    weights = shares_sampler(kinds, hospitals, groups, 100, shares).weights
    assert weights[:10].sum() == pytest.approx(0.45) and weights[10:30].sum() == pytest.approx(0.15)
    assert weights[30:70].sum() == pytest.approx(0.4) and weights[70:].sum() == 0  # no share is named for the last
    with pytest.raises(ValueError, match="draws names"):
        shares_sampler(kinds, hospitals, groups, 100, {"ill": {"left out": 1}})


def rows_of(home, ill, healthy, shift=0.0):
    """Rows of one run: logits of ill people around 2, of healthy ones around −2."""
    generator = np.random.default_rng(1)
    rows = []
    for label, count in ((1, ill), (0, healthy)):
        for number in range(count):
            row = {"patient_id": f"{label}-{number}", "home": home, "hospital": "x", "source": "x", "file_name": "f"}
            row |= {"age": "adult", "label_tb": label, "label_pneumonia": 0, "label_tuberculosis": label}
            rows.append(row | {"logit_tb": float(generator.normal(4 * label - 2 - shift, 1))})
    return rows


def operating_point(rows_of_run, finding):
    return operating_points(rows_of_run, [finding]).get(finding)


def test_thresholds_are_handed_on_as_shares_of_the_healthy():
    runs = {"x": rows_of("yes", 60, 60) + rows_of("no", 60, 60, shift=1.5)}
    point = operating_point(runs, "tb")
    assert point["share"] == 0.05 and point["rule_out_share"] >= 0.05
    assert worst(point, "called_healthy")["value"] <= 0.1 and worst(point, "auc_healthy")["interval"][0] > 0.9
    assert point["hospitals"]["x"]["found"]["images"] == 60
    of_another_scale = {"x": [row | {"logit_tb": 3 * row["logit_tb"] - 1} for row in runs["x"]]}
    again = operating_point(of_another_scale, "tb")
    assert again["share"] == point["share"] and again["hospitals"]["x"]["found"] == point["hospitals"]["x"]["found"]


def test_a_finding_that_no_hospital_left_out_has_is_called_less():
    no_ill = operating_point({"x": rows_of("yes", 60, 60) + rows_of("no", 0, 60)}, "tb")
    assert worst(no_ill, "found") is None and no_ill["share"] == 0.03
    assert worst(no_ill, "called_healthy")["value"] < 0.1
    assert operating_point({"x": rows_of("yes", 0, 60)}, "tb") is None
    assert operating_point({"x": rows_of("yes", 60, 20) + rows_of("no", 60, 60)}, "tb") is None  # too few are healthy


def test_false_alarms_go_before_sensitivity():
    away = rows_of("no", 60, 60)
    for row in away:
        row["logit_tb"] -= 2 * (2 * row["label_tb"] - 1)  # there the ill score lower, and the healthy higher
    run = rows_of("yes", 60, 60) + away
    point = operating_point({"x": run, "y": run}, "tb")  # each is quoted at the share that the other asks for
    assert point["share"] < 0.1 and worst(point, "found")["value"] < 0.85
    assert point["rule_out_share"] > point["share"]


def test_in_no_hospital_more_are_called_than_a_share():
    scores = {"quiet": np.linspace(0, 0.2, 50), "loud": np.linspace(0.1, 0.6, 50)}
    threshold = threshold_of_alarms(scores, 0.1)
    assert np.mean(scores["loud"] >= threshold) == 0.1 and not (scores["quiet"] >= threshold).any()
    assert threshold_of_alarms({"quiet": scores["quiet"]}, 0.1) < threshold
    rows = [row | {"probability_tb": 0.5} for row in rows_of("no", 5, 40)]
    assert len(healthy_scores(rows, "tb")["x"]) == 40 and healthy_scores(rows[:30], "tb") == {}


def test_people_whom_a_run_did_not_learn_from_do_not_count():
    rows = rows_of("yes", 60, 60) + [row | {"age": "child"} for row in rows_of("no", 60, 60)]
    assert operating_point({"x": rows}, "tb")["hospitals"] == {}


def test_what_is_quoted_of_a_hospital_was_chosen_without_it():
    """Its own people, of whom many are called, lower the share for others, but not the figure that tells of them."""
    loud = rows_of("no", 60, 60)
    for row in loud:
        row["logit_tb"] += 2 * (row["label_tb"] == 0)
    runs = {"quiet": rows_of("yes", 60, 60) + rows_of("no", 60, 60, shift=1.5), "loud": rows_of("yes", 60, 60) + loud}
    both, alone = operating_point(runs, "tb"), operating_point({"loud": runs["loud"]}, "tb")
    assert both["share"] == alone["share"] == 0.01  # as few as can be
    quoted = both["hospitals"]["loud"]["called_healthy"]["value"]
    assert quoted > alone["hospitals"]["loud"]["called_healthy"]["value"] - 1e-9 and quoted > 0.4
    at_its_own = threshold_of_alarms(healthy_scores(with_probabilities(runs["loud"]), "tb"), both["share"])
    called = [row["probability_tb"] >= at_its_own for row in with_probabilities(loud) if row["label_tb"] == 0]
    assert quoted > np.mean(called)


def with_probabilities(rows):
    return [row | {"probability_tb": 1 / (1 + np.exp(-row["logit_tb"]))} for row in rows]


def test_where_a_rival_fits_better_nobody_is_called():
    rows, generator = rows_of("yes", 60, 60) + rows_of("no", 60, 60), np.random.default_rng(0)
    for number, row in enumerate(rows):
        other = row["label_tb"] * (number % 2)  # every second of the ill
        row |= {"label_other": other, "logit_other": float(generator.normal(8 * other - 4, 2))}
    points = operating_points({"x": rows}, ["tb", "other"], {"tb": ["other"]})
    alone = operating_points({"x": rows}, ["tb", "other"])
    assert points["tb"]["hospitals"]["x"]["found"]["value"] <= 0.65 < alone["tb"]["hospitals"]["x"]["found"]["value"]
    assert points["tb"]["hospitals"]["x"]["auc_healthy"] == alone["tb"]["hospitals"]["x"]["auc_healthy"]


def test_the_rule_for_what_is_shown():
    def point(low=0.75, alarms=0.1, found=0.5):
        figures = {"auc_healthy": {"value": 0.8, "interval": [low, 0.9]}, "called_healthy": {"value": alarms}}
        return {"hospitals": {"good": {"called_healthy": {"value": 0.0}}, "bad": figures | {"found": {"value": found}}}}

    assert is_shown(point(), specificity=0.8, low=0.6)
    assert not is_shown(point(low=0.69), 0.8, 0.99)
    assert not is_shown(point(alarms=0.21), 0.8, 0.99)
    assert not is_shown(point(found=0.29), 0.8, 0.99)
    mistaken = point()
    mistaken["hospitals"]["good"]["called_otherwise_ill"] = {"value": 0.26}
    assert not is_shown(mistaken, 0.8, 0.99)
    assert not is_shown(point(), 0.49, 0.99)
    no_ill = {"hospitals": {"x": {"called_healthy": {"value": 0.1}}}}
    assert is_shown(no_ill, 0.8, 0.75) and not is_shown(no_ill, 0.8, 0.65)
    assert not is_shown({"hospitals": {}}, 0.8, 0.99)  # alarms that nobody measured are no reason to trust


def test_no_auc_where_class_and_device_go_together():
    rows = [row | {"probability_tb": 0.5, "confounded": "yes"} for row in rows_of("no", 20, 20)]
    figures = summarise_hospital(rows, "tb", 0.4)
    assert "auc_healthy" not in figures and figures["called_healthy"]["value"] == 1


def test_patients_of_two_hospitals_that_are_numbered_alike_are_two():
    """Data sets of one hospital share patients. What is pooled over hospitals has the interval of so many persons."""
    both = [("elm", "x"), ("elm", "y"), ("oak", "z")]
    rows = [{"hospital": hospital, "source": source, "patient_id": "7"} for hospital, source in both]
    assert patients(rows) == ["elm 7", "elm 7", "oak 7"]

    def pooled(numbers_of_oak):
        generator, rows = np.random.default_rng(0), []
        for hospital, numbers in (("elm", range(10, 30)), ("oak", numbers_of_oak)):
            for number in numbers:
                dice = generator.uniform(0.5, 1)
                row = {"hospital": hospital, "patient_id": str(number), "dice": dice, "pixel_accuracy": dice}
                row["mask_quality"] = generator.uniform(0.5, 1)
                rows += [row | {"corruption": name} for name in (CLEAN, *MILD_CORRUPTIONS)]
        return summarise_robustness(rows)[CLEAN]["dice"], summarise_quality(rows)["all"]["spearman"]

    assert pooled(range(10, 30)) == pooled(range(30, 50))


def test_rows_survive_the_file(tmp_path):
    rows = rows_of("no", 2, 1)
    write_csv(tmp_path / "left_out.csv", rows)
    assert read_rows(tmp_path / "left_out.csv") == rows
    assert [is_healthy(row) for row in rows] == [False, False, True]


def test_thresholds_and_evidence_are_objects():
    runs = {"x": rows_of("yes", 60, 60) + rows_of("no", 60, 60)}
    point = operating_point(runs, "tb")
    finding = with_thresholds(FindingConfig(bias=2.0), point, {"y": np.linspace(0, 0.5, 101)})
    assert np.mean(np.linspace(0, 0.5, 101) >= finding.threshold) <= point["share"] < 0.1  # of its own healthy people
    assert finding.rule_out_threshold <= finding.threshold and finding.bias == 2.0
    place = places_of(point, finding.threshold)["x"]
    assert place.found.n == 60 and place.auc_healthy.value == worst(point, "auc_healthy")["value"]
    assert len(place.scores["ill"]) == 60 and list(place.scores["ill"]) == sorted(place.scores["ill"])
    for group, share in (("healthy", place.called_healthy), ("ill", place.found)):
        above = np.mean([score >= finding.threshold for score in place.scores[group]])
        assert above == pytest.approx(share.value, abs=0.02)  # as many as people are
    with pytest.raises(ValueError, match="healthy people"):
        with_thresholds(finding, point, {})


def test_who_is_told_of_anything_is_counted_once():
    figures = {"called_healthy": {"value": 0.02, "images": 100}}
    points = [{"hospitals": {"x": figures}, "alarms": {"x": alarms}} for alarms in ([3, 4], [4, 9])]
    (share,) = told_of_anything(points).values()
    assert (share.value, share.n) == (0.03, 100) and share.low < 0.03 < share.high


def test_fewer_are_called_where_else_too_many_are_told_of_anything():
    """Of five findings, each of which calls others of the healthy, no more may be called together than of one alone."""
    generator = np.random.default_rng(0)

    def rows(home, count):
        people = []
        for number in range(count):
            labels = {f"label_{name}": int(number % 10 == n) for n, name in enumerate("abcde")}
            logits = {f"logit_{key[6:]}": generator.normal(6 * value - 3) for key, value in labels.items()}
            known = {"label_pneumonia": 0, "label_tuberculosis": 0, "home": home, "age": "adult", "source": "s"}
            people.append({"patient_id": str(number), **labels, **logits, **known})
        return people

    runs = {"x": rows("yes", 2000) + rows("no", 2000)}
    alone, together = operating_points(runs, ["a"]), operating_points(runs, list("abcde"))
    assert told_of_any([alone["a"]["alarms"]], runs) <= 0.1
    assert told_of_any([point["alarms"] for point in together.values()], runs) <= 0.1
    assert together["a"]["share"] < alone["a"]["share"]


def test_a_source_is_drawn_as_often_as_its_share_says():
    found = [("film", 1)] * 10 + [("digital", 1)] * 30 + [("digital", None)] * 30
    weights = epoch_sampler(found, 100, shares={"film": 0.5}).weights
    assert weights[:10].sum() == pytest.approx(1 / 3) and weights[40:].sum() == pytest.approx(2 / 3 * 0.4)


def test_the_ill_are_set_against_the_healthy_and_against_the_otherwise_ill():
    def person(number, probability, **labels):
        known = {"label_tb": 0, "label_pneumonia": 0, "label_tuberculosis": 0, "label_mass": 0} | labels
        return {"patient_id": str(number), "probability_tb": probability, **known}

    healthy = [person(n, 0.1 + n / 1000) for n in range(20)]
    ill = [person(20 + n, 0.5 + n / 1000, label_tb=1) for n in range(20)]
    ailing = [person(40 + n, 0.9 + n / 1000, label_mass=1) for n in range(20)]
    figures = summarise_hospital(healthy + ill + ailing, "tb", 0.4)
    assert figures["auc_healthy"]["value"] == 1 and figures["auc_healthy"]["images"] == 40
    assert figures["auc_otherwise_ill"]["value"] == 0 and figures["auc_otherwise_ill"]["images"] == 40
    assert figures["called_healthy"]["value"] == 0 and figures["called_otherwise_ill"]["value"] == 1
    assert "auc_otherwise_ill" not in summarise_hospital(healthy + ill, "tb", 0.4)
