"""The training loop: epochs, the best of them by a validation figure, checkpoints from which a run resumes."""

import json
import re
import shutil
import time

import torch
from accelerate.utils import broadcast, set_seed
from tqdm.auto import tqdm

from lungfusion.loading import no_progress_bar
from train.engine.average import MovingAverage
from train.engine.losses import own_loss
from train.io import write_json

MAX_GRADIENT = 1.0  # norm to which gradients are clipped
STEPS_SHOWN = 20  # between two losses that the progress bar tells: each makes a GPU wait
WARM_UP = 0.15  # share of the steps in which the learning rate rises; then it falls to zero (one cycle, Smith 2018)


def fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output, loss_of=own_loss, keep="best"):
    """Train, and keep the best epoch's model in `output/model`, or the last one's.

    Every epoch begins from a seed of its own, and its end is saved whole under `output/checkpoint-N` before the one
    before it is deleted: a run that is cut off and started again ends with the weights of an undisturbed run.

    Args:
        accelerator: `accelerate.Accelerator`.
        model: a `PreTrainedModel`.
        processor: saved beside the model.
        train_loader: yields batches; a dict of tensors each.
        sampler: the loader's, as `train.data.sampler` makes it.
        validate: function of the model → dict of figures; the first one is to be large and chooses the epoch.
        recipe: dict with `epochs`, `learning_rate`, `weight_decay`, `ema_decay`, `seed`.
        output: the run's folder, a `Path`.
        loss_of: function of the model and a batch → () tensor; the loss that its `forward(**batch)` returns unless
            given.
        keep: `"best"`, or `"last"` where validation images are to have no say in when to stop.

    Returns:
        history: a list with one dict for each epoch.
    """
    train_loader = accelerator.prepare(train_loader)
    model.to(accelerator.device)
    average = MovingAverage(model, recipe["ema_decay"]) if recipe["ema_decay"] else None
    validated = average.model if average else model
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    steps = recipe["epochs"] * len(train_loader)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe["learning_rate"], steps, pct_start=WARM_UP)
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(scheduler, *[average] * bool(average))
    history = resume(accelerator, output)

    for epoch in range(len(history), recipe["epochs"]):
        set_seed(recipe["seed"] + 1000 * epoch, device_specific=True)
        sampler.generator.manual_seed(recipe["seed"] + 1000 * epoch)
        started, losses = time.time(), []
        model.train()
        bar = tqdm(train_loader, desc=f"Epoch {epoch + 1}/{recipe['epochs']}", disable=not accelerator.is_main_process)
        for step, batch in enumerate(bar):
            loss = loss_of(model, batch)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
            optimizer.step()
            scheduler.step()
            if average:
                average.update()
            optimizer.zero_grad()
            losses.append(loss.detach())
            if step % STEPS_SHOWN == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
        validated.eval()
        broadcast(list(validated.buffers()))  # each process has batch norms of its own; the first one's are kept
        figures = validate(validated)
        loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
        history.append({"epoch": epoch + 1, "loss": loss, **figures, "seconds": round(time.time() - started, 1)})
        accelerator.log({k: v for k, v in history[-1].items() if k != "epoch"}, step=epoch + 1)
        if accelerator.is_main_process:
            tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in history[-1].items()))
            if keep == "last" or is_best(history, chosen_by=next(iter(figures))):
                save_model(validated, processor, output / "model")
        save_checkpoint(accelerator, output, history)
    return history


def is_best(history, chosen_by):
    return history[-1][chosen_by] >= max(epoch[chosen_by] for epoch in history)


def save_model(model, processor, folder):
    """Save into a new folder first, so that a cut-off never leaves half a model."""
    new = folder.with_suffix(".new")
    with no_progress_bar():
        model.save_pretrained(new)
    processor.save_pretrained(new)
    replace_folder(new, folder)


def replace_folder(new, folder):
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
    numbers = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in output.glob("checkpoint-*")]
    checkpoints = [output / f"checkpoint-{n}" for n in sorted(int(number[1]) for number in numbers if number)]
    if accelerator.is_main_process:
        shutil.rmtree(output / "checkpoint.new", ignore_errors=True)
    accelerator.wait_for_everyone()
    if not checkpoints:
        return []
    history = json.loads((checkpoints[-1] / "history.json").read_text())
    accelerator.print(f"Resuming after epoch {len(history)} from {checkpoints[-1]}")
    accelerator.load_state(str(checkpoints[-1]))
    return history
