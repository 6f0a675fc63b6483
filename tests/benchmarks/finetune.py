"""How long `train.finetune` takes on few images, and what it gains: python -m tests.benchmarks.finetune DATA FINDING

DATA is a folder that `train.prepare` wrote, with a column `label`, such as data/shenzhen-tuberculosis. Some of its
images, drawn at random, become a folder of pictures for each label, as people have them, and the command learns from
that in a process of its own: its minutes are those that a person waits.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import load_dataset

from tests.support.helpers import ROOT
from train.data.splits import sample_rows, undecoded
from train.engine.processes import free_cores
from train.scoring.comparison import before_table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("finding", metavar="FINDING", help="a label of DATA; of `normal` nothing is present")
    parser.add_argument("--images", type=int, default=110)
    parser.add_argument("--full", action="store_true", help="all weights learn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_class_folder(arguments.data, arguments.images, folder / "own")
        command = [sys.executable, "-m", "train.finetune", "--data", "own", "--findings", arguments.finding]
        command += ["--labels", "normal=normal", "--output", "run", *["--full"] * arguments.full]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        started = time.monotonic()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
        minutes = (time.monotonic() - started) / 60
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = json.loads((folder / "run" / "test.json").read_text())
    core_minutes = (used.ru_utime + used.ru_stime) / 60
    print(f"{arguments.images} images of {arguments.data.name}: {minutes:.1f} minutes on {free_cores()} cores,")
    print(f"{core_minutes:.1f} minutes of one core. On the images that chose nothing:\n")
    figures.pop("weights")
    print("\n".join(before_table(figures)))


def write_class_folder(data, images, folder):
    """Some images of a data set as files: FOLDER/LABEL/FILE_NAME."""
    rows = undecoded(load_dataset(str(data), split="train"))
    names = rows.features["label"].names
    for row in rows.select(sample_rows(len(rows), images)):
        path = folder / names[row["label"]] / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["image"]["bytes"])


if __name__ == "__main__":
    main()
