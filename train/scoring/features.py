"""Fused features, for models of one's own, as `train.scoring.classical` does."""

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from train.data.labels import known_labels
from train.data.sources import hospital_of
from train.scoring.images import read_or_say_why


def feature_rows(pipeline, parts, declared=None, batch_size=8):
    """The fused features of every radiograph that can be read.

    Args:
        pipeline: `LungFusionPipeline` of a classifier.
        parts: source → `datasets.Dataset` as `load_source` gives it.
        declared: source → its declaration, of a recipe; None for what sources.yaml says of data sets of these names.

    Returns:
        `datasets.Dataset` in the same order: source, hospital, file_name, patient_id, `label_…` for each finding the
        model learned (1 present, 0 absent, null unknown) and features, a list of float32.
    """
    columns = {"source": [], "hospital": [], "file_name": [], "patient_id": [], "features": []}
    findings = pipeline.model.config.findings
    columns |= {f"label_{name}": [] for name in findings}
    for source, data in parts.items():
        kept = []
        for start in tqdm(range(0, len(data), batch_size), desc=f"Extracting features of {source}"):
            read = [read_or_say_why(image)[0] for image in data[start : start + batch_size]["image"]]
            kept += [place for place, radiograph in enumerate(read, start) if radiograph]
            columns["features"] += list(pipeline.features([radiograph for radiograph in read if radiograph]))
        if len(kept) < len(data):
            print(f"{len(data) - len(kept)} of the {len(data)} radiographs of {source} can't be read: left out.")
        data = data.select(kept)
        columns["source"] += [source] * len(data)
        columns["hospital"] += [hospital_of(source, (declared or {}).get(source))] * len(data)
        for name in ("file_name", "patient_id"):
            columns[name] += list(data[name])
        labels = known_labels(data, findings, (declared or {}).get(source, source))
        for name, known in zip(findings, labels.T, strict=True):
            columns[f"label_{name}"] += [None if np.isnan(label) else int(label) for label in known]
    return Dataset.from_dict(columns)
