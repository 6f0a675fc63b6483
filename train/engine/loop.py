"""The training loop: epochs, the best of them by a validation figure, checkpoints from which a run resumes."""

import json
import math
import re
import shutil
import time

import torch
from accelerate import skip_first_batches
from accelerate.utils import broadcast, set_seed
from tqdm.auto import tqdm

from lungfusion.loading import no_progress_bar
from train.engine.average import ExponentialMovingAverage
from train.engine.losses import own_loss
from train.io import write_json

MAX_GRADIENT = 1.0  # norm to which gradients are clipped
STEPS_SHOWN = 20  # between two losses that the progress bar tells: each makes a GPU wait
SAVE_EVERY = 180  # seconds between two checkpoints within an epoch
UNTIMED, TIMED = 2, 5  # first steps, in which memory is set up, and those by which the time that is left is told
MAX_SEED = 2**32 - 2**16  # numpy takes no more; each process adds its number
WARM_UP = 0.15  # share of the steps in which the learning rate rises; then it falls to zero (one cycle, Smith 2018)


def fit(accelerator, model, processor, train_loader, sampler, validate, recipe, output, loss_of=own_loss, keep="best"):
    """Train, and keep the best epoch's model in `output/model`, of equals the first; or the last one's.

    Every step begins from a seed of its own, and every few minutes, and at an epoch's end, all is saved under
    `output/checkpoint-EPOCHS-STEP` before what was saved before is deleted: a run that is cut off and started again
    ends with the weights of an undisturbed run.

    Args:
        accelerator: `accelerate.Accelerator`.
        model: a `PreTrainedModel`.
        processor: saved beside the model.
        train_loader: yields batches, a dict of tensors each; its items are not random, what is random is `loss_of`.
        sampler: the loader's, as `train.data.sampler` makes it.
        validate: function of the model → dict of figures; the first one is to be large and chooses the epoch.
        recipe: dict with `epochs` (0: the model is kept as it is), `learning_rate`, `weight_decay`, `ema_decay` and
            `seed`.
        output: the run's folder, a `Path`.
        loss_of: function of the model, a batch and the epoch's number, from 0, → () tensor; the loss that the model's
            `forward(**batch)` returns unless given.
        keep: `"best"`, or `"last"` where validation images have no say in when to stop: then the last epoch alone is
            validated.

    Returns:
        history: a list with one dict for each epoch.

    Raises:
        SystemExit: a loss or a figure is no number; what was saved before stays.
    """
    if not recipe["epochs"]:
        if accelerator.is_main_process:
            save_model(model.eval(), processor, output / "model")
            write_json(output / "history.json", [])
        return []
    train_loader = accelerator.prepare(train_loader)
    model.to(accelerator.device)
    average = ExponentialMovingAverage(model, recipe["ema_decay"]) if recipe["ema_decay"] else None
    validated = average.model if average else model
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    steps = len(train_loader)
    rate, all_steps = recipe["learning_rate"], recipe["epochs"] * steps
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, all_steps, pct_start=WARM_UP)
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(scheduler, *[average] * bool(average))
    history, losses = resume(accelerator, output)
    clock = Clock(accelerator, all_steps - len(history) * steps - len(losses))

    for epoch in range(len(history), recipe["epochs"]):
        seed, started = recipe["seed"] + 1000 * epoch, time.time()
        sampler.generator.manual_seed(seed)
        model.train()
        batches = skip_first_batches(train_loader, len(losses)) if losses else train_loader
        told = {"desc": f"Epoch {epoch + 1}/{recipe['epochs']}", "initial": len(losses), "total": steps}
        bar = tqdm(batches, **told, disable=not accelerator.is_main_process)
        for batch in bar:
            set_seed((seed + 1_000_003 * len(losses)) % MAX_SEED, device_specific=True)
            loss = loss_of(model, batch, epoch)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), MAX_GRADIENT)
            optimizer.step()
            scheduler.step()
            if average:
                average.update()
            optimizer.zero_grad()
            losses.append(loss.detach().float())
            if len(losses) % STEPS_SHOWN == 1:
                bar.set_postfix(loss=f"{checked(loss.item(), 'loss', epoch, output):.3f}")
            if clock.is_time_to_save(len(losses)) and len(losses) < steps:
                checked(torch.stack([one.to("cpu") for one in losses]).sum().item(), "loss", epoch, output)
                save_checkpoint(accelerator, output, history, losses)
        loss = torch.stack([one.to(accelerator.device) for one in losses]).mean()
        loss, losses = checked(accelerator.reduce(loss, "mean").item(), "loss", epoch, output), []
        validated.eval()
        broadcast(list(validated.buffers()))  # each process has batch norms of its own; the first one's are kept
        figures = {}
        if keep == "best" or epoch + 1 == recipe["epochs"]:
            figures = validate(validated)
            chosen_by = next(iter(figures))
            checked(figures[chosen_by], chosen_by, epoch, output)
        history.append({"epoch": epoch + 1, "loss": loss, **figures, "seconds": round(time.time() - started, 1)})
        accelerator.log({k: v for k, v in history[-1].items() if k != "epoch"}, step=epoch + 1)
        if accelerator.is_main_process:
            tqdm.write("  ".join(f"{k} {v:.4g}" for k, v in history[-1].items()))
            if keep == "last" or is_best(history, chosen_by):
                save_model(validated, processor, output / "model")
        save_checkpoint(accelerator, output, history)
    return history


def checked(number, name, epoch, output):
    """The number, if it is one.

    Raises:
        SystemExit: it is NaN or infinite, and so is all that follows.
    """
    if math.isfinite(number):
        return number
    kept = output / "model"
    said = f"{kept} holds the best model until then" if kept.is_dir() else "No epoch had ended, so no model is kept"
    raise SystemExit(
        f"Training ends: in epoch {epoch + 1} the {name} is {number}. {said}. Try a lower learning_rate, or "
        "mixed_precision=no."
    )


class Clock:
    """Says how long a training takes, once its first steps are timed, and when it is time to save it.

    Args:
        accelerator: `accelerate.Accelerator`.
        steps: that are left.
    """

    def __init__(self, accelerator, steps):
        self.accelerator, self.steps, self.taken = accelerator, steps, 0
        self.started = self.saved = time.monotonic()

    def is_time_to_save(self, step):
        """After each step: whether `SAVE_EVERY` seconds have passed, the same in all processes."""
        self.taken += 1
        now, accelerator = time.monotonic(), self.accelerator
        if self.taken == UNTIMED:
            self.started = now
        if self.taken == UNTIMED + TIMED:
            accelerator.print(estimate((now - self.started) / TIMED, self.steps - self.taken))
        if accelerator.num_processes > 1:
            if accelerator.device.type != "cpu" and step % STEPS_SHOWN:
                return False  # asking would make GPUs wait in every step
            due = broadcast(torch.tensor(int(now - self.saved >= SAVE_EVERY), device=accelerator.device)).item()
        else:
            due = now - self.saved >= SAVE_EVERY
        self.saved = now if due else self.saved
        return bool(due)


def estimate(seconds, steps):
    """What is told of the time a training takes. seconds: of a step; steps: that are left."""
    minutes = seconds * steps / 60
    words = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.0f} minutes" if minutes > 1.5 else "a minute"
    return f"{seconds:.2f} s a step, {steps:,} are left: about {words}, besides validation and scoring."


def is_best(history, chosen_by):
    return history[-1][chosen_by] > max((epoch[chosen_by] for epoch in history[:-1]), default=-math.inf)


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


def save_checkpoint(accelerator, output, history, losses=()):
    """All that a run needs to go on, whole or not at all.

    Args:
        history: of the epochs that have ended.
        losses: () tensors, this process's, of the steps of the one that has not.
    """
    accelerator.wait_for_everyone()
    new = output / "checkpoint.new"
    accelerator.save_state(str(new))
    write_json(new / f"losses-{accelerator.process_index}.json", [one.item() for one in losses])
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(new / "history.json", history)
        name = f"checkpoint-{len(history)}-{len(losses)}" if losses else f"checkpoint-{len(history)}"
        new.rename(output / name)
        write_json(output / "history.json", history)
        for folder in set(saved_checkpoints(output)) - {output / name}:
            shutil.rmtree(folder, ignore_errors=True)
    accelerator.wait_for_everyone()


def saved_checkpoints(output):
    """Folders of whole checkpoints, the latest last."""
    matches = [re.fullmatch(r"checkpoint-(\d+)(?:-(\d+))?", path.name) for path in output.glob("checkpoint-*")]
    numbers = sorted((int(match[1]), int(match[2] or 0), match[0]) for match in matches if match)
    return [output / name for *_, name in numbers]


def resume(accelerator, output):
    """Load the latest whole checkpoint, if there is one.

    Returns:
        history: of the epochs that have ended.
        losses: list of () tensors, this process's, of the steps of the one that has not.

    Raises:
        SystemExit: the run was of another number of processes, within an epoch.
    """
    checkpoints = saved_checkpoints(output)
    if accelerator.is_main_process:
        shutil.rmtree(output / "checkpoint.new", ignore_errors=True)
    accelerator.wait_for_everyone()
    if not checkpoints:
        return [], []
    latest = checkpoints[-1]
    history = json.loads((latest / "history.json").read_text())
    processes = len(list(latest.glob("losses-*.json")))
    own = latest / f"losses-{accelerator.process_index}.json"
    losses = json.loads(own.read_text()) if own.exists() else []
    if losses and processes != accelerator.num_processes:
        raise SystemExit(f"{latest} was saved within an epoch by {processes} processes: go on with as many.")
    steps = f" and {len(losses)} steps" if losses else ""
    accelerator.print(f"Resuming after epoch {len(history)}{steps} from {latest}")
    accelerator.load_state(str(latest))
    return history, [torch.tensor(loss, dtype=torch.float32) for loss in losses]
