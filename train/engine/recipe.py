"""Recipes: a small YAML file says everything about a run; `key=value` on the command line overrides it."""

import argparse
from pathlib import Path

from train.data.sources import resolve_sources
from train.io import parse_yaml, read_yaml

RECIPES = Path(__file__).parents[1] / "recipes"
BASES = {"segmentation": RECIPES / "base_lungs.yaml", "classification": RECIPES / "base_findings.yaml"}
SAID_AS_YES_OR_NO = {"yes": True, "on": True, "no": False, "off": False}


def load_recipe(path, overrides=()):
    """Read a recipe.

    `base: FILE`, beside it or in train/recipes, is read first: a recipe holds only what differs. `model` is joined key
    by key, what else a recipe says takes the place of what its base says.

    Args:
        path: a YAML file.
        overrides: strings `key=value`; a dotted key reaches inside (`model.encoder=plain`), the value is YAML.

    Returns:
        dict; its `sources` (and `unlabelled`) are name → source with all that sources.yaml says, without those that
        are null (`sources.nih=null` leaves one out).

    Raises:
        ValueError: an override is no `key=value`, a key is not in the recipe, a value is of another type than that of
            its base, or a source is not known.
    """
    recipe = read_with_base(Path(path))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"{override!r} is no override: write key=value.")
        put(recipe, key, parse_yaml(value), path)
        recipe |= with_sources(recipe)
    task = recipe.get("task")
    if task not in BASES:
        raise ValueError(
            f"{path}: task is {task!r}: choose one of {', '.join(BASES)}, or write `base: base_findings.yaml`."
        )
    usual = read_with_base(BASES[task])
    if missing := usual.keys() - recipe.keys():
        raise ValueError(f"{path} has no {min(missing)}: write `base: {BASES[task].name}` in it, which has.")
    recipe = {"name": Path(path).stem} | fit_types(recipe, usual)
    for source in recipe["sources"].values():
        if task == "classification" and len(recipe["sources"]) == 1 and not source.keys() & {"labels", "findings"}:
            source["findings"] = recipe["model"]["findings"]  # the only one there is labels all that is asked for
    return recipe


def read_with_base(path):
    written = read_yaml(path)
    if not isinstance(written, dict):
        raise ValueError(f"{path} is no recipe: it holds no `key: value` lines.")
    base = written.pop("base", None)
    beside = path.parent / (base or "")
    recipe = read_with_base(beside if beside.is_file() else RECIPES / base) if base else {}
    if base and "model" in written and "model" in recipe:
        written["model"] = recipe["model"] | written["model"]
    recipe |= written
    return recipe | with_sources(recipe)


def with_sources(recipe):
    """`sources` and `unlabelled` of a recipe, resolved."""
    return {key: resolve_sources(recipe[key]) for key in ("sources", "unlabelled") if key in recipe}


def put(recipe, key, value, path):
    """Override one value; a new name is allowed where sources are named."""
    *parents, last = key.split(".")
    place = recipe
    for parent in parents:
        place = place.get(parent) if isinstance(place, dict) else None
    names_a_source = parents in (["sources"], ["unlabelled"])
    if not isinstance(place, dict) or (last not in place and not names_a_source):
        raise ValueError(f"{key!r} is not in {path}: its keys are {', '.join(recipe)}.")
    place[last] = value


def fit_types(recipe, base, within=""):
    """The recipe, its yes and no made true and false where its base has one of them.

    Raises:
        ValueError: a value is of another type than in the base. What is null there may be anything.
    """
    fitted = {}
    for key, value in recipe.items():
        usual = base.get(key)
        if isinstance(usual, bool) and isinstance(value, str):
            value = SAID_AS_YES_OR_NO.get(value.lower(), value)
        if isinstance(usual, dict) and isinstance(value, dict):
            fitted[key] = fit_types(value, usual, f"{within}{key}.") if key in ("model", "augmentation") else value
            continue
        if usual is not None and not same_type(value, usual):
            raise ValueError(f"{within}{key} is {value!r}: give {TYPES[type(usual)]}, such as {usual!r}.")
        fitted[key] = value
    return fitted


TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    list: "a list",
    dict: "a mapping",
}


def same_type(value, usual):
    if isinstance(usual, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(usual, str):
        return value is None or isinstance(value, str)
    return type(value) is type(usual)


def resolve_option(recipe, key, options):
    """What a recipe's word stands for: `options[recipe[key]]`; a ValueError names the options."""
    if recipe[key] not in options:
        raise ValueError(f"{key} is {recipe[key]!r}: choose one of {', '.join(options)}.")
    return options[recipe[key]]


def parse_arguments(description, arguments=None):
    """The command line that `train.segment` and `train.classify` share: returns (recipe, output folder).

    arguments: strings; those of the process if None.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--recipe", required=True, help="a YAML file, see train/recipes")
    parser.add_argument("--output", type=Path, help="the run's folder; resumed if it holds a checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replaces a value of the recipe")
    arguments = parser.parse_intermixed_args(arguments)  # options may stand between overrides
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return recipe, arguments.output or Path("runs") / recipe["name"]
