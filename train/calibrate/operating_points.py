"""Operating points for strangers, chosen over hospitals that training left out, each judged by a model without it.

Probabilities of two trainings do not compare: one may say 0.4 where another says 0.1. So a threshold is handed on as a
share of the healthy people at home, of whom every model knows what it says. What is quoted of a hospital was measured
at the share that is chosen without that hospital.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from lungfusion.evidence import FIGURES, GROUPS, Place, Share
from train.scoring.hospitals import group_of, heed_rivals, is_healthy, score_of, summarise_hospital
from train.scoring.metrics import CERTAIN, finite_logit, fit_platt, sigmoid

FALSE_ALARMS = {"healthy": 0.05, "otherwise_ill": 0.25}  # allowed among those people of each hospital left out
ANYTHING = 0.10  # of the healthy people of all hospitals left out, who may be told of any finding
# Allowed among the healthy of each data set at home, the second of a finding that no hospital left out has tried:
# the first line that keeps to ANYTHING.
# In hospitals that version 0.2.0 never saw, twice as many were called as the 0.10 it allowed itself at home.
HOME_FALSE_ALARMS = [
    (0.05, 0.03),
    (0.05, 0.02),
    (0.05, 0.01),
    (0.03, 0.01),
    (0.02, 0.01),
    (0.01, 0.01),
]
SENSITIVITY = 0.85  # among the ill of hospitals left out, from which on the answer is at least "unclear"
MAX_FALSE_ALARMS = 0.20  # among the healthy of the worst hospital; beyond, a finding is not shown
MIN_FOUND = 0.30  # among the ill of the worst hospital; below, a finding is not worth a row
MIN_AUC = 0.70  # the lower bound of the AUC in the worst hospital; below, a finding is not shown
MIN_SPECIFICITY = 0.5  # at the threshold
MIN_PEOPLE = 30  # images of a hospital's group, or of a source's healthy, for them to have a say in a threshold
SHARES = [n / 100 for n in range(1, 51)]  # of the healthy at home, out of which a threshold's is chosen
SCORES = 100  # of each hospital's groups, kept for people to compare an image with


def operating_points(rows_of_run, findings, rivals=None, never_told=()):
    """What each finding's threshold is to be, and its figures away from home.

    Args:
        rows_of_run: hospital left out → rows of the run without it, as `scoring.hospitals.score_with_model` gives them;
            `home` says of each whether it is of a hospital learned from ("yes"), of this one ("no"), or of another that
            the run left out, too ("beside").
        findings: names.
        rivals: finding → names of those beside which it counts as detected only where it fits at least as well.
        never_told: those of which no healthy person can be told.

    Returns:
        finding → dict: `share`, of the healthy at home who may be called: the largest one, up to 0.05 in each data set,
        at which, in any hospital left out, no more than 0.05 of the healthy are called, nor than 0.25 of those ill with
        something else; up to 0.03 if none of them has people who are ill; and fewer for all findings alike, if else
        more than 0.10 of the healthy people of all hospitals left out, or of the healthy adults at home, are told of
        anything. `rule_out_share`, the larger one at
        which 0.85 of the ill of hospitals left out are found: between the two the answer is unclear. `hospitals`,
        hospital → `summarise_hospital` at the share chosen without it. `scores`, hospital → group → some people's
        scores, see `some_scores`; `alarms`, hospital → positions of its healthy people who are called, among its rows
        that are of healthy people. A finding that no run learned, or of which a run knows too few healthy people at
        home, is not in it.
    """
    runs = {hospital: [dict(row) for row in rows] for hospital, rows in rows_of_run.items()}
    learned = {
        finding: [hospital for hospital, rows in runs.items() if calibrate_rows(rows, finding)] for finding in findings
    }
    for rows in runs.values():
        heed_rivals(rows, rivals or {})
    runs_of = {finding: {hospital: runs[hospital] for hospital in learned[finding]} for finding in findings}
    runs_of = {finding: of_finding for finding, of_finding in runs_of.items() if knows_healthy(of_finding, finding)}
    for allowed in HOME_FALSE_ALARMS:
        points = {finding: operating_point(of_finding, finding, *allowed) for finding, of_finding in runs_of.items()}
        told = [point["alarms"] for finding, point in points.items() if finding not in never_told]
        told_at_home = told_of_any_at_home(points, [name for name in points if name not in never_told], runs)
        if max(told_of_any(told, runs), told_at_home) <= ANYTHING:
            break
    for finding, point in points.items():
        for hospital, rows in away_rows(runs_of[finding], finding).items():
            beside = [row for row in runs[hospital] if row["home"] == "beside"]
            threshold = point["thresholds"][hospital]
            if figures := summarise_hospital(rows, finding, threshold, beside):
                point["hospitals"][hospital] = figures
                point["scores"][hospital] = some_scores(scores_by_group(rows, finding), threshold)
    return points


def knows_healthy(runs, finding):
    """Whether there are runs, each of which knows `MIN_PEOPLE` healthy people of a data set at home."""
    return bool(runs) and all(healthy_scores(at_home(rows), finding) for rows in runs.values())


def told_of_any(alarms, runs):
    """The share of the healthy people of all hospitals left out of whom a finding is detected.

    Args:
        alarms: of each finding, hospital → positions of those who are called, as `operating_points` has them.
        runs: hospital left out → rows of its run.
    """
    hospitals = {hospital for of_finding in alarms for hospital in of_finding}
    told = sum(len(set().union(*(of_finding.get(hospital, ()) for of_finding in alarms))) for hospital in hospitals)
    people = sum(row["home"] == "no" and is_healthy(row) for hospital in hospitals for row in runs[hospital])
    return told / max(people, 1)


def told_of_any_at_home(points, findings, runs):
    """The share of the healthy adults at home, in the run where it is largest, of whom a finding is detected.

    points: finding → its operating point; findings: names of those that may be told.
    """
    shares = [0.0]
    for hospital, rows in runs.items():
        thresholds = {name: points[name]["thresholds"].get(hospital, np.inf) for name in findings}
        healthy = [row for row in at_home(rows) if is_healthy(row) and row.get("age") == "adult"]
        told = [any(score_of(row, name) >= limit for name, limit in thresholds.items()) for row in healthy]
        shares.append(float(np.mean(told)) if told else 0.0)
    return max(shares)


def operating_point(runs, finding, most, most_untried):
    """One finding: its shares, and at them, in each hospital left out, its threshold and whom it calls.

    Args:
        runs: hospital left out → rows, calibrated.
        most, most_untried: of the healthy of each data set at home who may be called, the latter where no hospital left
            out has tried it.
    """
    home = {hospital: healthy_scores(at_home(rows), finding) for hospital, rows in runs.items()}
    people = away_rows(runs, finding)
    away = {hospital: scores_by_group(rows, finding) for hospital, rows in people.items()}
    untried = is_untried(away)
    most = most_untried if untried else most
    share, rule_out_share = choose_shares(home, away, untried, most)
    point = {"share": share, "rule_out_share": rule_out_share, "hospitals": {}, "scores": {}}
    point |= {"thresholds": {}, "alarms": {}}
    for hospital, rows in people.items():
        others = {name: groups for name, groups in away.items() if name != hospital}
        threshold = threshold_of_alarms(home[hospital], choose_shares(home, others, untried, most)[0])
        healthy = [row for row in rows if is_healthy(row)]
        point["thresholds"][hospital] = threshold
        point["alarms"][hospital] = [n for n, row in enumerate(healthy) if score_of(row, finding) >= threshold]
    return point


def calibrate_rows(rows, finding):
    """Fit temperature and bias of one run at home, and give all its rows their probabilities by them.

    Args:
        rows: of one run, `home` "yes" for validation patients of the hospitals it learned from.

    Returns:
        whether the run learned the finding: it has patients at home with it and without.
    """
    home = [row for row in rows if row["home"] == "yes" and f"label_{finding}" in row]
    labels = np.array([row[f"label_{finding}"] for row in home])
    if len(np.unique(labels)) < 2:
        return False
    temperature, bias = fit_platt(np.array([row[f"logit_{finding}"] for row in home]), labels)
    for row in rows:
        row[f"probability_{finding}"] = float(sigmoid(row[f"logit_{finding}"] / temperature + bias))
    return True


def at_home(rows):
    return [row for row in rows if row["home"] == "yes"]


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


def scores_by_group(rows, finding):
    """Group (of `evidence.GROUPS`) → (N,) sorted scores."""
    scores = {group: [] for group in GROUPS}
    for row in rows:
        if f"label_{finding}" in row:
            scores[group_of(row, finding)].append(score_of(row, finding))
    return {group: np.sort(found) for group, found in scores.items()}


def healthy_scores(rows, finding):
    """Source → scores of its healthy people, where there are `MIN_PEOPLE` of them.

    A hospital's data sets count each for itself: a small one of fine pictures would drown in a large coarse one.
    """
    scores = {}
    for row in rows:
        if row.get(f"probability_{finding}") is not None and is_healthy(row):
            scores.setdefault(row["source"], []).append(score_of(row, finding))
    return {source: np.array(found) for source, found in scores.items() if len(found) >= MIN_PEOPLE}


def threshold_of_alarms(scores, share):
    """The least probability from which in no data set more than a `share` of the people is called.

    scores: source → (N,) probabilities, as `healthy_scores` gives them.
    """
    highest = [np.sort(found)[-1 - int(share * len(found) + 1e-9)] for found in scores.values()]
    return float(np.clip(np.nextafter(max(highest), 1), CERTAIN, 1 - CERTAIN))


def is_untried(away):
    """Whether no hospital left out has `MIN_PEOPLE` who are ill with it, or with something else that could be it."""
    return not any(len(groups[group]) >= MIN_PEOPLE for groups in away.values() for group in ("ill", "otherwise_ill"))


def choose_shares(home, away, untried, most):
    """The shares of the healthy at home that may be called: detected, and at least unclear.

    Args:
        home: hospital left out → `healthy_scores` at home of the run without it.
        away: hospital left out → `scores_by_group` of it.
        untried: `is_untried`, of more hospitals than `away` perhaps.
        most: the largest share for what is detected.
    """
    thresholds = {share: {name: threshold_of_alarms(home[name], share) for name in away} for share in SHARES}

    def called(share, group):
        """Of each hospital with enough people in a group, how large a part is called."""
        return [
            np.mean(groups[group] >= thresholds[share][name])
            for name, groups in away.items()
            if len(groups[group]) >= MIN_PEOPLE
        ]

    def too_many(share):
        return any(part > allowed for group, allowed in FALSE_ALARMS.items() for part in called(share, group))

    share = SHARES[0]
    for larger in [one for one in SHARES if one <= most]:
        if too_many(larger):
            break
        share = larger
    if untried or not called(share, "ill"):
        return share, 2 * share
    sensitive = [one for one in SHARES if np.mean(called(one, "ill")) >= SENSITIVITY]
    return share, max(share, sensitive[0] if sensitive else SHARES[-1])


def some_scores(groups, threshold):
    """A few scores of a hospital's people, for people to compare an image with.

    Args:
        groups: as `scores_by_group` gives them.
        threshold: of the run without the hospital.

    Returns:
        group → list, at most `SCORES`, sorted, of ranks evenly apart, so that the same share lies above the threshold.
        Each is how far a logit lies above the threshold's, so that it can be set beside another model's.
    """
    above = {name: finite_logit(some(scores)) - finite_logit(threshold) for name, scores in groups.items()}
    return {name: np.round(of_group, 3).tolist() for name, of_group in above.items()}


def some(scores):
    """At most `SCORES` of (N,) sorted scores, of ranks evenly apart."""
    count = min(SCORES, len(scores))
    return scores[((np.arange(count) + 0.5) / max(count, 1) * len(scores)).astype(int)]


def worst(point, figure):
    """Of the hospitals of an operating point that one's figure is worst in, as `summarise_hospital` gives it; None."""
    figures = [of_hospital[figure] for of_hospital in point["hospitals"].values() if figure in of_hospital]
    pick = max if figure.startswith("called") else min
    return pick(figures, key=lambda one: one["value"], default=None)


def is_shown(point, specificity, low):
    """The rule: what users are told of holds away from home, in the worst hospital of those left out.

    Args:
        point: as `operating_points` gives it.
        specificity: at its threshold, on validation patients of the hospitals learned from.
        low: lower end of the AUC's 95 % interval there, which counts where no hospital left out has both classes.

    Returns:
        whether the AUC's lower bound lies above 0.70, at most 0.20 of the healthy people of a hospital left out are
        called, and at most 0.25 of the otherwise ill, at least 0.30 of the ill are found where there are any, and
        specificity is at least 0.50.
    """
    auc, alarms, found = (worst(point, figure) for figure in ("auc_healthy", "called_healthy", "found"))
    mistaken = worst(point, "called_otherwise_ill")
    low = auc["interval"][0] if auc else low
    few_alarms = alarms is not None and alarms["value"] <= MAX_FALSE_ALARMS
    worth_a_row = found is None or found["value"] >= MIN_FOUND
    tells_apart = mistaken is None or mistaken["value"] <= FALSE_ALARMS["otherwise_ill"]
    return low > MIN_AUC and few_alarms and tells_apart and worth_a_row and specificity >= MIN_SPECIFICITY


def read_points(recipe):
    """finding → operating point for strangers, from the recipe's `away` (hospitals.json); {} where there is none."""
    return json.loads(Path(recipe["away"]).read_text()) if recipe.get("away") else {}


def copy_tables(recipe, output):
    """Put the table of hospitals left out into a run's folder, for its card."""
    if recipe.get("away"):
        for path in Path(recipe["away"]).parent.glob("hospitals.*"):
            shutil.copy(path, output)


def with_thresholds(finding, point, healthy):
    """`FindingConfig` with the thresholds of an operating point.

    Args:
        finding: `FindingConfig`, calibrated.
        point: as `operating_points` gives it.
        healthy: what this model says of healthy validation patients, as `healthy_scores` gives it.

    Raises:
        ValueError: there are none.
    """
    if not healthy:
        raise ValueError(f"Thresholds are taken from healthy people: validate on {MIN_PEOPLE} of a data set.")
    threshold = threshold_of_alarms(healthy, point["share"])
    rule_out = min(threshold, threshold_of_alarms(healthy, point["rule_out_share"]))
    return replace(finding, threshold=threshold, rule_out_threshold=rule_out)


def places_of(point, threshold):
    """Hospital left out → `Place`, of an operating point, its scores set beside this model's threshold."""
    return {
        hospital: place_of(
            figures,
            {
                group: tuple(np.round(sigmoid(finite_logit(threshold) + np.array(above)), 3).tolist())
                for group, above in point["scores"][hospital].items()
                if above
            },
        )
        for hospital, figures in point["hospitals"].items()
    }


def place_of(figures, scores):
    """`Place` of figures by its names, each {"value", "interval", "images"}."""
    return Place(**{name: share_of(figures[name]) for name in FIGURES if name in figures}, scores=scores)


def share_of(figure):
    """{"value", "interval", "images"} → `Share`."""
    return Share(figure["value"], *figure["interval"], figure["images"])


def told_of_anything(points):
    """Hospital left out → `Share` of its healthy people of whom any of several findings is detected.

    points: of the findings shown, each as `operating_points` gives it.
    """
    alarms, people = {}, {}
    for point in points:
        for hospital, positions in point["alarms"].items():
            if "called_healthy" in point["hospitals"].get(hospital, ()):
                alarms.setdefault(hospital, set()).update(positions)
                people[hospital] = max(
                    people.get(hospital, 0), point["hospitals"][hospital]["called_healthy"]["images"]
                )
    return {hospital: Share.of(len(alarms[hospital]), count) for hospital, count in people.items()}
