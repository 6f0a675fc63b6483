"""Rows of Parquet files where they lie: an archive is not copied before it is read."""

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset_builder


class ParquetRows:
    """The rows of Parquet files as dicts, by number. One row group is held at a time: read them in their order.

    Args:
        paths: of the files, in their order; all have the same columns.
        columns: the names of those to read; all if None.
    """

    def __init__(self, paths, columns=None):
        self.paths = list(paths)
        self.schema = pq.read_schema(self.paths[0])
        self.column_names = list(self.schema.names if columns is None else columns)
        metadata = [pq.read_metadata(path) for path in self.paths]
        self.groups = [(p, i) for p, m in zip(self.paths, metadata, strict=True) for i in range(m.num_row_groups)]
        lengths = [m.row_group(i).num_rows for m in metadata for i in range(m.num_row_groups)]
        self.starts = [0, *accumulate(lengths)]
        self.held = None  # (number of a row group, its table)

    def __len__(self):
        return self.starts[-1]

    def __getitem__(self, index):
        number = bisect_right(self.starts, index) - 1
        if self.held is None or self.held[0] != number:
            path, group = self.groups[number]
            self.held = number, pq.ParquetFile(path).read_row_group(group, columns=self.column_names)
        return self.held[1].slice(index - self.starts[number], 1).to_pylist()[0]

    def select_columns(self, columns):
        return ParquetRows(self.paths, columns)


def parquet_splits(source):
    """split → `ParquetRows` of a folder of Parquet files, its splits told apart as datasets does; None if it is none,
    or its images do not lie in it as datasets writes them: {bytes, path}.
    """
    if not Path(source).is_dir():
        return None
    builder = load_dataset_builder(str(source))
    if builder.name != "parquet":
        return None
    splits = {str(split): ParquetRows(paths) for split, paths in builder.config.data_files.items()}
    kinds = [rows.schema.field("image").type for rows in splits.values() if "image" in rows.column_names]
    return splits if all(pa.types.is_struct(kind) for kind in kinds) else None
