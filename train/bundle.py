"""Ship a run with the package: python -m train.bundle [RUN_DIR] [--output DIR] [--beside DIR …]

Writes weights in float16 (a run's weights are rounded to it before they are scored, so nothing changes), config,
processor, card, tables, metrics and figures. Code stays out: the package holds it. Of the folders given as `--beside`,
such as the segmenter's run and the comparison that chose it, card, tables, metrics and figures lie in folders of their
own there. The checkpoint that was there is replaced once the new one is whole.

Without RUN_DIR these reports are added to the checkpoint that is there. For the default checkpoint, its card, and
tables and output in the READMEs are written anew.
"""

import json
import shutil
from pathlib import Path

from lungfusion import LungFusionPipeline, __version__
from train.engine.arguments import command_line
from train.io import write_json
from train.publish.readme import ROOT, with_output, with_tables
from train.report.card import RECIPE, write_card

DEFAULT = ROOT / "lungfusion" / "checkpoints" / "default"
BENCHMARKS = ROOT / "tests" / "benchmarks"
TABLES_FROM = {
    ROOT / "README.md": DEFAULT,
    ROOT / "train" / "README.md": BENCHMARKS,
    BENCHMARKS / "README.md": BENCHMARKS,
}
ALONGSIDE = ("*.md", "*.json", "*.png")


def main(arguments=None):
    parser = command_line(__doc__)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN_DIR", help="folder of a finished run")
    parser.add_argument("--output", type=Path, default=DEFAULT)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], metavar="DIR", help="whose reports to add")
    arguments = parser.parse_args(arguments)
    if arguments.run:
        bundle(arguments.run, arguments.output, arguments.beside)
    else:
        add_reports(arguments.beside, arguments.output)
    if arguments.output == DEFAULT:
        release(DEFAULT)
        write_card(DEFAULT)
        for readme, folder in TABLES_FROM.items():
            readme.write_text(with_output(with_tables(readme.read_text(), folder)))


def bundle(run, output, beside=()):
    """Make a checkpoint of a run, and put it in the place of another one.

    Args:
        run: `Path` of a finished run.
        output: `Path` of the checkpoint; a folder that is there is replaced, but only by a whole one.
        beside: `Path`s of further runs, whose reports are added.
    """
    new = output.with_name(f"{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    write_checkpoint(run, new)
    add_reports(beside, new)
    old = output.with_name(f"{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    new.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def write_checkpoint(run, folder):
    pipeline = LungFusionPipeline.from_pretrained(run / "model", device="cpu")
    pipeline.model.half().save_pretrained(folder)
    pipeline.processor.save_pretrained(folder)
    if pipeline.evidence.findings:
        pipeline.evidence.save_pretrained(folder)
    for path in folder.glob("*.py"):
        path.unlink()
    for path in folder.glob("*config.json"):
        content = json.loads(path.read_text())
        for part in (content, content.get("segmenter", {})):
            part.pop("auto_map", None)
        if "dtype" in content:
            content["dtype"] = "float32"  # stored in half precision, computed in single
        path.write_text(json.dumps(content, indent=2) + "\n")
    copy_reports(run, folder)
    release(folder)


def release(folder):
    """Note of a checkpoint with which version of the package it is shipped."""
    if (folder / RECIPE).exists():
        write_json(folder / RECIPE, json.loads((folder / RECIPE).read_text()) | {"released": __version__})


def add_reports(folders, output):
    """Copy what runs or comparisons report into folders of their own in a checkpoint's."""
    for folder in folders:
        copy_reports(folder, output / folder.name)


def copy_reports(folder, output):
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there: give the folder of a finished run or comparison.")
    output.mkdir(exist_ok=True)
    for pattern in ALONGSIDE:
        for path in folder.glob(pattern):
            shutil.copy(path, output / path.name)


if __name__ == "__main__":
    main()
