"""What a visitor takes home of many radiographs: names that never change, figures from 0 to 1, codes for warnings."""

import csv
import io
import json
import zipfile
from pathlib import PurePosixPath

SHAPE = ("height", "width", "lung_area", "right_lung_area", "left_lung_area", "mask_quality", "ood_score")
FIGURES = ("probability", "threshold", "rule_out_threshold", "level")  # of each finding
SNIPPET = """\
import json

from lungfusion import LungFusionPipeline, RadiographError
from lungfusion.reading.archive import radiographs_in

pipe = LungFusionPipeline.from_pretrained({model})  # lungfusion {version}
with open("lungfusion.jsonl", "w", encoding="utf-8") as file:
    for name, read in radiographs_in({paths}):
        try:
            told = pipe(read()).to_dict()
        except RadiographError as error:
            told = {{"error": error.code, "reason": error.reason}}
        print(json.dumps({{"file": name}} | told), file=file)
"""


def batch_csv(records, findings, made_by):
    """A line for each file.

    Args:
        records: what `Batch.records` holds.
        findings: names of the model's findings.
        made_by: {"model", "version"}.
    """
    columns = ["file", "error", "warnings", *SHAPE]
    columns += [f"{name}_{figure}" for name in findings for figure in FIGURES]
    file = io.StringIO()
    writer = csv.DictWriter(file, [*columns, *made_by], restval="")
    writer.writeheader()
    for record in records:
        writer.writerow({key: harmless(value) for key, value in (csv_line(record) | made_by).items()})
    return file.getvalue()


def csv_line(record):
    line = {key: record[key] for key in ("file", "error", *SHAPE) if key in record}
    line["warnings"] = " ".join(warning["code"] for warning in record.get("warnings", ()))
    for finding in record.get("findings", ()):
        line |= {f"{finding['name']}_{figure}": finding[figure] for figure in FIGURES}
    return line


def harmless(cell):
    """A spreadsheet takes text that begins so for a formula; a file's name may be a stranger's."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def json_lines(records, made_by):
    """A line of JSON for each file: `Analysis.to_dict`, or why there is none."""
    return "".join(json.dumps(record | made_by) + "\n" for record in records)


def masks_zip(masks):
    """name of a file → the PNG of its mask, as one archive: NAME_lungs.png, in the folders of the name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, png in masks.items():
            inside = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
            archive.writestr(f"{'/'.join(inside)}_lungs.png", png)
    return file.getvalue()


def snippet(names, made_by):
    """The same run in Python; names: of the uploaded files."""
    model = "" if made_by["model"] == "bundled" else repr(made_by["model"])
    return SNIPPET.format(model=model, version=made_by["version"], paths=list(names))
