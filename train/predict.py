"""Score a whole archive.

    accelerate launch -m train.predict --model runs/own --dataset data/archive --output runs/predictions
    torchrun --nproc_per_node 4 -m train.predict --dataset data/archive --output runs/predictions

Every radiograph goes through `LungFusionPipeline`; workers decode and resize. Written to DIR, for each split:

- `SPLIT-00000-of-00042.parquet` and so on, a row for each row of the split, in its order: row, file_name, patient_id,
  format, height, width, right_lung_area, left_lung_area, mask_quality, ood_score, warnings (their codes),
  `probability_…` of each finding (null where the image was refused), and error, null unless the row could not be read.
- `bad_rows.csv`: split, row, file_name and reason of every row that could not be read.

Each shard is written whole or not at all, and by one process. Started again, also with another number of processes, the
command goes on with the shards that are not there yet.
"""

import csv
import json
import os
import time
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from datasets import Dataset, Image, load_dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lungfusion import LungFusionPipeline, RadiographError
from train.data.parquet_rows import parquet_splits
from train.data.pictures import load_image
from train.engine.arguments import command_line
from train.engine.loop import write_json
from train.engine.processes import one_after_another, start_accelerator
from train.report.weights import weights_digest

BATCH = 8  # images
SHARD = 1024  # rows; a multiple of BATCH
COLUMNS = {
    "row": pa.int64(),
    "file_name": pa.string(),
    "patient_id": pa.string(),
    "format": pa.string(),
    "height": pa.int32(),
    "width": pa.int32(),
    "right_lung_area": pa.float32(),
    "left_lung_area": pa.float32(),
    "mask_quality": pa.float32(),
    "ood_score": pa.float32(),
    "warnings": pa.list_(pa.string()),
}


def main(arguments=None):
    parser = command_line(__doc__, "model", "dataset", "output")
    parser.add_argument("--split", help="one of its splits; all of them if not given")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode, for each that computes")
    arguments = parser.parse_args(arguments)
    accelerator = start_accelerator()
    pipeline = LungFusionPipeline.from_pretrained(arguments.model, device=accelerator.device)
    with one_after_another():
        parts = load_splits(arguments.dataset, arguments.split)
    if accelerator.is_main_process:
        keep_or_compare(arguments.output / "predict.json", about(arguments.model, arguments.dataset))
    missing = {split: missing_shards(arguments.output, split, len(data)) for split, data in parts.items()}
    left = sum(len(rows) for of_split in missing.values() for rows in of_split.values())
    accelerator.wait_for_everyone()  # all have looked what is missing before any of them writes
    started = time.monotonic()
    for split, data in parts.items():
        own = dict(list(missing[split].items())[accelerator.process_index :: accelerator.num_processes])
        label = f"Scoring {split}, process {accelerator.process_index + 1} of {accelerator.num_processes}"
        predict(pipeline, data, own, arguments.workers, label, not accelerator.is_main_process)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        bad = write_bad_rows(arguments.output, parts)
        print(f"{sum(map(len, parts.values()))} rows scored, {bad} of them could not be read: see bad_rows.csv.")
        if left:
            rate = left / (time.monotonic() - started)
            print(f"{rate:.1f} a second: at that rate a million take {1e6 / rate / 3600:.0f} hours.")


def load_splits(source, split=None):
    """split → rows with images not yet decoded, all in their order, copies too: a `datasets.Dataset`, or the Parquet
    files of a folder as they lie there, `ParquetRows`.

    Raises:
        ValueError: no such split, or no column of images.
    """
    parts = parquet_splits(source) or load_dataset(str(source))
    if split is not None and split not in parts:
        raise ValueError(f"{source} has no split {split!r}: it has {', '.join(parts)}.")
    parts = {name: data for name, data in parts.items() if split in (None, name)}
    for name, data in parts.items():
        if "image" not in data.column_names:
            raise ValueError(f"{source} has no column named image: it has {', '.join(data.column_names)}.")
        kept = [column for column in ("image", "file_name", "patient_id") if column in data.column_names]
        parts[name] = data.select_columns(kept)
        if isinstance(data, Dataset):
            parts[name] = parts[name].cast_column("image", Image(decode=False))
    return parts


def about(model, dataset):
    """What a folder's predictions are of."""
    return {"dataset": str(dataset), "weights": weights_digest(model), "rows_in_a_shard": SHARD}


def keep_or_compare(path, content):
    """Raises ValueError where the folder holds predictions of something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return write_json(path, content)
    if json.loads(path.read_text()) != content:
        raise ValueError(f"{path.parent} holds predictions of another model or data set: give another --output.")


def shard_files(folder, split, rows):
    """path → range of rows, of each shard of a split."""
    count = -(-rows // SHARD)
    return {
        folder / f"{split}-{number:05}-of-{count:05}.parquet": range(number * SHARD, min((number + 1) * SHARD, rows))
        for number in range(count)
    }


def missing_shards(folder, split, rows):
    """As `shard_files`, those that are not there yet."""
    return {path: part for path, part in shard_files(folder, split, rows).items() if not path.exists()}


def predict(pipeline, data, shards, workers, label, quiet=False):
    """Analyse rows of a data set and write them.

    Args:
        pipeline: `LungFusionPipeline`.
        data: `datasets.Dataset` or `ParquetRows` with undecoded `image` and perhaps `file_name` and `patient_id`.
        shards: path → range of rows, as `shard_files` gives them.
        workers: processes that decode and resize; 0 for none.
        label, quiet: of the progress bar.
    """
    batches = [rows[i : i + BATCH] for rows in shards.values() for i in range(0, len(rows), BATCH)]
    loading = {"batch_sampler": batches, "num_workers": workers, "collate_fn": list}
    loader = iter(DataLoader(Rows(data, pipeline.processor), **loading))
    schema = pa.schema(COLUMNS | {f"probability_{n}": pa.float32() for n in pipeline.findings} | {"error": pa.string()})
    with tqdm(total=sum(map(len, shards.values())), desc=label, unit="image", disable=quiet) as bar:
        for path, rows in shards.items():
            done = []
            while len(done) < len(rows):
                prepared = next(loader)
                done += answers(pipeline, prepared)
                bar.update(len(prepared))
            new = path.with_suffix(".new")
            pq.write_table(pa.Table.from_pylist(done, schema), new)
            os.replace(new, path)


class Rows(torch.utils.data.Dataset):
    """Rows as workers prepare them: what is kept of it, its `Radiograph` without pixels, and (1, S, S) pixel values.

    Of a row that cannot be read the latter two are None, and what is kept says why: `error`.
    """

    def __init__(self, data, processor):
        self.data, self.processor = data, processor

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        row = self.data[index]
        image = row.pop("image")
        kept = {"row": index, "file_name": image and image["path"]} | row
        try:
            radiograph = load_image(image)
        except RadiographError as error:
            return kept | {"error": str(error)}, None, None
        pixel_values = self.processor(radiograph.pixels)["pixel_values"][0]
        return kept, replace(radiograph, pixels=NoPixels(radiograph.pixels.shape)), pixel_values


class NoPixels(NamedTuple):
    """Instead of a radiograph's pixels, of which an answer needs the shape only: they need not travel."""

    shape: tuple


@torch.inference_mode()
def answers(pipeline, prepared):
    """What `Rows` gives of several rows → a dict of `COLUMNS`, probabilities or error for each of them."""
    rows = [kept for kept, radiograph, _ in prepared if radiograph is None]
    readable = [row for row in prepared if row[1] is not None]
    if readable:
        kept, radiographs, pixel_values = zip(*readable, strict=True)
        pixel_values = torch.stack(pixel_values).to(pipeline.model.device, memory_format=torch.channels_last)
        analyses = pipeline.answers(radiographs, pixel_values, pipeline.model(pixel_values))
        rows += [row | columns(analysis) for row, analysis in zip(kept, analyses, strict=True)]
    return sorted(rows, key=lambda row: row["row"])


def columns(analysis):
    """`Analysis` → its columns."""
    content = analysis.to_dict()
    kept = {name: content[name] for name in COLUMNS if name in content and name != "warnings"}
    kept["warnings"] = [warning.code for warning in analysis.warnings]
    return kept | {f"probability_{finding.name}": finding.probability for finding in analysis.findings}


def write_bad_rows(folder, parts):
    """Write bad_rows.csv from the shards of all splits; returns how many there are."""
    bad = []
    for split, data in parts.items():
        for path in shard_files(folder, split, len(data)):
            table = pq.read_table(path, columns=["row", "file_name", "error"])
            for row in table.filter(pc.is_valid(table["error"])).to_pylist():
                bad.append([split, row["row"], row["file_name"], row["error"]])
    new = folder / "bad_rows.new"
    with open(new, "w", newline="") as file:
        csv.writer(file).writerows([["split", "row", "file_name", "reason"], *bad])
    os.replace(new, folder / "bad_rows.csv")
    return len(bad)


if __name__ == "__main__":
    main()
