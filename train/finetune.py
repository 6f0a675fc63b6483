"""Learn findings of one's own, on top of a trained checkpoint: python -m train.finetune --data OUT --findings a b

OUT is a folder that `python -m train.prepare table` wrote, or an id on the Hub. Branches and fusion begin as those of
the bundled checkpoint (or of --model), and its U-Net draws the lungs; findings it knows already begin as they were.
What follows is a run of `train.classify` by a recipe written to RUN/finetune.yaml: calibrated and scored on patients
not trained on, with a card, and ready for `python -m train.push RUN`. A finding is told to users where it proves to
work there; `--set shown=all` tells of all.
"""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from lungfusion import LungFusionPipeline
from lungfusion.loading import BUNDLED
from train.engine.arguments import command_line
from train.engine.recipe import load_recipe

TAKEN_OVER = ("branches", "concatenation", "fusion", "fusion_size", "image_size", "branch_size")


def main(arguments=None):
    parser = command_line(__doc__, "model")
    parser.add_argument("--data", required=True, metavar="DIR_OR_ID", help="folder of Parquet files, or id on the Hub")
    parser.add_argument(
        "--findings", nargs="+", required=True, metavar="NAME", help="as its labels or columns name them"
    )
    parser.add_argument("--output", type=Path, metavar="RUN", help="the run's folder; runs/NAME_OF_DATA if not given")
    parser.add_argument("--set", nargs="+", default=(), metavar="key=value", help="replaces a value of the recipe")
    arguments = parser.parse_args(arguments)
    data = Path(arguments.data)
    output = arguments.output or Path("runs") / data.name
    model = arguments.model or str(BUNDLED)
    try:
        path = write_recipe(data, arguments.data, arguments.findings, model, output)
        recipe = load_recipe(path, arguments.set)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "-m", "train.classify"]
    done = subprocess.run([*launch, "--recipe", str(path), "--output", str(output), *arguments.set])  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)
    print(summary(json.loads((output / "model" / "config.json").read_text()), recipe, output))


def write_recipe(data, place, findings, model, output):
    """Write RUN/finetune.yaml, which says how `model` goes on to learn `findings` of a data set; returns its path.

    Its U-Net lies in RUN/segmenter then.

    Raises:
        OSError, ValueError: the model can't be loaded, or is a segmenter alone.
    """
    trained = LungFusionPipeline.from_pretrained(model, device="cpu").model
    config = trained.config
    if not hasattr(config, "branches"):
        raise ValueError(f"{model} is a segmenter alone: give a checkpoint that names findings.")
    name = data.name.replace("-", "_")
    on_disk = data.is_dir()
    recipe = {
        "base": "base_findings.yaml",
        "name": output.resolve().name,
        "segmenter": str(output / "segmenter"),
        "model": {key: getattr(config, key) for key in TAKEN_OVER} | {"findings": list(findings)},
        "init_from": model,
        "init_classifier": True,
        "data_root": str(data.resolve().parent) if on_disk else None,
        "sources": {name: {"dataset": data.name if on_disk else place}},
        "augmentation": {"preset": "mixed", "flip": 0.5},
        "epoch_size": 1200,
        "learning_rate": 0.0002,
        "mixed_precision": "no",
    }
    trained.segmenter.save_pretrained(output / "segmenter")
    path = output / "finetune.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def summary(config, recipe, output):
    """What was learned, what of it users are told, and what to do next."""
    findings, shown = recipe["model"]["findings"], config["shown"]
    said = f"{len(findings)} learned, {len(shown) or 'none'} shown"
    if shown:
        said += f": {', '.join(shown)}."
    else:
        said += ": on patients not trained on none proved to work. --set shown=all shows them all the same."
    return f"{said}\nCard and figures: {output}/README.md. Publish: python -m train.push {output} --repo-id OWNER/NAME"


if __name__ == "__main__":
    main()
