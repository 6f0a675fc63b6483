"""Write the fused features of a data set: python -m train.scoring.features --dataset DIR_OR_ID --split NAME --output
FILE

One row of the Parquet file for each radiograph: file_name, patient_id, `label_…` for each finding the model learned (1
present, 0 absent, null unknown) and features, a list of float32. For models of one's own, as
`train.scoring.classical` does.
"""

from pathlib import Path

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from lungfusion import LungFusionPipeline
from train.data.labels import known_labels
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.engine.arguments import command_line


def main():
    parser = command_line(__doc__, "model", "dataset", "split")
    parser.set_defaults(split="train")
    parser.add_argument("--output", type=Path, required=True, help="a Parquet file")
    arguments = parser.parse_args()
    pipeline = LungFusionPipeline.from_pretrained(arguments.model)
    rows = feature_rows(pipeline, load_source(arguments.dataset, arguments.split), arguments.dataset)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(arguments.output)


def feature_rows(pipeline, data, source=None, batch_size=8):
    """data: as `load_source` gives it → `datasets.Dataset` of the columns above, in the same order.

    source: whose label space it has, as `known_labels` takes it.
    """
    names = pipeline.model.config.findings
    labels = known_labels(data, names, source)
    features = []
    for start in tqdm(range(0, len(data), batch_size), desc="Extracting features"):
        images = data[start : start + batch_size]["image"]
        features.append(pipeline.features([image_bytes(image) for image in images]))
    columns = {"file_name": data["file_name"], "patient_id": data["patient_id"]}
    for name, column in zip(names, labels.T, strict=True):
        columns[f"label_{name}"] = [None if np.isnan(value) else int(value) for value in column]
    return Dataset.from_dict(columns | {"features": list(np.concatenate(features))})


if __name__ == "__main__":
    main()
