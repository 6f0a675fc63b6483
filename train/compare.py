"""Train variants of a recipe and put them into one table, or put trained models side by side.

    python -m train.compare --recipe train/recipes/lungs_plain.yaml --grid train/recipes/compare_lungs.yaml \\
        --output runs/compare_lungs [key=value …]
    python -m train.compare --recipe train/recipes/findings.yaml --leave-out shenzhen+hannover guangzhou+nih \\
        --output runs/hospitals
    python -m train.compare --models fused=runs/findings full_image=runs/full_image --dataset data/own \\
        --output runs/compare_models

The grid names the variants, each a list of overrides, and the folds and seeds with which every one is trained. A
variant's own overrides win over those of the command line. Each run is a `train.segment` or `train.classify` of its own
under OUTPUT/VARIANT; finished ones are skipped, cut-off ones go on. Every variant is scored on the same patients, so
its difference to the first one is taken image by image. Written to OUTPUT: compare.json and compare.md, anew after
every variant.

With --grid and --leave-out every variant trains without each of these hospitals, and compare.md has a column for the
hospitals learned from, one for each left out, one for which of two rivals the ill of those left out together have, and
one for all of it; the difference is to the first variant and to the best of those with one network. A second table is
of tilted radiographs (`tilts`), compare.png shows both. The grid may name `means`, variants whose logits are averaged,
and `questions`, each a variant and that without the step it asks about: what_helps.md.

With --leave-out alone each run trains without some hospitals, under OUTPUT/without_HOSPITALS, and is scored on them;
with `all` in their place every hospital of the recipe is left out by itself. Written to OUTPUT: hospitals.md and
hospitals.json, which a recipe's `away` names. With --mean, what such runs said is put together instead, as `train.join`
puts models together: each logit is the mean of the runs' that left out the same hospitals.

Trained models are compared on radiographs of the data sets that are tilted, shifted, magnified and more. Written to
OUTPUT for each finding that all of them tell of: curves_FINDING.png, .md and .json. With --hardest N it is their lungs
that are compared, segmenters' too, on the N radiographs of whose outline the first model is least sure: hardest.md,
hardest.json and images/hardest.png.
"""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from lungfusion import LungFusionPipeline
from train.calibrate.operating_points import operating_points
from train.data.splits import load_source
from train.engine.arguments import command_line, model_place
from train.engine.processes import launch
from train.engine.recipe import load_recipe
from train.engine.weights import load_classifier
from train.evaluate import write_curves
from train.io import read_rows, read_yaml, weights_in, write_table
from train.report.figures import draw_variants
from train.report.hardest import compare_hardest
from train.scoring.comparison import (
    AWAY,
    left_out_rows,
    summarise_findings,
    summarise_lungs,
    tilted_rows,
    variants_table,
    what_helps_table,
)
from train.scoring.cost import measure_cost
from train.scoring.curves import measure_curves
from train.scoring.hospitals import hospitals_of, hospitals_table


def main(arguments=None):
    parser = command_line(__doc__, "output", "split")
    parser.add_argument("--recipe", help="a YAML file, see train/recipes")
    parser.add_argument("--grid", type=Path, help="a YAML file: variants, folds, seeds")
    parser.add_argument("--leave-out", nargs="+", metavar="A+B", help="go without hospitals A and B; all: each in turn")
    parser.add_argument(
        "--mean", nargs="+", type=Path, metavar="DIR", help="outputs of --leave-out, whose logits are averaged"
    )
    parser.add_argument("--models", nargs="+", metavar="NAME=DIR_OR_ID", help="trained models, each with a name")
    parser.add_argument("--dataset", nargs="+", help="with --models: folders of Parquet files, or ids on the Hub")
    parser.add_argument("--images", type=int, default=200, help="with --models: of each data set and finding at most")
    parser.add_argument("--hardest", type=int, help="with --models: compare the lungs of so many radiographs")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replaces a value of the recipe everywhere")
    arguments = parser.parse_intermixed_args(arguments)  # options may stand between overrides
    if arguments.models and arguments.dataset:
        compare_models(parser, arguments)
    elif arguments.recipe and arguments.grid:
        compare_variants(parser, arguments)
    elif arguments.recipe and (arguments.leave_out or arguments.mean):
        compare_hospitals(parser, arguments)
    else:
        parser.error("give --recipe and --grid to train variants, or --models and --dataset to compare trained models")


def compare_models(parser, arguments):
    places = dict(model.partition("=")[::2] for model in arguments.models)
    if not all(places.values()):
        parser.error("give each of --models as NAME=DIR_OR_ID")
    try:
        pipelines = {name: LungFusionPipeline.from_pretrained(model_place(place)) for name, place in places.items()}
        parts = {Path(name).name: load_source(name, arguments.split) for name in arguments.dataset}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if arguments.hardest:
        compare_hardest(pipelines, parts, arguments.output, arguments.hardest, arguments.images)
        print((arguments.output / "hardest.md").read_text())
        return
    curves = measure_curves(pipelines, parts, images=arguments.images)
    if not curves:
        sys.exit("No finding that all models tell of has images with it and images without it.")
    write_curves(curves, arguments.output)
    for finding in curves:
        print((arguments.output / f"curves_{finding}.md").read_text())


def compare_hospitals(parser, arguments):
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides)
        runs = read_means(arguments.mean) if arguments.mean else leave_hospitals_out(recipe, arguments)
        write_hospitals(runs, recipe, arguments.output)
    except ValueError as error:
        parser.error(str(error))
    print((arguments.output / "hospitals.md").read_text())


class LeftOut(NamedTuple):
    """A run without hospitals.

    rows: of its left_out.csv.
    drawn: how many images its training drew, as words.
    """

    rows: list
    drawn: str


def leave_hospitals_out(recipe, arguments):
    """Train without hospitals; finished runs are not run again: hospitals left out, a tuple → `LeftOut`."""
    together, runs = arguments.leave_out, {}
    for group in hospitals_of(recipe) if together == ["all"] else together:
        hospitals = group.split("+")
        folder = arguments.output / f"without_{'_'.join(hospitals)}"
        if not (folder / "left_out.csv").exists():
            overrides = [*arguments.overrides, f"left_out=[{', '.join(hospitals)}]"]
            train("train.classify", arguments.recipe, overrides, folder)
        runs[tuple(hospitals)] = read_left_out_run(folder)[1]
    return runs


def read_left_out_run(folder):
    """The hospitals that a finished run left out, a tuple, and its `LeftOut`."""
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    return tuple(recipe["left_out"]), LeftOut(read_rows(folder / "left_out.csv"), images_drawn(recipe))


def read_means(folders):
    """Runs of several outputs, put together where they left out the same: hospitals, a tuple → `LeftOut`.

    The rows are those of which each run has said something, with those findings that each knows.

    Raises:
        ValueError: there is a run without hospitals that another output has no run without.
    """
    finished = [sorted(path.parent for path in folder.glob("without_*/left_out.csv")) for folder in folders]
    outputs = [dict(map(read_left_out_run, runs)) for runs in finished]
    runs = {}
    for hospitals in outputs[0] if outputs else ():
        if missing := [str(folder) for folder, runs in zip(folders, outputs, strict=True) if hospitals not in runs]:
            raise ValueError(f"{missing[0]} has no run without {' and '.join(hospitals)}.")
        parts = [output[hospitals] for output in outputs]
        runs[hospitals] = LeftOut(mean_rows([part.rows for part in parts]), " + ".join(part.drawn for part in parts))
    return runs


def mean_rows(of_runs):
    """Rows of several runs → those that all have, the logits that all have averaged."""
    known = [{(row["source"], row["file_name"]): row for row in rows} for rows in of_runs]
    images = [image for image in known[0] if all(image in one for one in known)]
    return [mean_row([one[image] for one in known], "logit_") for image in images]


def mean_row(rows, prefix):
    """Rows about one image → the first, of its columns that begin with `prefix` those that all have, averaged."""
    shared = {key for key in rows[0] if key.startswith(prefix) and all(key in row for row in rows)}
    kept = {key: value for key, value in rows[0].items() if not key.startswith(prefix)}
    return kept | {key: float(np.mean([row[key] for row in rows])) for key in shared}


def write_hospitals(runs, recipe, output):
    """What runs make of hospitals they never saw: hospitals.json and hospitals.md in `output`.

    Args:
        runs: hospitals left out, a tuple → `LeftOut`.
        recipe: whose findings, rivals and auxiliary ones they are.
        output: `Path` of a folder.
    """
    rows = {
        hospital: [row | {"home": whose(row, hospital)} for row in run.rows]
        for hospitals, run in runs.items()
        for hospital in hospitals
    }
    points = operating_points(rows, recipe["model"]["findings"], recipe["rivals"], recipe["auxiliary"])
    sizes = ", ".join(f"{run.drawn} without {' and '.join(hospitals)}" for hospitals, run in runs.items())
    lines = [f"Images drawn in training: {sizes}.", ""]
    lines += hospitals_table({finding: point["hospitals"] for finding, point in points.items()})
    write_table(output, "hospitals", lines, points)


def whose(row, hospital):
    """`yes` for a row of hospitals that a run learned from, `no` for one of `hospital`, `beside` of others left out."""
    return "yes" if row["home"] == "yes" else "no" if row["hospital"] == hospital else "beside"


def images_drawn(recipe):
    """How many images a run's training draws, as words."""
    size = recipe["epoch_size"]
    if not recipe["epochs"]:
        return f"0 after {Path(recipe['init_from']).name}"
    return f"{recipe['epochs'] * size:,}" if size else f"each {recipe['epochs']} times"


class Run(NamedTuple):
    """One training of a variant.

    folder: `Path` of its run.
    overrides: `key=value` strings.
    number: of its fold and seed, from 0; runs of the same number are compared.
    group: hospitals left out, joined by +; None where none is.
    """

    folder: Path
    overrides: list
    number: int
    group: str | None


def compare_variants(parser, arguments):
    grid = read_yaml(arguments.grid)
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides)
        groups = hospitals_of(recipe) if arguments.leave_out == ["all"] else arguments.leave_out
        if groups and recipe["task"] != "classification":
            raise ValueError("--leave-out is for a classifier's recipe: a segmenter's hospitals are not left out.")
        runs = plan(arguments.recipe, grid, arguments.overrides, arguments.output, groups or [None])
    except ValueError as error:
        parser.error(str(error))
    counted = {"findings": grid.get("findings"), "rivals": recipe.get("rivals")}
    said, table = {}, {}  # of each row: `Said`, figures
    left = sum(not is_finished(run.folder) for of_variant in runs.values() for run in of_variant)
    print(f"{sum(map(len, runs.values()))} trainings, of which {left} are left.")
    for variant, of_variant in runs.items():
        for run in of_variant:
            begun, asked = time.monotonic(), not is_finished(run.folder)
            train(MODULES[recipe["task"]], arguments.recipe, run.overrides, run.folder)
            if asked:
                left, minutes = left - 1, (time.monotonic() - begun) / 60
                print(f"{minutes:.1f} minutes; {left} are left, {left * minutes / 60:.1f} hours if all are like it.")
        for name, of_row in read_said(recipe["task"], variant, of_variant, **counted).items():
            said[name] = of_row
            table[name] = {"overrides": grid["variants"][variant], "runs": len(of_variant)}
            table[name] |= cost_of_runs(of_variant) | summarise(recipe["task"], of_row, said)
        write_table(arguments.output, "compare", variants_table(recipe["task"], table), table)
    for name, parts in grid.get("means", {}).items():
        said[name] = mean_said([said[part] for part in parts])
        table[name] = {"mean_of": parts, "runs": table[parts[0]]["runs"]}
        table[name] |= sum_of_costs([table[part] for part in parts]) | summarise(recipe["task"], said[name], said)
    single = [variant for variant, of_variant in runs.items() if is_single(arguments.recipe, of_variant)]
    best = max(single, key=lambda variant: mean_of_sources(table[variant]), default=None)
    for name, of_row in said.items() if best else ():
        of_best = summarise_findings(*(together(one.rows) for one in (of_row, said[best])))["sources"]
        for source, figures in of_best.items():
            table[name]["sources"][source]["single_difference"] = figures["auc_difference"]
    write_table(arguments.output, "compare", variants_table(recipe["task"], table, best), table)
    if groups:
        draw_variants(table).savefig(arguments.output / "compare.png", dpi=120)
    if "questions" in grid:
        answers = {
            question: summarise(recipe["task"], said[one], {other: said[other]})
            for question, (one, other) in grid["questions"].items()
        }
        write_table(arguments.output, "what_helps", what_helps_table(answers), answers)
    print((arguments.output / "compare.md").read_text())


MODULES = {"segmentation": "train.segment", "classification": "train.classify"}


def together(rows):
    """Those rows that are of all hospitals left out together, where any are: a table needs no more of them twice."""
    return [row for row in rows if row["source"] == AWAY] or rows


def is_single(recipe_path, runs):
    """Whether a variant is a classifier with one network."""
    return len(load_recipe(recipe_path, runs[0].overrides)["model"].get("branches", ())) == 1


def mean_of_sources(row):
    """By which the best single network is chosen: in all hospitals left out together, or over the sources at home."""
    sources = row["sources"]
    if AWAY in sources:
        return sources[AWAY]["auc"]["value"]
    return float(np.mean([figures["auc"]["value"] for figures in sources.values()]))


def plan(recipe_path, grid, overrides, output, groups=(None,)):
    """Every run: variant → list of `Run`.

    Args:
        groups: hospitals to be left out by one run each, joined by + where it is several; None for a run with all.

    Raises:
        ValueError: an override does not fit the recipe, or a folder holds a run of another recipe.
    """
    runs = {}
    for variant, changes in grid["variants"].items():
        runs[variant] = []
        for number, (fold, seed) in enumerate(itertools.product(grid["folds"], grid["seeds"])):
            for group in groups:
                name = f"fold{fold}-seed{seed}"
                everywhere = grid.get("everywhere", [])
                own = [*everywhere, *overrides, *changes, f"validation_fold={fold}", f"seed={seed}"]
                if group:
                    name = f"without_{group.replace('+', '_')}-{name}"
                    own.append(f"left_out=[{', '.join(group.split('+'))}]")
                folder = output / variant / name
                recipe, kept = load_recipe(recipe_path, own), folder / "recipe.yaml"
                if kept.exists() and yaml.safe_load(kept.read_text()) != recipe:
                    raise ValueError(f"{folder} holds a run of another recipe: delete it, or give another --output.")
                runs[variant].append(Run(folder, own, number, group))
    return runs


class Said(NamedTuple):
    """What the runs of a variant said of the images they were scored on.

    rows: as `summarise_findings` takes them, or of a segmenter `summarise_lungs`.
    tilted: the same of images that were turned, where some were.
    """

    rows: list
    tilted: list = []


def read_said(task, variant, runs, findings=None, rivals=None):
    """Row of the table → `Said`: the variant's, and "VARIANT, CLASSIFIER" of each that was scored on its features.

    Args:
        task: of the recipe.
        runs: list of `Run`, the variant's, finished.
        findings, rivals: as for `left_out_rows`.
    """
    if task == "segmentation":
        return {variant: Said([row for run in runs for row in read_rows(run.folder / "robustness.csv")])}
    if not runs[0].group:
        return {variant: Said([row for run in runs for row in read_probabilities(run)])}
    said = {}
    for path in sorted(runs[0].folder.glob("left_out*.csv")):
        rows, tilted = [], []
        for run in runs:
            rows += left_out_rows(read_rows(run.folder / path.name), run.number, run.group, findings, rivals)
            if path.stem == "left_out" and (run.folder / "tilted.csv").exists():
                turned = read_rows(run.folder / "tilted.csv")
                tilted += tilted_rows(turned, run.number, run.group, findings, rivals)
        classifier = path.stem.removeprefix("left_out").removeprefix(".")
        said[f"{variant}, {classifier}" if classifier else variant] = Said(rows, tilted)
    return said


def read_probabilities(run):
    """Rows of a run's per_image.csv; an image that was refused has the probability 0."""
    rows = []
    for row in read_rows(run.folder / "per_image.csv"):
        if row.get("refused"):
            row |= dict.fromkeys((key for key in row if key.startswith("probability_")), 0.0)
        rows.append({"run": run.number} | row)
    return rows


def mean_said(of_variants):
    """What several variants said of the same images, put together: the mean of what ranks each finding."""
    parts = (zip(*rows, strict=True) for rows in zip(*of_variants, strict=True))
    return Said(*([mean_row(of_image, "probability_") for of_image in part] for part in parts))


def summarise(task, of_row, said):
    """What the table says of a row: its figures, and their difference to those of the first row.

    Args:
        of_row: `Said`.
        said: row → `Said`; the first is what it is compared to.
    """
    first = next(iter(said.values()))
    if task == "segmentation":
        return summarise_lungs(of_row.rows, first.rows)
    tilted = {"tilted": summarise_findings(of_row.tilted, first.tilted)["sources"]} if of_row.tilted else {}
    return summarise_findings(of_row.rows, first.rows) | tilted


def cost_of_runs(runs):
    """Median seconds of an epoch; weights; of a classifier what an answer takes, see `measure_cost`."""
    epochs = [epoch for run in runs for epoch in json.loads((run.folder / "history.json").read_text())]
    cost = {"seconds_per_epoch": float(np.median([epoch["seconds"] for epoch in epochs]))}
    cost["parameters"] = weights_in(runs[0].folder / "model")
    return cost | (measure_cost(load_classifier(runs[0].folder / "model")) if runs[0].group else {})


def sum_of_costs(costs):
    """Of several models that all answer, the lungs drawn once."""
    total = {key: sum(cost[key] for cost in costs) for key in ("seconds_per_epoch", "parameters")}
    if "milliseconds" not in costs[0]:
        return total
    time = sum(cost["milliseconds"] for cost in costs)
    peak = sum(cost["milliseconds"] * cost["share_of_peak"] for cost in costs) / time
    lungs = max(cost["lungs_milliseconds"] for cost in costs)
    return total | {"lungs_milliseconds": lungs, "milliseconds": time, "share_of_peak": peak}


def is_finished(folder):
    return (folder / "README.md").exists() or (folder / "left_out.csv").exists()  # what a run writes last


def train(module, recipe_path, overrides, folder):
    """Train and score one run, unless that is done."""
    if is_finished(folder):
        print(f"{folder} is finished.")
        return
    if status := launch(module, "--recipe", recipe_path, "--output", folder, *overrides):
        sys.exit(status)  # what is wrong has been said


if __name__ == "__main__":
    main()
