"""Tables and printed output in a README, between comments that say where they come from.

    <!-- table: findings -->         the findings a checkpoint tells of: at home, and in hospitals left out
    <!-- table: FILE -->             FILE, or metrics.json as tables
    <!-- output -->                  what the Python above it prints

Each ends with `<!-- /table -->` or `<!-- /output -->`; what lies between is written anew.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from lungfusion.evidence import Evidence
from lungfusion.models import LungFusionConfig
from train.data.sources import find_source
from train.io import cell, markdown_table
from train.report.tables import metrics_tables

ROOT = Path(__file__).parent.parent.parent
TABLE = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- /table -->", re.DOTALL)
OUTPUT = re.compile(r"```python\n(?P<code>[^`]*)```\n\n<!-- output -->\n(?P<printed>.*?)<!-- /output -->", re.DOTALL)
NOT_MEASURED = "not measured"
TITLES = ("finding", "ROC AUC at home", "ROC AUC away", "found away", "healthy called away")


def with_tables(text, folder):
    """A README with its tables as a folder's files have them now.

    Args:
        text: Markdown.
        folder: `Path` of a checkpoint, or of any folder with the files that the comments name.
    """

    def table(match):
        lines = findings_table(folder) if match[1] == "findings" else file_lines(folder / match[1])
        return "\n".join([f"<!-- table: {match[1]} -->", "", *lines, "", "<!-- /table -->"])

    return TABLE.sub(table, text)


def with_output(text):
    """A README with what its first lines of Python print now; they are run in the folder of the repository."""

    def output(match):
        done = subprocess.run([sys.executable, "-c", match["code"]], cwd=ROOT, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"The README's Python fails: {done.stderr}")
        return match[0][: match.start("printed") - match.start()] + f"\n```text\n{done.stdout}```\n\n<!-- /output -->"

    return OUTPUT.sub(output, text)


def file_lines(path):
    if path.suffix == ".json":
        return metrics_tables(json.loads(path.read_text()), shown_alone=True)
    return path.read_text().splitlines()


def findings_table(checkpoint):
    """Lines of a table: each finding that is told, at home and in the hospitals that training left out, the worst."""
    config, evidence = LungFusionConfig.from_pretrained(checkpoint), Evidence.from_pretrained(checkpoint)
    metrics = json.loads((checkpoint / "metrics.json").read_text())
    rows = []
    for name in config.shown:
        away = [worst_away(evidence[name], figure) for figure in ("auc_healthy", "found", "called_healthy")]
        rows.append([name, worst_at_home(metrics, name), *away])
    return markdown_table(TITLES, rows)


def worst_at_home(metrics, name):
    """The lowest ROC AUC of a finding among data sets learned from, with n; not of those where class and device go
    together.
    """
    figures = [
        summary["findings"][name]
        for source, summary in metrics.items()
        if name in summary["findings"] and not find_source(source).get("confounded")
    ]
    worst = min(figures, key=lambda one: one["auc"]["value"], default=None)
    return NOT_MEASURED if worst is None else f"{cell(worst['auc'])}, n = {worst['images']}"


def worst_away(evidence, figure):
    """A figure of `FindingEvidence` in the hospital left out where it is worst, with n and the hospital's name."""
    measured = evidence.measured(figure)
    if not measured:
        return NOT_MEASURED
    place, share = measured[0]
    return f"{cell({'value': share.value, 'interval': [share.low, share.high]})}, n = {share.n}, {place}"
