"""How well scores rank, as scikit-learn has it but without its checks of every call: a bootstrap calls thousands."""

import numpy as np
from scipy.stats import rankdata


def roc_auc(labels, scores):
    """Area under the ROC curve: how often one with the finding scores higher than one without; ties count half.

    Args:
        labels: (N,) in {0, 1}, both among them.
        scores: (N,) float; ValueError where one is not finite.
    """
    labels, scores = np.asarray(labels, bool), finite(scores)
    without, with_it = np.sort(scores[~labels]), np.sort(scores[labels])
    lower = np.searchsorted(without, with_it, "left") + np.searchsorted(without, with_it, "right")
    return float(lower.mean() / (2 * len(without)))


def average_precision(labels, scores):
    """Area under the steps of the precision-recall curve; arguments as for `roc_auc`."""
    labels, scores = np.asarray(labels, bool), finite(scores)
    order = np.argsort(scores)[::-1]
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of those that score alike
    found = np.cumsum(labels[order])[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / found[-1])


def spearman(one, other):
    """Rank correlation of two (N,) arrays; 0 where one of them is constant."""
    one, other = (rank - rank.mean() for rank in (rankdata(one), rankdata(other)))
    size = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / size) if size else 0.0


def finite(scores):
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers")
    return scores
