"""What was measured in hospitals left out, written into a model's configuration."""

import json
import shutil
from pathlib import Path

from train.calibrate.away import MIN_PEOPLE, threshold_of_alarms
from train.scoring.metrics import finite_logit, sigmoid

SHARES = "auc", "auc_without", "called_healthy", "called_without", "found_ill"


def read_points(recipe):
    """finding → operating point for strangers, from the recipe's `away` (hospitals.json); {} where there is none."""
    return json.loads(Path(recipe["away"]).read_text()) if recipe.get("away") else {}


def copy_tables(recipe, output):
    """Put the table of hospitals left out into a run's folder, for its card."""
    if recipe.get("away"):
        for path in Path(recipe["away"]).parent.glob("hospitals.*"):
            shutil.copy(path, output)


def apply_point(config, name, point, healthy):
    """Thresholds and figures away from home of one finding, into `LungFusionConfig`, in place.

    Args:
        point: as `train.calibrate.away.operating_point` gives it.
        healthy: what this model says of healthy validation patients, as `train.calibrate.away.healthy_scores` gives it.

    Raises:
        ValueError: there are none.
    """
    if not healthy:
        raise ValueError(f"{name} gets its threshold from healthy people: validate on {MIN_PEOPLE} of a data set.")
    threshold = config.thresholds[name] = threshold_of_alarms(healthy, point["share"])
    config.rule_out_thresholds[name] = threshold_of_alarms(healthy, point["rule_out_share"])
    figures = {f"away_{key}": point[key] for key in ("sensitivity", "false_alarms") if key in point}
    if "auc" in point:
        low, high = point["auc"]["interval"]
        figures |= {"away_auc": point["auc"]["value"], "away_auc_low": low, "away_auc_high": high}
    config.operating_points[name] = config.operating_points.get(name, {}) | figures
    config.hospitals[name] = {hospital: plain(figures) for hospital, figures in point["hospitals"].items()}
    if "dots" in point:
        config.reference_scores[name] = {
            hospital: {
                kind: [round(float(sigmoid(finite_logit(threshold) + score)), 3) for score in scores]
                for kind, scores in strip.items()
            }
            for hospital, strip in point["dots"].items()
        }


def plain(figures):
    """`summarise_hospital` of one hospital → numbers alone."""
    numbers = {key: figures[key]["value"] if key in figures else None for key in SHARES}
    for count, key in (("n_healthy", "called_healthy"), ("n_without", "called_without"), ("n_ill", "found_ill")):
        numbers[count] = figures[key]["images"] if key in figures else 0
    return numbers


def age_groups(sources):
    """The people that sources are of, each group once: `child`, `adult`."""
    return list(dict.fromkeys(source["age"] for source in sources if source.get("age")))
