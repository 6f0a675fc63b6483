"""What runs the model says what the model says, whatever the caller has set, and in a forked process too."""

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from subprocess import run

import pytest
import torch
from torch import nn

from lungfusion import LungFusionImageProcessor, LungFusionPipeline, backends
from lungfusion.backends import COMPILE_AFTER_IMAGES, OpenVinoBackend, TorchBackend, drawn_chest, pick
from tests.support.tiny import SIDE, tiny_model, tiny_segmenter

needs_openvino = pytest.mark.skipif(not backends.HAS_OPENVINO, reason="there is no OpenVINO for this machine")
KINDS = {
    "plain": tiny_segmenter,
    "smp": lambda: tiny_segmenter(encoder="tu-test_efficientnet", decoder_channels=[32, 16, 8, 8, 4]),
    "rgba": lambda: tiny_model(concatenation="rgba", fusion="lstm"),
    "aligned": lambda: tiny_model(concatenation="align", fusion="gated"),
}


@pytest.fixture(autouse=True)
def compiled_after_some_images(monkeypatch):
    """As a pipeline is outside the tests."""
    monkeypatch.setattr(backends, "COMPILE_AFTER_IMAGES", COMPILE_AFTER_IMAGES)


def with_statistics(model):
    """Batch norms as after a training: none is the identity."""
    torch.manual_seed(1)
    for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, 0, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.1)
    return model


@needs_openvino
@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_openvino_says_what_torch_says(kind):
    model, x = with_statistics(KINDS[kind]()), torch.rand(3, 1, SIDE, SIDE)
    modes = [(part.training, list(part._forward_hooks)) for part in model.modules()]
    backend, by_torch = OpenVinoBackend(model), TorchBackend(model)
    backend.compile(SIDE)
    assert backend.is_compiled
    said, expected = backend(x), by_torch(x)
    assert type(said) is type(expected) and said.keys() == expected.keys()
    for name, one, other in zip(expected, said.values(), expected.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3, msg=name)
    half = x[:1, :, ::2]
    assert backend.ood_score(half) == pytest.approx(by_torch.ood_score(half), abs=1e-4)
    assert modes == [(part.training, list(part._forward_hooks)) for part in model.modules()]


@needs_openvino
@torch.no_grad()
def test_it_is_compiled_once_there_are_many():
    model, x = tiny_model(), torch.rand(1, 1, SIDE, SIDE)
    backend = OpenVinoBackend(model)
    said = [backend(x).logits for _ in range(COMPILE_AFTER_IMAGES - 1)]
    assert not backend.is_compiled
    torch.testing.assert_close(backend(x).logits, said[0], rtol=0, atol=1e-4)
    networks = backend.networks
    assert networks
    backend.compile(SIDE)
    backend(x)
    assert backend.networks is networks
    assert backend(torch.rand(1, 1, 64, 64)).alpha.shape[-1] == 64  # by torch
    again = pickle.loads(pickle.dumps(backend))
    assert not again.is_compiled
    torch.testing.assert_close(again(x).logits, said[0], rtol=0, atol=1e-4)


def test_the_backend_is_chosen_once(monkeypatch):
    assert type(pick(tiny_model(), "torch")) is TorchBackend
    assert type(pick(tiny_model().bfloat16())) is TorchBackend
    assert type(pick(tiny_model())) is (OpenVinoBackend if backends.HAS_OPENVINO else TorchBackend)
    with pytest.raises(ValueError, match="'tensorrt': give auto, torch or openvino"):
        pick(tiny_model(), "tensorrt")
    monkeypatch.setattr(backends, "HAS_OPENVINO", False)
    assert type(pick(tiny_model())) is TorchBackend
    with pytest.raises(ValueError, match="OpenVINO runs models in float32 on a CPU"):
        pick(tiny_model(), "openvino")


@needs_openvino
def test_a_pipeline_compiles_at_once_what_is_asked_for(monkeypatch):
    model, processor = tiny_segmenter(), LungFusionImageProcessor(size={"height": 64, "width": 64})
    assert LungFusionPipeline(model, processor, backend="openvino").backend.is_compiled
    monkeypatch.setattr(backends, "MAX_DIFFERENCE", 0)
    with pytest.raises(ValueError, match="can't run this model: give backend='torch'"):
        LungFusionPipeline(model, processor, backend="openvino")


class Strange(nn.Module):
    """A network whose answer OpenVINO gives otherwise, or can't give."""

    def __init__(self, known):
        super().__init__()
        self.known, self.weight = known, nn.Parameter(torch.ones(1))

    def forward(self, x):
        if not self.known:
            return torch.linalg.eigvalsh(x[0, 0] @ x[0, 0].T)[None] * self.weight
        return x * self.weight + (0 if torch.jit.is_tracing() else 1)


@needs_openvino
@torch.no_grad()
@pytest.mark.parametrize(("known", "error"), [(True, "ArithmeticError"), (False, "OpConversionFailure")])
def test_torch_answers_where_openvino_can_not(known, error, caplog):
    backend, x = OpenVinoBackend(tiny_model()), torch.rand(COMPILE_AFTER_IMAGES, 1, SIDE, SIDE)
    backend.answer = Strange(known).eval()
    for _ in range(2):
        torch.testing.assert_close(backend(x), backend.answer(x))
    assert not backend.is_compiled
    assert caplog.messages == [f"Torch runs the model, more slowly: OpenVINO can't ({error})."]


@needs_openvino
@torch.no_grad()
def test_threads_may_ask_at_the_same_time():
    model = tiny_model()
    backend, pictures = OpenVinoBackend(model), torch.rand(12, 1, 1, SIDE, SIDE).unbind()
    divided, cores = backend.divided(SIDE)
    with ThreadPoolExecutor(4) as threads:
        said = [*threads.map(backend, pictures), *threads.map(divided, pictures)]
    assert set(backend.networks[0].requests) == {1, cores} and cores == torch.get_num_threads()
    for one, x in zip(said, pictures * 2, strict=True):
        torch.testing.assert_close(one.logits, model(x).logits, rtol=0, atol=1e-4)


@needs_openvino
def test_it_is_compiled_while_others_are_answered_and_explained(checkpoint, phantom, caplog):
    pipe = LungFusionPipeline.from_pretrained(checkpoint)
    pipe.backend.images = -1000  # none of them has it compiled
    with ThreadPoolExecutor(1) as thread:
        compiling = thread.submit(pipe.compile)
        while not compiling.done():
            pipe.analyse_and_explain(phantom[0])
    assert pipe.backend.is_compiled and not caplog.messages


@torch.no_grad()
def test_lungs_are_found_in_the_picture_by_which_openvino_is_judged(phantom_segmenter):
    mask = phantom_segmenter(drawn_chest(64)).logits[0, 0] > 0
    assert 0.05 < mask[:, :32].float().mean() < 0.6 and 0.05 < mask[:, 32:].float().mean() < 0.6


@contextmanager
def dtype_of_16_bits():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def other_modes():
    torch.use_deterministic_algorithms(True)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
            yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("setting", [dtype_of_16_bits, other_modes])
def test_answers_do_not_depend_on_what_the_caller_has_set(setting, checkpoint, pipe, phantom):
    expected = pipe(phantom[0])
    with setting():
        own = LungFusionPipeline.from_pretrained(checkpoint)
        answers = [own(phantom[0]) for _ in range(COMPILE_AFTER_IMAGES + 1)] + own([phantom[0]] * 5)
        explained, features = own.explain(phantom[0], "pneumonia"), own.features(phantom[0])
    if backends.HAS_OPENVINO:
        assert own.backend.is_compiled
    for answer in answers:
        assert [f.probability for f in answer.findings] == pytest.approx(
            [f.probability for f in expected.findings], abs=1e-4
        )
        assert answer.alpha == pytest.approx(expected.alpha, abs=1e-3)
    assert explained == pytest.approx(pipe.explain(phantom[0], "pneumonia"), abs=1e-2)
    assert features == pytest.approx(pipe.features(phantom[0]), abs=1e-3)


FORKED = """import os, pickle, sys
import numpy as np
import torch
from lungfusion import LungFusionPipeline

pipe = LungFusionPipeline.from_pretrained(sys.argv[1])
pixels = np.random.default_rng(0).random((700, 700), np.float32)


def answers(pipeline):
    return " ".join(str(one["pneumonia"].probability) for one in [pipeline(pixels), *pipeline([pixels] * 6)])


def fork(given=None):
    sys.stdout.flush()
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
    else:
        print(answers(pickle.loads(given) if given else pipe), flush=True)
        os._exit(0)  # as multiprocessing does


assert torch.get_num_threads() == 2 and "openvino" not in sys.modules
fork()
print(answers(pipe))
pipe.compile()
print(answers(pipe))
fork()
fork(pickle.dumps(pipe))
print(*(name for name, module in sys.modules.items() if "openvino_telemetry" in name and module))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_answers_and_nobody_is_told_that_openvino_is_used(checkpoint):
    """OpenVINO's telemetry, which a plain import of it sends, is not even loaded."""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FORKED, str(checkpoint)]
    done = run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = list(map(float, done.stdout.split()))  # and no name of a module
    assert len(answers) == 5 * 7 and answers == pytest.approx([answers[0]] * 35, abs=1e-4)
    assert "was forked from one that had loaded a model" in done.stderr
