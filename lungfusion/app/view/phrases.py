"""What a finding's figures mean, in sentences."""

LIKELY = 0.5  # probability from which a finding is more likely than not


def by_weight(findings):
    """Detected ones first, each kind by how far they are from their threshold."""
    return sorted(findings, key=lambda finding: finding.threshold - finding.probability)


def level(finding):
    """How much is to be said of a finding: "detected", more likely than not among the patients it was calibrated on;
    "not_ruled_out", less likely, but at or above the threshold that few with the finding stay below; "" below that.
    """
    if not finding.detected:
        return ""
    return "detected" if finding.probability >= LIKELY else "not_ruled_out"


def percentages(words, finding):
    """Probability and threshold, with as many digits as it takes to tell them apart."""
    digits = 0 if abs(finding.probability - finding.threshold) >= 0.01 else 2
    return percentage(words, finding.probability, digits), percentage(words, finding.threshold, digits)


def percentage(words, share, digits):
    """A probability in words that never claim certainty: what would round to 0 or 100 is "under 1%" or "over 99%"."""
    if digits == 0 and not 0.005 <= share < 0.995:
        return words("under", share="1%") if share < 0.5 else words("over", share="99%")
    return f"{share:.{digits}%}"


def mistakes(words, finding):
    """How often what is said of a finding is wrong: how many it misses, or how many it names without reason."""
    share = finding.specificity if finding.detected else finding.sensitivity
    if share is None:
        return words("mistakes_unknown")
    return words("false_alarms" if finding.detected else "misses", number=100 - of_100(share))


def reliability(words, finding):
    """How often the model was right about a finding, and on whom that was measured."""
    if finding.sensitivity is None or finding.specificity is None:
        return words("mistakes_unknown")
    found, passed = of_100(finding.sensitivity), of_100(finding.specificity)
    of_whom = words("measured_on", source=finding.source) if finding.source else words("measured")
    return f"{words('reliability', found=found, passed=passed)} {of_whom}"


def of_100(share):
    """A share as a whole number of 100, rounded down: nothing but 1 is 100."""
    return int(round(100 * share, 6))
