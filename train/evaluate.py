"""Score a model on data sets, or a finished run again.

    python -m train.evaluate --model runs/own --dataset data/own --output runs/scores
    python -m train.evaluate --dataset data/own data/other --output runs/scores --also rejection shortcuts
    python -m train.evaluate --run runs/own --also saliency curves
    python -m train.evaluate --run runs/own --recalibrate --segmenter runs/lungs

Every radiograph goes through `LungFusionPipeline`, as in the app. Written to the output, or the run's folder:
metrics.json, metrics.md, per_image.csv, figures; where there are masks images/, sheets of radiographs with the lungs
drawn on them; of a run its card, README.md. And what is named after --also, each a table:

- robustness: the lungs, drawn on corrupted radiographs
- rejection: what is refused or warned of, among radiographs and pictures that are none
- photographs: how far findings move in photographs of films and screens
- shortcuts: what is known of the findings without the lungs, and of the hospital
- saliency: whether heat maps are about the score; of a run, which findings they are offered of
- curves: the findings, on radiographs tilted, shifted, magnified and more
- classical: classical classifiers on the fused features, fitted to the training patients
- features: the fused features themselves, features.parquet
"""

import json
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from lungfusion import LungFusionPipeline
from train.calibrate.findings import calibrate_run, replace_segmenter
from train.calibrate.mask_quality import calibrate_quality
from train.data.splits import load_part, load_source
from train.engine.arguments import command_line, model_place
from train.io import weights_digest, write_csv, write_json, write_table
from train.report.card import redraw, write_card
from train.report.contact_sheets import write_contact_sheets
from train.report.figures import draw_changes, write_figures
from train.report.tables import metrics_tables
from train.scoring.classical import classical_table, compare_classifiers
from train.scoring.curves import curves_table, measure_curves
from train.scoring.features import feature_rows
from train.scoring.images import readable, score_with_pipeline, summarise_parts, validation_parts
from train.scoring.photographs import measure_photographs, photographs_table
from train.scoring.rejection import measure_rejection, rejection_table
from train.scoring.robustness import measure_robustness, robustness_table, summarise_robustness
from train.scoring.saliency import explained_findings, explanations_table, measure_saliency
from train.scoring.shortcuts import measure_shortcuts, shortcuts_table

ANALYSES = ("robustness", "rejection", "photographs", "shortcuts", "saliency", "curves", "classical", "features")
OF_ANY_MODEL = {"robustness", "rejection"}  # the others need findings


def main(arguments=None):
    arguments = parse(arguments)
    if arguments.run:
        evaluate_finished(arguments)
    else:
        evaluate_model(arguments)


def parse(arguments):
    parser = command_line(__doc__, "model", "split")
    parser.add_argument("--dataset", nargs="+", default=[], help="folders of Parquet files, or ids on the Hub")
    parser.add_argument("--output", type=Path, help="folder to write to")
    parser.add_argument("--run", type=Path, help="a finished run's folder: its validation patients are scored again")
    parser.add_argument("--recalibrate", action="store_true", help="with --run: fit again what training ended with")
    parser.add_argument("--segmenter", type=model_place, help="with --run: draws the lungs from now on; recalibrates")
    parser.add_argument("--card", action="store_true", help="with --run: only draw figures and write the card again")
    parser.add_argument("--also", nargs="+", default=[], choices=ANALYSES, metavar="ANALYSIS", help="see above")
    parser.add_argument("--images", type=int, help="of each data set at most, for all that change images")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[], help="for rejection: folders of no radiographs")
    arguments = parser.parse_args(arguments)
    of_run = arguments.recalibrate or arguments.segmenter or arguments.card
    if arguments.run and (arguments.model or arguments.dataset or arguments.output):
        parser.error("a run has its own model, data sets and folder: leave out --model, --dataset and --output")
    if arguments.card and (arguments.recalibrate or arguments.segmenter):
        parser.error("--card scores nothing: leave it out, the card is written anyway")
    if not arguments.run and (of_run or not arguments.dataset or not arguments.output):
        parser.error("give --dataset and --output to score a model, or --run RUN to score a finished run again")
    if len({Path(name).name for name in arguments.dataset}) < len(arguments.dataset):
        parser.error("two data sets end in the same name, by which the tables tell them apart")
    return arguments


def evaluate_model(arguments):
    try:
        pipeline = load_pipeline(arguments.model, arguments.also)
        parts = load_parts(arguments.dataset, arguments.split)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    rows = score_with_pipeline(pipeline, parts)
    metrics = summarise_parts(pipeline, parts, rows, arguments.split)
    write_results(pipeline, parts, rows, metrics, [], arguments.output)
    print("\n".join(metrics_tables(metrics)))
    has_findings = any(figures["findings"] or figures["off_source"] for figures in metrics.values())
    if not has_findings:
        print(no_finding_measured(pipeline, parts))
    training_parts = load_parts(arguments.dataset, "train") if "classical" in arguments.also else {}
    weights = weights_digest(arguments.model)
    analyse(arguments, pipeline, readable(parts, rows), training_parts, arguments.output, weights)
    if not has_findings and not any("lungs" in figures for figures in metrics.values()):
        sys.exit(1)


def evaluate_finished(arguments):
    run = arguments.run
    try:
        recipe = yaml.safe_load((run / "recipe.yaml").read_text())
        load_pipeline(run / "model", arguments.also)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    if arguments.segmenter and recipe["task"] == "segmentation":
        sys.exit(f"{run} is a segmenter's: --segmenter is for the run of a classifier.")
    rows = None
    if arguments.recalibrate or arguments.segmenter:
        recipe, rows = recalibrate(recipe, run, arguments.segmenter)
    if not arguments.card:
        evaluate_run(recipe, run, rows)
    pipeline, weights = LungFusionPipeline.from_pretrained(run / "model"), weights_digest(run / "model")
    parts = load_run_parts(recipe, "validation") if arguments.also else {}
    training_parts = load_run_parts(recipe, "train") if "classical" in arguments.also else {}
    analyse(arguments, pipeline, parts, training_parts, run, weights, recipe["sources"])
    if arguments.also or arguments.card:
        redraw(run)
    print("\n".join(metrics_tables(json.loads((run / "metrics.json").read_text()))))


def evaluate_run(recipe, output, rows=None):
    """Score a training run's model on the validation patients of each of its sources; write figures and card.

    Args:
        recipe: of the run.
        output: `Path` of its folder.
        rows: as `score_with_pipeline` returns them, where its images have been scored already.
    """
    pipeline, parts = LungFusionPipeline.from_pretrained(output / "model"), validation_parts(recipe)
    rows = score_with_pipeline(pipeline, parts, recipe["sources"]) if rows is None else rows
    metrics = summarise_parts(pipeline, parts, rows, "validation")
    write_results(pipeline, parts, rows, metrics, json.loads((output / "history.json").read_text()), output)
    write_card(output)


def write_results(pipeline, parts, rows, metrics, history, output):
    """Write metrics.json, metrics.md, per_image.csv, figures and images/.

    Args:
        pipeline, parts, rows: as for `score_with_pipeline`, and as it returns them.
        metrics: as `summarise_parts` returns them.
        history: of a run, as `fit` returns it; [] of a model alone.
        output: `Path` of the folder to write to.
    """
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "metrics.json", metrics)
    (output / "metrics.md").write_text("\n".join(metrics_tables(metrics)) + "\n")
    write_csv(output / "per_image.csv", rows)
    write_contact_sheets(pipeline, parts, rows, output / "images")
    write_figures(metrics, rows, history, output)


def recalibrate(recipe, run, segmenter):
    """Fit again what training ended with, another segmenter first where one is given.

    Returns:
        the recipe, and the rows of `score_with_pipeline` where every image has been scored, else None.
    """
    with kept_on_error(run / "model"):
        if recipe["task"] == "segmentation":
            calibrate_quality(recipe, run)
            return recipe, None
        if segmenter:
            return replace_segmenter(segmenter, recipe, run)
        rows = calibrate_run(recipe, run)
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return recipe, rows


@contextmanager
def kept_on_error(folder):
    """Meanwhile a folder may be written to; where that ends with an error, it holds again what it held."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(folder, Path(place) / folder.name)
        try:
            yield
        except BaseException:
            shutil.copytree(Path(place) / folder.name, folder, dirs_exist_ok=True)
            raise


def analyse(arguments, pipeline, parts, training_parts, output, weights, declared=None):
    """Make what `--also` names.

    Args:
        parts: source → radiographs to measure on.
        training_parts: the same of the training patients, for `classical`.
        declared: source → its declaration, of a run's recipe.
    """
    limit = {"images": arguments.images} if arguments.images else {}
    for analysis in arguments.also:
        if analysis == "robustness":
            rows = measure_robustness(pipeline, parts, declared)
            output.mkdir(parents=True, exist_ok=True)
            write_csv(output / "robustness.csv", rows)
            figures = summarise_robustness(rows)
            write_table(output, "robustness", robustness_table(figures), figures, weights)
        elif analysis == "rejection":
            figures = measure_rejection(pipeline, parts, pictures=arguments.pictures, **limit)
            write_table(output, "rejection", rejection_table(figures), figures, weights)
        elif analysis == "photographs":
            figures = measure_photographs(pipeline, parts, **limit)
            write_table(output, "photographs", photographs_table(figures), figures, weights)
        elif analysis == "shortcuts":
            figures = measure_shortcuts(pipeline, parts, declared)
            write_table(output, "shortcuts", shortcuts_table(figures), figures, weights)
        elif analysis == "saliency":
            figures = measure_saliency(pipeline, parts, declared, **limit)
            write_table(output, "explanations", explanations_table(figures), figures, weights)
            offer_maps(pipeline, explained_findings(figures), arguments.run)
        elif analysis == "curves":
            name = name_of(arguments.run or arguments.model or "bundled")
            write_curves(measure_curves({name: pipeline}, parts, declared, **limit), output, weights)
        elif analysis == "classical":
            fitted, scored = (feature_rows(pipeline, of_split, declared) for of_split in (training_parts, parts))
            figures = compare_classifiers(fitted, scored)
            write_table(output, "classical", classical_table(figures), figures, weights)
        elif analysis == "features":
            output.mkdir(parents=True, exist_ok=True)
            feature_rows(pipeline, parts, declared).to_parquet(output / "features.parquet")


def name_of(place):
    """What a model is called: the last part of its id or its run's folder."""
    place = Path(place)
    return place.parent.name if place.name == "model" else place.name


def write_curves(curves, output, weights=None):
    """Write curves_FINDING.png and the figures in it, curves_FINDING.md and .json.

    Args:
        curves: as `measure_curves` returns them.
        output: `Path` of the folder to write to.
        weights: as `weights_digest` returns it, where there is one model.
    """
    for finding, of_finding in curves.items():
        name = f"curves_{finding}"
        write_table(output, name, curves_table(of_finding), of_finding, weights)
        draw_changes(of_finding, finding).savefig(output / f"{name}.png", dpi=120)


def offer_maps(pipeline, explained, run):
    """Heat maps are offered of these findings alone from now on, where the model is a run's."""
    if run:
        config = pipeline.model.config
        offered = {name: replace(one, explained=name in explained) for name, one in config.findings.items()}
        config.with_findings(offered).save_pretrained(run / "model")


def load_pipeline(place, analyses):
    """`LungFusionPipeline`; raises ValueError where one of the analyses needs findings, and the model has none."""
    pipeline = LungFusionPipeline.from_pretrained(place)
    needed = [name for name in analyses if name not in OF_ANY_MODEL]
    if needed and not hasattr(pipeline.model.config, "findings"):
        raise ValueError(f"{', '.join(needed)}: for a model that names findings; {place} only draws the lungs.")
    return pipeline


def load_parts(names, split):
    return {Path(name).name: load_source(name, split) for name in names}


def load_run_parts(recipe, split):
    return {name: load_part(recipe, source, split) for name, source in recipe["sources"].items()}


def no_finding_measured(pipeline, parts):
    """The sentence for it."""
    findings = getattr(pipeline.model.config, "findings", ())
    if not findings:
        return "The model names no findings: it draws the lungs."
    return f"No radiograph of {', '.join(parts)} got an answer and has a label of a finding: {', '.join(findings)}."


if __name__ == "__main__":
    main()
