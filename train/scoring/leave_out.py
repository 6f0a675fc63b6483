"""Train without each hospital in turn, and say what each model makes of the hospital it never saw."""

from collections.abc import Callable
from pathlib import Path

import yaml

from train.calibrate.operating_points import operating_points
from train.engine.recipe import load_recipe
from train.report.tables import write_table
from train.scoring.hospitals import hospitals_of, hospitals_table, read_rows


def leave_one_hospital_out(recipe_path, overrides, output: Path, train: Callable):
    """One run for each hospital of a recipe's sources; those that are finished are not run again.

    Args:
        recipe_path: of `train.classify`.
        overrides: `key=value` strings.
        output: folder to write to: `without_HOSPITAL/` for each run, hospitals.json and hospitals.md.
        train: function of (overrides, folder) that trains one run.

    Returns:
        finding → operating point: what hospitals.json holds.
    """
    recipe = load_recipe(recipe_path, overrides)
    rows, drawn = {}, {}
    for hospital in hospitals_of(recipe):
        folder = output / f"without_{hospital}"
        if not (folder / "left_out.csv").exists():
            train([*overrides, f"left_out={hospital}"], folder)
        rows[hospital] = read_rows(folder / "left_out.csv")
        drawn[hospital] = images_drawn(yaml.safe_load((folder / "recipe.yaml").read_text()))
    points = operating_points(rows, recipe["model"]["findings"], recipe["rivals"])
    sizes = ", ".join(f"{count} without {hospital}" for hospital, count in drawn.items())
    lines = [f"Images drawn in training: {sizes}.", ""]
    lines += hospitals_table({finding: point["hospitals"] for finding, point in points.items()})
    write_table(output, "hospitals", lines, points)
    return points


def images_drawn(recipe):
    """How many images a run's training draws, as words."""
    size = recipe["epoch_size"]
    return f"{recipe['epochs'] * size:,}" if size else f"each {recipe['epochs']} times"
