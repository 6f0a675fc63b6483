"""What loading and augmenting cost a training: python -m tests.benchmarks.training [--steps 20] [--rounds 3]

The recipe's training step on batches as the data loader augments them, and the same step on one batch that lies ready;
the two take turns, and steps at the sides of all epochs. What the recipe freezes is frozen. The radiographs are random
arrays: real ones are decoded once, before a training begins.
"""

import train  # noqa: F401  (before torch: it says how threads wait)

# isort: split
import argparse
import time
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification
from train.augment.augmentation import Augmentation
from train.classify import augmented_loss, loss_with_weights
from train.data.crops import CROP_SIDE, LabelledCrops, LungCrops, Part
from train.engine.processes import loader_workers, start_accelerator
from train.engine.recipe import load_recipe
from train.engine.weights import freeze

RECIPE = Path(__file__).parents[2] / "train" / "recipes" / "findings.yaml"
IMAGES = 64  # different ones


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--steps", type=int, default=20, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replaces a value of the recipe")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    accelerator = start_accelerator(recipe["mixed_precision"])
    workers = loader_workers(accelerator, recipe)
    step, loader = training_step(accelerator, recipe), accelerator.prepare(batches(recipe, arguments.steps, workers))
    ready = next(iter(loader))
    step(ready)
    seconds = {"as the loader augments them": [], "ready": []}
    for _ in tqdm(range(arguments.rounds), desc="Rounds"):
        for name, source in zip(seconds, (loader, [ready] * arguments.steps), strict=True):
            seconds[name].append(timed(step, source, accelerator.device))
    images = arguments.steps * recipe["batch_size"]
    for name, of_rounds in seconds.items():
        print(f"- Batches {name}: {images / median(of_rounds):.1f} images a second")
    loaded, cached = seconds.values()
    share = median(own / other for own, other in zip(cached, loaded, strict=True))
    print(f"- The loader keeps up to {share:.2f} of the speed, with {workers} workers, on {accelerator.device.type}.")


def training_step(accelerator, recipe):
    """A function of a batch: forward, backward and one step of the optimizer, as in `train.engine.loop.fit`."""
    model = LungFusionForImageClassification(LungFusionConfig(segmenter={"width": 8}, **recipe["model"]))
    model.segmenter.requires_grad_(False)  # the data set holds its masks
    freeze(model.branches, recipe["frozen"])
    model.to(memory_format=torch.channels_last).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    augment, sides = Augmentation(**recipe["augmentation"]), recipe["sides"] or [model.config.branch_size]
    epochs = cycle(range(len(sides)))
    loss_of = partial(augmented_loss, loss_with_weights(recipe, model.config.findings), augment, sides)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(trained, 1e-5))

    def step(batch):
        accelerator.backward(loss_of(model, batch, next(epochs)))
        optimizer.step()
        optimizer.zero_grad()

    return step


def batches(recipe, steps, workers):
    """A data loader of that many batches of random crops."""
    generator, findings = np.random.default_rng(0), recipe["model"]["findings"]
    pixels, alpha = (generator.integers(256, size=(IMAGES, CROP_SIDE, CROP_SIDE), dtype=np.uint8) for _ in range(2))
    labels = generator.integers(2, size=(IMAGES, len(findings))).astype(np.float32)
    images = LabelledCrops([Part("x", None, LungCrops(pixels, alpha), labels)])
    drawn = [i % IMAGES for i in range(steps * recipe["batch_size"])]
    return DataLoader(images, sampler=drawn, batch_size=recipe["batch_size"], num_workers=workers)


def timed(step, batches, device):
    started = time.perf_counter()
    for batch in batches:
        step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
