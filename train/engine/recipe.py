"""Recipes: a small YAML file says everything about a run; `key=value` on the command line overrides it."""

import argparse
from pathlib import Path

import yaml


def load_recipe(path, overrides=()):
    """Read a recipe.

    Args:
        path: a YAML file.
        overrides: strings `key=value`; a dotted key reaches inside (`model.encoder=plain`), the value is YAML.

    Returns:
        dict; without the sources that are null (`sources.nih=null` leaves one out).

    Raises:
        ValueError: an override is no `key=value`, or its key is not in the recipe.
    """
    recipe = yaml.safe_load(Path(path).read_text())
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"{override!r} is no override: write key=value.")
        *parents, last = key.split(".")
        place = recipe
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise ValueError(f"{key!r} is not in {path}: its keys are {', '.join(recipe)}.")
        place[last] = yaml.safe_load(value)
    recipe["sources"] = {name: source for name, source in recipe["sources"].items() if source}
    return recipe


def chosen(recipe, key, options):
    """What a recipe's word stands for: `options[recipe[key]]`; a ValueError names the options."""
    if recipe[key] not in options:
        raise ValueError(f"{key} is {recipe[key]!r}: choose one of {', '.join(options)}.")
    return options[recipe[key]]


def parse_arguments(description):
    """The command line that `train.segment` and `train.classify` share: returns (recipe, output folder)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--recipe", required=True, help="a YAML file, see train/recipes")
    parser.add_argument("--output", type=Path, help="the run's folder; resumed if it holds a checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replaces a value of the recipe")
    arguments = parser.parse_args()
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return recipe, arguments.output or Path("runs") / recipe["name"]
