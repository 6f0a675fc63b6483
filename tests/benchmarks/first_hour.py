"""The first hour of train/README.md, as a reader takes it: python -m tests.benchmarks.first_hour RAW_DIR [key=value …]

RAW_DIR is the Shenzhen set as unpacked. The commands of that section are run one after another, on one thread, in a
folder that is gone afterwards; what they cost and what came of it is printed.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.helpers import ROOT
from train.io import cell

README = ROOT / "train" / "README.md"


def commands():
    """The first hour's commands, each a list of words: `python -m train.X …`."""
    section = README.read_text().split("\n## The first hour\n")[1].split("\n## ")[0]
    lines = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()
    return [line.split("#")[0].split() for line in lines if "train." in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, metavar="RAW_DIR")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="for both trainings, such as pretrained=FOLDER"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shenzhen").symlink_to(arguments.raw.resolve())
        (Path(folder) / "train").symlink_to(ROOT / "train")  # recipes are named by their place in the repository
        minutes = [timed(command, folder, arguments.overrides) for command in commands()]
        print("\n".join(table(Path(folder) / "runs", minutes)))


def timed(command, folder, overrides):
    """Run a command; returns the minutes of a core that it took."""
    words = [sys.executable, *command[1:]] + (overrides if "--recipe" in command else [])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60


def table(runs, minutes):
    """Markdown: what each command took, and the figures on validation patients."""
    lungs, findings = (json.loads((runs / name / "metrics.json").read_text())["shenzhen"] for name in NAMES)
    lungs, tuberculosis = lungs["lungs"], findings["findings"]["tuberculosis"]
    figures = ["", f"Dice {figure(lungs, 'dice')}", f"ROC AUC of tuberculosis {figure(tuberculosis, 'auc')}"]
    rows = zip(commands(), minutes, figures, strict=True)
    lines = [f"| `{command[2]}` | {spent:.1f} | {said} |" for command, spent, said in rows]
    return ["| command | minutes of one core | on validation patients |", "| --- | --- | --- |", *lines]


NAMES = ("first_lungs", "first_findings")


def figure(summary, name):
    return f"{cell(summary[name])}, n = {summary['images']}"


if __name__ == "__main__":
    main()
