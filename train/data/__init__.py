"""Data sets: layouts, labels, splits, cache, sampler, card."""
