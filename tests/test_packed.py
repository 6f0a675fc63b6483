"""The packed twin says what the model says, in fewer steps, and never an older model's answer."""

import copy
import pickle

import pytest
import timm
import torch
from timm.models._efficientnet_blocks import InvertedResidual
from torch import nn

from lungfusion.packed import PackedConvolution, PackedModel, pack
from tests.conftest import SIDE, TINY_SEGMENTER, tiny_model, tiny_segmenter

NETWORKS = ["test_efficientnet", "test_resnet", "tf_efficientnet_lite0", "mobilenetv2_100"]


def with_statistics(model):
    """Batch norms as after a training: none is the identity."""
    torch.manual_seed(1)
    for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, 0, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.1)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 53, 47)])
def test_a_packed_network_says_the_same(name, shape):
    network = with_statistics(timm.create_model(name, num_classes=0, global_pool="").eval())
    own = pack(network, 3, 64, lambda network, x: network.forward_features(x))
    assert sum(isinstance(part, PackedConvolution) for part in own.modules()) > 10
    assert not any(isinstance(part, nn.Conv2d | InvertedResidual) for part in own.modules())
    x = torch.randn(shape[0], 3, *shape[1:])
    expected = network.forward_features(x)
    torch.testing.assert_close(own.forward_features(x), expected, rtol=0, atol=1e-4 * expected.abs().max().item())


class Backwards(nn.Module):
    """Its parts are named in another order than they are run in."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x):
        return self.conv(self.norm(x))


@torch.no_grad()
def test_a_network_that_can_not_be_packed_stays_as_it_is():
    network = with_statistics(Backwards().eval())
    assert pack(network, 2, 8, lambda network, x: network(x)) is network


KINDS = {
    "plain": tiny_segmenter,
    "smp": lambda: tiny_segmenter(encoder="tu-test_efficientnet", decoder_channels=[32, 16, 8, 8, 4]),
    "rgba": lambda: tiny_model(concatenation="rgba", fusion="lstm"),
    "lesions": lambda: tiny_model(
        findings=["nodule", "effusion"], lesion_backbone="test_efficientnet", lesion_size=64, lesion_findings=["nodule"]
    ),
}


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_the_twin_answers_as_the_model(kind):
    model = with_statistics(KINDS[kind]())
    before, x = copy.deepcopy(model.state_dict()), torch.rand(3, 1, SIDE, SIDE)
    twin = PackedModel(model)()
    assert any(isinstance(part, PackedConvolution) for part in twin.modules()) and twin.config is model.config
    for name, expected in model(x).items():
        torch.testing.assert_close(twin(x)[name], expected, rtol=0, atol=1e-3, msg=name)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert not any(isinstance(part, PackedConvolution) for part in model.modules())


@torch.no_grad()
def test_a_changed_model_is_packed_anew():
    model = tiny_model(segmenter=TINY_SEGMENTER)
    ask, x = PackedModel(model), torch.rand(1, 1, SIDE, SIDE)
    twin, threads = ask(), torch.get_num_threads()
    torch.set_num_threads(threads + 1)  # for which the weights lie otherwise
    assert ask() is not twin
    torch.set_num_threads(threads)
    twin = ask()
    assert ask() is twin and pickle.loads(pickle.dumps(ask))() is not twin
    model.branches[0].backbone.conv_stem.weight.mul_(1.5)
    torch.testing.assert_close(ask()(x).logits, model(x).logits, rtol=0, atol=1e-4)
    model.classifier = nn.Linear(model.fusion.num_features, model.config.num_labels)
    torch.testing.assert_close(ask()(x).logits, model(x).logits, rtol=0, atol=1e-4)
    assert PackedModel(model.train())() is model
    assert PackedModel(model.eval().bfloat16())() is not twin
