"""A model's twin that only answers, on a CPU: each convolution is one step of oneDNN with all that follows it.

Batch norms are folded into the weights, activations and padding done by the convolution itself, and the weights laid
out once as oneDNN wants them, which torch does at every call. The same answers but for rounding, in less time.
"""

import copy
from operator import attrgetter
from threading import Lock

import torch
from timm.layers import Conv2dSame
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

ACTIVATIONS = {nn.Identity: ("none", []), nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}
MAX_DIFFERENCE = 1e-3  # of a network's largest output; rounding makes 1e-5 of it


class PackedModel:
    """Gives the model to ask: its packed twin, or the model itself where it trains, lies on a GPU, is of another
    precision than float32, or torch lacks oneDNN. The twin shares the configuration and every tensor it does not pack,
    and is made anew when the model's weights have changed.
    """

    def __init__(self, model):
        self.model, self.lock, self.seen, self.twin = model, Lock(), None, None

    def __getstate__(self):
        return {"model": self.model}  # packed weights can't be pickled

    def __setstate__(self, state):
        self.__init__(**state)

    def __call__(self):
        if self.model.training or not can_pack(self.model):
            return self.model
        with self.lock:
            if self.seen is None or self.seen != state_of(self.model, self.tensors):
                self.tensors = tensors_of(self.model)
                self.seen, self.twin = state_of(self.model, self.tensors), packed(self.model)
            return self.twin

    @torch.inference_mode()
    def ood_score(self, pixel_values):
        """Of pixel values (1, 1, S, S) the segmenter's ood_score, a float, without the rest of a forward pass."""
        model = self()
        segmenter = getattr(model, "segmenter", model)
        return float(segmenter.novelty(segmenter.encode(pixel_values)[-1]))


def can_pack(model):
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and not next(model.parameters()).is_inference()  # those have no version, by which a change is seen
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


def state_of(model, tensors):
    """What changes when a model's tensors or parts are changed or replaced, or other weights' layouts are faster; read
    at every call, so in C.
    """
    parts = [torch.get_num_threads(), id(next(model.parameters())), *map(id, model.children())]
    return [*parts, *map(torch.Tensor.data_ptr, tensors), *map(attrgetter("_version"), tensors)]


@torch.inference_mode(False)
@torch.no_grad()
def packed(model):
    """The twin of `LungFusionForImageClassification` or `LungUNetForSemanticSegmentation`, both in evaluation mode."""
    configs = [part.config for part in model.modules() if hasattr(part, "config")]
    twin = copy.deepcopy(model, {id(one): one for one in [*tensors_of(model), *configs]})
    segmenter = getattr(twin, "segmenter", twin)
    segmenter.unet = pack(segmenter.unet, 1, segmenter.config.image_size, lambda unet, x: unet.decode(unet.encode(x)))
    segmenter.forward = one_by_one(segmenter.forward)
    for branch in getattr(twin, "branches", ()):
        channels, side = twin.concatenation.channels, twin.config.branch_size
        branch.backbone = pack(branch.backbone, channels, side, lambda backbone, x: backbone.forward_features(x))
    if getattr(twin, "lesions", None) is not None:
        twin.lesions = pack(twin.lesions, 1, twin.lesions.size, lambda lesions, x: lesions.look(x))
    return twin


def one_by_one(forward):
    """A segmenter's `forward`, one image at a time: of several its maps leave the cache, and weights are laid out for
    one.
    """

    def forward_of_all(pixel_values):
        outputs = [forward(one) for one in pixel_values.split(1)]
        return type(outputs[0])(**{name: torch.cat([one[name] for one in outputs]) for name in outputs[0]})

    return forward_of_all


def pack(network, channels, side, run):
    """The network with packed convolutions; as it is where it then says something else, its parts being in another
    order than their names stand in.

    Args:
        network: module, in evaluation mode.
        channels, side: of its usual input, for which the weights are laid out.
        run: function of network and input.
    """
    x = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))
    expected, own = run(network, x), copy.deepcopy(network, {id(one): one for one in tensors_of(network)})
    for parent in list(own.modules()):
        fold(parent)
    for parent in list(own.modules()):
        straighten(parent)
    answer = run(own, x.contiguous(memory_format=torch.channels_last))
    same = (answer - expected).abs().max() <= MAX_DIFFERENCE * expected.abs().max()
    return own if same else network


def tensors_of(network):
    return [*network.parameters(), *network.buffers()]


def fold(parent):
    """Make one step of each convolution among a module's parts, the batch norm that stands behind it, and the
    activation: the batch norm's own (timm's), or in a `Sequential` the part behind that.
    """
    names = list(parent._modules)
    for name, *later in (names[place:] for place in range(len(names))):
        conv, activation = parent._modules[name], nn.Identity()
        if not can_fold(conv):
            continue
        norm = parent._modules[later[0]] if later else None
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
            conv, activation = fuse_conv_bn_eval(conv, norm), getattr(norm, "act", activation)
            parent._modules[later[0]] = nn.Identity()
        if isinstance(parent, nn.Sequential) and isinstance(activation, nn.Identity):
            behind = next((one for one in later if not isinstance(parent._modules[one], nn.Identity)), None)
            if behind and type(parent._modules[behind]) in ACTIVATIONS:
                activation, parent._modules[behind] = parent._modules[behind], nn.Identity()
        known = type(activation) in ACTIVATIONS
        step = PackedConvolution(conv, activation if known else nn.Identity())
        parent._modules[name] = step if known else nn.Sequential(step, activation)


def straighten(parent):
    """Make a row of steps of each EfficientNet's or MobileNet's block among a module's parts."""
    for name, block in parent._modules.items():
        if type(block) in (InvertedResidual, DepthwiseSeparableConv):  # what derives from them runs otherwise
            parent._modules[name] = Steps(block)


def can_fold(part):
    if type(part) is Conv2dSame:
        return part.stride == (2, 2) and part.dilation == (1, 1) and all(side in (3, 5, 7) for side in part.kernel_size)
    return type(part) is nn.Conv2d and part.padding_mode == "zeros" and not isinstance(part.padding, str)


class Steps(nn.Module):
    """What is left of a block of timm's once it is folded, in a row; its shortcut is added in the last convolution."""

    def __init__(self, block):
        super().__init__()
        self.steps = nn.ModuleList(part for part in block.children() if not isinstance(part, nn.Identity))
        last = self.steps[-1]
        self.added_last = block.has_skip and isinstance(last, PackedConvolution) and last.activation[0] == "none"
        self.added = block.has_skip and not self.added_last

    def forward(self, x):
        *first, last = self.steps
        y = x
        for step in first:
            y = step(y)
        y = last(y, x) if self.added_last else last(y)
        return y + x if self.added else y


class PackedConvolution(nn.Module):
    """A convolution and its activation; the weights are laid out for the first input's size, but any other is as right.

    TensorFlow's padding at stride 2 (timm's `Conv2dSame`) is one row and column less at the upper left, where sides are
    even: here a first row and column of zeros in the kernel.
    """

    def __init__(self, conv, activation):
        super().__init__()
        self.same, self.weight, padding = isinstance(conv, Conv2dSame), conv.weight.detach(), conv.padding
        if self.same:
            self.weight, padding = F.pad(self.weight, (1, 0, 1, 0)), [side // 2 for side in conv.kernel_size]
        self.shape = [padding, conv.stride, conv.dilation, conv.groups]
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), requires_grad=False)
        self.activation = [*ACTIVATIONS[type(activation)], ""]

    def forward(self, x, shortcut=None):
        """x and, where it is given, what is added to the convolution of it, which then has no activation."""
        if self.same:
            x = F.pad(x, (x.shape[3] % 2, 0, x.shape[2] % 2, 0)) if x.shape[2] % 2 or x.shape[3] % 2 else x
        if not self.weight.is_mkldnn:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.shape, list(x.shape))
        weights = self.weight, self.bias, *self.shape
        if shortcut is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *weights, *self.activation)
        return torch.ops.mkldnn._convolution_pointwise.binary(x, shortcut, *weights, "add", 1.0, None, [], "")
