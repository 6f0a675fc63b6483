"""A trained detector becomes part of a checkpoint: weights, settings of nodule and mass, what was measured of them."""

import json
from dataclasses import replace

import numpy as np
from safetensors.torch import load_file, save_file

from lungfusion.evidence import HELD_BACK, Evidence, FindingEvidence, Place, Share
from lungfusion.models import LungFusionConfig, NoduleDetectorConfig
from lungfusion.models.configuration_lungfusion import NODULE_FINDINGS
from train.data.sources import find_source, title_in_words
from train.io import WEIGHTS, write_table
from train.nodules.data import MIN_SIDE
from train.nodules.report import load_detector, tables
from train.report.tables import metrics_tables
from train.scoring.metrics import sigmoid

SCORES = 100  # of a hospital's people, evenly over their ranks, kept to look an image's own at among


def put_into(folder, recipe, report, variant):
    """Write a detector into a checkpoint, and the table of its variants beside it.

    Args:
        folder: `Path` of the checkpoint, with config.json, model.safetensors and evidence.json.
        recipe: of the variant, whose weights lie in its `out`.
        report: as `train.nodules.report.read_report` returns it.
        variant: its name there.
    """
    figures = report[variant]
    config = LungFusionConfig.from_pretrained(folder)
    said = {
        "temperature": figures["temperature"],
        "bias": figures["bias"],
        "threshold": float(probability(figures["threshold"], figures)),
        "rule_out_threshold": float(probability(figures["rule_out_threshold"], figures)),
        "population": ("adult",),
        "min_side": MIN_SIDE,
        "shown": True,
        "explained": False,
    }
    config = config.with_findings({name: replace(config.findings[name], **said) for name in NODULE_FINDINGS})
    config.nodule_detector = NoduleDetectorConfig(recipe["size"], recipe["channels"])
    config._check()
    weights = {k: v for k, v in load_file(folder / WEIGHTS).items() if not k.startswith("nodules.")}
    precision = weights["classifier.4.weight"].dtype
    for name, weight in load_detector(recipe).state_dict().items():
        weights[f"nodules.{name}"] = weight.to(precision) if weight.is_floating_point() else weight
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    written = config.to_dict()
    findings = {name: dict(sorted(one.items())) for name, one in sorted(written["findings"].items())}
    content = json.loads((folder / "config.json").read_text())
    content |= {"findings": findings, "nodule_detector": written["nodule_detector"]}
    (folder / "config.json").write_text(json.dumps(dict(sorted(content.items())), indent=2) + "\n")
    evidence = Evidence.from_pretrained(folder)
    measured = dict.fromkeys(NODULE_FINDINGS, evidence_of(recipe, figures))
    places = {name: title_of(name) for name in measured[NODULE_FINDINGS[0]].places}
    variants = {name: {key: x for key, x in row.items() if key != "healthy_scores"} for name, row in report.items()}
    write_table(folder, "nodules", tables(report), {"bundled": variant, "variants": variants})
    told = Evidence(evidence.findings | measured, places=evidence.places | places)
    told.save_pretrained(folder)  # who is told of anything now was not measured
    if (folder / "metrics.json").exists():
        forget_classifier(folder)


def forget_classifier(folder):
    """Take what the classifier said of nodules and masses, which is told no more, out of a checkpoint's metrics."""
    metrics = json.loads((folder / "metrics.json").read_text())
    for summary in metrics.values():
        for name in NODULE_FINDINGS:
            summary["findings"].pop(name, None)
            summary["off_source"].pop(name, None)
    write_table(folder, "metrics", metrics_tables(metrics), metrics)


def title_of(place):
    """A place in plain words."""
    return title_in_words(find_source(place.removesuffix(HELD_BACK)), place.endswith(HELD_BACK))


def probability(logit, figures):
    """float or (N,) logits → the same, calibrated, from 0 to 1."""
    return sigmoid(np.array(logit) / figures["temperature"] + figures["bias"])


def evidence_of(recipe, figures):
    """`FindingEvidence` of the detector: nodule and mass are told apart by width alone, so both have the same."""
    found, right = figures["found"], figures["specificity"]
    auc = Share(figures["auc"]["value"], *figures["auc"]["interval"], found["n"] + right["n"])
    places = {}
    for name, called in figures["healthy"].items():
        share = Share(called["value"], *called["interval"], called["n"])
        if called["left_out"]:
            scores = np.quantile(probability(figures["healthy_scores"][name], figures), np.linspace(0, 1, SCORES))
            places[name] = Place(called_healthy=share, scores={"healthy": [round(float(one), 3) for one in scores]})
        else:
            found_there = Share(found["value"], *found["interval"], found["n"])
            places[name + HELD_BACK] = Place(found=found_there, called_healthy=share, auc_otherwise_ill=auc)
    home = {"sensitivity": found["value"], "specificity": right["value"]}
    sources = ["{title}, {population}".format(**find_source(name)) for name in recipe["learn_from"]]
    return FindingEvidence([*sources, "made nodules drawn into them"], home, places)
