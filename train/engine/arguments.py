"""The command-line arguments that several commands share, said once."""

import argparse
from pathlib import Path

from lungfusion.allocator import keep_freed_memory


def model_place(text):
    """Folder or id of a model; where it is a run's folder, that of the model in it."""
    folder = Path(text)
    inside = folder / "model"
    return str(inside) if (inside / "config.json").exists() and not (folder / "config.json").exists() else text


SHARED = {
    "model": {
        "type": model_place,
        "help": "folder of a run or a model, or id on the Hub; the bundled checkpoint if not given",
    },
    "dataset": {"required": True, "help": "folder of Parquet files, or id on the Hub"},
    "datasets": {"nargs": "+", "required": True, "help": "folders of Parquet files, or ids on the Hub"},
    "split": {"default": "validation", "help": "its split; made by patient where there is no such split"},
    "output": {"type": Path, "required": True, "help": "folder to write to"},
}


def command_line(description, *names):
    """A parser that knows these of the `SHARED` arguments; on the command line `datasets` is `--dataset`, too.

    It comes first in a command, whose process keeps freed memory from then on: see `lungfusion.allocator`.
    """
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        parser.add_argument("--dataset" if name == "datasets" else f"--{name}", **SHARED[name])
    return parser
