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
from train.report.tables import findings_table, metrics_tables

ROOT = Path(__file__).parent.parent.parent
TABLE = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- /table -->", re.DOTALL)
OUTPUT = re.compile(r"```python\n(?P<code>[^`]*)```\n\n<!-- output -->\n(?P<printed>.*?)<!-- /output -->", re.DOTALL)


def with_tables(text, folder):
    """A README with its tables as a folder's files have them now.

    Args:
        text: Markdown.
        folder: `Path` of a checkpoint, or of any folder with the files that the comments name.
    """

    def table(match):
        if match[1] != "findings":
            lines = file_lines(folder / match[1])
        else:
            metrics = json.loads((folder / "metrics.json").read_text())
            lines = findings_table(LungFusionConfig.from_pretrained(folder), Evidence.from_pretrained(folder), metrics)
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
