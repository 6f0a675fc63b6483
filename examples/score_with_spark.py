"""Score a folder of files with Spark, on one machine or many: python examples/score_with_spark.py FOLDER OUTPUT

FOLDER may lie on a disk, on S3 (s3a://…) or on any file system that Spark reads; OUTPUT becomes a folder of Parquet
files. It needs Java and `pip install pyspark pandas pyarrow`. Each task loads the model once, which takes as long as
some hundred radiographs do: let its files be thousands (`spark.sql.files.maxPartitionBytes`).
"""

import os
import sys

import pandas as pd
from pyspark.sql import SparkSession

from lungfusion import Scorer

TYPES = {str: "string", int: "int", float: "double", list: "array<string>"}


def main(folder, output, model=None):
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # without it workers take any python3 that they find
    few = {"spark.sql.execution.arrow.maxRecordsPerBatch": "8"}  # files that a worker holds at a time
    spark = SparkSession.builder.appName("LungFusion").config(map=few).getOrCreate()
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(str(folder))
    scorer = Scorer(model)
    columns = {"path": str} | scorer.columns

    def score(batches):
        for batch in batches:
            yield pd.DataFrame(scorer(batch))

    schema = ", ".join(f"`{name}` {TYPES[kind]}" for name, kind in columns.items())
    files.selectExpr("path", "content AS bytes").mapInPandas(score, schema).write.parquet(str(output))
    print(f"Written: {output}")


if __name__ == "__main__":
    if len(sys.argv) <= 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
