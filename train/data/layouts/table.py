"""One's own data: a table (CSV, Excel or Parquet), a row for each radiograph, and the folder of the files it names.

Labels are one column a finding (1, 0; empty and -1 are unknown), a column of lists (`effusion|mass`), or one label a
radiograph. Of DICOM files, which may lie at any depth, view, age and sex are taken from the header and nothing else.
"""

import re
from collections import Counter

import pandas as pd

from train.data.labels import canonical, labels_of, present_or_absent
from train.data.layouts.layout import Entry, Layout

PATHS = ("path", "file_name", "filename", "file", "image", "image_path", "image_index", "image_id", "dicom", "id")
PATIENTS = ("patient_id", "patient", "patientid", "subject_id", "subject", "person", "case")
LISTS = ("findings", "finding_labels", "labels", "label", "class", "diagnosis", "finding")
READERS = {".csv": pd.read_csv, ".tsv": lambda path, **how: pd.read_csv(path, sep="\t", **how)}
READERS |= {".xlsx": pd.read_excel, ".xls": pd.read_excel}
SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".webp", ".bmp")


def table_layout(table, path=None, patient=None, labels=()):
    """Layout of a table and its folder.

    Args:
        table: `Path` of the table.
        path, patient: names of the columns that say where a file is and whose; guessed if None. Without patients the
            DICOM headers' are taken, hashed.
        labels: names of columns with labels; if empty, a list or label column by its usual name, else every column that
            holds nothing but 1, 0, -1 and blanks.

    Raises:
        ValueError: a column is not there, or can't be guessed; the message names those there are.
    """
    rows = read_table(table)
    path = column_of(rows, path, PATHS, "--path")
    patient = patient and column_of(rows, patient, (), "--patient")
    patient = patient or next((name for name in rows if canonical(name) in PATIENTS and name != path), None)
    labels = [column_of(rows, name, (), "--labels") for name in labels] or guess_labels(rows, {path, patient})
    if not labels:
        raise ValueError(f"{table.name}: which columns are labels? Say --labels; there are {', '.join(rows)}.")
    if len(labels) > 1 or is_binary(rows[labels[0]]):
        names, kind = tuple(canonical(name) for name in labels), "each"
        cells = [[cell(present_or_absent(value)) for value in values] for values in rows[labels].values.tolist()]
        said = [dict(zip(names, values, strict=True)) for values in cells]
    else:
        column = [listed(value) for value in rows[labels[0]]]
        names = tuple(sorted(set().union(*(row for row in column if row))))
        kind = "findings" if is_list(rows[labels[0]]) else "label"
        said = [row if kind == "findings" or row is None else (row[0] if row else None) for row in column]

    def find(folder):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        often = Counter(path.name for path in paths)
        files = {path.name: path for path in paths if often[path.name] == 1}  # of the same name twice: which one?
        files |= {path.relative_to(folder).as_posix(): path for path in paths}
        whose = rows[patient] if patient else [None] * len(rows)
        for name, of, label in zip(rows[path], whose, said, strict=True):
            found = [files[f"{name}{suffix}"] for suffix in SUFFIXES if f"{name}{suffix}" in files]
            yield Entry(found[0] if found else folder / str(name), label, None if is_blank(of) else str(of))

    return Layout(find, names, f"It must hold the files that column {path} names.", kind, ("view", "age", "sex"))


def read_table(path):
    """A table of any of the kinds; identifiers stay text (`007`).

    Raises:
        ValueError: it is of another kind, or can't be read.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind in READERS:
            return READERS[kind](path, dtype=str)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    raise ValueError(f"{path}: give a table as .csv, .tsv, .xlsx or .parquet.")


def column_of(rows, name, usual, option):
    """The column of that name, or one by a usual name."""
    wanted = (name,) if name else usual
    found = next((column for want in wanted for column in rows if canonical(column) == canonical(want)), None)
    if found is None:
        said = f"there is no column {name}" if name else f"which column is it? Say {option}"
        raise ValueError(f"{option}: {said}; there are {', '.join(map(str, rows))}.")
    return found


def guess_labels(rows, taken):
    """Names of the columns that hold labels: the first by a usual name, else all of 1, 0, -1 and blanks."""
    left = [column for column in rows if column not in taken]
    usual = [column for want in LISTS for column in left if canonical(column) == want]
    return usual[:1] or [column for column in left if is_binary(rows[column])]


def is_binary(column):
    values = {str(value).strip() for value in column if not is_blank(value)}
    return bool(values) and all(re.fullmatch(r"-?1(\.0*)?|0(\.0*)?", value) for value in values)


def is_list(column):
    return any(not isinstance(value, str) and hasattr(value, "__len__") for value in column) or any(
        isinstance(value, str) and ("|" in value or canonical(value) == "no_finding") for value in column
    )


def listed(value):
    """A cell → sorted tuple of names; None where it says nothing."""
    if is_blank(value):
        return None
    names = labels_of(value if isinstance(value, str) else list(value) if hasattr(value, "__len__") else str(value))
    return None if names is None else tuple(sorted(names))


def is_blank(value):
    return value is None or (not hasattr(value, "__len__") and pd.isna(value)) or value == ""


def cell(value):
    return None if value != value else int(value)  # NaN alone differs from itself
