"""Score a whole archive.

    python -m train.predict --model runs/own --dataset data/archive --output runs/predictions
    torchrun --nproc_per_node 4 -m train.predict --dataset data/archive --output runs/predictions

The data set, or a tree of DICOM files, streams by, so nothing of it is copied; every radiograph is set right and
answered as `LungFusionPipeline` does, by `lungfusion.Scorer`. Each process reads all of it, and decodes and scores the
shards that are its own. Written to DIR, for each split (files are of one, `train`):

- `SPLIT-00000.parquet` and so on, a row for each row of the split, in its order: row (its number), file_name,
  patient_id and age as far as the data set has them; what `Scorer` says of it; and error, null unless it could not be
  read. A patient's age counts as in the pipeline.
- `bad_rows.csv`: split, row, file_name and reason of every row that could not be read.

Each shard is written whole or not at all, and by one process. Started again, also with another number of processes, the
command goes on with the shards that are not there yet.
"""

import csv
import json
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from datasets import Image, IterableDataset, load_dataset
from datasets.exceptions import DataFilesNotFoundError
from tqdm.auto import tqdm

from lungfusion import Scorer
from lungfusion.scorer import read_row
from train.engine.arguments import command_line
from train.engine.processes import run, start_accelerator
from train.io import weights_digest, write_json

BATCH = 8  # images
SHARD = 1024  # rows; a multiple of BATCH
KEPT = {"file_name": pa.string(), "patient_id": pa.string(), "age": pa.float32()}  # of the data set's own columns
TYPES = {str: pa.string(), int: pa.int32(), float: pa.float32(), list: pa.list_(pa.string())}


def main(arguments=None):
    parser = command_line(__doc__, "model", "dataset", "output")
    parser.add_argument("--split", help="one of its splits; all of them if not given")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode, for each process")
    arguments = parser.parse_args(arguments)
    accelerator = start_accelerator()
    parts = stream_splits(arguments.dataset, arguments.split)
    scorer = Scorer(arguments.model, device=accelerator.device)
    keep_or_compare(accelerator, arguments.output / "predict.json", about(arguments.model, arguments.dataset))
    started, scored = time.monotonic(), 0
    for split, rows in parts.items():
        own = own_shards(arguments.output, split, accelerator.process_index, accelerator.num_processes)
        label = f"Scoring {split}, process {accelerator.process_index + 1} of {accelerator.num_processes}"
        scored += predict(scorer, rows, own, arguments.workers, label, not accelerator.is_main_process)
    seconds = time.monotonic() - started
    scored = int(accelerator.reduce(torch.tensor(scored, device=accelerator.device)))  # by when all are done
    if accelerator.is_main_process:
        total, bad = write_bad_rows(arguments.output, parts)
        print(f"{total} rows scored, {bad} of them could not be read: see bad_rows.csv.")
        if scored:
            rate = scored / seconds
            print(f"{rate:.1f} a second: at that rate a million take {1e6 / rate / 3600:.0f} hours.")


def stream_splits(source, split=None):
    """split → `datasets.IterableDataset` of its rows, images not decoded; of their columns `image` and `KEPT` alone.

    Raises:
        ValueError: no such split, or no column of images.
    """
    try:
        parts = load_dataset(str(source), streaming=True)
    except DataFilesNotFoundError:
        if not Path(source).is_dir():
            raise
        parts = {"train": IterableDataset.from_generator(files_below, gen_kwargs={"folder": str(source)})}
    if split is not None and split not in parts:
        raise ValueError(f"{source} has no split {split!r}: it has {', '.join(parts)}.")
    parts = {name: rows for name, rows in parts.items() if split in (None, name)}
    for name, rows in parts.items():
        columns = rows.column_names or list(next(iter(rows)))
        if "image" not in columns:
            raise ValueError(f"{source} has no column named image: it has {', '.join(columns)}.")
        features = rows.features or {}
        ages_are_words = getattr(features.get("age"), "dtype", "") in ("string", "large_string")
        kept = [name for name in ("image", *KEPT) if name in columns and not (name == "age" and ages_are_words)]
        parts[name] = rows.select_columns(kept)
        if isinstance(features.get("image"), Image):
            parts[name] = parts[name].cast_column("image", Image(decode=False))
    return parts


def files_below(folder):
    """A row for each file below a folder that holds no data set, such as a tree of DICOM files; in one order always."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for path in (os.path.join(place, name) for name in sorted(names) if not name.startswith(".")):
            yield {"image": {"bytes": None, "path": path}, "file_name": os.path.relpath(path, folder)}


def about(model, dataset):
    """What a folder's predictions are of."""
    return {"dataset": str(dataset), "weights": weights_digest(model), "rows_in_a_shard": SHARD}


def keep_or_compare(accelerator, path, content):
    """Say in a file what the folder's predictions are of; no process goes on before all have read what is there.

    Raises:
        SystemExit: the folder holds predictions of something else.
    """
    there = json.loads(path.read_text()) if path.exists() else content
    if there != content:
        raise SystemExit(f"{path.parent} holds predictions of another model or data set: give another --output.")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    accelerator.wait_for_everyone()


def own_shards(folder, split, index, processes):
    """A function: number of a shard → its `Path`, or None where another process writes it or it is there already."""

    def path_of(number):
        path = folder / f"{split}-{number:05}.parquet"
        return path if number % processes == index and not path.exists() else None

    return path_of


def predict(scorer, rows, own, workers, label, quiet=False):
    """Score rows as they stream by, and write them.

    Args:
        scorer: `Scorer`.
        rows: iterable of dicts, as of `stream_splits`.
        own: as `own_shards` gives it.
        workers: threads that decode.
        label, quiet: of the progress bar.

    Returns:
        how many rows were scored.
    """
    wanted = (numbered for numbered in enumerate(rows) if own(numbered[0] // SHARD))
    decoded, scored = read_ahead(tqdm(wanted, desc=label, unit="image", disable=quiet), workers), 0
    for number, shard in groupby(decoded, lambda row: row["row"] // SHARD):
        columns = {}
        while batch := list(islice(shard, BATCH)):
            answers = scorer({name: [row[name] for row in batch] for name in batch[0]})
            for name, values in answers.items():
                columns.setdefault(name, []).extend(values)
        scored += len(columns["row"])
        write_shard(own(number), columns, scorer.columns)
    return scored


def read_ahead(numbered, workers):
    """(number, row) → rows in their order, their images read meanwhile: `Radiograph`, or the error that says why."""

    def decode(number, row):
        image = row.pop("image")
        file_name = image["path"] if isinstance(image, dict) else None
        return {"row": number, "file_name": file_name} | row | {"image": read_row(image, row.get("age"))}

    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting = deque()
        for one in numbered:
            waiting.append(pool.submit(decode, *one))
            if len(waiting) > 2 * BATCH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def write_shard(path, columns, types):
    """Write columns as Parquet, whole or not at all. types: as `Scorer.columns` gives them."""
    kinds = {"row": pa.int64()} | KEPT | {name: TYPES[kind] for name, kind in types.items()}
    schema = pa.schema({name: kinds[name] for name in columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    pq.write_table(pa.Table.from_pydict(columns, schema), new)
    os.replace(new, path)


def write_bad_rows(folder, splits):
    """Write bad_rows.csv from the shards of all splits; returns how many rows there are, and how many bad ones."""
    bad, total = [], 0
    for split in splits:
        for path in sorted(folder.glob(f"{split}-?????.parquet")):
            table = pq.read_table(path, columns=["row", "file_name", "error"])
            total += len(table)
            for row in table.filter(pc.is_valid(table["error"])).to_pylist():
                bad.append([split, row["row"], row["file_name"], row["error"]])
    new = folder / "bad_rows.new"
    with open(new, "w", newline="") as file:
        csv.writer(file).writerows([["split", "row", "file_name", "reason"], *bad])
    os.replace(new, folder / "bad_rows.csv")
    return total, len(bad)


if __name__ == "__main__":
    run(main)
