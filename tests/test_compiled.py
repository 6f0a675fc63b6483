"""A compiled model says what the model says, and never an older model's answer."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import run

import pytest
import torch
from torch import nn

from lungfusion import FindingConfig, compiled
from lungfusion.compiled import MANY, CompiledModel
from lungfusion.graph import graph_of
from tests.support.tiny import SIDE, TINY_SEGMENTER, tiny_model, tiny_segmenter

pytest.importorskip("openvino", reason="there is no OpenVINO for this machine, torch does it all")

KINDS = {
    "plain": tiny_segmenter,
    "smp": lambda: tiny_segmenter(encoder="tu-test_efficientnet", decoder_channels=[32, 16, 8, 8, 4]),
    "rgba": lambda: tiny_model(concatenation="rgba", fusion="lstm"),
    "aligned": lambda: tiny_model(concatenation="align", fusion="gated"),
}


def with_statistics(model):
    """Batch norms as after a training: none is the identity."""
    torch.manual_seed(1)
    for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, 0, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.1)
    return model


def is_compiled(ask):
    return [graph is not None for graph in ask.known.values()]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_the_model_says(kind):
    model, x = with_statistics(KINDS[kind]()), torch.rand(3, 1, SIDE, SIDE)
    ask, expected = CompiledModel(model), compiled.answer(model, x)
    said = ask(x)
    assert is_compiled(ask) == [True]
    assert type(said) is type(expected) and said.keys() == expected.keys()
    for name, one, other in zip(expected, said.values(), expected.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3, msg=name)
    score = [ask.ood_score(x[:1, :, ::2]) for _ in range(MANY)][-1]
    assert is_compiled(ask) == [True, True]
    assert score == pytest.approx(compiled.ood_score(model, x[:1, :, ::2]).item(), abs=1e-4)


@torch.no_grad()
def test_few_images_are_not_worth_compiling():
    model, x = tiny_model(), torch.rand(1, 1, SIDE, SIDE)
    ask = CompiledModel(model)
    said = [ask(x).logits for _ in range(MANY - 1)]
    assert not ask.known
    torch.testing.assert_close(ask(x).logits, said[0], rtol=0, atol=1e-4)
    assert is_compiled(ask) == [True]


@torch.no_grad()
def test_a_changed_model_is_compiled_anew():
    model, x = tiny_model(segmenter=TINY_SEGMENTER), torch.rand(MANY, 1, SIDE, SIDE)
    ask = CompiledModel(model)

    def says_the_same():
        torch.testing.assert_close(ask(x).logits, model(x).logits, rtol=0, atol=1e-4)
        return list(ask.known.values())

    first = says_the_same()
    assert says_the_same() == first and pickle.loads(pickle.dumps(ask)).known == {}
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    more = says_the_same()
    torch.set_num_threads(threads)
    assert more != first
    model.branches[0].backbone.conv_stem.weight.mul_(1.5)
    says_the_same()
    model.classifier = nn.Linear(model.fusion.num_features, model.config.num_labels)
    says_the_same()
    model.config = model.config.with_findings({"pneumonia": FindingConfig(bias=1.0)})
    says_the_same()


@torch.no_grad()
@pytest.mark.parametrize("how", ["in training", "of another precision", "without OpenVINO"])
def test_torch_answers_where_nothing_is_compiled(how, monkeypatch):
    model, x = tiny_model(), torch.rand(MANY, 1, SIDE, SIDE)
    ask = CompiledModel(model)
    if how == "in training":
        model.train()
    elif how == "of another precision":
        model.bfloat16()
    else:
        monkeypatch.setattr(compiled, "HAS_OPENVINO", False)
    assert ask(x).logits.shape == (MANY, model.config.num_labels) and not ask.known


class Strange(nn.Module):
    """A network whose answer OpenVINO gives otherwise, or can't give."""

    def __init__(self, known):
        super().__init__()
        self.known, self.weight = known, nn.Parameter(torch.ones(1))

    def forward(self, x):
        if not self.known:
            return torch.linalg.eigvalsh(x[0, 0] @ x[0, 0].T)[None] * self.weight
        return x * self.weight + (0 if torch.jit.is_tracing() else 1)


@pytest.mark.parametrize("known", [True, False])
def test_torch_answers_where_openvino_can_not(known, caplog):
    assert graph_of(lambda model, x: model(x), Strange(known), (1, 8, 8)) is None
    assert ("gives other answers" if known else "linalg_eigvalsh") in caplog.text


@torch.no_grad()
def test_threads_may_ask_at_the_same_time():
    model = tiny_model()
    ask, pictures = CompiledModel(model), torch.rand(12, 1, 1, SIDE, SIDE).unbind()
    with ThreadPoolExecutor(4) as threads:
        said = [*threads.map(ask, pictures), *ask.side_by_side(ask, pictures)]
    (graph,) = ask.known.values()
    assert set(graph.compiled) == {1, torch.get_num_threads()}
    for one, x in zip(said, pictures * 2, strict=True):
        torch.testing.assert_close(one.logits, model(x).logits, rtol=0, atol=1e-4)


def test_nobody_is_told_that_openvino_is_used():
    """Its telemetry, which a plain import of it sends, is not even loaded."""
    code = """import sys, torch
from lungfusion.compiled import MANY, CompiledModel
from lungfusion.graph import graph_of
from tests.support.tiny import SIDE, tiny_segmenter
ask = CompiledModel(tiny_segmenter())
assert "openvino" not in sys.modules
with torch.no_grad():
    ask(torch.rand(3, 1, SIDE, SIDE))
assert ask.known and "openvino" in sys.modules
print([name for name, module in sys.modules.items() if "openvino_telemetry" in name and module])
"""
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
