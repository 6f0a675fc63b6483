"""What is fitted to the lesion branch after training: probabilities, thresholds, whether users are told."""

import numpy as np

from train.calibrate.away import is_shown
from train.calibrate.findings import calibrate, calibrated, lowest_auc


def calibrate_lesions(pipeline, rows, sources, elsewhere):
    """Fit nodule and mass on the images that radiologists read, in the model's configuration and in the rows.

    A finding is shown if it proves to work: the lower end of its ROC AUC above 0.70, specificity at its threshold at
    least 0.50, and at most 0.20 of the healthy people called, of hospitals that it was not learned from.

    Args:
        pipeline: `LungFusionPipeline`, its model with a lesion branch at temperature 1.
        rows: as `train.scoring.lesions.score_lesions` returns them.
        sources: of the recipe.
        elsewhere: names of those that were not learned from.
    """
    config = pipeline.model.config
    for name in config.lesion_findings:
        at_home = [row for row in rows if row["source"] not in elsewhere]
        known = [row for row in at_home if not np.isnan(row[f"label_{name}"])]
        labels = np.array([row[f"label_{name}"] for row in known])
        said = np.array([row[f"probability_{name}"] for row in known])
        config.rule_out_thresholds.pop(name, None)
        calibrate(config, name, labels, said)
        for row in rows:
            row[f"probability_{name}"] = float(calibrated(config, name, row[f"probability_{name}"]))
        config.populations[name] = ["adult"]
        taught_by = [source for key, source in sources.items() if key not in elsewhere and source.get("readers")]
        config.sources[name] = "; ".join(f"{source['title']}, {source['population']}" for source in taught_by)
        away = [row[f"probability_{name}"] for row in rows if row["source"] in elsewhere]
        point = {"false_alarms": float(np.mean(np.array(away) >= config.thresholds[name]))} if away else {}
        if away:
            config.operating_points[name]["away_false_alarms"] = point["false_alarms"]
        low = lowest_auc([row["patient_id"] for row in known], labels, said)
        shown = is_shown(point, config.operating_points[name]["specificity"], low)
        others = [other for other in config.shown if other != name]
        config.shown = [*others, name] if shown else others
    for row in rows:
        of_both = [1 - row[f"probability_{name}"] for name in config.lesion_findings]
        row["probability_either"] = float(1 - np.prod(of_both))
