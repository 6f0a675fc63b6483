"""Kill a tiny training at random moments, and let it go on: python -m tests.benchmarks.kill_training [--kills 10]

It trains on a CPU, in one process and in two that share the work, once undisturbed and once killed (SIGKILL) again and
again, within epochs, between and while it saves; both must end with the same weights, bit for bit. It saves after every
step, in place of every few minutes.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

from tests.support.helpers import ROOT, TINY_LUNGS, write_source
from train import segment
from train.engine import loop

EPOCHS = 12
BEGIN = "--begin"  # this module as `train.segment`, saving after every step


def begin(data, output, processes):
    """The training, by `torchrun` where several processes share it."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *several * (processes > 1), "-m", "tests.benchmarks.kill_training", BEGIN]
    command += ["--recipe", str(ROOT / "train" / "recipes" / "lungs_teacher.yaml"), "--output", str(output)]
    command += [f"data_root={data}", *TINY_LUNGS, f"epochs={EPOCHS}"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    log = open(output.with_suffix(".log"), "a")  # noqa: SIM115 (it is the process's)
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def finish(data, output, processes):
    if begin(data, output, processes).wait():
        raise RuntimeError(f"The training failed:\n{output.with_suffix('.log').read_text()[-2000:]}")


def reached(output):
    """Where the latest checkpoint stands, such as 3-2: after three epochs and two steps."""
    return next((path.name.removeprefix("checkpoint-") for path in loop.saved_checkpoints(output)[::-1]), "0")


def kill(data, output, processes, seconds):
    """Begin, and kill all of its processes so many seconds after it saved; returns where it stood, None if it ended."""
    before, process = reached(output), begin(data, output, processes)
    while reached(output) == before:
        if process.poll() is not None:
            return None
        time.sleep(0.01)
    time.sleep(seconds)
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    return reached(output) if process.wait() else None


def differing(one, other):
    """Names of the weights that differ between two runs, in their last checkpoints and in the models they keep."""
    found = []
    for file in (f"checkpoint-{EPOCHS}/model.safetensors", "model/model.safetensors"):
        left, right = load_file(one / file), load_file(other / file)
        found += [f"{file}: {name}" for name in left if not torch.equal(left[name], right[name])]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, wrong = random.Random(arguments.seed), []
    for processes in arguments.processes:
        with tempfile.TemporaryDirectory() as folder:
            data, calm, killed = (Path(folder) / name for name in ("data", "calm", "killed"))
            write_source(data / "shenzhen-tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=True)
            finish(data, calm, processes)
            epoch = max(epoch["seconds"] for epoch in json.loads((calm / "history.json").read_text()))
            places = [kill(data, killed, processes, chance.uniform(0, epoch)) for _ in range(arguments.kills)]
            finish(data, killed, processes)
            found = differing(calm, killed)
        places = [place for place in places if place is not None]
        outcome = "its weights differ" if found else "its weights are the same, bit for bit, as without"
        shared = "one process" if processes == 1 else f"{processes} processes"
        print(f"- A training of {EPOCHS} epochs in {shared}, killed {len(places)} times, when it had saved", end=" ")
        print(f"(epochs-steps) {', '.join(places)}: {outcome}.", *found[:10], sep="\n", flush=True)
        wrong += found
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == [BEGIN]:
        loop.SAVE_EVERY = 0
        segment.main(sys.argv[2:])
    else:
        sys.exit(main())
