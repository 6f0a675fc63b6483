"""What ten million radiographs cost, and where the time goes: python -m tests.benchmarks.scale --dataset DATA

Radiographs of a data set, as files in a folder, are scored by `lungfusion.Scorer` in batches of eight. Seconds are of a
core, as the system counts them, so that others at work beside it matter little. What is neither reading, decoding,
preparing nor the model is the checks of each radiograph: its frame, what is hidden, how it lies, which view it is.
With --engines the examples for these score the files too, by the clock: what they take beyond what a
few files take, so that their start does not count.
"""

import argparse
import importlib
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import torch
from datasets import load_dataset
from tqdm.auto import tqdm

from lungfusion import Scorer, load_radiograph
from train.data.splits import sample_rows, undecoded
from train.io import markdown_table

BATCH = 8
FEW = 2 * BATCH  # files by which an engine's start is timed
ARCHIVE = 10_000_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="folder that `train.prepare` wrote")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--engines", nargs="*", default=(), choices=["ray", "spark"])
    parser.add_argument("--model", help="folder or id on the Hub; the bundled checkpoint if not given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        few, files = Path(folder) / "few", Path(folder) / "files"
        write_files(arguments.dataset, FEW, few)
        paths = write_files(arguments.dataset, arguments.images, files)
        megabytes = sum(path.stat().st_size for path in paths) / len(paths) / 2**20
        print(f"{len(paths)} radiographs of {arguments.dataset.name}, {megabytes:.2f} MiB each, on one thread:\n")
        print("\n".join(table(steps(arguments.model, paths))))
        for engine in arguments.engines:
            score = importlib.import_module(f"examples.score_with_{engine}").main
            start, whole = (by_the_clock(score, place, Path(f"{place}_{engine}")) for place in (few, files))
            each = (whole - start) / (len(paths) - FEW)
            print(f"\n{engine}: {1 / each:.1f} images a second by the clock, after a start of {start:.0f} s.")


def write_files(dataset, images, folder):
    """Some images of a data set as files; returns their paths."""
    rows = undecoded(load_dataset(str(dataset), split="train"))
    folder.mkdir()
    for number, row in enumerate(rows.select(sample_rows(len(rows), images))):
        (folder / f"{number}.png").write_bytes(row["image"]["bytes"])
    return sorted(folder.iterdir())


def steps(model, paths):
    """Step → seconds of a core for each image: all of it first, then its parts; and the model's loading, once."""
    seconds, scorer = dict.fromkeys(("all", "read", "decode", "prepare", "model", "checks"), 0.0), Scorer(model)
    loading = of_a_core(lambda: scorer.pipeline)[1]
    scorer({"path": [str(path) for path in paths[:BATCH]]})  # compiled meanwhile
    pipeline = scorer.pipeline
    for start in tqdm(range(0, len(paths), BATCH), desc="Scoring"):
        batch, spent = paths[start : start + BATCH], {}
        contents, spent["read"] = of_a_core(lambda paths: [path.read_bytes() for path in paths], batch)
        radiographs, spent["decode"] = of_a_core(lambda contents: list(map(load_radiograph, contents)), contents)
        pixel_values, spent["prepare"] = of_a_core(pipeline.pixel_values, radiographs)
        _, spent["model"] = of_a_core(pipeline.backend, pixel_values)
        _, spent["all"] = of_a_core(scorer, {"path": list(map(str, batch))})
        for name, of_batch in spent.items():
            seconds[name] += of_batch / len(paths)
    seconds["checks"] = seconds["all"] - sum(seconds[name] for name in ("read", "decode", "prepare", "model"))
    return seconds | {"loading": loading}


def of_a_core(function, *arguments):
    """What it returns, and the seconds that all threads of this process computed meanwhile."""
    started = time.process_time()
    return function(*arguments), time.process_time() - started


def by_the_clock(score, files, output):
    started = time.monotonic()
    with redirect_stdout(sys.stderr):
        score(files, output)
    return time.monotonic() - started


def table(seconds):
    """Markdown: a row for each step."""
    rows = []
    for name in ("all", "read", "decode", "prepare", "model", "checks"):
        hours = seconds[name] * ARCHIVE / 3600
        rows.append([name, f"{1000 * seconds[name]:.1f}", f"{seconds[name] / seconds['all']:.0%}", f"{hours:,.0f}"])
    lines = markdown_table(["step", "ms of a core", "share", "core-hours for ten million"], rows)
    rate = f"{1 / seconds['all']:.1f} images a second of a core; the model loads once a worker, in"
    return [*lines, "", f"{rate} {seconds['loading']:.1f} s of a core."]


if __name__ == "__main__":
    main()
