"""A run's folder: recipe.yaml, counts.json, history.json, model/, metrics.json, figures, images/, README.md (card)."""

import os
from pathlib import Path

import torch
import yaml
from datasets import concatenate_datasets

from lungfusion.allocator import keep_freed_memory
from train.data.splits import load_source
from train.engine.loop import write_json


def prepare_output(accelerator, recipe, output):
    """Make the folder, keep the recipe in it, start the TensorBoard log, set up the CPU."""
    set_up_cpu(accelerator)
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        (output / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    accelerator.wait_for_everyone()
    accelerator.init_trackers("tensorboard")


def set_up_cpu(accelerator):
    """Where a CPU computes, its cores are shared out among the processes, and freed memory is kept.

    `accelerate launch` gives each process one thread unless told otherwise, which leaves cores idle.
    """
    if accelerator.device.type == "cpu":
        keep_freed_memory()
        torch.set_num_threads(max(1, os.cpu_count() // accelerator.num_processes))


def loader_workers(accelerator, recipe):
    """How many processes augment: none on a CPU, where they take the cores from the network.

    `python -m tests.benchmarks.training` says how well the loader keeps up.
    """
    return 0 if accelerator.device.type == "cpu" else recipe["workers"]


def source_path(recipe, source):
    """Where a source's data set lies: under `data_root` if there is one, else it is an id on the Hub."""
    root = recipe["data_root"]
    return Path(root) / source["dataset"] if root else source.get("hub_id", source["dataset"])


def load_part(recipe, source, split):
    """A source's training or validation patients, as `load_source` gives them.

    source: its declaration, one of `recipe["sources"]` or of `recipe["unlabelled"]`.
    """
    return load_source(source_path(recipe, source), split, recipe["validation_fold"], source)


def write_counts(parts, output):
    """counts.json: split → source → how many radiographs. parts: split → source → data set."""
    counts = {split: {name: len(part) for name, part in of_split.items()} for split, of_split in parts.items()}
    write_json(output / "counts.json", counts)


def concatenate_arrays(parts):
    parts = [part for part in parts if len(part)]
    if not parts:
        raise ValueError("No radiograph is left to train on: check the recipe's sources.")
    return concatenate_datasets(parts)
