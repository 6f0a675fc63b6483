"""The loop: a run that is cut off anywhere goes on as if undisturbed, and one that fails keeps what was good."""

import json
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset

from tests.support.tiny import tiny_segmenter
from train.data.sampler import epoch_sampler
from train.engine import loop
from train.engine.loop import Clock, estimate, fit, is_best

RECIPE = {"epochs": 2, "learning_rate": 0.01, "weight_decay": 0.0, "ema_decay": 0.9, "seed": 3}
PROCESSOR = SimpleNamespace(save_pretrained=lambda folder: None)


class Images(Dataset):
    """Twelve pairs of a picture and a mask."""

    def __len__(self):
        return 12

    def __getitem__(self, row):
        pixels = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(row))
        return {"pixel_values": pixels, "labels": (pixels > 0.5).float()}


def noisy_loss(model, batch, epoch):
    return model(batch["pixel_values"] + 0.1 * torch.rand_like(batch["pixel_values"]), labels=batch["labels"]).loss


def train(output, recipe=RECIPE, loss_of=noisy_loss, figures=None):
    torch.manual_seed(0)
    model, sampler = tiny_segmenter(), epoch_sampler([("a", None)] * 12, None)
    loader = DataLoader(Images(), sampler=sampler, batch_size=3)
    figures = iter(figures or (0.5, 0.6))
    output.mkdir(exist_ok=True)
    return fit(
        Accelerator(cpu=True),
        model,
        PROCESSOR,
        loader,
        sampler,
        lambda model: {"dice": next(figures)},
        recipe,
        output,
        loss_of,
    )


def test_a_run_cut_off_within_an_epoch_ends_as_an_undisturbed_one(tmp_path, monkeypatch, capsys):
    """Cut off after the second step, and again after the first of the second epoch."""
    undisturbed = train(tmp_path / "undisturbed")
    monkeypatch.setattr(loop, "SAVE_EVERY", 0)
    for name in ("checkpoint-0-2", "checkpoint-1-1"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop, "save_checkpoint", dies_after(tmp_path / "cut" / name))
            train(tmp_path / "cut")
        assert [path.name for path in (tmp_path / "cut").glob("checkpoint*")] == [name]
    resumed = train(tmp_path / "cut", figures=(0.6,))
    assert "Resuming after epoch 1 and 1 steps" in capsys.readouterr().out
    for one, other in zip(undisturbed, resumed, strict=True):
        assert one["loss"] == other["loss"]
    files = [
        torch.load(tmp_path / name / "checkpoint-2" / "custom_checkpoint_1.pkl", weights_only=True)["model"]
        for name in ("undisturbed", "cut")
    ]
    assert all(torch.equal(tensor, files[1][key]) for key, tensor in files[0].items())


def dies_after(checkpoint):
    save = loop.save_checkpoint

    def save_then_die(*arguments):
        save(*arguments)
        if checkpoint.exists():
            raise KeyboardInterrupt

    return save_then_die


def test_a_loss_that_is_no_number_ends_training_and_keeps_the_last_good_model(tmp_path):
    losses = []

    def loss_of(model, batch, epoch):
        losses.append(noisy_loss(model, batch, epoch))
        return losses[-1] * (torch.nan if len(losses) > 5 else 1)

    with pytest.raises(SystemExit, match=r"in epoch 2 the loss is nan\. .*model holds the best model until then"):
        train(tmp_path / "run", loss_of=loss_of)
    kept = tiny_segmenter().from_pretrained(tmp_path / "run" / "model")
    assert all(tensor.isfinite().all() for tensor in kept.state_dict().values())
    assert [path.name for path in (tmp_path / "run").glob("checkpoint*")] == ["checkpoint-1"]


def test_a_figure_that_is_no_number_ends_training_at_once(tmp_path):
    with pytest.raises(SystemExit, match=r"in epoch 1 the dice is nan\. No epoch had ended"):
        train(tmp_path / "run", figures=(float("nan"),))
    assert not (tmp_path / "run" / "model").exists()


def test_of_equals_the_first_is_kept():
    """As the card says."""
    history = [{"dice": 0.5}, {"dice": 0.7}, {"dice": 0.7}]
    assert [is_best(history[: n + 1], "dice") for n in range(3)] == [True, True, False]


def test_the_time_that_is_left_is_told_once_the_first_steps_are_timed(monkeypatch):
    seconds = iter([0.0, *range(10, 100, 10)])
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(seconds))
    said = []
    accelerator = SimpleNamespace(num_processes=1, device=torch.device("cpu"), print=said.append)
    clock = Clock(accelerator, 1000)
    assert not any(clock.is_time_to_save(step) for step in range(1, 8))
    assert said == ["10.00 s a step, 993 are left: about 2.8 hours, besides validation and scoring."]
    assert "about 5 minutes" in estimate(0.5, 600) and "about a minute" in estimate(0.5, 60)


def test_as_many_processes_go_on_within_an_epoch(tmp_path):
    folder = tmp_path / "checkpoint-0-3"
    folder.mkdir()
    for process in range(2):
        (folder / f"losses-{process}.json").write_text("[0.5]")
    (folder / "history.json").write_text(json.dumps([]))
    with pytest.raises(SystemExit, match="by 2 processes: go on with as many"):
        loop.resume(Accelerator(cpu=True), tmp_path)
