"""How well scores agree with labels that a visitor brings: a CSV file in, the area under the ROC curve out."""

import csv
import io
from collections import Counter
from pathlib import PurePosixPath

import numpy as np
from scipy.optimize import brentq

MAX_LABEL_BYTES = 5_000_000
FILE_COLUMNS = ("file", "file_name", "filename", "name", "image", "path")
PRESENT, ABSENT = ("1", "1.0", "yes", "true", "present", "positive"), ("0", "0.0", "no", "false", "absent", "negative")
Z = 1.959964  # of a 95 % interval


class LabelsError(ValueError):
    """A file of labels that can't be used. key: of the sentence that says why; values: what is filled in."""

    def __init__(self, key, **values):
        super().__init__(key)
        self.key, self.values = key, values


def read_labels(data, findings):
    """Read a table of labels, one line a file.

    Args:
        data: bytes of a CSV file (comma, semicolon or tab), with a column `file` and one for each finding, by its name
            in the downloads: 1 or yes, 0 or no, empty where nothing is known.
        findings: names that count.

    Returns:
        dict, file → {finding: bool}.

    Raises:
        LabelsError: too large, no table, no column of files, none of findings, or a label that is neither.
    """
    if len(data) > MAX_LABEL_BYTES:
        raise LabelsError("labels_too_large", limit=MAX_LABEL_BYTES // 10**6)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")  # as spreadsheets save it
    head = text.split("\n", 1)[0]
    rows = list(csv.reader(io.StringIO(text), delimiter=max(",;\t", key=head.count)))
    if not rows:
        raise LabelsError("labels_no_files")
    names = [cell.strip().lower().replace(" ", "_") for cell in rows[0]]
    of_file = next((names.index(name) for name in FILE_COLUMNS if name in names), None)
    if of_file is None:
        raise LabelsError("labels_no_files")
    columns = {name: names.index(name) for name in findings if name in names}
    if not columns:
        raise LabelsError("labels_no_findings", names=", ".join(findings))
    labels = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) > of_file:
            cells = {name: row[column] if column < len(row) else "" for name, column in columns.items()}
            labels[row[of_file].strip()] = {
                name: label_of(cell, number) for name, cell in cells.items() if cell.strip()
            }
    return labels


def label_of(cell, number):
    word = cell.lower()
    if word not in PRESENT + ABSENT:
        raise LabelsError("labels_unknown", label=cell[:40], number=number)
    return word in PRESENT


def agreement(records, labels, findings):
    """Compare scores with labels.

    Args:
        records: what `Batch.records` holds.
        labels: as `read_labels` gives them; a file is found by its name with its folders, some of them, or none.
        findings: names of the model's findings.

    Returns:
        list of dicts, one for each finding that has labels: `name`, `present`, `absent` (how many files), `auc` and
        `interval` (None where one of the two is 0), `found` and `named` (how many of either are detected).

    Raises:
        LabelsError: no file of the labels was analysed.
    """
    counts = Counter(PurePosixPath(name).name for name in labels)
    bare = {PurePosixPath(name).name: of_file for name, of_file in labels.items()}
    labels = {name: of_file for name, of_file in bare.items() if counts[name] == 1} | labels
    told = [(labels_of(record["file"], labels), record) for record in records if record.get("findings")]
    if not any(of_file for of_file, _ in told):
        raise LabelsError("labels_no_match")
    rows = []
    for name in findings:
        known = [(of_file[name], finding_of(record, name)) for of_file, record in told if name in of_file]
        known = [(label, finding) for label, finding in known if finding["probability"] is not None]
        if known:
            present = [finding for label, finding in known if label]
            absent = [finding for label, finding in known if not label]
            area = roc_auc(*([finding["probability"] for finding in side] for side in (present, absent)))
            rows.append(
                {
                    "name": name,
                    "present": len(present),
                    "absent": len(absent),
                    "auc": area,
                    "interval": None if area is None else auc_interval(area, len(present), len(absent)),
                    "found": sum(finding["detected"] for finding in present),
                    "named": sum(finding["detected"] for finding in absent),
                }
            )
    return rows


def labels_of(name, labels):
    """Those of a file, by as many of its folders as they name; none where they do not name it."""
    parts = PurePosixPath(name).parts
    return next((labels[key] for i in range(len(parts)) if (key := "/".join(parts[i:])) in labels), {})


def finding_of(record, name):
    return next(finding for finding in record["findings"] if finding["name"] == name)


def roc_auc(present, absent):
    """Share of pairs in which the score of one with the finding is higher, ties by half; None without any pair."""
    if not len(present) or not len(absent):
        return None
    absent = np.sort(absent)
    lower = np.searchsorted(absent, present, "left") + np.searchsorted(absent, present, "right")  # twice those below
    return float(lower.mean() / 2 / len(absent))


def auc_interval(area, present, absent):
    """95 % interval of an AUC, (low, high): method 5 of Newcombe 2006, which holds for few files and for an area of 1.

    Images of one patient count as if they were of different ones.
    """
    pairs, half = present * absent, (present + absent) / 2 - 1

    def error(true):
        return np.sqrt(true * (1 - true) * (1 + half * (1 - true) / (2 - true) + half * true / (1 + true)) / pairs)

    least, most = max(area, 1e-9), min(area, 1 - 1e-9)  # at 0 and 1 the error is 0, which is no end of an interval
    low = brentq(lambda true: area - true - Z * error(true), 0, most) if area > 0 else 0.0
    high = brentq(lambda true: true - area - Z * error(true), least, 1) if area < 1 else 1.0
    return float(low), float(high)
