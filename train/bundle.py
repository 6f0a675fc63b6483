"""Ship a run with the package: python -m train.bundle RUN_DIR [--output DIR] [--beside DIR …]

Writes weights in float16 (a run's weights are rounded to it before they are scored, so nothing changes), config,
processor, card, metrics and figures. Code stays out: the package holds it. Of the folders given as `--beside`, such as
the segmenter's run and the comparison that chose it, card, tables, metrics and figures lie in folders of their own
there. For the default checkpoint the tables of the README are written anew, each between comments that name its file in
the checkpoint's folder: `<!-- table: FILE -->`.
"""

import json
import re
import shutil
from pathlib import Path

from lungfusion import LungFusionPipeline
from train.engine.arguments import command_line
from train.report.tables import metrics_tables

DEFAULT = Path(__file__).parent.parent / "lungfusion" / "checkpoints" / "default"
README = Path(__file__).parent.parent / "README.md"
TABLE = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- /table -->", re.DOTALL)
ALONGSIDE = ("*.md", "*.json", "*.png")


def main():
    parser = command_line(__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--output", type=Path, default=DEFAULT)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], metavar="DIR", help="whose reports to add")
    arguments = parser.parse_args()
    bundle(arguments.run, arguments.output)
    for folder in arguments.beside:
        (arguments.output / folder.name).mkdir()
        copy_reports(folder, arguments.output / folder.name)
    if arguments.output == DEFAULT:
        README.write_text(with_tables(README.read_text(), arguments.output))


def bundle(run, output):
    pipeline = LungFusionPipeline.from_pretrained(run / "model", device="cpu")
    shutil.rmtree(output, ignore_errors=True)
    pipeline.model.half().save_pretrained(output)
    pipeline.processor.save_pretrained(output)
    for path in output.glob("*.py"):
        path.unlink()
    for path in output.glob("*config.json"):
        content = json.loads(path.read_text())
        for part in (content, content.get("segmenter", {})):
            part.pop("auto_map", None)
        if "dtype" in content:
            content["dtype"] = "float32"  # stored in half precision, computed in single
        path.write_text(json.dumps(content, indent=2) + "\n")
    copy_reports(run, output)


def copy_reports(folder, output):
    for pattern in ALONGSIDE:
        for path in folder.glob(pattern):
            shutil.copy(path, output / path.name)


def with_tables(text, checkpoint):
    """A README with its tables as the checkpoint's folder has them now."""

    def table(match):
        path = checkpoint / match[1]
        if path.suffix == ".json":
            lines = metrics_tables(json.loads(path.read_text()), shown_alone=True)
        else:
            lines = path.read_text().splitlines()
        return "\n".join([f"<!-- table: {match[1]} -->", "", *lines, "<!-- /table -->"])

    return TABLE.sub(table, text)


if __name__ == "__main__":
    main()
