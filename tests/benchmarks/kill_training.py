"""Kill a tiny training at random moments, and let it go on.

    python -m tests.benchmarks.kill_training [--kills 10] [--seed 0]

It trains twice on a CPU, once undisturbed and once killed (SIGKILL) again and again; both must end with the same
weights, bit for bit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm.auto import trange

from tests.support.helpers import ROOT, TINY_LUNGS, write_source

EPOCHS = 12


def begin(data, output):
    command = [
        sys.executable,
        "-m",
        "train.segment",
        "--recipe",
        str(ROOT / "train" / "recipes" / "lungs_teacher.yaml"),
    ]
    command += ["--output", str(output), f"data_root={data}", *TINY_LUNGS, f"epochs={EPOCHS}"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **quiet)


def finish(data, output):
    if status := begin(data, output).wait():
        raise RuntimeError(f"The training ended with exit code {status}.")


def epochs_done(output):
    return max((int(path.name.split("-")[1]) for path in output.glob("checkpoint-*")), default=0)


def kill(data, output, epochs, seconds):
    """Begin, and kill so many seconds after so many epochs are done; returns how many were done in the end."""
    process = begin(data, output)
    while epochs_done(output) < epochs:
        if process.poll() is not None:
            raise RuntimeError(f"The training ended with exit code {process.returncode}.")
        time.sleep(0.05)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return epochs_done(output)


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
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        data, calm, killed = (Path(folder) / name for name in ("data", "calm", "killed"))
        write_source(data / "shenzhen-tuberculosis", ["normal", "tuberculosis"], "upper_lobe", with_mask=True)
        finish(data, calm)
        longest = max(epoch["seconds"] for epoch in json.loads((calm / "history.json").read_text()))
        reached = [
            kill(data, killed, number % EPOCHS, chance.uniform(0, longest))
            for number in trange(arguments.kills, desc="Kills")
        ]
        finish(data, killed)
        wrong = differing(calm, killed)
    outcome = "its weights differ" if wrong else "its weights are the same, bit for bit, as without"
    after = ", ".join(map(str, reached))
    print(f"- A training of {EPOCHS} epochs, killed {len(reached)} times, when {after} of them were done: {outcome}.")
    print(*wrong[:10], sep="\n", end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
