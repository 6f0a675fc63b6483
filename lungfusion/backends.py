"""What runs the model: torch, or on a CPU OpenVINO, which gives the same answers but for rounding in half the time."""

import ctypes
import logging
import os
import sys
import warnings
from importlib.util import find_spec
from queue import Empty, LifoQueue
from threading import Lock

import torch
from torch import nn
from transformers.utils import ModelOutput

from .models.modeling_lung_unet import resize

logger = logging.getLogger(__name__)
HAS_OPENVINO = find_spec("openvino") is not None
COMPILE_AFTER_IMAGES = 3  # compiling takes as long as dozens of images by torch: there have to be many
MAX_DIFFERENCE = 1e-3  # of an output's largest number; rounding makes 1e-4 of it


def pick(model, backend="auto"):
    """What runs a model from now on.

    Args:
        model: as `LungFusionPipeline` takes it.
        backend: `"torch"`; `"openvino"`, which a pipeline compiles at once; or `"auto"`: OpenVINO where it is installed
            and the model lies on a CPU in float32, compiled at the third image or on `compile`, and torch elsewhere.

    Returns:
        `TorchBackend` or `OpenVinoBackend`.

    Raises:
        ValueError: there is no such backend, or OpenVINO is asked for where it can't run.
    """
    if backend not in ("auto", "torch", "openvino"):
        raise ValueError(f"backend is {backend!r}: give auto, torch or openvino.")
    possible = HAS_OPENVINO and model.device.type == "cpu" and model.dtype == torch.float32 and not is_forked()
    if backend == "torch" or (backend == "auto" and not possible):
        return TorchBackend(model)
    if not possible:
        raise ValueError(
            "OpenVINO runs models in float32 on a CPU, where it is installed, in the process that loaded one first: "
            "give backend='auto', which takes torch elsewhere."
        )
    return OpenVinoBackend(model)


class TorchBackend:
    """A model as torch runs it, on any device and of any precision; threads may call at the same time.

    Args:
        model: in evaluation mode, and left as it is.
    """

    def __init__(self, model):
        self.model = model
        self.answer, self.score = Answer(model), OodScore(model)

    def __call__(self, pixel_values):
        """What the model returns for pixel values (B, 1, S, S), feature maps among it if it has branches."""
        return self.answer(pixel_values)

    def ood_score(self, pixel_values):
        """Of pixel values (1, 1, h, w) the segmenter's ood_score, a float, without the rest of a forward pass."""
        return float(self.score(self.resized(pixel_values)))

    def resized(self, pixel_values):
        return resize(pixel_values, [segmenter_of(self.model).config.image_size] * 2)

    def compile(self, side):
        """Do now what the first images would wait for, of pixel values (B, 1, side, side): nothing."""

    def divided(self, side):
        """The same for images that are run side by side, a core for each, and how many cores there are; None where
        they are best run as one batch.
        """
        return None


class OpenVinoBackend(TorchBackend):
    """A model compiled for the CPU, once, at the third image or when `compile` is called; before, for pixel values of
    another size, and where OpenVINO can't run it or says something else, torch runs it. Weights that are changed later
    are not seen.
    """

    def __init__(self, model):
        super().__init__(model)
        self.lock, self.images, self.networks, self.failed = Lock(), 0, None, False

    def __getstate__(self):
        return {"model": self.model}  # what is compiled can't be pickled

    def __setstate__(self, state):
        self.__init__(**state)

    @property
    def is_compiled(self):
        return self.networks is not None

    def __call__(self, pixel_values, streams=1):
        self.images += len(pixel_values)
        if self.images >= COMPILE_AFTER_IMAGES:
            self.compile(pixel_values.shape[-1], wait=False)
        if self.networks and self.networks[0].shape == pixel_values.shape[1:]:
            return self.networks[0](pixel_values, streams)
        return super().__call__(pixel_values)

    def ood_score(self, pixel_values, streams=1):
        if not self.networks:
            return super().ood_score(pixel_values)
        return float(self.networks[1](self.resized(pixel_values), streams))

    def compile(self, side, wait=True):
        """Compile, once, for pixel values (B, 1, side, side); it takes some seconds, in which other threads are
        answered by torch.

        Args:
            side: in pixels.
            wait: whether to wait for another thread that is at it.
        """
        if self.networks or self.failed or not self.lock.acquire(blocking=wait):
            return
        try:
            if not (self.networks or self.failed):
                whole = CompiledNetwork(self.answer, drawn_chest(side))
                self.networks = whole, CompiledNetwork(self.score, self.resized(drawn_chest(side)))
        except Exception as error:  # it does not know something in the model; its errors have no common parent
            self.failed = True
            logger.warning("Torch runs the model, more slowly: OpenVINO can't (%s).", type(error).__name__)
            logger.debug("What it said: %s", error)
        finally:
            self.lock.release()

    def abandoned(self):
        """In a forked process: a `TorchBackend` instead. What was compiled is never freed there, for that would wait
        for threads that are lost.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        return TorchBackend(self.model)

    def divided(self, side):
        self.compile(side)
        streams = torch.get_num_threads()
        return (DividedBackend(self, streams), streams) if self.networks else None


class DividedBackend:
    """An `OpenVinoBackend` whose cores are divided among images that are run side by side."""

    def __init__(self, backend, streams):
        self.model, self.backend, self.streams = backend.model, backend, streams

    def __call__(self, pixel_values):
        return self.backend(pixel_values, self.streams)

    def ood_score(self, pixel_values):
        return self.backend.ood_score(pixel_values, self.streams)


class Answer(nn.Module):
    """All that a model returns, feature maps among it if it has branches."""

    def __init__(self, model):
        super().__init__()
        self.training, self.model = False, model
        self.asked = {} if model is segmenter_of(model) else {"output_hidden_states": True}

    def forward(self, pixel_values):
        return self.model(pixel_values, **self.asked)


class OodScore(nn.Module):
    """A segmenter's ood_score alone, of pixel values that have the size at which it works."""

    def __init__(self, model):
        super().__init__()
        self.training, self.segmenter = False, segmenter_of(model)

    def forward(self, pixel_values):
        return self.segmenter.ood_head(self.segmenter.encode(pixel_values)[-1])


class Tensors(nn.Module):
    """A question whose answer is a tuple of tensors, as OpenVINO takes it."""

    def __init__(self, question):
        super().__init__()
        self.training, self.question = False, question

    def forward(self, pixel_values):
        return tuple(tensors_in(self.question(pixel_values)))


class CompiledNetwork:
    """A question that OpenVINO answers, one image after the other: as fast as several at once, in less memory. Threads
    may ask at the same time.

    Args:
        question: module, from pixel values to a tensor or `ModelOutput`.
        example: pixel values (1, 1, h, w), by whose answer OpenVINO is judged.

    Raises:
        Exception: OpenVINO can't run it.
        ArithmeticError: it says something else than torch, of a picture in which lungs are found.
    """

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, question, example):
        self.shape, self.lock, self.requests = example.shape[1:], Lock(), {}
        self.expected = question(example)
        self.network = converted(Tensors(question), example)
        pairs = zip(tensors_in(self(example)), tensors_in(self.expected), strict=True)
        if not all((one - other).abs().max() <= MAX_DIFFERENCE * other.abs().max() for one, other in pairs):
            raise ArithmeticError("its answers differ")

    def __call__(self, pixel_values, streams=1):
        """Its answer for pixel values (B, 1, h, w); into how many streams the cores are divided: an image has one."""
        with self.lock:
            if streams not in self.requests:
                self.requests[streams] = Requests(self.network, streams)
        rows = [self.requests[streams].run(image) for image in pixel_values.split(1)]
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
        self.compiled, self.idle = openvino().Core().compile_model(network, "CPU", settings), LifoQueue()

    def run(self, image):
        """(1, 1, h, w) float32 tensor → tensors."""
        try:
            request = self.idle.get_nowait()
        except Empty:
            request = self.compiled.create_infer_request()
        given = request.infer([image.contiguous().numpy()], share_inputs=True)
        self.idle.put(request)
        return [torch.from_numpy(array) for array in given.values()]


def openvino():
    """The library, imported by those alone who use it. A plain import of it tells its makers so, by its telemetry."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def converted(module, example):
    """A module as OpenVINO has it, for pixel values as large as an example."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]  # it changes them, and may leave them so
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            network = openvino().convert_model(module, example_input=example, input=[list(example.shape)])
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers
    for warning in said:
        logger.debug("OpenVINO's conversion: %s: %s", warning.category.__name__, warning.message)
    return network


def drawn_chest(side):
    """Pixel values (1, 1, side, side): two lungs in a trunk, one of them leaning, in which a segmenter draws lungs."""
    x = torch.linspace(-1, 1, side, dtype=torch.float32)
    y, x = x[:, None], x[None]
    trunk = (0.8 - 0.3 * x**2 - 0.1 * y) * (12 * (0.95 - x.abs())).sigmoid()
    for place, lean in ((-0.42, 0.15), (0.42, -0.35)):
        lung = ((x - place - lean * y) / 0.3) ** 2 + (y / 0.65) ** 2
        trunk = trunk - 0.5 * (8 * (1 - lung)).sigmoid()
    return trunk.clamp(0, 1)[None, None]


def segmenter_of(model):
    return getattr(model, "segmenter", model)


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


_home = None  # id of the process that loaded a model first


def is_forked():
    """Whether this process was forked from one that had loaded a model: of its threads none is left then."""
    global _home
    _home = _home or os.getpid()
    return _home != os.getpid()
