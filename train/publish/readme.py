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

from train.io import cell, markdown_table
from train.report.tables import metrics_tables

ROOT = Path(__file__).parent.parent.parent
TABLE = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- /table -->", re.DOTALL)
OUTPUT = re.compile(r"```python\n(?P<code>[^`]*)```\n\n<!-- output -->\n(?P<printed>.*?)<!-- /output -->", re.DOTALL)
NOT_MEASURED = "not measured"
TITLES = ("finding", "learned from", "ROC AUC at home", "ROC AUC away", "found away", "false alarms away")


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
    """Lines of a table: each finding that is told, at home and in the hospitals that training left out."""
    config = json.loads((checkpoint / "config.json").read_text())
    metrics = json.loads((checkpoint / "metrics.json").read_text())
    rows = []
    for name in config["shown"]:
        home = [summary["findings"][name]["auc"] for summary in metrics.values() if name in summary["findings"]]
        away = away_figures(config["operating_points"].get(name, {}))
        learned_from = config["sources"][name].replace("; ", "<br>")
        rows.append([name, learned_from, "<br>".join(map(cell, home)) or NOT_MEASURED, *away])
    return markdown_table(TITLES, rows)


def away_figures(point):
    """ROC AUC with its interval, sensitivity and false alarms in hospitals left out, as text.

    Args:
        point: one of a configuration's `operating_points`.
    """
    auc = NOT_MEASURED
    if "away_auc" in point:
        interval = [point["away_auc_low"], point["away_auc_high"]]
        auc = cell({"value": point["away_auc"], "interval": interval})
    shares = [point.get(key) for key in ("away_sensitivity", "away_false_alarms")]
    return [auc, *[NOT_MEASURED if share is None else f"{share:.0%}" for share in shares]]
