"""What an answer means, in sentences."""

import math
from dataclasses import replace
from operator import itemgetter

from ...analysis import LEVELS
from ...evidence import HELD_BACK

TO_BE_SET_RIGHT = ("inverted", "not_upright")  # codes of warnings beside which no finding is asserted
GROUPS = ("child", "older_child", "adult")  # whom a radiograph may be of, as a visitor says it
FEWEST = 100  # people from whom a sentence may speak
LEAST = 0.002  # probabilities beyond this and its counterpart are as far as can be
MANY_MISSED = 0.5  # share of a finding's people from which it is said to be overlooked


def by_level(findings):
    """Level → its findings, first those farthest above their threshold; every level is there."""
    ordered = sorted(findings, key=above_threshold, reverse=True)
    return {level: [finding for finding in ordered if finding.level == level] for level in LEVELS}


def above_threshold(finding):
    """How far a finding lies above its threshold, in steps of log odds; below all others where it is not judged."""
    if finding.probability is None:
        return -math.inf
    return log_odds(finding.probability) - log_odds(finding.threshold)


def log_odds(probability):
    share = min(max(probability, LEAST), 1 - LEAST)
    return math.log(share / (1 - share))


def headline(words, analysis, anything=None):
    """What is said first.

    Args:
        words: `Words`.
        analysis: `Analysis`.
        anything: hospital → `Share` of its healthy people who are told of any finding; may be empty.

    Returns:
        a title, the sentences below it, what to do now, and what is worth to be known beside it (sentences); "", none,
        "" and none where the analysis has no findings.
    """
    if not analysis.findings:
        return "", [], "", []
    levels = by_level(analysis.findings)
    hidden = [finding for finding in levels["unclear"] if is_hidden(finding)]
    levels["unclear"] = [finding for finding in levels["unclear"] if not is_hidden(finding)]

    def said(key, findings):
        return words(key, findings=words.listed([finding.name for finding in findings]))

    detected, unclear = levels["detected"], levels["unclear"]
    if detected:
        sentences = false_alarms(words, detected, anything or {}) + ([said("unclear", unclear)] if unclear else [])
        return said("detected", detected), sentences, words("now_detected"), together(words, levels)
    judged = [*levels["not_detected"], *hidden]
    limits = [*not_judged(words, levels["not_assessed"], [*unclear, *judged]), *overlooked(words, judged)]
    if unclear:
        return (
            said("unclear", unclear),
            [words("about_unclear"), *limits],
            words("now_unclear"),
            together(words, levels),
        )
    if judged:
        title = words("none_detected_seen" if hidden else "none_detected")
        return title, limits, words("now_nothing"), []
    return words("none_assessed"), [], words("now_not_assessed"), []


def is_hidden(finding):
    """Whether a finding is unclear for no other reason than that a part of the lungs can't be seen."""
    return finding.level == "unclear" and replace(finding, hidden_by=None).level == "not_detected"


def not_judged(words, findings, judged):
    """What was not judged, in a sentence; where that is most, what was; a list of one or none."""
    if not findings or not judged:
        return []
    if len(findings) > len(judged):
        return [words("only_judged", findings=words.listed([finding.name for finding in judged]))]
    names, reason = words.listed([finding.name for finding in findings]), words(f"reason_{findings[0].reason}")
    return [words("not_assessed", findings=names, reason=reason)]


def together(words, levels):
    """Findings that one shadow sets off, told together; and where what is detected lies, or that nobody can say."""
    notes, detected = [], levels["detected"]
    alike = [finding for finding in levels["unclear"] if fits_another(finding, levels)]
    for best in dict.fromkeys(finding.better_fit for finding in alike):
        names = [best, *(finding.name for finding in alike if finding.better_fit == best)]
        notes.append(words("looks_alike", findings=words.listed(names), best=words.finding(best)))
    if len(detected) > 1:
        notes.append(words("one_shadow"))
    return notes


def fits_another(finding, levels):
    """Whether another name is worth telling: one that is named itself, or for whose sake this one is not."""
    named = {one.name for level in ("detected", "unclear") for one in levels[level]}
    return finding.better_fit and (finding.better_fit in named or finding.probability >= finding.threshold)


def where(words, detected, mapped):
    """Where findings lie, a sentence each kind: in rings, in a map, or nowhere.

    Args:
        detected: findings.
        mapped: names of those that have a heat map.
    """
    kinds = {"where_rings": [], "where_map": [], "where_unknown": []}
    for finding in detected:
        key = "where_rings" if finding.places else "where_map" if finding.name in mapped else "where_unknown"
        kinds[key].append(finding.name)
    return [words(key, findings=words.listed(names)) for key, names in kinds.items() if names]


def false_alarms(words, findings, anything):
    """How often each of them, where that is most often, and anything at all is named without reason among healthy
    people whom the model never saw; a list of one paragraph.
    """
    by_place, counted, unknown = {}, {}, []  # hospital → what is seen in how many of 100; how many were counted there
    for finding in findings:
        measured = enough(finding, "called_healthy")
        if not measured:
            unknown.append(finding.name)
            continue
        place, share = words.place(measured[0][0]), measured[0][1]
        told = words("seen_in", finding=words.finding(finding.name), number=at_least_one(share.value))
        by_place.setdefault(place, []).append(told)
        counted[place] = min(share.n, counted.get(place, share.n))
    sentences = []
    for place, counts in by_place.items():
        key = "false_alarms_too" if sentences else "false_alarms_in"
        sentences.append(words(key, place=place, n=counted[place], counts=words.joined(counts)))
    if sentences:
        sentences.append(words("elsewhere_more"))
    if unknown:
        sentences.append(words("false_alarms_unknown", findings=words.listed(unknown)))
    of_any = [(name, share) for name, share in anything.items() if share.n >= FEWEST]
    if of_any:
        of_any.sort(key=lambda one: one[1].value, reverse=True)
        sentences.append(words("anything", counts=told_by_place(words, of_any)))
    return [" ".join(sentences)]


def told_by_place(words, shares):
    """Where it is worst, and where it is best: 13 (Oak; 120 people) and 3 (Elm; 404 people)."""
    ends = shares if len(shares) < 3 else [shares[0], shares[-1]]
    return words.joined([people(words, name, share, at_least_one) for name, share in ends])


def overlooked(words, findings):
    """Of what was not detected, what is missed most: of 100 people with it, as many; elsewhere, or where it learned."""
    missed = [(1 - share, finding.name, where) for finding in findings for share, where in found_share(words, finding)]
    worst = sorted(missed, key=lambda one: one[0], reverse=True)[:3]
    worst = [one for one in worst if one[0] >= MANY_MISSED] or worst[:1]
    if not worst:
        return [words("overlooks_unknown")] if findings else []
    counts = [
        words("missed_in" if where else "missed_of", number=at_least_one(share), finding=words.finding(name), **where)
        for share, name, where in worst
    ]
    key = "overlooks" if any(where for _, _, where in worst) else "overlooks_home"
    return [words(key, counts=words.joined(counts))]


def found_share(words, finding):
    """[(the least share of its people who are found, and of a hospital left out its name and how many were counted)];
    or none.
    """
    measured = enough(finding, "found")
    if measured:
        place, share = measured[0]
        away = not place.endswith(HELD_BACK)
        return [(share.value, {"place": words.hospital(place), "n": share.n} if away else {})]
    home = finding.evidence.home.get("sensitivity")
    return [] if home is None else [(home, {})]


def not_looked_for(words, findings):
    """What the model does not look for, though many would think it does; in a sentence."""
    told = {finding.name for finding in findings}
    names = [words.finding("pneumothorax")] if "pneumothorax" not in told else []
    return words("not_looked_for", findings=words.joined([*names, words("other_fractures"), words("other_tubes")]))


def enough(finding, figure):
    """[(hospital, `Share`)] of a figure, worst first, of at least `FEWEST` people each."""
    return [(name, share) for name, share in finding.evidence.measured(figure) if share.n >= FEWEST]


def people(words, place, share, number):
    """A share as people: "3 in Pakistan (404 people)"."""
    return words("count_in_place", number=number(share.value), place=words.hospital(place), n=share.n)


def figures(words, finding):
    """What was measured of a finding: rows of {"of", "said"}, a line for each hospital, the worst
    first, then where it was learned.
    """
    rows = [
        {
            "of": words(f"figure_{figure}"),
            "said": [figure_words(words, place, share, number) for place, share in enough(finding, figure)],
        }
        for figure, number in FIGURES.items()
    ]
    return [*filter(itemgetter("said"), rows), {"of": words("figure_home"), "said": [reliability(words, finding)]}]


def figure_words(words, place, share, number):
    """A share of a hospital's people with its interval: "Pakistan: 3 of 100 (1 to 5), 404 people"."""
    ends = {"low": int(100 * share.low), "high": math.ceil(100 * share.high)}
    return words("figure", place=words.hospital(place), number=number(share.value), n=share.n, **ends)


def main_figure(words, finding):
    """The figure that matters most for what is said of a finding, the worst of it: how often it is a false alarm, or of
    what is not detected how many are found.
    """
    figure, number = ("found", of_100) if finding.level == "not_detected" else ("called_healthy", at_least_one)
    measured = enough(finding, figure)
    if not measured:
        return reliability(words, finding, of_whom=False)
    return f"{words(f'figure_{figure}')}: {figure_words(words, *measured[0], number)}"


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
    sources = finding.evidence.sources
    return words("learned_from", source="; ".join(sources)) if sources else ""


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


def reliability(words, finding, of_whom=True):
    """How often the model was right about a finding where it learned, and on whom that was measured."""
    home = finding.evidence.home
    if "sensitivity" not in home or "specificity" not in home:
        return words("mistakes_unknown")
    found, passed, sources = of_100(home["sensitivity"]), of_100(home["specificity"]), finding.evidence.sources
    said = words("reliability", found=found, passed=passed)
    measured = words("measured_on", source="; ".join(sources)) if sources else words("measured")
    return f"{said} {measured}" if of_whom else said


def of_100(share):
    """A share as a whole number of 100, rounded down: nothing but 1 is 100."""
    return int(round(100 * share, 6))


def at_least_one(share):
    """The same of mistakes, rounded up and never 0: none of a few hundred is not never."""
    return max(1, math.ceil(round(100 * share, 6)))


FIGURES = {"called_healthy": at_least_one, "called_otherwise_ill": at_least_one, "found": of_100}  # rounded against it
