"""Learn findings of one's own, on top of a trained checkpoint: python -m train.finetune --data OUT --findings a b

OUT is a folder that `python -m train.prepare table` wrote, or an id on the Hub. Branches and fusion begin as those of
the bundled checkpoint (or of --model), and its U-Net draws the lungs; findings it knows already begin as they were. The
classifier alone learns, which takes minutes; with --full all weights do. What follows is a run of `train.classify` by a
recipe written to RUN/finetune.yaml. Of five patients, of those with each finding as of all, three are learned from, one
calibrates, and one chose nothing: on these last ones the new model is set beside the one it began with, in RUN/test.md
and the card. A finding is told to users where it proves to work; `--set shown=all` tells of all. The run is ready for
`python -m train.push RUN`.

    python -m train.finetune --data OWNER/NAME --findings pneumonia --labels "Lung Opacity=pneumonia" NORMAL=normal

says what labels of other names mean; of `normal` nothing is present.

    python -m train.finetune --data OUT --thresholds-for "St Mary's"

learns nothing: it fits the thresholds of the findings shown to a hospital's own healthy people (and, if there are any,
its ill ones), says how well so many images tell them, and saves the checkpoint with that hospital's name.
"""

import json
import sys
from pathlib import Path

import numpy as np
import yaml
from datasets import load_dataset

from lungfusion import LungFusionPipeline
from lungfusion.loading import BUNDLED, no_progress_bar
from train.calibrate.local import LABELS, MIN_HEALTHY, local_evidence, local_findings, local_points, local_report
from train.data.labels import known_labels
from train.data.sources import find_source
from train.data.splits import every_split, load_part, load_source, stratified_parts
from train.engine.arguments import command_line
from train.engine.loop import save_model
from train.engine.processes import launch
from train.engine.recipe import load_recipe
from train.io import cell, weights_digest, write_json, write_table
from train.report.card import redraw
from train.scoring.comparison import before_table, compare_with_before
from train.scoring.images import score_with_pipeline

HEAD_ALONE = {"frozen": -1, "augmentation": {"preset": "none"}, "epochs": 20, "learning_rate": 0.001}
FULL = {"frozen": 0, "augmentation": {"preset": "mixed", "flip": 0.5}, "epochs": 6, "learning_rate": 0.0002}
MIN_DRAWS, MAX_DRAWS = 64, 4000  # images drawn an epoch: as many as there are, within these
TAKEN_OVER = ("branches", "concatenation", "fusion", "fusion_size", "image_size", "branch_size")


def main(arguments=None):
    parser = command_line(__doc__, "model")
    parser.add_argument("--data", required=True, metavar="DIR_OR_ID", help="folder of Parquet files, or id on the Hub")
    parser.add_argument("--findings", nargs="+", metavar="NAME", help="as its labels or columns name them")
    parser.add_argument("--labels", nargs="+", default=(), metavar="LABEL=FINDING", help="what other labels mean")
    parser.add_argument("--full", action="store_true", help="all weights learn, not the classifier alone")
    parser.add_argument("--data-licence", default="not stated", metavar="TEXT", help="of the data, for the card")
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
        source = own_source(data, arguments)
        path = write_recipe(data, source, arguments.findings, model, output, arguments.full)
        recipe = load_recipe(path, arguments.set)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if status := launch("train.classify", "--recipe", path, "--output", output, *arguments.set):
        sys.exit(status)
    figures = score_test(recipe, model, output)
    print(summary(json.loads((output / "model" / "config.json").read_text()), recipe, figures, output))


def fit_thresholds(parser, arguments, model, output):
    """Thresholds for one hospital: writes RUN/model, and thresholds.json and .md beside it."""
    try:
        pipeline = LungFusionPipeline.from_pretrained(model, device="cpu")
        parts = every_part(arguments.data)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    declared = {name: {"labels": LABELS, "findings": pipeline.findings} for name in parts}
    rows = score_with_pipeline(pipeline, parts, declared)
    print(left_out_words(sum(map(len, load_dataset(arguments.data).values())), rows))
    points = local_points(rows, pipeline.findings, arguments.alarms)
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


def left_out_words(images, rows):
    """The sentence that says which images do not count, and why.

    Args:
        images: that the data set holds.
        rows: as `score_with_pipeline` returns them.
    """
    read = [row for row in rows if "error" not in row]
    reasons = {
        "copies of others": images - len(rows),
        "that can't be read": len(rows) - len(read),
        "that get no answer": sum(row["refused"] for row in read),
        "without a label": sum(not any(k.startswith("label_") for k in row) for row in read if not row["refused"]),
    }
    named = ", ".join(f"{count} {words}" for words, count in reasons.items() if count)
    return f"{images - sum(reasons.values())} of {images} images count" + (f"; not {named}." if named else ".")


def every_part(place):
    """Split → data set, of all splits that a data set has: each of its images stands in one of them."""
    splits = list(load_dataset(place))
    if "train" in splits and "validation" not in splits:
        splits.append("validation")  # which load_source makes of the other
    return {f"{Path(place).name}, {split}": load_source(place, split) for split in splits}


def own_source(data, arguments):
    """What a recipe is to say of the data set.

    data: `Path` of its folder, or its id on the Hub as one.

    Raises:
        ValueError: a label is not given as LABEL=FINDING.
    """
    source = {"dataset": data.name if data.is_dir() else arguments.data, "findings": list(arguments.findings)}
    source["licence"] = arguments.data_licence
    for pair in arguments.labels:
        label, equals, finding = pair.rpartition("=")
        if not (equals and label and finding):
            raise ValueError(f"--labels {pair}: write LABEL=FINDING, or LABEL=normal where nothing is present.")
        entry = {"absent": "all"} if finding == "normal" else {"present": [finding]}
        source.setdefault("labels", {})[label] = entry
    known = find_source(arguments.data)
    return source | {key: known[key] for key in ("title", "citation", "licence", "patients", "hub_id") if key in known}


def write_recipe(data, source, findings, model, output, full=False):
    """Write RUN/finetune.yaml, which says how `model` goes on to learn `findings` of a data set; returns its path.

    RUN/segmenter holds its U-Net then, and RUN/parts.json says which patients are learned from.

    Args:
        data: `Path` of the data set's folder, or its id on the Hub as one.
        source: as `own_source` gives it.
        findings, model, output: names, place, and `Path` of RUN.
        full: whether all weights learn.

    Raises:
        OSError, ValueError: the model or the data can't be loaded, or the model is a segmenter alone.
    """
    trained = LungFusionPipeline.from_pretrained(model, device="cpu").model
    config = trained.config
    if not hasattr(config, "branches"):
        raise ValueError(f"{model} is a segmenter alone: give a checkpoint that names findings.")
    output.mkdir(parents=True, exist_ok=True)
    name = data.name.replace("-", "_")
    on_disk = data.is_dir()
    sizes = write_parts(data if on_disk else source["dataset"], source, findings, output / "parts.json")
    print("Images: " + ", ".join(f"{count} {words}" for words, count in sizes.items()) + ".")
    learns = FULL if full else HEAD_ALONE
    print(f"{'All weights learn' if full else 'The classifier alone learns; --full: all weights do'}.")
    recipe = {
        "base": "base_findings.yaml",
        "name": output.resolve().name,
        "segmenter": str(output / "segmenter"),
        "model": {key: getattr(config, key) for key in TAKEN_OVER} | {"findings": list(findings)},
        "init_from": model,
        "init_classifier": True,
        "data_root": str(data.resolve().parent) if on_disk else None,
        "sources": {name: source | {"parts": str(output / "parts.json")}},
        "epoch_size": min(max(sizes["to learn from"], MIN_DRAWS), MAX_DRAWS),
        "batch_size": min(max(sizes["to learn from"] // 4, 4), 32),
        "mixed_precision": "no",
    }
    with no_progress_bar():
        trained.segmenter.save_pretrained(output / "segmenter")
    path = output / "finetune.yaml"
    path.write_text(yaml.safe_dump(recipe | learns, sort_keys=False))
    return path


def write_parts(place, source, findings, path):
    """Deal the train split's patients out to the parts of a run; returns how many images each part has, in words.

    A part that the data set has itself is that one, whatever the file says.
    """
    data = [load_source(place, split, source=source) for split in ("train", "validation")]
    splits = list(every_split(place, source))
    data = data[:1] if "validation" in splits else data
    patients = [patient for part in data for patient in part["patient_id"]]
    labels = np.concatenate([known_labels(part, findings, source) for part in data])
    part_of = stratified_parts(patients, labels)
    write_json(path, part_of)
    sizes = {}
    for words, part in (("to learn from", "train"), ("to calibrate", "validation"), ("that choose nothing", "test")):
        own = part != "train" and part in splits
        chosen = np.array([part_of[patient] == part for patient in patients])
        known = ~np.isnan(labels).all(1)
        sizes[words] = len(load_source(place, part, source=source)) if own else int((chosen & known).sum())
    if unknown := int(np.isnan(labels).all(1).sum()):
        sizes[f"without a label of {', '.join(findings)}, left out"] = unknown
    return sizes


def score_test(recipe, model, output):
    """Write RUN/test.md and .json: the new model and the one it began with, on patients that chose nothing.

    Returns:
        finding → figures, as `compare_with_before` gives them.
    """
    ((name, source),) = recipe["sources"].items()
    parts = {name: load_part(recipe, source, "test")}
    rows, before = (
        score_with_pipeline(LungFusionPipeline.from_pretrained(place), parts, recipe["sources"])
        for place in (output / "model", model)
    )
    figures = compare_with_before(rows, before, recipe["model"]["findings"])
    write_table(output, "test", before_table(figures), figures, weights_digest(output / "model"))
    redraw(output)
    return figures


def summary(config, recipe, figures, output):
    """What was learned, what of it users are told, what it gained, and what to do next."""
    findings = recipe["model"]["findings"]
    shown = [name for name in findings if config["findings"][name]["shown"]]
    said = f"{len(findings)} learned, {len(shown) or 'none'} shown"
    if shown:
        said += f": {', '.join(shown)}."
    else:
        said += ": on patients not trained on none proved to work."
        said += " The same command with --set shown=all shows them all the same, without training again."
    for name, row in figures.items():
        if row["auc"]:
            said += f"\n{name}: ROC AUC {cell(row['auc'])} on {row['images']} images that chose nothing"
            said += f"; {cell(row['difference'])} more than before." if "difference" in row else "; not known before."
        else:
            said += f"\n{name}: not measured, all of the {row['images']} images that chose nothing are alike."
    return f"{said}\nCard and figures: {output}/README.md. Publish: python -m train.push {output} --repo-id OWNER/NAME"


if __name__ == "__main__":
    main()
