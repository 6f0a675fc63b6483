"""How tests begin a training: in their own process, in several that share the work, or as a person does."""

import multiprocessing
import os
import socket
import subprocess
import sys

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from tests.support.helpers import ROOT

RECIPES = ROOT / "train" / "recipes"
# Two processes can't share one GPU. Where there is none, they are begun as the documents say, without this variable.
NO_GPU = {"ACCELERATE_USE_CPU": "true"} if torch.accelerator.is_available() else {}


def train_here(command, recipe, output, *overrides):
    """A training in this process, on one thread.

    Args:
        command: the module, e.g. `train.segment`.
        recipe: a `Path`, or the name of a file in train/recipes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        patch.setenv("OMP_NUM_THREADS", "1")
        AcceleratorState._reset_state(reset_partial_state=True)  # what an earlier training left
        GradientState._reset_state()
        command.main(["--recipe", str(RECIPES / recipe), "--output", str(output), *map(str, overrides)])


def share(main, arguments, folder, fails=False):
    """A command in two processes that share its work, as `torchrun` begins them; they import nothing anew.

    Args:
        main: a function of a module, that takes the arguments.
        folder: a `Path`: where what they print is kept meanwhile.
        fails: whether both are to end with an error, or killed.

    Returns:
        what they printed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.segment", "train.predict"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    logs = [folder / f"{rank}.log" for rank in range(2)]
    processes = [
        context.Process(target=take_part, args=(main, list(map(str, arguments)), log, rank, port))
        for rank, log in enumerate(logs)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        process.kill()  # where it still runs
    said = "".join(log.read_text() for log in logs)
    assert [process.exitcode != 0 for process in processes] == [fails] * 2, said
    return said


def take_part(main, arguments, log, rank, port):
    """One of two processes."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1"} | NO_GPU)
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    main(arguments)


def launch(module, recipe, output, *overrides, processes):
    """By torchrun, in new processes. On a CPU `accelerate launch` begins one process only, unless there is MPI."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "-m", module]
    command += ["--recipe", str(RECIPES / recipe), "--output", str(output), *overrides]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= NO_GPU
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
