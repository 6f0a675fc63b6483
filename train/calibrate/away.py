"""Operating points for strangers, chosen over hospitals that training left out, each judged by a model without it.

Probabilities of two trainings do not compare: one may say 0.4 where another says 0.1. So a threshold is handed on as a
share of the healthy people at home, of whom every model knows what it says.
"""

import numpy as np

from train.scoring.hospitals import is_healthy, summarise_hospital
from train.scoring.metrics import CERTAIN, finite_logit, fit_platt, sigmoid

FALSE_ALARMS = 0.10  # allowed among the healthy of each data set at home, and of each hospital left out
UNTRIED_FALSE_ALARMS = 0.03  # at home, of a finding that no hospital left out has ill people of
SENSITIVITY = 0.85  # among the ill of hospitals left out, from which on the answer is at least "unclear"
MAX_FALSE_ALARMS = 0.20  # beyond, a finding is not shown
MIN_AUC = 0.70  # the lower bound of the AUC away from home; below, a finding is not shown
MIN_SPECIFICITY = 0.5  # at the threshold
MIN_PEOPLE = 30  # images of a hospital's ill, or of a source's healthy, for them to have a say in a threshold
SHARES = [n / 100 for n in range(1, 51)]  # of the healthy at home, out of which a threshold's is chosen


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


def healthy_scores(rows, finding):
    """Source → probabilities of its healthy people, where there are `MIN_PEOPLE` of them.

    A hospital's data sets count each for itself: a small one of fine pictures would drown in a large coarse one.
    """
    scores, key = {}, f"probability_{finding}"
    for row in rows:
        if row.get(key) is not None and is_healthy(row):
            scores.setdefault(row["source"], []).append(row[key])
    return {source: np.array(found) for source, found in scores.items() if len(found) >= MIN_PEOPLE}


def threshold_of_alarms(scores, share):
    """The least probability from which in no data set more than a `share` of the people is called.

    scores: source → (N,) probabilities, as `healthy_scores` gives them.
    """
    highest = [np.sort(found)[-1 - int(share * len(found) + 1e-9)] for found in scores.values()]
    return float(np.clip(np.nextafter(max(highest), 1), CERTAIN, 1 - CERTAIN))


def found_among_ill(away, finding, thresholds):
    """The mean sensitivity over hospitals with `MIN_PEOPLE` ill, each at the threshold of its run; None without any."""
    ill = {
        hospital: [row[f"probability_{finding}"] for row in rows if row.get(f"label_{finding}") == 1]
        for hospital, rows in away.items()
    }
    found = [
        np.mean(np.array(scores) >= thresholds[hospital])
        for hospital, scores in ill.items()
        if len(scores) >= MIN_PEOPLE
    ]
    return float(np.mean(found)) if found else None


def choose_shares(home, away, people, finding):
    """The shares of the healthy at home that may be called: detected, and at least unclear.

    Args:
        home: hospital left out → `healthy_scores` at home of the run without it.
        away: hospital left out → `healthy_scores` of it, where it has enough.
        people: hospital left out → its rows that count.
        finding: its name.
    """
    thresholds = {share: thresholds_of(home, share) for share in SHARES}
    found = {share: found_among_ill(people, finding, thresholds[share]) for share in SHARES}
    allowed = UNTRIED_FALSE_ALARMS if found[SHARES[0]] is None else FALSE_ALARMS
    share = SHARES[0]
    for larger in [one for one in SHARES if one <= allowed]:
        alarms = [np.mean(scores >= thresholds[larger][h]) for h, scores in away.items()]
        if max(alarms, default=0) > FALSE_ALARMS:
            break
        share = larger
    sensitive = [larger for larger in SHARES if (found[larger] or 0) >= SENSITIVITY]
    unclear = sensitive[0] if sensitive else 2 * share if found[share] is None else SHARES[-1]
    return share, max(share, unclear)


def thresholds_of(home, share):
    """Hospital left out → threshold of the run without it."""
    return {hospital: threshold_of_alarms(scores, share) for hospital, scores in home.items()}


def operating_point(rows_of_run, finding, dots=40):
    """What a finding's threshold is to be, and its figures away from home.

    Args:
        rows_of_run: hospital left out → rows of the run without it, as `train.io.read_rows` gives them.
        finding: its name.
        dots: how many scores of each hospital's healthy and ill are kept.

    Returns:
        dict: `share`, of the healthy at home who may be called, at most 0.10 in each data set: the largest one at which
        no more than 0.10 are called in any hospital left out, either, and at most 0.03 if none of them has ill people;
        `rule_out_share`, the larger one at which 0.85 of the ill of hospitals left out are found (between the two the
        answer is unclear); `hospitals` (hospital → `summarise_hospital`); and over them, each counting as much as
        another: `false_alarms`, `sensitivity`; `auc`, of the ill against the healthy in the worst hospital; `dots`, see
        `dot_strip`. None where no run learned the finding, or knows `MIN_PEOPLE` healthy people of a hospital.
    """
    runs = {hospital: rows for hospital, rows in rows_of_run.items() if calibrate_rows(rows, finding)}
    home = {hospital: healthy_scores(at_home(rows), finding) for hospital, rows in runs.items()}
    if not runs or not all(home.values()):
        return None
    people = away_rows(runs, finding)
    healthy = {hospital: healthy_scores(rows, finding) for hospital, rows in people.items()}
    away = {hospital: np.concatenate(list(scores.values())) for hospital, scores in healthy.items() if scores}
    share, rule_out_share = choose_shares(home, away, people, finding)
    thresholds = thresholds_of(home, share)
    hospitals = {hospital: summarise_hospital(rows, finding, thresholds[hospital]) for hospital, rows in people.items()}
    hospitals = {hospital: figures for hospital, figures in hospitals.items() if figures}
    point = {
        "share": share,
        "rule_out_share": rule_out_share,
        "hospitals": hospitals,
        "dots": dot_strip(people, finding, thresholds, dots),
    }
    for name, key in (("false_alarms", "called_healthy"), ("sensitivity", "found_ill")):
        values = [figures[key]["value"] for figures in hospitals.values() if key in figures]
        if values:
            point[name] = float(np.mean(values))
    aucs = [figures["auc"] for figures in hospitals.values() if "auc" in figures]
    if aucs:
        point["auc"] = min(aucs, key=lambda auc: auc["value"])
    return point


def at_home(rows):
    return [row for row in rows if row["home"] == "yes"]


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


def dot_strip(away, finding, thresholds, dots):
    """A few scores of each hospital left out, for people to compare an image with.

    Args:
        away: as `away_rows` gives it.
        thresholds: hospital → threshold of the run without it.

    Returns:
        hospital → {"healthy": sorted scores, "ill": …}, at most `dots` of each, of ranks evenly apart, so that the same
        share lies above the threshold. A score is how far a logit lies above the threshold's, so that it can be set
        beside another model's.
    """
    strip = {}
    for hospital, rows in away.items():
        groups = {
            "healthy": [row for row in rows if is_healthy(row)],
            "ill": [row for row in rows if row.get(f"label_{finding}") == 1],
        }
        strip[hospital] = {}
        for name, members in groups.items():
            scores = np.sort([row[f"probability_{finding}"] for row in members])
            count = min(dots, len(scores))
            ranks = ((np.arange(count) + 0.5) / max(count, 1) * len(scores)).astype(int)
            above = finite_logit(scores[ranks]) - finite_logit(thresholds[hospital])
            strip[hospital][name] = np.round(above, 3).tolist()
    return strip
