"""Learn findings of one's own, on top of a trained checkpoint: python -m train.finetune --data OUT --findings a b

OUT is a folder that `python -m train.prepare table` wrote, or an id on the Hub. Branches and fusion begin as those of
the bundled checkpoint (or of --model), and its U-Net draws the lungs; findings it knows already begin as they were.
What follows is a run of `train.classify` by a recipe written to RUN/finetune.yaml: calibrated and scored on patients
not trained on, with a card, and ready for `python -m train.push RUN`. A finding is told to users where it proves to
work there; `--set shown=all` tells of all.

    python -m train.finetune --data OUT --thresholds-for "St Mary's"

learns nothing: it fits the thresholds of the findings shown to a hospital's own healthy people (and, if there are any,
its ill ones), says how well so many images tell them, and saves the checkpoint with that hospital's name.
"""

import json
import sys
from pathlib import Path

import yaml
from datasets import load_dataset

from lungfusion import LungFusionPipeline
from lungfusion.loading import BUNDLED, no_progress_bar
from train.calibrate.local import LABELS, MIN_HEALTHY, local_evidence, local_findings, local_points, local_report
from train.data.splits import load_source
from train.engine.arguments import command_line
from train.engine.loop import save_model
from train.engine.processes import launch
from train.engine.recipe import load_recipe
from train.io import write_json
from train.scoring.images import score_parts

TAKEN_OVER = ("branches", "concatenation", "fusion", "fusion_size", "image_size", "branch_size")


def main(arguments=None):
    parser = command_line(__doc__, "model")
    parser.add_argument("--data", required=True, metavar="DIR_OR_ID", help="folder of Parquet files, or id on the Hub")
    parser.add_argument("--findings", nargs="+", metavar="NAME", help="as its labels or columns name them")
    parser.add_argument("--thresholds-for", metavar="HOSPITAL", help="fit thresholds alone, for this hospital")
    parser.add_argument("--alarms", type=float, default=0.1, help="share of the healthy that may be called")
    parser.add_argument("--output", type=Path, metavar="RUN", help="the run's folder; runs/NAME_OF_DATA if not given")
    parser.add_argument("--set", nargs="+", default=(), metavar="key=value", help="replaces a value of the recipe")
    arguments = parser.parse_args(arguments)
    if bool(arguments.findings) == bool(arguments.thresholds_for):
        parser.error("give --findings to learn them, or --thresholds-for HOSPITAL to fit thresholds alone")
    if not 0 < arguments.alarms < 1:
        parser.error("--alarms is a share: give a value between 0 and 1, such as 0.1")
    data = Path(arguments.data)
    output = arguments.output or Path("runs") / data.name
    model = arguments.model or str(BUNDLED)
    if arguments.thresholds_for:
        return fit_thresholds(parser, arguments, model, output)
    try:
        path = write_recipe(data, arguments.data, arguments.findings, model, output)
        recipe = load_recipe(path, arguments.set)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if status := launch("train.classify", "--recipe", path, "--output", output, *arguments.set):
        sys.exit(status)
    print(summary(json.loads((output / "model" / "config.json").read_text()), recipe, output))


def fit_thresholds(parser, arguments, model, output):
    """Thresholds for one hospital: writes RUN/model, and thresholds.json and .md beside it."""
    try:
        pipeline = LungFusionPipeline.from_pretrained(model, device="cpu")
        parts = every_part(arguments.data)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    declared = {name: {"labels": LABELS, "findings": pipeline.findings} for name in parts}
    points = local_points(score_parts(pipeline, parts, declared), pipeline.findings, arguments.alarms)
    if not points:
        parser.error(f"no finding that is shown has {MIN_HEALTHY} patients who are said to be without it")
    config = pipeline.model.config
    pipeline.model.config = config.with_findings(local_findings(config.findings, points))
    save_model(pipeline.model, pipeline.processor, output / "model")
    local_evidence(pipeline.evidence, points, arguments.thresholds_for).save_pretrained(output / "model")
    report = local_report(points, arguments.thresholds_for, arguments.alarms)
    (output / "thresholds.md").write_text("\n".join(report) + "\n")
    write_json(output / "thresholds.json", points)
    print("\n".join(report))
    print(f"\nUse it: LungFusionPipeline.from_pretrained({str(output / 'model')!r})")


def every_part(place):
    """Split → data set, of all splits that a data set has: each of its images stands in one of them."""
    splits = list(load_dataset(place))
    if "train" in splits and "validation" not in splits:
        splits.append("validation")  # which load_source makes of the other
    return {f"{Path(place).name}, {split}": load_source(place, split) for split in splits}


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
    with no_progress_bar():
        trained.segmenter.save_pretrained(output / "segmenter")
    path = output / "finetune.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def summary(config, recipe, output):
    """What was learned, what of it users are told, and what to do next."""
    findings = recipe["model"]["findings"]
    shown = [name for name in findings if config["findings"][name]["shown"]]
    said = f"{len(findings)} learned, {len(shown) or 'none'} shown"
    if shown:
        said += f": {', '.join(shown)}."
    else:
        said += ": on patients not trained on none proved to work."
        said += " The same command with --set shown=all shows them all the same, without training again."
    return f"{said}\nCard and figures: {output}/README.md. Publish: python -m train.push {output} --repo-id OWNER/NAME"


if __name__ == "__main__":
    main()
