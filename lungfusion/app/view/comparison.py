"""Two radiographs side by side, and what is said of each."""

from html import escape

from .answer import details_html, message_html
from .phrases import level, percentages
from .pictures import overlay_image, picture_address


def comparison_html(words, first, second):
    """Both with their outlines, and a table of probabilities. first, second: `Analysis`."""
    sides = "".join(side_html(words, analysis) for analysis in (first, second))
    return f'<div class="comparison"><div class="columns">{sides}</div>{table_html(words, first, second)}</div>'


def side_html(words, analysis):
    warnings = "".join(message_html(words.warning(warning)) for warning in analysis.warnings)
    picture = picture_address(overlay_image(analysis), "JPEG")
    return (
        f'<section><img src="{picture}" alt="{escape(words("alt_outlined"))}">'
        f"{warnings}{details_html(words, analysis)}</section>"
    )


def table_html(words, first, second):
    """Probabilities of the findings that both have; empty where one of them was refused."""
    if not first.findings or not second.findings:
        return ""
    rows = []
    for of_first in first.findings:
        of_second = second[of_first.name]
        one, threshold = percentages(words, of_first)
        other, _ = percentages(words, of_second)
        cells = "".join(
            f'<td class="{level(finding)}">{escape(said)}</td>'
            for finding, said in ((of_first, one), (of_second, other))
        )
        name = escape(words.title(of_first.name))
        rows.append(f'<tr><th scope="row">{name}</th>{cells}<td>{escape(threshold)}</td></tr>')
    titles = (words("column_finding"), first.radiograph.name, second.radiograph.name, words("column_threshold"))
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f'<p class="small">{escape(words("about_comparison"))}</p>'
    )
