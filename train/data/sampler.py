"""Which radiographs an epoch draws."""

import torch
from torch.utils.data import WeightedRandomSampler


def balanced_sampler(groups, length):
    """Draws every source equally often, and within a source every label equally often.

    Args:
        groups: one (source, label) for each image.
        length: images in an epoch.
    """
    sources = [source for source, _ in groups]
    labels_of = {source: len({g for g in groups if g[0] == source}) for source in set(sources)}
    counts = {group: groups.count(group) for group in set(groups)}
    weights = [1 / (labels_of[source] * counts[source, label]) for source, label in groups]
    return WeightedRandomSampler(weights, length, generator=torch.Generator())


def epoch_sampler(groups, length):
    """`balanced_sampler`; every image once, in random order, where `length` is None.

    Both draw from a generator of their own, `sampler.generator`, so that whoever seeds it knows the order.
    """
    if length:
        return balanced_sampler(groups, length)
    return WeightedRandomSampler([1.0] * len(groups), len(groups), replacement=False, generator=torch.Generator())
