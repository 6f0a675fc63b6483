"""Where an image's score lies among those of people whom the model never saw: in a row of the table, and as a strip."""

import math

from .phrases import FEWEST, LEAST, log_odds

GROUPS = ("healthy", "ill")
MIN_DOTS = 5  # below, a hospital's group says nothing
TICKS = (0.01, 0.1, 0.5, 0.9, 0.99)
LANE = 22  # pixels, the height of one group
GOLDEN = (math.sqrt(5) - 1) / 2  # spreads dots over a lane's height without two alike

LIMIT_AT = 62  # percent of a row's width where every finding's threshold stands
UNIT = 14  # percent for one step of log odds
ROW = 20  # units of height of a row


def row_scale(finding):
    """A finding's place on the table's common scale: steps of log odds from its own threshold, which is one line for
    all; so whatever is not detected stands left of it.

    Returns:
        dict: `mark` and `doubt` (where "unclear" begins; None where it does not) in percent of the width, `people`, an
        SVG path of dots for each hospital's healthy people.
    """
    limit = log_odds(finding.threshold)

    def at(probability):
        return min(max(LIMIT_AT + UNIT * (log_odds(probability) - limit), 1.5), 96.5)

    lanes = [place.scores.get("healthy", ()) for place in finding.evidence.places.values()]
    lanes = [scores for scores in lanes if len(scores) >= MIN_DOTS]
    height = ROW / max(len(lanes), 1)
    rule_out = finding.threshold if finding.rule_out_threshold is None else finding.rule_out_threshold
    doubt = at(rule_out)
    return {
        "mark": f"{at(finding.probability):.1f}",
        "doubt": f"{doubt:.1f}" if doubt < LIMIT_AT else None,
        "doubt_width": f"{LIMIT_AT - doubt:.1f}",
        "people": [
            dots(((at(score)) for score in scores), height * number + height * 0.15, height * 0.7)
            for number, scores in enumerate(lanes)
        ],
    }


def dots(xs, top, height):
    """Dots at these places, spread over a lane from `top` on: an SVG path."""
    return "".join(f"M{x:.1f} {top + height * (i * GOLDEN % 1):.1f}h0" for i, x in enumerate(xs))


def score_strip(words, finding):
    """What the strip of a finding shows: people of each hospital that has both healthy and ill ones.

    Args:
        words: `Words`.
        finding: `Finding` with a probability; its evidence has the scores.

    Returns:
        dict for dots.html; None where there are too few scores.
    """
    known = scores_by_place(finding.evidence)
    if not known:
        return None
    return {
        "hospitals": [
            {
                "name": words.hospital(hospital),
                "height": LANE * len(GROUPS),
                "dots": [
                    (name, dots((100 * place(score) for score in groups[name]), LANE * lane + 4, LANE - 8))
                    for lane, name in enumerate(GROUPS)
                ],
            }
            for hospital, groups in known.items()
        ],
        "groups": GROUPS,
        "mark": f"{100 * place(finding.probability):.1f}%",
        "threshold": f"{100 * place(finding.threshold):.1f}%",
        "ticks": [(f"{100 * place(share):.1f}%", words("percent", number=round(100 * share))) for share in TICKS],
        "said": [
            as_high(words, finding.probability, hospital, groups)
            for hospital, groups in known.items()
            if fewest(groups) >= FEWEST
        ],
    }


def scores_by_place(evidence):
    """Hospital → group of `GROUPS` → probabilities, of hospitals that have enough of both and where no device goes with
    the disease: there, no AUC is told, and the strip would show two scanners.
    """
    known = {
        hospital: {name: place.scores.get(name, ()) for name in GROUPS}
        for hospital, place in evidence.places.items()
        if place.auc_healthy is not None
    }
    return {hospital: groups for hospital, groups in known.items() if fewest(groups) >= MIN_DOTS}


def fewest(groups):
    return min(map(len, groups.values()))


def place(probability):
    """Where a probability stands on the strip, from 0 to 1: even steps of log odds, for most scores lie near 0 or 1."""
    return 0.5 + 0.5 * log_odds(probability) / log_odds(1 - LEAST)


def as_high(words, probability, hospital, groups):
    """How many of 100 people of each group score as high in a hospital, in a sentence."""
    of_100 = {
        name: round(100 * sum(score >= round(probability, 3) for score in scores) / len(scores))
        for name, scores in groups.items()
    }
    counted = {f"n_{name}": len(scores) for name, scores in groups.items()}
    return words("as_high", place=words.hospital(hospital), **of_100, **counted)
