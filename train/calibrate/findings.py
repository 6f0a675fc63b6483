"""Calibration on validation patients: temperature, bias and threshold of each finding, and what was measured of it.

`train.classify` ends with it; `train.evaluate --run RUN --recalibrate` does it again.
"""

import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from lungfusion.evidence import HELD_BACK, Evidence, FindingEvidence, Share
from lungfusion.models import FindingConfig
from train.calibrate.operating_points import (
    MIN_AUC,
    MIN_PEOPLE,
    copy_tables,
    healthy_scores,
    is_shown,
    place_of,
    places_of,
    read_points,
    scores_by_group,
    some,
    threshold_of_alarms,
    told_of_anything,
    with_thresholds,
)
from train.data.sources import known_sources, title_in_words
from train.engine.loop import replace_folder, round_weights, save_model
from train.engine.weights import load_classifier, load_segmenter
from train.scoring.hospitals import auc_of, aucs_of, group_of, heed_rivals, is_healthy, score_of, shares_called
from train.scoring.images import patients, score_with_pipeline, validation_parts
from train.scoring.metrics import (
    bootstrap,
    finite_logit,
    fit_platt,
    operating_threshold,
    patient_folds,
    sigmoid,
)


def replace_segmenter(name_or_path, recipe, run):
    """Give a run's classifier another segmenter; branches, fusion and classifier stay as they were.

    Images are read at the segmenter's size from then on, if that is larger. The new model is made and calibrated beside
    the old one, whose place it takes at the end.

    Returns:
        recipe: the run's, from now on.
        rows: as `calibrate_run` returns them.
    """
    segmenter, model = load_segmenter(name_or_path), load_classifier(run / "model")
    side = max(model.config.image_size, segmenter.config.image_size)
    model.config = copy.deepcopy(model.config)
    model.config.segmenter, model.config.image_size, model.segmenter = segmenter.config, side, segmenter
    recipe = recipe | {"segmenter": str(name_or_path), "segmenter_replaced": True}
    with TemporaryDirectory(dir=run) as beside:
        new = Path(beside) / "model"
        save_model(round_weights(model), LungFusionImageProcessor(size={"height": side, "width": side}), new)
        rows = calibrate_run(recipe, Path(beside))
        replace_folder(new, run / "model")
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return recipe, rows


def calibrate_run(recipe, output):
    """Fit each finding to what the pipeline says of the validation patients; choose those to show; save model and
    evidence.

    Returns:
        the rows of `score_with_pipeline`, as the calibrated model would give them.
    """
    loaded = LungFusionPipeline.from_pretrained(output / "model")
    model, names, points = loaded.model, list(loaded.model.config.findings), read_points(recipe)
    model.config = model.config.with_findings({name: FindingConfig() for name in names})
    pipeline = LungFusionPipeline(model, loaded.processor)
    rows = score_with_pipeline(pipeline, validation_parts(recipe), recipe["sources"])
    copy_tables(recipe, output)
    known = {name: with_label_and_answer(rows, name) for name in names}
    fitted = {name: fit_finding(name, *labels_and_scores(known[name], name)) for name in names}
    for name, finding in fitted.items():
        for row in rows:
            if row[f"probability_{name}"] is not None:
                row[f"probability_{name}"] = float(calibrated(finding, row[f"probability_{name}"]))
    rivals = recipe.get("rivals", {})
    heed_rivals(rows, rivals)
    findings, evidence, called = {}, {}, {}
    for name, finding in fitted.items():
        point = points.get(name)
        if point:
            finding = with_thresholds(finding, point, healthy_scores(rows, name))
        taught_by = [
            recipe["sources"][source]
            for source in dict.fromkeys(row["source"] for row in known[name] if row[f"label_{name}"])
        ]
        called[name] = called_by_others(rows, name, finding, point)
        home = figures_at_home(rows, name, called[name])
        kept, scores = held_back(rows, name, called[name])
        low = lowest_auc(patients(known[name]), *labels_and_scores(known[name], name))
        shares = {place: {key: of[key] for key in of if not key.startswith("auc")} for place, of in kept.items()}
        away = point and point | {"hospitals": point["hospitals"] | shares}
        told = recipe.get("shown") == "all" or proves_to_work(away, home, low)
        findings[name] = replace(
            finding,
            population=tuple(dict.fromkeys(source["age"] for source in taught_by if source.get("age"))),
            shown=told and name not in recipe.get("auxiliary", ()),
            rivals=tuple(rivals.get(name, ())),
        )
        sources = tuple(f"{source['title']}, {source['population']}" for source in taught_by)
        places = {hospital: place_of(figures, scores[hospital]) for hospital, figures in kept.items()}
        evidence[name] = FindingEvidence(sources, home, places | (places_of(point, finding.threshold) if point else {}))
    model.config = model.config.with_findings(findings)
    save_model(model, pipeline.processor, output / "model")
    shown = model.config.shown
    anything = told_at_home(rows, [called[name] for name in shown], recipe["sources"])
    anything |= told_of_anything([points[name] for name in shown if name in points])
    Evidence(evidence, anything, titles_of(recipe["sources"], evidence)).save_pretrained(output / "model")
    return rows


def has_label_and_answer(row, name):
    return f"label_{name}" in row and row[f"probability_{name}"] is not None


def with_label_and_answer(rows, name):
    known = [row for row in rows if has_label_and_answer(row, name)]
    if not known:
        raise ValueError(f"All validation images with a label for {name} were refused: train a better segmenter.")
    return known


def labels_and_scores(rows, name):
    """(N,) labels and (N,) scores (see `score_of`) of rows of which both are known."""
    return np.array([row[f"label_{name}"] for row in rows]), np.array([score_of(row, name) for row in rows])


def fit_finding(name, labels, probabilities):
    """`FindingConfig` of one finding: temperature, bias and threshold.

    Args:
        name: of the finding.
        labels: (N,) in {0, 1}.
        probabilities: (N,) float in [0, 1], of the model at temperature 1 and bias 0.

    Raises:
        ValueError: all labels are alike.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{name} cannot be calibrated: the validation patients need some with it and some without.")
    temperature, bias = fit_platt(finite_logit(probabilities), labels)
    finding = FindingConfig(temperature=temperature, bias=bias)
    return replace(finding, threshold=operating_threshold(labels, calibrated(finding, probabilities)))


def calibrated(finding, probabilities):
    """Probabilities of the model at temperature 1 and bias 0 → what it gives with those of a `FindingConfig`."""
    return sigmoid(finite_logit(probabilities) / finding.temperature + finding.bias)


def called_by_others(rows, name, finding, point=None):
    """Of each row whether a finding is called, at the threshold that four fifths of the patients give, not its own.

    Args:
        rows: of all sources, calibrated.
        name: of the finding.
        finding: its `FindingConfig`, whose threshold stands in where the others are too few to give one.
        point: its operating point, as `operating_points` gives it, or None.

    Returns:
        (N,) bool; False where it was not assessed.
    """
    fold_of = patient_folds(patients(rows))
    called = np.zeros(len(rows), bool)
    for fold in np.unique(fold_of):
        others = [row for row, of in zip(rows, fold_of, strict=True) if of != fold]
        threshold = threshold_by(others, name, point) or finding.threshold
        for i in np.flatnonzero(fold_of == fold):
            score = score_of(rows[i], name)
            called[i] = score is not None and score >= threshold
    return called


def figures_at_home(rows, name, called):
    """`FindingEvidence.home`: sensitivity and specificity on validation patients, called as `called_by_others` says."""
    known = np.array([has_label_and_answer(row, name) for row in rows])
    labels = np.array([row.get(f"label_{name}") == 1 for row in rows])
    return {
        "sensitivity": float(called[known & labels].mean()),
        "specificity": float(1 - called[known & ~labels].mean()),
    }


def held_back(rows, name, called):
    """What a finding's people who were held back from training say: hospital learned from → figures and scores.

    Args:
        rows: of all sources, calibrated.
        name: of the finding.
        called: as `called_by_others` gives it.

    Returns:
        figures: hospital → `shares_called` and `aucs_of`; only those with any share.
        scores: hospital → group → some scores, sorted, of ranks evenly apart.
    """
    figures, scores = {}, {}
    for hospital in dict.fromkeys(row["hospital"] for row in rows):
        own = [i for i, row in enumerate(rows) if row["hospital"] == hospital and has_label_and_answer(row, name)]
        known = [rows[i] for i in own]
        groups = np.array([group_of(row, name) for row in known])
        if shares := shares_called(called[own], groups, np.array(patients(known)), MIN_PEOPLE):
            aucs = aucs_of(known, groups, np.array([row[f"probability_{name}"] for row in known]))
            figures[hospital + HELD_BACK] = shares | aucs
            scores[hospital + HELD_BACK] = {
                group: tuple(np.round(some(of_group), 3).tolist())
                for group, of_group in scores_by_group(known, name).items()
                if len(of_group)
            }
    return figures, scores


def told_at_home(rows, called, sources):
    """Hospital learned from → `Share` of its healthy adults who validate, of whom any of the findings is called.

    called: of each finding shown, as `called_by_others` gives it.
    """
    if not called:
        return {}
    told = {}
    for row, any_called in zip(rows, np.any(called, axis=0), strict=True):
        if is_healthy(row) and sources[row["source"]].get("age") == "adult":
            told.setdefault(row["hospital"] + HELD_BACK, []).append(any_called)
    return {place: Share.of(int(sum(one)), len(one)) for place, one in told.items() if len(one) >= MIN_PEOPLE}


def threshold_by(rows, name, point):
    """The threshold that these rows give a finding; None where they are too few."""
    if point:
        healthy = healthy_scores(rows, name)
        return threshold_of_alarms(healthy, point["share"]) if healthy else None
    known = [row for row in rows if has_label_and_answer(row, name)]
    labels, scores = labels_and_scores(known, name)
    return operating_threshold(labels, scores) if len(np.unique(labels)) == 2 else None


def titles_of(sources, evidence):
    """Hospital → what it is in plain words, of those that evidence has figures of."""
    measured = {hospital for of_finding in evidence.values() for hospital in of_finding.places}
    titles = {}
    for source in (sources | known_sources()).values():
        hospital = source.get("hospital")
        for place, held_back in ((hospital, False), (f"{hospital}{HELD_BACK}", True)):
            if place in measured:
                titles.setdefault(place, title_in_words(source, held_back))
    return titles


def lowest_auc(patient_ids, labels, probabilities):
    """The lower end of the ROC AUC's 95 % interval, by bootstrap over patients."""
    interval = bootstrap(auc_of, patient_ids, labels, probabilities)["auc"]
    return interval[0] if interval else 0.0  # too few patients prove nothing


def proves_to_work(away, home, low):
    """Whether users are told of a finding: by hospitals left out where there are any, else by `low` alone.

    Args:
        away: its operating point, as `operating_points` gives it, or None.
        home: as `figures_at_home` gives it.
        low: `lowest_auc`.
    """
    return is_shown(away, home["specificity"], low) if away else low > MIN_AUC
