"""100 people as dots under a threshold that can be moved, from the scores of strangers that ship with a checkpoint."""

import json

from .render import render
from .score_strip import GROUPS, scores_by_place


def people_html(words, findings, evidence):
    """What people.js moves; empty where no finding has the scores of both healthy and ill people of one hospital.

    Args:
        words: `Words`.
        findings: name → threshold, of those that are told.
        evidence: `Evidence`, with the scores. What people of several hospitals were scored for comes first, and of
            that what is most often a false alarm: the lesson is that a model is wrong.
    """
    known = {name: scores for name in findings if (scores := scores_by_place(evidence[name]))}
    if not known:
        return ""
    rows = [
        {
            "name": name,
            "title": words.title(name),
            "threshold": findings[name],
            "scores": json.dumps({group: [groups[group] for groups in scores.values()] for group in GROUPS}),
            "where": words.joined(sorted(map(words.hospital, scores))),
        }
        for name, scores in sorted(known.items(), key=lambda one: (len(one[1]) < 2, -alarms(one[1], findings[one[0]])))
    ]
    return render("people.html", words=words, findings=rows)


def alarms(scores, threshold):
    """Share of healthy people who reach the threshold, in the hospital where most do."""
    return max(
        sum(score >= threshold for score in groups["healthy"]) / len(groups["healthy"]) for groups in scores.values()
    )
