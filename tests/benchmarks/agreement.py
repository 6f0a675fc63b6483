"""Whether faster ways of asking give the same answer: python -m tests.benchmarks.agreement --dataset DIR_OR_ID

The reference is one radiograph at a time, by torch in float32. For each way: the time it takes for a radiograph that
is already decoded, the largest difference of any finding's probability, the mean difference, and of how many
radiographs something else is said (another finding detected, or refused).
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers.utils import logging

from examples.export_onnx import export
from lungfusion import LungFusionPipeline, load_radiograph
from lungfusion.backends import TorchBackend
from lungfusion.models import LungFusionOutput
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.engine.arguments import command_line
from train.io import markdown_table

USED = ["logits", "alpha", "ood_score"]  # what an answer is made from


def main():
    parser = command_line(__doc__, "model", "dataset", "split")
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    data = load_source(arguments.dataset, arguments.split)
    chosen = np.linspace(0, len(data) - 1, min(arguments.images, len(data))).astype(int)
    radiographs = [load_radiograph(image_bytes(data[int(row)]["image"])) for row in chosen]
    pipe = LungFusionPipeline.from_pretrained(arguments.model, device="cpu")
    reference, rows = None, []
    for name, ask in ways(pipe, arguments.model):
        ask(radiographs[:1])
        started = time.perf_counter()
        answers = ask(radiographs)
        milliseconds = 1000 * (time.perf_counter() - started) / len(radiographs)
        reference = reference or answers
        rows.append([name, f"{milliseconds:.0f}", *compared(reference, answers)])
    print(f"{len(radiographs)} radiographs of {Path(arguments.dataset).name}, {len(pipe.findings)} findings of each:\n")
    titles = ["way", "ms for each", "largest difference", "mean difference", "something else said"]
    print(*markdown_table(titles, rows), sep="\n")


class OnnxBackend(TorchBackend):
    """What an exported model gives, in an ONNX Runtime; the ood_score of a part of the picture by torch."""

    def __init__(self, model, path):
        super().__init__(model)
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, pixel_values):
        tensors = map(torch.from_numpy, self.session.run(USED, {"pixel_values": pixel_values.numpy()}))
        return LungFusionOutput(**dict(zip(USED, tensors, strict=True)))


def ways(pipe, model):
    """Yields a way's name and a function, of radiographs → the `Analysis` of each; the reference first."""
    plain = LungFusionPipeline(pipe.model, pipe.processor, backend="torch")
    yield "one at a time, by torch", lambda radiographs: [plain(radiograph) for radiograph in radiographs]
    yield "one at a time", lambda radiographs: [pipe(radiograph) for radiograph in radiographs]
    yield "eight at a time", pipe
    yield "with heat maps", lambda radiographs: [pipe.analyse_and_explain(radiograph)[0] for radiograph in radiographs]
    half = LungFusionPipeline.from_pretrained(model, device="cpu", dtype=torch.bfloat16)
    yield "one at a time, bfloat16", lambda radiographs: [half(radiograph) for radiograph in radiographs]
    exported = LungFusionPipeline(pipe.model, pipe.processor, backend="torch")
    with tempfile.TemporaryDirectory() as folder:
        export(pipe.model, f"{folder}/model.onnx")
        exported.backend = OnnxBackend(pipe.model, f"{folder}/model.onnx")
    yield "one at a time, ONNX Runtime", lambda radiographs: [exported(radiograph) for radiograph in radiographs]


def compared(reference, answers):
    """Cells of the table."""
    pairs = [
        (one.probability, other.probability)
        for own, theirs in zip(reference, answers, strict=True)
        if own.findings and theirs.findings
        for one, other in zip(own.findings, theirs.findings, strict=True)
        if one.reason is None and other.reason is None
    ]
    differences = np.abs(np.subtract(*zip(*pairs, strict=True)))
    others = sum(said(own) != said(theirs) for own, theirs in zip(reference, answers, strict=True))
    return f"{differences.max():.1e}", f"{differences.mean():.1e}", others


def said(analysis):
    return [finding.name for finding in analysis.findings if finding.detected], bool(analysis.findings)


if __name__ == "__main__":
    main()
