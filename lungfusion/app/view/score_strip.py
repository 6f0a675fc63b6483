"""A strip of dots: where this image's score lies among those of healthy and ill people whom the model never saw."""

import math

GROUPS = ("healthy", "ill")
MIN_DOTS = 5  # below, a hospital's group says nothing
LEAST = 0.002  # probabilities beyond this and its counterpart are drawn at the ends
TICKS = (0.01, 0.1, 0.5, 0.9, 0.99)
LANE = 22  # pixels, the height of one group
GOLDEN = (math.sqrt(5) - 1) / 2  # spreads dots over a lane's height without two alike


def reference_scores(evidence):
    """`Evidence` → finding → hospital → group → probabilities."""
    return {
        name: {hospital: place.scores for hospital, place in of_finding.places.items()}
        for name, of_finding in evidence.findings.items()
    }


def score_strip(words, finding, scores):
    """What the strip of a finding shows.

    Args:
        words: `Words`.
        finding: `Finding` with a probability.
        scores: hospital → {"healthy", "ill"} → probabilities, as `reference_scores` gives them.

    Returns:
        dict for dots.html; None where there are too few scores.
    """
    known = {hospital: {name: groups[name] for name in GROUPS if len(groups.get(name, ())) >= MIN_DOTS}
             for hospital, groups in scores.items()}  # fmt: skip
    known = {hospital: groups for hospital, groups in known.items() if groups}
    if not known:
        return None
    return {
        "hospitals": [
            {
                "name": words.hospital(hospital),
                "height": LANE * len(groups),
                "dots": [(name, dots(scores, lane)) for lane, (name, scores) in enumerate(groups.items())],
            }
            for hospital, groups in known.items()
        ],
        "groups": [name for name in GROUPS if any(name in groups for groups in known.values())],
        "mark": place(finding.probability),
        "threshold": place(finding.threshold),
        "ticks": [(place(share), words("percent", number=round(100 * share))) for share in TICKS],
        "said": as_high(words, finding.probability, known),
    }


def dots(scores, lane):
    """Centres of dots, (x as CSS, y in pixels): healthy people in the upper lane, ill ones in the lower."""
    return [(place(score), f"{LANE * lane + 4 + (LANE - 8) * (i * GOLDEN % 1):.0f}") for i, score in enumerate(scores)]


def place(probability):
    """Where a probability stands on the strip, as CSS: even steps of log odds, for most scores lie near 0 or 1."""
    reach = math.log((1 - LEAST) / LEAST)
    share = min(max(probability, LEAST), 1 - LEAST)
    return f"{50 + 50 * math.log(share / (1 - share)) / reach:.1f}%"


def as_high(words, probability, known):
    """How many of 100 score as high, in a sentence: each hospital counts as much as another."""
    of_100 = {}
    for name in GROUPS:
        groups = [groups[name] for groups in known.values() if name in groups]
        shares = [sum(score >= round(probability, 3) for score in scores) / len(scores) for scores in groups]
        if shares:
            of_100[name] = round(100 * sum(shares) / len(shares))
    return words("as_high_" + "_and_".join(of_100), **of_100)
