"""Score a data set as it streams by, without a copy of it: python examples/score_stream.py DATASET OUTPUT.csv [SPLIT]

DATASET is a folder or an id on the Hub, with a column `image` of files, or of DICOM files' bytes. It needs
`pip install datasets`. Rows are read, scored and written batch by batch, so its size does not matter.
"""

import csv
import sys

from datasets import Image, load_dataset

from lungfusion import Scorer


def main(dataset, output, split="train", model=None):
    rows = load_dataset(str(dataset), split=split, streaming=True).cast_column("image", Image(decode=False))
    scored = rows.map(Scorer(model), batched=True, batch_size=8, remove_columns=["image"])
    with open(output, "w", newline="", encoding="utf-8") as file:
        writer = None
        for row in scored:
            if writer is None:
                writer = csv.DictWriter(file, row)
                writer.writeheader()
            writer.writerow(row | {"warnings": " ".join(row["warnings"])})
    print(f"Written: {output}")


if __name__ == "__main__":
    if len(sys.argv) <= 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
