"""Calibration on validation patients: temperature, bias and threshold of each finding, kept in the configuration.

`train.classify` ends with it; `train.evaluate --run RUN --recalibrate` does it again.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from train.calibrate.away import MIN_AUC, healthy_scores, is_shown
from train.calibrate.handover import age_groups, apply_point, copy_tables, read_points
from train.engine.loop import replace_folder, round_weights, save_model
from train.engine.weights import load_classifier, load_segmenter
from train.scoring.hospitals import auc_of
from train.scoring.images import patients, score_parts, validation_parts
from train.scoring.metrics import (
    bootstrap,
    finding_scores,
    finite_logit,
    fit_platt,
    operating_threshold,
    sigmoid,
    youden_threshold,
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
    model.config.segmenter, model.segmenter = segmenter.config, segmenter
    side = model.config.image_size = max(model.config.image_size, segmenter.config.image_size)
    recipe = recipe | {"segmenter": str(name_or_path), "segmenter_replaced": True}
    with TemporaryDirectory(dir=run) as beside:
        new = Path(beside) / "model"
        save_model(round_weights(model), LungFusionImageProcessor(size={"height": side, "width": side}), new)
        rows = calibrate_run(recipe, Path(beside))
        replace_folder(new, run / "model")
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return recipe, rows


def calibrate_run(recipe, output):
    """Fit each finding to what the pipeline says of the validation patients; choose those to show; save the model.

    Returns:
        the rows of `score_parts`, as the calibrated model would give them.
    """
    pipeline = LungFusionPipeline.from_pretrained(output / "model")
    config = pipeline.model.config
    fitted_here = [name for name in config.findings if name not in config.lesion_findings]
    config.temperatures |= dict.fromkeys(fitted_here, 1.0)
    config.biases |= dict.fromkeys(fitted_here, 0.0)
    rows = score_parts(pipeline, validation_parts(recipe), recipe["sources"])
    config.shown, points = [name for name in config.shown if name not in fitted_here], read_points(recipe)
    copy_tables(recipe, output)
    for name in fitted_here:
        known = [row for row in rows if f"label_{name}" in row and row[f"probability_{name}"] is not None]
        if not known:
            raise ValueError(f"All validation images with a label for {name} were refused: train a better segmenter.")
        taught_by = [
            recipe["sources"][source]
            for source in dict.fromkeys(row["source"] for row in known if row[f"label_{name}"])
        ]
        config.sources[name] = "; ".join(f"{source['title']}, {source['population']}" for source in taught_by)
        labels = np.array([row[f"label_{name}"] for row in known])
        probabilities = np.array([row[f"probability_{name}"] for row in known])
        calibrate(config, name, labels, probabilities, points.get(name), healthy_scores(rows, name))
        config.populations[name] = age_groups(taught_by)
        low = lowest_auc(patients(known), labels, probabilities)
        told = recipe.get("shown") == "all" or proves_to_work(points.get(name), config.operating_points[name], low)
        if told and name not in recipe.get("auxiliary", ()):
            config.shown.append(name)
        for row in rows:
            if row[f"probability_{name}"] is not None:
                row[f"probability_{name}"] = float(calibrated(config, name, row[f"probability_{name}"]))
    save_model(pipeline.model, pipeline.processor, output / "model")
    return rows


def calibrate(config, name, labels, probabilities, away=None, healthy=None):
    """Fit one finding and write it into the configuration.

    Args:
        config: `LungFusionConfig`.
        name: of the finding.
        labels: (N,) in {0, 1}.
        probabilities: (N,) float in [0, 1], of the model at temperature 1.
        away: what `train.calibrate.away.operating_point` says of the finding, whose threshold then is by the healthy.
        healthy: source → (N,) probabilities of its healthy people, as those of all.

    Raises:
        ValueError: all labels are alike.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{name} cannot be calibrated: the validation patients need some with it and some without.")
    config.temperatures[name], config.biases[name] = fit_platt(finite_logit(probabilities), labels)
    probabilities = calibrated(config, name, probabilities)
    config.thresholds[name] = operating_threshold(labels, probabilities)
    if away:
        calibrated_healthy = {source: calibrated(config, name, scores) for source, scores in healthy.items()}
        apply_point(config, name, away, calibrated_healthy)
    youden = youden_threshold(labels, probabilities)
    config.operating_points[name] = config.operating_points.get(name, {}) | {
        **point(labels, probabilities, config.thresholds[name]),
        "youden_threshold": youden,
        **{f"youden_{key}": value for key, value in point(labels, probabilities, youden).items()},
    }


def calibrated(config, name, probabilities):
    """Probabilities of the model at temperature 1 and bias 0 → what it gives with its own."""
    return sigmoid(finite_logit(probabilities) / config.temperatures[name] + config.biases[name])


def point(labels, probabilities, threshold):
    scores = finding_scores(labels, probabilities, threshold)
    return {key: scores[key] for key in ("sensitivity", "specificity")}


def lowest_auc(patient_ids, labels, probabilities):
    """The lower end of the ROC AUC's 95 % interval, by bootstrap over patients."""
    return bootstrap(auc_of, patient_ids, labels, probabilities)["auc"][0]


def proves_to_work(away, home, low):
    """Whether users are told of a finding: by hospitals left out where there are any, else by `low` alone.

    Args:
        away: as `train.calibrate.away.operating_point` gives it, or None.
        home: its operating point on the validation patients.
        low: `lowest_auc` on them.
    """
    return is_shown(away, home["specificity"], low) if away else low > MIN_AUC
