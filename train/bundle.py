"""Ship a run with the package: python -m train.bundle RUN_DIR [OUT_DIR]

Writes weights in float16 (a run's weights are rounded to it before they are scored, so nothing changes), config,
processor, card, metrics and figures. Code stays out: the package holds it.
"""

import argparse
import json
import shutil
from pathlib import Path

from lungfusion import LungFusionPipeline

DEFAULT = Path(__file__).parent.parent / "lungfusion" / "checkpoints" / "default"
ALONGSIDE = ("README.md", "metrics.json", "history.json", "*.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("output", type=Path, nargs="?", default=DEFAULT)
    arguments = parser.parse_args()
    bundle(arguments.run, arguments.output)


def bundle(run, output):
    pipeline = LungFusionPipeline.from_pretrained(run / "model", device="cpu")
    shutil.rmtree(output, ignore_errors=True)
    pipeline.model.half().save_pretrained(output)
    pipeline.processor.save_pretrained(output)
    for path in output.glob("*.py"):
        path.unlink()
    for path in output.glob("*config.json"):
        content = json.loads(path.read_text())
        content.pop("auto_map", None)
        if "dtype" in content:
            content["dtype"] = "float32"  # stored in half precision, computed in single
        path.write_text(json.dumps(content, indent=2) + "\n")
    for pattern in ALONGSIDE:
        for path in run.glob(pattern):
            shutil.copy(path, output / path.name)


if __name__ == "__main__":
    main()
