"""A run's folder: recipe.yaml, counts.json, history.json, model/, metrics.json, figures, images/, README.md (card)."""

from pathlib import Path

import numpy as np
import yaml
from datasets import concatenate_datasets

from train.data.pictures import reading_errors
from train.data.splits import load_source
from train.engine.loop import write_json

# Of a recipe, what may change in a run's folder: what another machine may need otherwise, and what users are told of
FREE = "data_root", "workers", "shown"


def prepare_output(accelerator, recipe, output):
    """Make the folder, keep the recipe in it, start the TensorBoard log.

    Raises:
        ValueError: the folder holds a run of another recipe.
    """
    check_recipe(recipe, output)
    accelerator.wait_for_everyone()  # all have looked before one of them writes
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        (output / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    accelerator.wait_for_everyone()
    accelerator.init_trackers("tensorboard")


def check_recipe(recipe, output):
    """Raises ValueError where the folder holds a run of another recipe; where its data lie may change."""
    kept = output / "recipe.yaml"
    if not kept.exists():
        return
    known, wanted = (values(of_run) for of_run in (yaml.safe_load(kept.read_text()), recipe))
    differing = [key for key in known | wanted if key not in FREE and known.get(key) != wanted.get(key)]
    if differing:
        changes = ", ".join(f"{key} differs ({known.get(key)} there, {wanted.get(key)} here)" for key in differing[:3])
        said = f"{output} holds another run: {changes}. Give another --output"
        if "init_from" in recipe:
            said += f"; init_from={output / 'model'} begins with what this one learned"
        raise ValueError(said + ".")


def values(tree, path=""):
    """Nested dict → flat one, with dotted keys."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for key, below in tree.items() for k, v in values(below, f"{path}.{key}".lstrip(".")).items()}


def source_path(recipe, source):
    """Where a source's data set lies: under `data_root` if there is one, else it is an id on the Hub."""
    root = recipe["data_root"]
    return Path(root) / source["dataset"] if root else source.get("hub_id", source["dataset"])


def load_part(recipe, source, split, drop_unreadable=True):
    """A source's training or validation patients, as `load_source` gives them.

    Args:
        recipe: of the run.
        source: its declaration, one of `recipe["sources"]` or of `recipe["unlabelled"]`.
        split: `train` or `validation`.
        drop_unreadable: leave out what can't be decoded; `train.data.check` says what that was.
    """
    data = load_source(source_path(recipe, source), split, recipe["validation_fold"], source)
    if not drop_unreadable:
        return data
    return data.select([row for row, error in enumerate(reading_errors(data, recipe.get("workers"))) if not error])


def drawn_rows(count, limit):
    """Rows of `count`, at most `limit` of them (None: all), drawn at random, the same at every call: sorted array."""
    return np.sort(np.random.default_rng(0).permutation(count)[:limit])


def drawn_of_labelled(labels, limit):
    """Rows of (N, findings) labels of which something is known, at most `limit` of them as `drawn_rows` draws them."""
    rows = np.flatnonzero(~np.isnan(labels).all(1))
    return rows[drawn_rows(len(rows), limit)]


def write_counts(parts, output):
    """counts.json: split → source → how many radiographs. parts: split → source → data set."""
    counts = {split: {name: len(part) for name, part in of_split.items()} for split, of_split in parts.items()}
    write_json(output / "counts.json", counts)


def concatenate_arrays(parts):
    parts = [part for part in parts if len(part)]
    if not parts:
        raise ValueError("No radiograph is left to train on: check the recipe's sources.")
    return concatenate_datasets(parts)
