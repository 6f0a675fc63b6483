"""Export a checkpoint to ONNX, to run it without PyTorch: python examples/export_onnx.py [FILE] [MODEL]

It needs `pip install onnx onnxscript`. The input is what the image processor makes of a radiograph, for any number of
them at once; the outputs have the names of the model's own output.
"""

import sys

import torch

from lungfusion import LungFusionPipeline


def main(path="lungfusion.onnx", model=None):
    pipe = LungFusionPipeline.from_pretrained(model, device="cpu")
    names = export(pipe.model, path)
    print(f"Written: {path}, with {', '.join(names)}")


@torch.no_grad()
def export(model, path):
    """Write the model as one file; returns the names of its outputs."""
    side = model.config.image_size
    pixel_values = torch.rand(2, 1, side, side)  # two, else the exporter takes it that there is always one
    names = output_names(model(pixel_values))
    torch.onnx.export(
        model,
        kwargs={"pixel_values": pixel_values},
        f=path,
        input_names=["pixel_values"],
        output_names=names,
        dynamic_shapes={"pixel_values": {0: torch.export.Dim.DYNAMIC}},
        external_data=False,
        verbose=False,
    )
    return names


def output_names(output):
    """Names of all tensors in a model's output; those of a tuple are numbered."""
    names = []
    for name, value in output.items():
        names += [f"{name}_{i}" for i in range(len(value))] if isinstance(value, tuple) else [name]
    return names


if __name__ == "__main__":
    main(*sys.argv[1:])
