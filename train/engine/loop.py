"""The training loop: epochs, the best of them by a validation figure, checkpoints from which a run resumes."""

import json
import os
import shutil
import time
from functools import partial

import torch
from accelerate.utils import set_seed
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from train.engine.losses import own_loss

MAX_GRADIENT = 1.0  # norm to which gradients are clipped
WARM_UP = 0.15  # share of the steps in which the learning rate rises; then it falls to zero (one cycle, Smith 2018)


def fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output, loss_of=own_loss):
    """Train, and keep the best epoch's model in `output/model`.

    Every epoch begins from a seed of its own, and its end is saved whole under `output/checkpoint-N` before the one
    before it is deleted: a run that is cut off and started again ends with the weights of an undisturbed run.

    Args:
        accelerator: `accelerate.Accelerator`.
        model: a `PreTrainedModel`.
        processor: saved beside the model.
        train_loader: yields batches; a dict of tensors each.
        sampler: the loader's sampler, or None where it shuffles.
        validate: function of the model → dict of figures; the first one is to be large and chooses the epoch.
        recipe: dict with `epochs`, `learning_rate`, `weight_decay`, `ema_decay`, `seed`.
        output: the run's folder, a `Path`.
        loss_of: function of the model and a batch → () tensor; the loss that its `forward(**batch)` returns unless
            given.

    Returns:
        history: a list with one dict for each epoch.
    """
    train_loader = accelerator.prepare(train_loader)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    steps = recipe["epochs"] * len(train_loader)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe["learning_rate"], steps, pct_start=WARM_UP)
    model, optimizer = accelerator.prepare(model, optimizer)
    average = partial(moving_average, recipe["ema_decay"])
    averaged = AveragedModel(accelerator.unwrap_model(model), avg_fn=average, use_buffers=True)
    accelerator.register_for_checkpointing(scheduler, averaged)
    history = resume(accelerator, output)

    for epoch in range(len(history), recipe["epochs"]):
        set_seed(recipe["seed"] + 1000 * epoch, device_specific=True)
        if sampler is not None:
            sampler.generator.manual_seed(recipe["seed"] + 1000 * epoch)
        started, losses = time.time(), []
        model.train()
        bar = tqdm(train_loader, desc=f"Epoch {epoch + 1}/{recipe['epochs']}", disable=not accelerator.is_main_process)
        for batch in bar:
            loss = loss_of(model, batch)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
            optimizer.step()
            scheduler.step()
            averaged.update_parameters(accelerator.unwrap_model(model))
            optimizer.zero_grad()
            losses.append(loss.detach())
            bar.set_postfix(loss=f"{loss.item():.3f}")
        averaged.eval()
        figures = validate(averaged.module)
        loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
        history.append({"epoch": epoch + 1, "loss": loss, **figures, "seconds": round(time.time() - started, 1)})
        accelerator.log({k: v for k, v in history[-1].items() if k != "epoch"}, step=epoch + 1)
        if accelerator.is_main_process:
            tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in history[-1].items()))
            if is_best(history, chosen_by=next(iter(figures))):
                save_model(averaged.module, processor, output / "model")
        save_checkpoint(accelerator, output, history)
    return history


def moving_average(kept, average, new, steps):
    """The exponential moving average of a weight after one more step (Polyak and Juditsky 1992).

    Args:
        kept: share of the average that a step keeps; fewer than that in the first steps, whose weights are soon worse.
        average, new: tensors of one shape.
        steps: how many are done.
    """
    kept = min(kept, (1 + float(steps)) / (10 + float(steps)))
    return kept * average + (1 - kept) * new


def is_best(history, chosen_by):
    return history[-1][chosen_by] >= max(epoch[chosen_by] for epoch in history)


def save_model(model, processor, folder):
    """Save into a new folder first, so that a cut-off never leaves half a model."""
    new = folder.with_suffix(".new")
    model.save_pretrained(new)
    processor.save_pretrained(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def round_weights(model):
    """Round every weight to half precision, in place, before the model is scored.

    So the checkpoint can be shipped in float16 without changing a figure of its card.
    """
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return model


def save_checkpoint(accelerator, output, history):
    accelerator.wait_for_everyone()
    new = output / "checkpoint.new"
    accelerator.save_state(str(new))
    if accelerator.is_main_process:
        write_json(new / "history.json", history)
        new.rename(output / f"checkpoint-{len(history)}")
        write_json(output / "history.json", history)
        shutil.rmtree(output / f"checkpoint-{len(history) - 1}", ignore_errors=True)
    accelerator.wait_for_everyone()


def resume(accelerator, output):
    """Load the latest whole checkpoint, if there is one; returns its history."""
    checkpoints = sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    if accelerator.is_main_process:
        shutil.rmtree(output / "checkpoint.new", ignore_errors=True)
    accelerator.wait_for_everyone()
    if not checkpoints:
        return []
    history = json.loads((checkpoints[-1] / "history.json").read_text())
    accelerator.print(f"Resuming after epoch {len(history)} from {checkpoints[-1]}")
    accelerator.load_state(str(checkpoints[-1]))
    return history


def write_json(path, content):
    """Write whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(new, path)
