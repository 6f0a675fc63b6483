"""Two radiographs side by side, and what is said of each."""

from .answer import details
from .phrases import percentage
from .pictures import overlay_image, picture_address
from .render import render


def comparison_html(words, first, second):
    """Both with their outlines, and a table of probabilities. first, second: `Analysis`."""
    sides = [
        {
            "title": words(title),
            "picture": picture_address(overlay_image(analysis), "JPEG"),
            "warnings": [words.warning(warning) for warning in analysis.warnings],
            "details": details(words, analysis),
        }
        for title, analysis in (("compare_first", first), ("compare_second", second))
    ]
    return render("comparison.html", words=words, sides=sides, rows=rows(words, first, second))


def rows(words, first, second):
    """Name, both answers and the threshold of each finding; none where one radiograph was refused."""
    if not first.findings or not second.findings:
        return []
    return [
        {
            "name": words.title(finding.name),
            "answers": [answer(words, finding), answer(words, second[finding.name])],
            "threshold": percentage(words, finding.threshold),
        }
        for finding in first.findings
    ]


def answer(words, finding):
    """A finding's level and its share in words."""
    level = finding.level
    said = words(f"level_{level}") if finding.probability is None else percentage(words, finding.probability)
    return {"level": level, "said": said}
