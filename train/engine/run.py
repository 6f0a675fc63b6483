"""A run's folder: recipe.yaml, counts.json, history.json, model/, metrics.json, figures, images/, README.md (card)."""

import yaml

from train.io import write_json

# Of a recipe, what may change in a run's folder: what another machine may need otherwise, and what users are told of
MUTABLE_KEYS = "data_root", "workers", "shown", "log_with"


def prepare_output(accelerator, recipe, output):
    """Make the folder, keep the recipe in it, start the log.

    Raises:
        ValueError: the folder holds a run of another recipe.
    """
    check_recipe(recipe, output)
    accelerator.wait_for_everyone()  # all have looked before one of them writes
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        (output / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    accelerator.wait_for_everyone()
    name = "tensorboard" if recipe["log_with"] == "tensorboard" else "lungfusion"  # a folder of the run's, or a project
    accelerator.init_trackers(name, init_kwargs={"wandb": {"name": output.name}})


def check_recipe(recipe, output):
    """Raises ValueError where the folder holds a run of another recipe; where its data lie may change."""
    kept = output / "recipe.yaml"
    if not kept.exists():
        return
    known, wanted = (values(of_run) for of_run in (yaml.safe_load(kept.read_text()), recipe))
    differing = [key for key in known | wanted if key not in MUTABLE_KEYS and known.get(key) != wanted.get(key)]
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


def write_counts(parts, output):
    """counts.json: split → source → how many radiographs. parts: split → source → data set."""
    counts = {split: {name: len(part) for name, part in of_split.items()} for split, of_split in parts.items()}
    write_json(output / "counts.json", counts)
