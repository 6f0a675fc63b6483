"""Train variants of a recipe and put them into one table.

    python -m train.compare --recipe train/recipes/lungs_plain.yaml --grid train/recipes/compare_lungs.yaml \\
        --output runs/compare_lungs [key=value …]

The grid names the variants, each a list of overrides, and the folds and seeds with which every one is trained. A
variant's own overrides win over those of the command line. Each run is a `train.segment` of its own under
OUTPUT/VARIANT; finished ones are skipped, cut-off ones go on. Every variant is scored on the same patients, so its
difference to the first one is taken image by image. Written to OUTPUT: compare.json and compare.md, anew after every
variant.
"""

import argparse
import csv
import itertools
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from lungfusion.models import LungUNetForSemanticSegmentation
from train.evaluate import patients, with_interval
from train.loop import write_json
from train.recipe import load_recipe
from train.report import cell, table_head
from train.robustness import ALTERED, UNALTERED, summarise_robustness

FIGURES = ("dice", "dice_altered", "pixel_accuracy", "dice_difference", "dice_altered_difference")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="a YAML file, see train/recipes")
    parser.add_argument("--grid", type=Path, required=True, help="a YAML file: variants, folds, seeds")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replaces a value of the recipe everywhere")
    arguments = parser.parse_args()
    grid = yaml.safe_load(arguments.grid.read_text())
    try:
        runs = plan(arguments.recipe, grid, arguments.overrides, arguments.output)
    except ValueError as error:
        parser.error(str(error))
    table = {}
    for variant, runs_of_variant in runs.items():
        for folder, overrides in runs_of_variant.items():
            train(arguments.recipe, overrides, folder)
        first = list(next(iter(runs.values())))
        table[variant] = {"overrides": grid["variants"][variant], **summarise_runs(list(runs_of_variant), first)}
        write_json(arguments.output / "compare.json", table)
        (arguments.output / "compare.md").write_text("\n".join(compare_table(table)) + "\n")
    print("\n".join(compare_table(table)))


def plan(recipe_path, grid, overrides, output):
    """Every run: variant → folder → its overrides of the recipe.

    Raises:
        ValueError: an override does not fit the recipe, or a folder holds a run of another recipe.
    """
    runs = {}
    for variant, changes in grid["variants"].items():
        runs[variant] = {}
        for fold, seed in itertools.product(grid["folds"], grid["seeds"]):
            folder = output / variant / f"fold{fold}-seed{seed}"
            runs[variant][folder] = [*overrides, *changes, f"validation_fold={fold}", f"seed={seed}"]
            recipe, kept = load_recipe(recipe_path, runs[variant][folder]), folder / "recipe.yaml"
            if kept.exists() and yaml.safe_load(kept.read_text()) != recipe:
                raise ValueError(f"{folder} holds a run of another recipe: delete it, or give another --output.")
    return runs


def train(recipe_path, overrides, folder):
    """Train and score one run, unless that is done."""
    if (folder / "README.md").exists():  # the card, which a run writes last
        print(f"{folder} is finished.")
        return
    launch = [sys.executable, "-m", "accelerate.commands.launch", "-m", "train.segment"]
    command = [*launch, "--recipe", recipe_path, "--output", str(folder), *overrides]
    subprocess.run(command, check=True)  # noqa: S603 (the user's own arguments, no shell)


def summarise_runs(folders, first):
    """One row of the table; figures are pooled over the runs, patients drawn once for all of them.

    Args:
        folders: of the variant's runs, one for each fold and seed.
        first: those of the first variant's.
    """
    rows, rows_of_first = read_scores(folders), read_scores(first)
    epochs = [epoch for folder in folders for epoch in json.loads((folder / "history.json").read_text())]
    robustness = summarise_robustness(rows)
    return {
        "runs": len(folders),
        "images": robustness[UNALTERED]["images"],
        "dice": robustness[UNALTERED]["dice"],
        "dice_altered": robustness[ALTERED]["dice"],
        "pixel_accuracy": robustness[UNALTERED]["pixel_accuracy"],
        **difference(rows, rows_of_first),
        "seconds_per_epoch": float(np.median([epoch["seconds"] for epoch in epochs])),
        "parameters": LungUNetForSemanticSegmentation.from_pretrained(folders[0] / "model").num_parameters(),
    }


def read_scores(folders):
    rows = []
    for folder in folders:
        with open(folder / "robustness.csv", newline="") as file:
            for row in csv.DictReader(file):
                rows.append(row | {name: float(row[name]) for name in ("dice", "pixel_accuracy")})
    return rows


def difference(rows, rows_of_first):
    """Mean difference of the Dice, unaltered and altered, to the first variant's on the same image: 0 if it is that."""
    altered = np.array([row["alteration"] != UNALTERED for row in rows])
    changes = np.array([row["dice"] - first["dice"] for row, first in zip(rows, rows_of_first, strict=True)])
    patient_ids = np.array(patients(rows))
    figures = {}
    for name, chosen in (("dice_difference", ~altered), ("dice_altered_difference", altered)):
        score = partial(mean_change, name)
        figures |= with_interval(score, patient_ids[chosen].tolist(), changes[chosen])
    return figures


def mean_change(name, changes):
    return {name: float(changes.mean())}


def compare_table(table):
    """Markdown: one row for each variant."""
    titles = ["variant", "runs", "images", "Dice", "Dice, altered images", "pixel accuracy"]
    titles += ["Dice against the first", "altered, against the first"]
    lines = table_head([*titles, "seconds per epoch", "million parameters"])
    for variant, row in table.items():
        cells = [variant, str(row["runs"]), str(row["images"])]
        cells += [cell(row[name]) for name in FIGURES]
        cells += [f"{row['seconds_per_epoch']:.1f}", f"{row['parameters'] / 1e6:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
