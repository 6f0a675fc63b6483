"""Score a model on a data set: python -m train.evaluate --model DIR_OR_ID --dataset DIR_OR_ID --split NAME --output DIR

Every radiograph goes through `LungFusionPipeline`, as it does in the app. Written to DIR: metrics.json, per_image.csv,
figures, and where there are masks images/, sheets of the data set's radiographs with the lungs drawn on them.
"""

from pathlib import Path

from lungfusion import LungFusionPipeline
from train.data.splits import load_source
from train.engine.arguments import command_line
from train.report.figures import write_figures
from train.scoring.images import score_parts, summarise_parts


def main(arguments=None):
    arguments = command_line(__doc__, "model", "dataset", "split", "output").parse_args(arguments)
    pipeline = LungFusionPipeline.from_pretrained(arguments.model)
    parts = {Path(arguments.dataset).name: load_source(arguments.dataset, arguments.split)}
    rows = score_parts(pipeline, parts)
    metrics = summarise_parts(pipeline, parts, rows, arguments.split, arguments.output)
    write_figures(metrics, rows, [], arguments.output)


if __name__ == "__main__":
    main()
