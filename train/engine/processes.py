"""The processes that share a command's work: how many there are, on which device, in which precision."""

import os
from contextlib import contextmanager
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from filelock import FileLock

from lungfusion.allocator import keep_freed_memory


def start_accelerator(mixed_precision="no", **settings):
    """The `Accelerator` of this process, on a GPU where there is one, else on the CPU.

    `torchrun --nproc_per_node N` shares the work among N processes, on CPUs too, which accelerate by itself leaves
    alone there: each would do the whole.

    Args:
        mixed_precision: `no`, `fp16` or `bf16`; float32 takes the place of a bfloat16 that would have to be emulated.
        settings: more of what `Accelerator` takes.

    Raises:
        ValueError: several processes were asked for, but they would not work together.
    """
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    device = torch.device("cpu") if cpu else torch.accelerator.current_accelerator()
    emulated = mixed_precision == "bf16" and not has_bfloat16(device)
    accelerator = Accelerator(cpu=cpu, mixed_precision="no" if emulated else mixed_precision, **settings)
    if accelerator.num_processes == 1 and several_asked_for():
        raise ValueError("The processes would each do the whole work: begin them with torchrun --nproc_per_node N -m …")
    if emulated:
        accelerator.print("Computing in float32: this processor has no bfloat16 of its own, emulated it is slower.")
    set_up_cpu(accelerator)
    return accelerator


def several_asked_for():
    """Whether a launcher was told to begin several processes.

    On CPUs `accelerate launch --num_processes N` begins one: all that shows is the port at which N would meet.
    """
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 or by_accelerate


def has_bfloat16(device):
    """Whether a `torch.device` computes in bfloat16; an emulated one is up to 15 times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type != "cpu" or any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


@contextmanager
def one_after_another():
    """Each process in its turn: the first reads the data and keeps them in the cache, the others find them there.

    A lock, and no barrier of accelerate's: those who wait at a barrier give up after minutes, this may take hours.
    """
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lungfusion.lock"):
        yield


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
