"""The processes that share a command's work: how many there are, on which device, in which precision."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator
from accelerate.commands.config.config_args import default_config_file
from accelerate.tracking import get_available_trackers
from accelerate.utils import parse_flag_from_env
from filelock import FileLock

from lungfusion.allocator import keep_freed_memory


def start_accelerator(mixed_precision="no", **settings):
    """The `Accelerator` of this process, on a GPU where there is one, else on the CPU.

    `torchrun --nproc_per_node N` shares the work among N processes, on CPUs too, which accelerate by itself leaves
    alone there: each would do the whole.

    Args:
        mixed_precision: `no`, `fp16` or `bf16`; float32 takes the place of a bfloat16 that would have to be emulated.
        settings: more of what `Accelerator` takes; `log_with` is a tracker that is installed, `all` of them, or None.

    Raises:
        ValueError: several processes were asked for, but they would not work together; or there is no such tracker.
    """
    log_with, installed = settings.get("log_with"), [tracker.value for tracker in get_available_trackers()]
    if log_with not in (None, "all", *installed):
        raise ValueError(f"log_with is {log_with!r}: give null, all or one of {', '.join(installed)}, or install it.")
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
    """Where a CPU computes: in as many threads as there are cores for it, and freed memory is kept."""
    if accelerator.device.type == "cpu":
        keep_freed_memory()
        threads, why = threads_for(accelerator.num_processes)
        torch.set_num_threads(threads)
        accelerator.print(f"Computing in {threads} thread{'s' * (threads > 1)} a process: {why}.")


def threads_for(processes):
    """How many threads each of the processes computes in, and why.

    OMP_NUM_THREADS says so where it is set. Else it is the share of the cores that the scheduler gives this process:
    more would wait for each other, and for others' work.
    """
    said, cores = os.environ.get("OMP_NUM_THREADS", ""), free_cores()
    if said.isdigit() and int(said):
        return int(said), f"OMP_NUM_THREADS is {said}, {cores} cores are free to it"
    return max(1, cores // processes), f"{cores} cores are free to it; OMP_NUM_THREADS changes that"


def free_cores():
    """How many cores this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launch(module, *arguments):
    """Run a command in a process of its own, or in several; returns its exit status.

    Where the machine has several GPUs, or `accelerate config` was answered, `accelerate launch` says how many. It gives
    each one thread unless told otherwise, and would hide a sentence behind a traceback of its own.
    """
    shared = torch.accelerator.device_count() > 1 or Path(default_config_file).exists()
    launcher = ["-m", "accelerate.commands.launch", "--quiet"] if shared else []
    threads = {"OMP_NUM_THREADS": str(free_cores())} | os.environ
    command = [sys.executable, *launcher, "-m", module, *map(str, arguments)]
    return subprocess.run(command, env=threads).returncode  # noqa: S603 (the user's own arguments, no shell)


def run(main):
    """A command's end on the terminal: what can't be done is said in a sentence, without a traceback.

    LUNGFUSION_TRACEBACK=1 shows where it was.
    """
    try:
        main()
    except (OSError, ValueError) as error:
        if os.environ.get("LUNGFUSION_TRACEBACK"):
            raise
        sys.exit(f"{error} (LUNGFUSION_TRACEBACK=1 shows where.)")


def loader_workers(accelerator, recipe):
    """How many processes augment: none on a CPU, where they take the cores from the network.

    `python -m tests.benchmarks.training` says how well the loader keeps up.
    """
    return 0 if accelerator.device.type == "cpu" else recipe["workers"]
