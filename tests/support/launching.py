"""How tests begin a training: in their own process, in several that share the work, or as a person does."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from lungfusion import backends
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


def share(main, arguments, folder, processes=2, kill_when=None):
    """A command in processes that share its work, as `torchrun` begins them; they import nothing anew.

    Args:
        main: a function of a module, that takes the arguments.
        folder: a `Path`: where what they print is kept meanwhile.
        processes: how many; one is on its own.
        kill_when: function → bool, asked all the time; once it holds, all are killed (SIGKILL).

    Returns:
        what they printed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.segment", "train.predict"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    logs = [folder / f"{rank}.log" for rank in range(processes)]
    begun = [
        context.Process(target=take_part, args=(main, list(map(str, arguments)), log, rank, processes, port))
        for rank, log in enumerate(logs)
    ]
    for process in begun:
        process.start()
    end = time.monotonic() + 300
    while any(process.is_alive() for process in begun) and time.monotonic() < end:
        if kill_when and kill_when():
            break
        time.sleep(0.01)
    for process in begun:
        process.kill()  # those that still run
    for process in begun:
        process.join()
    said = "".join(log.read_text() for log in logs)
    assert {process.exitcode for process in begun} == {-signal.SIGKILL if kill_when else 0}, said
    return said


def take_part(main, arguments, log, rank, processes, port):
    """One of the processes."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    place |= {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ.update({name: str(value) for name, value in place.items()} if processes > 1 else {})
    os.environ.update({"OMP_NUM_THREADS": "1"} | NO_GPU)
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    backends.COMPILE_AFTER_IMAGES = sys.maxsize  # as in the tests' own process
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
