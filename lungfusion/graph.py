"""What a model answers, as a graph that OpenVINO compiles and runs."""

import logging
import sys
import warnings
from functools import cache
from importlib.util import find_spec
from queue import Empty, LifoQueue
from threading import Lock

import torch
from torch import nn
from transformers.utils import ModelOutput

logger = logging.getLogger(__name__)
HAS_OPENVINO = find_spec("openvino") is not None
MAX_DIFFERENCE = 1e-3  # of an output's largest number; rounding makes 1e-5 of it


@torch.inference_mode(False)
@torch.no_grad()
def graph_of(question, model, shape):
    """The `Graph` of a question; None where OpenVINO can't run it, or says something else than torch.

    Args:
        question: function of model and pixel values; gives a tensor, or a `ModelOutput` or tuple of them.
        model: module, in evaluation mode.
        shape: of the pixel values of one image.
    """
    example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    expected = question(model, example)
    try:
        graph = Graph(traced(question, model, example), expected)
        said = graph(example)
    except Exception as error:  # it does not know something in it, or is damaged; its errors have no common parent
        logger.warning("Torch runs the model, more slowly, for OpenVINO can't: %s", error)
        return None
    pairs = zip(tensors_in(said), tensors_in(expected), strict=True)
    if all((one - other).abs().max() <= MAX_DIFFERENCE * other.abs().max() for one, other in pairs):
        return graph
    logger.warning("Torch runs the model, more slowly, for OpenVINO gives other answers.")
    return None


@cache
def openvino():
    """The library, imported by those alone who ask. A plain import of it tells its makers so, by its telemetry."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino
    from openvino.frontend.pytorch import ts_decoder

    return openvino, ts_decoder


def traced(question, model, example):
    """A question of a model as OpenVINO has it; what tracing fixes does not depend on what is seen."""
    library, ts_decoder = openvino()
    with warnings.catch_warnings(action="ignore"):
        script = torch.jit.freeze(torch.jit.trace(Asked(question, model), example, check_trace=False))
        decoder = ts_decoder.TorchScriptPythonDecoder(script)
    front = library.frontend.FrontEndManager().load_by_framework("pytorch")
    network = front.convert(front.load(decoder))
    (pixel_values,) = network.get_parameters()
    pixel_values.set_element_type(library.Type.f32)
    pixel_values.set_partial_shape(library.PartialShape(list(example.shape)))
    network.validate_nodes_and_infer_types()
    return network


class Asked(nn.Module):
    """A question of a model as a module of its own, as `torch.jit.trace` takes it; it gives a tuple of tensors."""

    def __init__(self, question, model):
        super().__init__()
        self.question, self.model, self.training = question, model, False

    def forward(self, pixel_values):
        return tuple(tensors_in(self.question(self.model, pixel_values)))


class Graph:
    """A question, asked of one image after the other: as fast as of several at once, in less memory. Threads may ask at
    the same time.

    Args:
        network: OpenVINO's.
        expected: an answer, for its kind.
    """

    def __init__(self, network, expected):
        self.network, self.expected, self.lock, self.compiled = network, expected, Lock(), {}

    def __call__(self, pixel_values, streams=1):
        """Its answer for pixel values (B, C, h, w); into how many streams the cores are divided: an image has one."""
        with self.lock:
            if streams not in self.compiled:
                self.compiled[streams] = Requests(self.network, streams)
        rows = [self.compiled[streams].run(image) for image in pixel_values.split(1)]
        return like(self.expected, iter([torch.cat(tensors) for tensors in zip(*rows, strict=True)]))


class Requests:
    """A compiled network, and memory to run it in, for each image that is in work at the same time."""

    def __init__(self, network, streams):
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # other processes may be pinned to the same cores
        }
        library, _ = openvino()
        self.compiled, self.idle = library.Core().compile_model(network, "CPU", settings), LifoQueue()

    def run(self, image):
        """(1, C, h, w) float32 tensor → tensors."""
        try:
            request = self.idle.get_nowait()
        except Empty:
            request = self.compiled.create_infer_request()
        given = request.infer([image.contiguous().numpy()], share_inputs=True)
        self.idle.put(request)
        return [torch.from_numpy(array) for array in given.values()]


def tensors_in(output):
    """The tensors in an output, in order."""
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, ModelOutput) else output
    return [tensor for part in parts for tensor in tensors_in(part)]


def like(output, tensors):
    """Tensors, an iterator, as an output of the same kind."""
    if isinstance(output, torch.Tensor):
        return next(tensors)
    if isinstance(output, ModelOutput):
        return type(output)(**{name: like(part, tensors) for name, part in output.items()})
    return tuple(like(part, tensors) for part in output)
