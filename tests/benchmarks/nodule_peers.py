"""What version 0.2.0 says of nodules on the pictures that the detector is scored on: its whole-picture classifier and
its lesion branch. Run with that version's own code:

    git worktree add --detach ../version_0.2.0 987828e
    cd ../version_0.2.0 && python ../lungfusion/tests/benchmarks/nodule_peers.py ROWS DATA peers.json
    cd - && python -m train.nodules --recipe train/recipes/nodules.yaml --peers ../version_0.2.0/peers.json

ROWS is rows.json of the recipe's cache of pictures, DATA the folder of the data sets.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, ".")  # the version that is asked, before the one this file belongs to

import torch
from tqdm import tqdm

from lungfusion import LungFusionPipeline, __version__
from train.data.pictures import load_image
from train.data.sources import find_source
from train.data.splits import load_source

NODULES = "nodule", "mass"


def main(rows, data, output):
    if not __version__.startswith("0.2"):
        sys.exit(f"This is version {__version__}: start it in a checkout of 987828e.")
    wanted = {}
    for row in json.loads(Path(rows).read_text()):
        if row["side"] >= 256 and (row["split"] == "validation" or row["located"] or row["source"] == "shenzhen"):
            wanted.setdefault((row["source"], row["split"]), set()).add(row["file_name"])
    model = (pipeline := LungFusionPipeline.from_pretrained()).model
    columns, said = [model.config.findings.index(name) for name in NODULES], []
    for (name, split), files in wanted.items():
        source = find_source(name)
        for row in tqdm(load_source(Path(data) / source["dataset"], split, source=source), desc=f"{name}, {split}"):
            if row["file_name"] not in files:
                continue
            with torch.inference_mode():
                answer = model(pipeline.pixel_values([load_image(row["image"])]))
                whole = model.calibrate(model.classifier(answer.fused_features))[0, columns]
            known = {"source": name, "split": split, "file_name": row["file_name"], "patient_id": row["patient_id"]}
            said.append(known | {"whole": any_of(whole), "branch": any_of(answer.logits[0, columns])})
    Path(output).write_text(json.dumps(said))


def any_of(logits):
    """The probability of at least one of several findings."""
    return float(1 - (1 - logits.sigmoid()).prod())


if __name__ == "__main__":
    main(*sys.argv[1:])
