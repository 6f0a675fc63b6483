"""The moving average of the weights, which a run may keep instead of the last ones."""

import copy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ExponentialMovingAverage:
    """The exponential moving average of what a model trains (Polyak and Juditsky 1992).

    Args:
        model: in training; `average.model` is its copy with the averaged weights, in evaluation mode. Parts that are
            frozen are the same in both.
        decay: share of the average that a step keeps, 0 … 1; fewer than that in the first steps, whose weights are soon
            worse.
    """

    def __init__(self, model, decay):
        self.decay, self.steps = decay, 0
        self.model = copy.deepcopy(model, {id(part): part for part in model.modules() if is_frozen(part)}).eval()
        pairs = [pair for pair in zip(tensors(self.model), tensors(model), strict=True) if pair[0] is not pair[1]]
        self.floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self.counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self):
        """After a step of the optimizer."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(decay)(*map(list, zip(*self.floats, strict=True)), self.steps)
        for average, new in self.counts:
            average.copy_(new)

    def state_dict(self):
        return {"steps": self.steps, "model": self.model.state_dict()}

    def load_state_dict(self, state):
        self.steps = state["steps"]
        self.model.load_state_dict(state["model"])


def is_frozen(part):
    """Whether a module has weights, and none of them is trained."""
    weights = list(part.parameters())
    return bool(weights) and not any(weight.requires_grad for weight in weights)


def tensors(model):
    return [*model.parameters(), *model.buffers()]
