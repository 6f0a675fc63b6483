"""What commands read and write: JSON, YAML, CSV, tables in Markdown, and which weights a table is of."""

import csv
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import yaml
from safetensors import safe_open
from transformers.utils import cached_file

from lungfusion.loading import BUNDLED, checkpoint_of

WEIGHTS = "model.safetensors"
TEXT = {  # columns of tables of rows; the others hold numbers
    *("source", "patient_id", "file_name", "error", "corruption", "hospital", "home", "confounded", "age"),
}
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2: no sexagesimals, no octals, no on and off, no dates."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(f"(?:{BOOL.pattern})$"), list("tTfF"))
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"(?:{INT.pattern})$"), list("-+0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def parse_yaml(text):
    loader = Loader(text)  # a safe one, with fewer types
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml(path):
    """Contents of a YAML file.

    Raises:
        ValueError: it is no YAML; the message says where.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error


def write_json(path, content):
    """Write whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(new, path)


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path):
    """A table of rows, such as per_image.csv, as the dicts that `write_csv` wrote it from.

    An empty probability is None: not assessed; an empty label or error is absent.
    """
    rows = []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            text = {key: value for key, value in row.items() if key in TEXT}
            numbers = {key: float(value) if value else None for key, value in row.items() if key not in text}
            text = {key: value for key, value in text.items() if value or key != "error"}
            rows.append(text | {k: v for k, v in numbers.items() if v is not None or k.startswith("probability_")})
    return rows


def markdown_table(titles, rows):
    """Lines of a table. rows: lists of cells, as many as titles: strings, or whatever `str` makes one of."""
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def cell(figure):
    """`{"value": …, "interval": [low, high]}` as text; an interval of None: too few patients to tell it."""
    if figure["interval"] is None:
        return f"{figure['value'] + 0.0:.3f} (too few patients for an interval)"
    value, low, high = (round(number, 3) + 0.0 for number in (figure["value"], *figure["interval"]))  # no −0
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def write_table(output, name, lines, figures, weights=None):
    """Write NAME.md, the table, and NAME.json, the figures in it; the latter last: it says that all is there.

    Args:
        output: `Path` of the folder, made if it is not there.
        name: of the files.
        lines: of the table.
        figures: dict.
        weights: of the one model that the table is about, as `weights_digest` returns it; it is
            kept among the figures, and a model card takes no table of other weights.
    """
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.md").write_text("\n".join(lines) + "\n")
    write_json(output / f"{name}.json", ({"weights": weights} if weights else {}) | figures)


def weights_digest(model=None):
    """SHA-256 of a model's weights file, as hexadecimal digits.

    Args:
        model: folder, or id on the Hub, which has been loaded before; the bundled checkpoint if None.
    """
    with Path(cached_file(str(model or BUNDLED), WEIGHTS)).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def weights_in(run):
    """How many numbers the model of a run or a checkpoint holds."""
    with safe_open(Path(checkpoint_of(run)) / WEIGHTS, "np") as weights:
        shapes = [weights.get_slice(key).get_shape() for key in weights.keys()]  # noqa: SIM118 (it is no dict)
    return int(sum(np.prod(shape) for shape in shapes))
