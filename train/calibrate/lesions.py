"""What is fitted to the lesion branch after training: probabilities, thresholds, whether users are told."""

import numpy as np

from train.calibrate.away import MIN_PEOPLE, UNTRIED_FALSE_ALARMS, is_shown, threshold_of_alarms
from train.calibrate.findings import calibrate, calibrated, lowest_auc, point

MIN_SIDE = 256  # pixels of a radiograph's shorter side, in which 1 cm is about 7


def calibrate_lesions(pipeline, rows, sources, elsewhere):
    """Fit nodule and mass on the images that radiologists read, in the model's configuration and in the rows.

    Nothing is said, and nothing fitted, of images coarser than `MIN_SIDE`. A finding counts as detected from where at
    most 0.03 of the people without a lesion are called, of each data set, those of hospitals among them that it was not
    learned from. It is shown if it proves to work: the lower end of its ROC AUC above 0.70, specificity at its
    threshold at least 0.50, and healthy people of such a hospital were there to be tried on.

    Args:
        pipeline: `LungFusionPipeline`, its model with a lesion branch at temperature 1.
        rows: as `train.scoring.lesions.score_lesions` returns them.
        sources: of the recipe.
        elsewhere: names of those that were not learned from.
    """
    config = pipeline.model.config
    fine = [row for row in rows if row["side"] >= MIN_SIDE]
    at_home = [row for row in fine if row["source"] not in elsewhere]
    for name in config.lesion_findings:
        known = [row for row in at_home if not np.isnan(row[f"label_{name}"])]
        labels = np.array([row[f"label_{name}"] for row in known])
        said = np.array([row[f"probability_{name}"] for row in known])
        for earlier in (config.rule_out_thresholds, config.operating_points):
            earlier.pop(name, None)
        calibrate(config, name, labels, said)
        for row in rows:
            row[f"probability_{name}"] = float(calibrated(config, name, row[f"probability_{name}"]))
        if without := probabilities_without(fine, name):
            config.thresholds[name] = threshold_of_alarms(without, UNTRIED_FALSE_ALARMS)
            config.rule_out_thresholds[name] = threshold_of_alarms(without, 2 * UNTRIED_FALSE_ALARMS)
        threshold = config.thresholds[name]
        config.operating_points[name] |= point(labels, calibrated(config, name, said), threshold)
        config.populations[name], config.min_sides[name] = ["adult"], MIN_SIDE
        taught_by = [source for key, source in sources.items() if key not in elsewhere and source.get("readers")]
        config.sources[name] = "; ".join(f"{source['title']}, {source['population']}" for source in taught_by)
        away = np.array([row[f"probability_{name}"] for row in fine if row["source"] in elsewhere])
        alarms = {"false_alarms": float(np.mean(away >= threshold))} if len(away) else {}
        config.operating_points[name] |= {f"away_{key}": value for key, value in alarms.items()}
        low = lowest_auc([row["patient_id"] for row in known], labels, said)
        others = [other for other in config.shown if other != name]
        shown = is_shown(alarms, config.operating_points[name]["specificity"], low)
        config.shown = [*others, name] if shown else others
    for row in rows:
        of_both = [1 - row[f"probability_{name}"] for name in config.lesion_findings]
        row["probability_either"] = float(1 - np.prod(of_both))


def probabilities_without(rows, name):
    """Source → what is said of its images without a nodule or mass, of sources with `MIN_PEOPLE` of them."""
    scores = {}
    for row in rows:
        if row["label_either"] == 0:
            scores.setdefault(row["source"], []).append(row[f"probability_{name}"])
    return {source: np.array(found) for source, found in scores.items() if len(found) >= MIN_PEOPLE}
