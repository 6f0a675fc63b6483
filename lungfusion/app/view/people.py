"""100 people as dots under a threshold that can be moved, from the scores of strangers that ship with a checkpoint."""

import json

from .render import render
from .score_strip import GROUPS, MIN_DOTS, reference_scores


def people_html(words, config, evidence):
    """What people.js moves; empty where no finding has the scores of both healthy and ill people.

    Args:
        words: `Words`.
        config: `LungFusionConfig`, of which the findings that are shown and their thresholds are told.
        evidence: `Evidence`, with the scores.
    """
    scores = reference_scores(evidence)
    known = {name: hospitals_of(scores.get(name, {})) for name in config.shown}
    known = {name: groups for name, groups in known.items() if all(groups[group] for group in GROUPS)}
    if not known:
        return ""
    findings = [
        {
            "name": name,
            "title": words.title(name),
            "threshold": config.findings[name].threshold,
            "scores": json.dumps(groups),
            "where": words.joined(sorted(map(words.hospital, asked(scores[name])))),
        }
        for name, groups in known.items()
    ]
    return render("people.html", words=words, findings=findings)


def asked(scores):
    """The hospitals with enough scores of healthy or of ill people."""
    return [name for name, groups in scores.items() if any(len(groups.get(group, ())) >= MIN_DOTS for group in GROUPS)]


def hospitals_of(scores):
    """hospital → group → probabilities, as group → list of each hospital's, of those with enough."""
    return {
        group: [groups[group] for groups in scores.values() if len(groups.get(group, ())) >= MIN_DOTS]
        for group in GROUPS
    }
