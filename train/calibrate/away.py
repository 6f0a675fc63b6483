"""Operating points for strangers: fitted over hospitals that training left out, each judged by a model without it."""

import numpy as np

from train.scoring.hospitals import is_healthy, summarise_hospital
from train.scoring.metrics import fit_platt, sigmoid

SENSITIVITY = 0.85  # wanted of the operating point among the ill of hospitals left out
FALSE_ALARMS = 0.15  # allowed it among their healthy people, which goes before the sensitivity
MAX_FALSE_ALARMS = 0.20  # beyond, a finding is not shown
MIN_AUC = 0.70  # the lower bound of the AUC away from home; below, a finding is not shown
MIN_SPECIFICITY = 0.5  # at the threshold
MIN_ILL = 30  # images of a hospital's ill, for it to have a say in a threshold


def calibrate_rows(rows, finding):
    """Temperature and bias of one model, fitted at home, and the probabilities of all its rows by them, in place.

    Args:
        rows: of one run, `home` "yes" for validation patients of the hospitals it learned from.
    """
    home = [row for row in rows if row["home"] == "yes" and f"label_{finding}" in row]
    labels = np.array([row[f"label_{finding}"] for row in home])
    if len(np.unique(labels)) < 2:
        return None
    temperature, bias = fit_platt(np.array([row[f"logit_{finding}"] for row in home]), labels)
    for row in rows:
        row[f"probability_{finding}"] = float(sigmoid(row[f"logit_{finding}"] / temperature + bias))
    return temperature, bias


def away_rows(runs, finding):
    """Hospital left out → those of its rows that count.

    Children whom a run had no ill child to learn from are not assessed by its model, so they do not count; nor adults.

    runs: hospital left out → rows of that run, calibrated.
    """
    away = {}
    for hospital, rows in runs.items():
        taught = {row["age"] for row in rows if row["home"] == "yes" and row.get(f"label_{finding}") == 1}
        assessed = [row for row in rows if row["home"] == "no" and row["age"] in taught]
        away |= {hospital: assessed} if assessed else {}
    return away


def threshold_at(away, finding, sensitivity):
    """The largest probability at which the mean sensitivity over hospitals left out is reached; None without any ill.

    Each hospital with `MIN_ILL` ill counts as much as another.
    """
    ill = [
        [row[f"probability_{finding}"] for row in rows if row.get(f"label_{finding}") == 1] for rows in away.values()
    ]
    ill = [np.sort(scores) for scores in ill if len(scores) >= MIN_ILL]
    if not ill:
        return None
    candidates = np.unique(np.concatenate(ill))
    found = np.mean([1 - np.searchsorted(scores, candidates, side="left") / len(scores) for scores in ill], axis=0)
    return float(candidates[np.flatnonzero(found >= sensitivity)[-1]])


def threshold_of_alarms(away, finding, share):
    """The least probability from which, on average over hospitals, at most a `share` of the healthy is called.

    Returns:
        None where no hospital left out has `MIN_ILL` healthy people.
    """
    key = f"probability_{finding}"
    healthy = [[row[key] for row in rows if key in row and is_healthy(row)] for rows in away.values()]
    healthy = [np.sort(scores) for scores in healthy if len(scores) >= MIN_ILL]
    if not healthy:
        return None
    candidates = np.unique(np.concatenate(healthy))
    called = np.mean(
        [1 - np.searchsorted(scores, candidates, side="right") / len(scores) for scores in healthy], axis=0
    )
    return float(np.nextafter(candidates[np.flatnonzero(called <= share)[0]], 1))


def at_home(rows):
    return [row for row in rows if row["home"] == "yes"]


def home_threshold(runs, finding):
    """`threshold_at` at home, the runs' median: for a finding that no hospital left out has ill people of."""
    home = [{"home": at_home(rows)} for rows in runs.values()]
    thresholds = [threshold_at(of_run, finding, SENSITIVITY) for of_run in home]
    thresholds = [threshold for threshold in thresholds if threshold is not None]
    return float(np.median(thresholds)) if thresholds else None


def operating_point(rows_of_run, finding, dots=40):
    """Threshold and figures of one finding away from home.

    Args:
        rows_of_run: hospital left out → rows of the run without it, as `scoring.hospitals.read_rows` gives them.
        finding: its name.
        dots: how many scores of each hospital's healthy and ill are kept.

    Returns:
        dict: `rule_out_threshold`, from which 0.85 of the ill are found; `threshold`, the same or the higher one from
        which no more than 0.15 of the healthy are called, away and at home (between the two the answer is unclear);
        `hospitals` (hospital → `summarise_hospital`); and over them, each counting as much as another: `false_alarms`,
        `sensitivity`; `auc`, of the ill against the healthy in the worst hospital; `dots`, see `dot_strip`. None where
        no run learned the finding.
    """
    runs = {hospital: rows for hospital, rows in rows_of_run.items() if calibrate_rows(rows, finding)}
    away = away_rows(runs, finding)
    sensitive = threshold_at(away, finding, SENSITIVITY)
    sensitive = home_threshold(runs, finding) if sensitive is None else sensitive
    if sensitive is None:
        return None
    home = {hospital: at_home(rows) for hospital, rows in runs.items()}
    bounds = [threshold_of_alarms(people, finding, FALSE_ALARMS) or 0 for people in (away, home)]
    threshold = max(sensitive, *bounds)
    hospitals = {hospital: summarise_hospital(rows, finding, threshold) for hospital, rows in away.items()}
    hospitals = {hospital: figures for hospital, figures in hospitals.items() if figures}
    point = {
        "threshold": threshold,
        "rule_out_threshold": sensitive,
        "hospitals": hospitals,
        "dots": dot_strip(away, finding, dots),
    }
    for name, key in (("false_alarms", "called_healthy"), ("sensitivity", "found_ill")):
        values = [figures[key]["value"] for figures in hospitals.values() if key in figures]
        if values:
            point[name] = float(np.mean(values))
    aucs = [figures["auc"] for figures in hospitals.values() if "auc" in figures]
    if aucs:
        point["auc"] = min(aucs, key=lambda auc: auc["value"])
    return point


def is_shown(point, specificity, low):
    """The rule: what users are told of holds away from home.

    Args:
        point: as `operating_point` gives it.
        specificity: at its threshold, on validation patients of the hospitals learned from.
        low: lower end of the AUC's 95 % interval there, which counts where no hospital left out has both classes.

    Returns:
        whether the AUC's lower bound away from home lies above 0.70, false alarms among healthy people of hospitals
        left out are at most 0.20, and specificity is at least 0.50.
    """
    low = point["auc"]["interval"][0] if "auc" in point else low
    return low > MIN_AUC and point.get("false_alarms", 1) <= MAX_FALSE_ALARMS and specificity >= MIN_SPECIFICITY


def dot_strip(away, finding, dots, seed=0):
    """A few scores of each hospital left out, for people to compare an image with.

    Args:
        away: as `away_rows` gives it.

    Returns:
        hospital → {"healthy": sorted probabilities, "ill": …}, at most `dots` of each, rounded to three digits.
    """
    generator, strip = np.random.default_rng(seed), {}
    for hospital, rows in away.items():
        groups = {
            "healthy": [row for row in rows if is_healthy(row)],
            "ill": [row for row in rows if row.get(f"label_{finding}") == 1],
        }
        strip[hospital] = {}
        for name, members in groups.items():
            chosen = generator.permutation(len(members))[:dots]
            strip[hospital][name] = sorted(round(members[i][f"probability_{finding}"], 3) for i in chosen)
    return strip
