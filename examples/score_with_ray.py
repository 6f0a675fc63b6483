"""Score a folder of files with Ray Data, on one machine or many: python examples/score_with_ray.py FOLDER OUTPUT

FOLDER may lie on a disk, on S3 (s3://…) or on any file system that Arrow knows; OUTPUT becomes a folder of Parquet
files. It needs `pip install "ray[data]"`. Each worker loads the model once.
"""

import sys

import ray
from ray.data import ActorPoolStrategy

from lungfusion import Scorer


def main(folder, output, model=None, workers=1):
    files = ray.data.read_binary_files(str(folder), include_paths=True)  # columns: bytes, path
    scored = files.map_batches(
        Scorer,
        fn_constructor_args=(model,),
        batch_size=8,
        compute=ActorPoolStrategy(size=workers),
        num_gpus=1 if "GPU" in ray.cluster_resources() else 0,
    )
    scored.write_parquet(str(output))
    print(f"Written: {output}")


if __name__ == "__main__":
    if len(sys.argv) <= 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
