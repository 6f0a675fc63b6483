"""A model that only answers, compiled for the CPU by OpenVINO: the same answers but for rounding, in half the time."""

import copy
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from threading import Lock, local

import torch

from .graph import HAS_OPENVINO, graph_of
from .models.modeling_lung_unet import resize

version_of = attrgetter("_version")
MANY = 3  # images


class CompiledModel:
    """Asks a model: by OpenVINO, or as it is where it trains, lies on a GPU, is of another precision than float32, or
    OpenVINO is not installed or can't. Compiling takes as long as thirty images by torch, so it waits until there seem
    to be many; when weights have changed, it begins anew.
    """

    def __init__(self, model):
        self.model, self.lock, self.of_thread = model, Lock(), local()
        self.seen, self.known, self.images = None, {}, Counter()

    def __getstate__(self):
        return {"model": self.model}  # what is compiled can't be pickled

    def __setstate__(self, state):
        self.__init__(**state)

    def __call__(self, pixel_values):
        """What the model returns for pixel values (B, 1, S, S), feature maps among it if it has branches."""
        return self.ask(answer, pixel_values)

    @torch.inference_mode()
    def ood_score(self, pixel_values):
        """Of pixel values (1, 1, h, w) the segmenter's ood_score, a float, without the rest of a forward pass."""
        side = segmenter_of(self.model).config.image_size
        return float(self.ask(ood_score, resize(pixel_values, (side, side))))

    @torch.inference_mode()
    def compile(self, shape):
        """Compile at once what is asked about images of that shape, (C, h, w): a server's visitors are not to wait."""
        if self.is_used:
            blank = torch.zeros(MANY, *shape)
            self(blank)
            for image in blank.split(1):
                self.ood_score(image)

    @property
    def is_used(self):
        """Whether OpenVINO is asked, as far as it can."""
        return not self.model.training and can_run(self.model)

    def ask(self, question, pixel_values):
        if not self.is_used:
            return question(self.model, pixel_values)
        with self.lock:
            if self.seen is None or self.seen != state_of(self.model, self.tensors):
                self.tensors = [*self.model.parameters(), *self.model.buffers()]
                self.seen = copy.deepcopy(state_of(self.model, self.tensors))
                self.known, self.images = {}, Counter()
            key = question, pixel_values.shape[1:]
            self.images[key] += len(pixel_values)
            if key not in self.known and self.images[key] >= MANY:
                self.known[key] = graph_of(question, self.model, key[1])
            graph = self.known.get(key)
        if graph is None:
            return question(self.model, pixel_values)
        return graph(pixel_values, getattr(self.of_thread, "streams", 1))

    def side_by_side(self, work, items):
        """A list of what `work` gives for each item, as many at a time as there are cores: each is asked on one of
        them, which takes longer than on all, but all are done sooner.
        """
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(threads, initializer=setattr, initargs=(self.of_thread, "streams", threads)) as pool:
            return list(pool.map(work, items))


def answer(model, pixel_values):
    return model(pixel_values, **({} if model is segmenter_of(model) else {"output_hidden_states": True}))


def ood_score(model, pixel_values):
    segmenter = segmenter_of(model)
    return segmenter.ood_head(segmenter.encode(pixel_values)[-1])


def segmenter_of(model):
    return getattr(model, "segmenter", model)


def can_run(model):
    return (
        HAS_OPENVINO
        and model.device.type == "cpu"
        and model.dtype == torch.float32
        and not next(model.parameters()).is_inference()  # those have no version, by which a change is seen
    )


def state_of(model, tensors):
    """What changes when a model's tensors, parts or settings do, or when another number of threads is wanted; read at
    every question, so in C.
    """
    parts = [vars(model.config), torch.get_num_threads(), *map(id, model.children())]
    return [*parts, id(next(model.parameters())), *map(torch.Tensor.data_ptr, tensors), *map(version_of, tensors)]
