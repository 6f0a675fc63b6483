"""Write a layout's radiographs as the Parquet files of the column contract."""

import hashlib
import sys
from collections import Counter
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image
from tqdm.auto import tqdm

from lungfusion import load_radiograph
from lungfusion.reading.dicom import read_dataset
from train.data.layouts.layout import png

ROWS_PER_GROUP = 25  # rows held in memory at a time, and of one Parquet row group
ABOUT = {"view": Value("string"), "age": Value("int32"), "sex": Value("string")}
WHITE = 65535  # of a PNG that a DICOM file becomes


def features_of(layout):
    """The columns: `image`, `mask`, the labels, `patient_id`, `file_name`, and what is known about the patient."""
    labels = {
        "label": {"label": ClassLabel(names=list(layout.labels))},
        "findings": {"findings": List(ClassLabel(names=list(layout.labels)))},
        "each": {name: Value("int8") for name in layout.labels},
    }[layout.column]
    usual = {"patient_id": Value("string"), "file_name": Value("string")}
    about = {name: ABOUT[name] for name in layout.about}
    return Features({"image": ImageFeature(), "mask": ImageFeature()} | labels | usual | about)


def write_split(entries, layout, path):
    """Write one split row by row; a radiograph that can't be read is reported and left out.

    Returns:
        how many `rows`, `patients`, `masks` and of each label there are; None, and no file is written, with no rows.
    """
    schema = features_of(layout).arrow_schema
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    counts, patients = Counter(), set()
    with pq.ParquetWriter(unfinished, schema) as writer:
        for group in groups(readable(entries, layout)):
            writer.write_table(pa.Table.from_pylist(group, schema))
            counts.update(name for row in group for name in named_labels(row, layout))
            counts["rows"] += len(group)
            counts["masks"] += sum(row["mask"] is not None for row in group)
            patients.update(row["patient_id"] for row in group)
    rows, counts["patients"] = counts["rows"], len(patients)
    if not rows:
        unfinished.unlink()
        return None
    unfinished.replace(path)
    by_label = ", ".join(f"{counts[label]} {label}" for label in layout.labels)
    print(f"{path}: {rows} radiographs ({by_label}), {counts['masks']} with lungs, {len(entries) - rows} left out.")
    return counts


def named_labels(row, layout):
    """Names of the labels that a row has."""
    if layout.column == "each":
        return [name for name in layout.labels if row[name] == 1]
    numbers = row[layout.column]
    numbers = [] if numbers is None else [numbers] if layout.column == "label" else numbers
    return [layout.labels[number] for number in numbers]


def groups(rows):
    """Iterator of rows → iterator of lists of `ROWS_PER_GROUP` rows, the last one perhaps shorter."""
    group = []
    for row in rows:
        group.append(row)
        if len(group) == ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def readable(entries, layout):
    """Rows of the entries that can be read; says of each other one why it can't."""
    for entry in tqdm(entries, desc="Reading radiographs"):
        try:
            yield read_row(entry, layout)
        except (OSError, ValueError) as error:
            tqdm.write(f"Left out: {error}", file=sys.stderr)


def read_row(entry, layout):
    """Read one radiograph and its lungs.

    A DICOM file becomes a 16-bit PNG as a viewer would show it, so that nothing else of it is kept.

    Raises:
        ValueError: one of the files can't be decoded, or nothing says whose it is; the message names it.
        OSError: one of them can't be opened.
    """
    file_name = entry.image.name
    image = entry.convert(entry.image) if entry.convert else entry.image.read_bytes()
    radiograph = load_radiograph(named(image, file_name))
    about, patient_id, stored = dict(entry.about), entry.patient_id, entry.image
    if radiograph.format == "DICOM":
        about, patient_id = header_facts(image, radiograph), patient_id or header_patient(image)
        image, stored = png((radiograph.pixels * WHITE).round().astype(np.uint16)), entry.image.with_suffix(".png")
    elif entry.convert:
        stored = entry.image.with_suffix(".png")
    height, width = radiograph.pixels.shape
    if layout.side and max(height, width) > layout.side:
        height, width = (round(layout.side * side / max(height, width)) for side in (height, width))
        image, stored = reduced(radiograph.pixels, (width, height)), entry.image.with_suffix(".png")
    if not patient_id:
        raise ValueError(f"{file_name}: nothing says whose it is; name the column of the patients.")
    mask = join_masks(entry.masks, (width, height)) if entry.masks else None
    return {
        "image": {"bytes": image, "path": stored.name},
        "mask": mask and {"bytes": mask, "path": f"{entry.image.stem}_mask.png"},
        **numbered(entry.label, layout),
        "patient_id": patient_id,
        "file_name": file_name,
        **{name: about.get(name) for name in layout.about},
    }


def reduced(pixels, size):
    """(H, W) float in [0, 1] → bytes of an 8-bit PNG of a smaller size, (width, height)."""
    small = Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return png((np.asarray(small) * 255).round().astype(np.uint8))


def numbered(label, layout):
    """An entry's label as the columns hold it."""
    if layout.column == "each":
        return label
    if label is None:
        return {layout.column: None}
    number = layout.labels.index
    return {layout.column: number(label) if layout.column == "label" else [number(name) for name in label]}


def header_facts(data, radiograph):
    """View, age in years and sex, as a DICOM header says them."""
    sex = str(read_dataset(data).get("PatientSex", "") or "").strip().upper()
    age = None if radiograph.age is None else int(radiograph.age)
    return {"view": radiograph.view, "age": age, "sex": sex if sex in ("F", "M") else None}


def header_patient(data):
    """The patient's ID of a DICOM header, hashed; None where there is none."""
    patient = str(read_dataset(data).get("PatientID", "") or "").strip()
    return hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else None


def named(content, name):
    """Bytes as a file with a name, which an error message then gives."""
    file = BytesIO(content)
    file.name = name
    return file


def join_masks(paths, size):
    """Masks of a radiograph, one or one for each lung → bytes of one PNG, 0 and 255.

    Args:
        paths: files that Pillow reads; whatever is brighter than half the brightest pixel is lung.
        size: (width, height) of the radiograph; the mask is stretched to it, nearest pixel.

    Raises:
        ValueError: a mask can't be decoded, or there is no lung in it.
    """
    joined = np.zeros(size[::-1], bool)
    for path in paths:
        try:
            with Image.open(path) as image:
                mask = np.asarray(image.convert("L").resize(size, Image.Resampling.NEAREST))
        except Exception as error:  # decoders raise nearly anything over a broken file
            raise ValueError(f"{path.name}: the mask can't be decoded.") from error
        if not mask.any():
            raise ValueError(f"{path.name}: the mask is empty.")
        joined |= mask > mask.max() / 2
    return png(joined.astype(np.uint8) * 255)
