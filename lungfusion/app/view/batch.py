"""Many radiographs in one table."""

import csv
import io
from html import escape

from .phrases import level
from .pictures import data_address

LEVELS = ("detected", "not_ruled_out")


def batch_row(words, name, analysis=None, error=None):
    """One line of the table: of an analysis, or of a file that could not be read.

    Returns:
        column title → text or number.
    """
    row = {words("column_file"): name}
    if analysis is None:
        return row | {words("column_note"): str(error)}
    for finding in analysis.findings:
        row[words.title(finding.name)] = round(100 * finding.probability, 1)
    for said in LEVELS:
        names = [words.finding(finding.name) for finding in analysis.findings if level(finding) == said]
        row[words(f"column_{said}")] = ", ".join(names)
    return row | {words("column_note"): " ".join(words.warning(warning) for warning in analysis.warnings)}


def batch_table(words, findings, rows):
    """Rows as `batch_row` gives them → titles and lists of cells, the same columns for all. findings: their names."""
    titles = [
        words("column_file"),
        *(words(f"column_{said}") for said in LEVELS),
        *map(words.title, findings),
        words("column_note"),
    ]
    return titles, [[row.get(title, "") for title in titles] for row in rows]


def csv_html(words, titles, cells):
    """A link that saves the table as CSV. It holds the file: nothing is stored."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(titles)
    writer.writerows([[harmless(cell) for cell in row] for row in cells])
    address = data_address(file.getvalue().encode("utf-8-sig"), "text/csv")
    return (
        f'<p class="downloads"><a download="lungfusion.csv" href="{address}">{escape(words("download_table"))}</a></p>'
    )


def harmless(cell):
    """A spreadsheet takes text that begins so for a formula; a file's name may be a stranger's."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
