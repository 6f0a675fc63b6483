"""A few real radiographs of a public data set, fetched from the Hub: Kermany et al. 2018, children, CC BY 4.0."""

from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download, list_repo_files

DATASET = "hf-vision/chest-xray-pneumonia"
LABELS = {0: "no_pneumonia", 1: "pneumonia"}  # as the data set's own


def fetch_radiographs(folder, of_each=1):
    """Save the first radiographs of each label of the data set's validation part.

    Args:
        folder: where to.
        of_each: how many of each label.

    Returns:
        list of `Path`, named NUMBER_LABEL.jpeg.

    Raises:
        OSError, huggingface_hub.errors.HfHubHTTPError: the Hub does not answer.
        ValueError: the data set is not as it was.
    """
    names = [name for name in list_repo_files(DATASET, repo_type="dataset") if name.startswith("data/validation")]
    if not names:
        raise ValueError(f"{DATASET} has no validation part any more.")
    table = pq.read_table(hf_hub_download(DATASET, names[0], repo_type="dataset"), columns=["image", "label"])
    paths = []
    for label, title in LABELS.items():
        rows = [row for row in table.to_pylist() if row["label"] == label][:of_each]
        for number, row in enumerate(rows, 1):
            paths.append(Path(folder) / f"{number}_{title}.jpeg")
            paths[-1].write_bytes(row["image"]["bytes"])
    return paths
