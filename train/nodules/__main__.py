"""The nodule detector: python -m train.nodules --recipe train/recipes/nodules.yaml [--variant NAME [--into CHECKPOINT]]

With a variant, it is trained: model.safetensors in the variant's folder. Without, all that were trained are scored on
the same pictures: nodules.json and nodules.md in the recipe's `out`. Then a variant can be put into a checkpoint.
"""

import argparse
from pathlib import Path

import torch

from lungfusion import LungFusionPipeline
from train.io import WEIGHTS, read_yaml
from train.nodules.bundle import put_into
from train.nodules.data import load_pictures
from train.nodules.report import read_report, write_report
from train.nodules.scoring import is_evaluated
from train.nodules.training import train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--variant", help="one of the recipe's variants, to be trained")
    parser.add_argument("--peers", type=Path, help="what other models said of the same pictures, JSON")
    parser.add_argument("--into", type=Path, help="folder of the checkpoint that the variant, once scored, is put into")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = read_yaml(arguments.recipe)
    variants = recipes_of(recipe)
    if arguments.variant and arguments.variant not in variants:
        parser.error(f"There is no variant {arguments.variant}: choose out of {', '.join(variants)}.")
    if arguments.into:
        if not arguments.variant:
            parser.error("Name the variant that is put into the checkpoint: --variant NAME.")
        put_into(arguments.into, variants[arguments.variant], read_report(recipe["out"]), arguments.variant)
        return
    pipeline = LungFusionPipeline.from_pretrained(recipe["checkpoint"])
    if arguments.variant:
        train(variants[arguments.variant], load_pictures(recipe, pipeline, recipe["pixels"]))
    else:
        pictures = load_pictures(recipe, pipeline, pipeline.processor.size["height"], is_evaluated)
        trained = {name: one for name, one in variants.items() if (Path(one["out"]) / WEIGHTS).exists()}
        write_report(trained, pictures, recipe["out"], arguments.peers)


def recipes_of(recipe):
    """Name of a variant → the recipe with the variant's changes, its folder below `out`."""
    common = {key: value for key, value in recipe.items() if key != "variants"}
    return {
        name: common | {"out": str(Path(recipe["out"]) / name)} | (changes or {})
        for name, changes in recipe["variants"].items()
    }


if __name__ == "__main__":
    main()
