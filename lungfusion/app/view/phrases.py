"""What an answer means, in sentences."""

import math

from ...analysis import LEVELS

TO_BE_SET_RIGHT = ("inverted", "not_upright")  # codes of warnings beside which no finding is asserted
GROUPS = ("child", "older_child", "adult")  # whom a radiograph may be of, as a visitor says it


def by_level(findings):
    """Level → its findings, the likeliest first; every level is there."""
    ordered = sorted(findings, key=lambda finding: -(finding.probability or 0))
    return {level: [finding for finding in ordered if finding.level == level] for level in LEVELS}


def headline(words, analysis):
    """What is said first.

    Returns:
        a title and the sentences below it; "" and none where the analysis has no findings.
    """
    if not analysis.findings:
        return "", []
    levels = by_level(analysis.findings)

    def said(key, level):
        return words(key, findings=words.listed([finding.name for finding in levels[level]]))

    if levels["detected"]:
        sentences = false_alarms(words, levels["detected"])
        sentences += [said("unclear", "unclear")] if levels["unclear"] else []
        return said("detected", "detected"), sentences
    if levels["unclear"]:
        return said("unclear", "unclear"), [words("about_unclear")]
    return words("none_detected" if levels["not_detected"] else "none_assessed"), []


def false_alarms(words, findings):
    """How often each of them is named without reason in hospitals the model did not learn from."""
    numbers = {words.finding(finding.name): away_false_alarms(finding) for finding in findings}
    known = {name: number for name, number in numbers.items() if number is not None}
    if not known:
        return [words("away_unknown")]
    if len(known) > 1:
        counts = words.joined([f"{name} {number}" for name, number in known.items()])
        return [words("away_false_alarms_each", counts=counts)]
    return [words("away_false_alarms", finding=name, number=number) for name, number in known.items()]


def away_false_alarms(finding):
    """Of 100 healthy people of other hospitals, at least 1: none of a few hundred is not never. None: not measured."""
    worst = finding.evidence.worst_false_alarms()
    return None if worst is None else max(1, math.ceil(round(100 * worst[1].value, 6)))


def away_found(words, finding):
    """How many with it are found in hospitals the model did not learn from, in a sentence; empty where not measured."""
    worst = finding.evidence.worst_found()
    return "" if worst is None else words("away_found", number=of_100(worst[1].value))


def to_be_set_right(analysis):
    """Whether the radiograph should be turned or inverted first, and the page can do so."""
    return any(warning.code in TO_BE_SET_RIGHT for warning in analysis.warnings)


def age_group(years):
    """One of `GROUPS`; None where the age is not known."""
    if years is None:
        return None
    return "child" if years < 6 else "older_child" if years < 18 else "adult"


def population(words, finding):
    """Whom a finding was learned on, in a sentence; empty where that is not known."""
    if finding.population:
        return words("population_" + "_".join(sorted(finding.population, reverse=True)))
    return words("learned_from", source=source(finding)) if finding.evidence.sources else ""


def source(finding):
    """The data that a finding was learned from."""
    return "; ".join(finding.evidence.sources)


def percentage(words, share):
    """A share in whole percents, never 0 or 100: "under 1%" or "over 99%"."""
    if not 0.005 <= share < 0.995:
        key, number = ("under", 1) if share < 0.5 else ("over", 99)
        return words(key, share=words("percent", number=number))
    return words("percent", number=round(100 * share))


def change(words, before, after):
    """How many percentage points more or fewer, as whole percents are shown; empty where one is not known."""
    if before is None or after is None:
        return ""
    points = round(100 * after) - round(100 * before)
    return words("points", number=f"{'+' if points > 0 else '−' if points < 0 else '±'}{abs(points)}")


def mistakes(words, finding):
    """How often what is said of a finding is wrong: how many it misses, or how many it names without reason."""
    share = finding.evidence.home.get("specificity" if finding.detected else "sensitivity")
    if share is None:
        return words("mistakes_unknown")
    return words("false_alarms" if finding.detected else "misses", number=100 - of_100(share))


def reliability(words, finding):
    """How often the model was right about a finding, and on whom that was measured."""
    home = finding.evidence.home
    if "sensitivity" not in home or "specificity" not in home:
        return words("mistakes_unknown")
    found, passed = of_100(home["sensitivity"]), of_100(home["specificity"])
    of_whom = words("measured_on", source=source(finding)) if finding.evidence.sources else words("measured")
    return f"{words('reliability', found=found, passed=passed)} {of_whom}"


def of_100(share):
    """A share as a whole number of 100, rounded down: nothing but 1 is 100."""
    return int(round(100 * share, 6))
