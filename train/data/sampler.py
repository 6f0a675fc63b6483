"""Which radiographs an epoch draws."""

from collections import Counter, defaultdict

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler

HEALTHY = 0.4  # share of a source's draws that show nothing, where it has both


def balanced_sampler(groups, length, max_draws=None, shares=None):
    """Draws every source equally often, or as `shares` say.

    Of a source four in ten show nothing, and its other labels are drawn equally often.

    Args:
        groups: one (source, label) for each image, None being the label of those without a finding.
        length: images in an epoch; fewer where that would draw all of them more than `max_draws` times.
        max_draws: how often one image is drawn in an epoch, on average, at most; None for no limit. What is cut off a
            small source is spread over the others.
        shares: source → how often it is drawn, beside 1 for a source not named there.
    """
    counts, shares = Counter(groups), shares or {}
    of_groups = {group: share_of(group, counts) * shares.get(group[0], 1) / counts[group] for group in counts}
    weights = torch.tensor([of_groups[group] for group in groups], dtype=torch.float64)
    weights /= weights.sum()
    if max_draws:
        length = min(length, int(max_draws * len(groups)))
        weights = capped(weights, max_draws / length)
    return WeightedRandomSampler(weights, length, generator=torch.Generator())


def capped(weights, most):
    """(N,) weights with a sum of 1 → the same, none above `most`: what is cut off goes to the others, by their weights.

    most: at least 1 / N.
    """
    full = torch.zeros_like(weights, dtype=torch.bool)
    while (over := weights > most * (1 + 1e-9)).any():
        full |= over
        rest = weights * ~full
        weights = torch.where(full, most, rest * (1 - most * full.sum()).clamp(min=0) / rest.sum().clamp(min=1e-300))
    return weights


def share_of(group, counts):
    """Of a source's draws, the share of one of its labels."""
    source, label = group
    others = sum(1 for other, name in counts if other == source and name is not None)
    if (source, None) not in counts:
        return 1 / others
    if label is None:
        return HEALTHY if others else 1.0
    return (1 - HEALTHY) / others


def epoch_sampler(groups, length, max_draws=None, shares=None):
    """`balanced_sampler`; every image once, in random order, where `length` is None.

    Both draw from a generator of their own, `sampler.generator`, so that whoever seeds it knows the order.
    """
    if length:
        return balanced_sampler(groups, length, max_draws, shares)
    return WeightedRandomSampler([1.0] * len(groups), len(groups), replacement=False, generator=torch.Generator())


def shares_sampler(kinds, hospitals, groups, length, shares):
    """Draws what is to be told apart in fixed shares, of each hospital its own: so a device does not give it away.

    Args:
        kinds: what each image shows, one word.
        hospitals: where it comes from.
        groups: one (source, label) for each image; the more images a group has, the less often one of them is drawn, by
            the square root of their number.
        length: images in an epoch.
        shares: kind → hospital → how often it is drawn. A kind's share is kept where one of its hospitals is left out:
            the others take it. What is not named is not drawn.
    """
    counts, rows = Counter(groups), defaultdict(list)
    for row, key in enumerate(zip(kinds, hospitals, strict=True)):
        rows[key].append(row)
    weights = np.zeros(len(groups))
    for kind, of_kind in shares.items():
        there = {hospital: share for hospital, share in of_kind.items() if (kind, hospital) in rows}
        for hospital, share in there.items():
            members = rows[kind, hospital]
            rare = np.array([counts[groups[row]] ** -0.5 for row in members])
            weights[members] = sum(of_kind.values()) * share / sum(there.values()) * rare / rare.sum()
    if not weights.any():
        raise ValueError("draws names no kind and hospital that the recipe's sources have.")
    return WeightedRandomSampler(weights, length, generator=torch.Generator())
