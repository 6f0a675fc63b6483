"""Figures, each with n and a 95 % interval."""

import numpy as np
import segmentation_models_pytorch as smp
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree
from scipy.special import logit
from scipy.stats import norm, rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

BINS = 10  # of probability, for the ECE
MIN_SLOPE = 0.01
CERTAIN = 1e-6  # probabilities closer to 0 or 1 than this have no logit in float32
PREVALENCES = 1, 5, 20  # of 100: at which the positive predictive value is given
FOLDS = 5  # parts of the patients
ROUNDS = 1000  # draws of a bootstrap
MIN_DEFINED = 0.2  # of the draws that must hold a value, for there to be an interval
Z = float(norm.ppf(0.975))
SENSITIVITY = 0.90  # of the operating point: the WHO's target for tuberculosis triage


def mask_scores(alpha, mask):
    """Agreement of drawn and true lung masks, one row for each image.

    Args:
        alpha: (B, 1, H, W) float in [0, 1].
        mask: (B, 1, H, W), the lungs where above 0.5.

    Returns:
        dict of (B,) arrays: dice, iou, pixel_accuracy, precision, recall.
    """
    stats = smp.metrics.get_stats(alpha.float(), (mask > 0.5).long(), mode="binary", threshold=0.5)
    functions = {
        "dice": smp.metrics.f1_score,
        "iou": smp.metrics.iou_score,
        "pixel_accuracy": smp.metrics.accuracy,
        "precision": smp.metrics.precision,
        "recall": smp.metrics.recall,
    }
    return {name: f(*stats)[:, 0].cpu().numpy() for name, f in functions.items()}


def outline_scores(drawn, true):
    """How far the outlines of two masks lie apart: HD95 and ASSD, as Maier-Hein et al. 2024 (Nature Methods 21) define.

    An outline is the pixels of a mask beside the background or at the image's edge. From each of its pixels the
    distance to the nearest of the other outline is taken. HD95 is the 95th percentile, of the two directions the larger
    one; ASSD is the mean over the pixels of both outlines. If one mask is empty, both are the image's diagonal, which
    nothing exceeds; if both are empty, 0.

    Args:
        drawn: (H, W) bool.
        true: (H, W) bool.

    Returns:
        dict of numbers: hd95, assd in pixels; hd95_width, assd_width in fractions of the image's width W.
    """
    height, width = true.shape
    if drawn.any() and true.any():
        one, other = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (drawn, true))
        forth, back = KDTree(other).query(one)[0], KDTree(one).query(other)[0]
    else:
        forth = back = np.array([np.hypot(height, width) * (drawn.any() or true.any())])
    hd95 = float(max(np.percentile(forth, 95), np.percentile(back, 95)))
    assd = float(np.concatenate([forth, back]).mean())
    return {"hd95": hd95, "assd": assd, "hd95_width": hd95 / width, "assd_width": assd / width}


def ranking_scores(labels, probabilities):
    """How well one finding's probabilities rank and how true they are, at no threshold.

    Args:
        labels: (N,) in {0, 1}.
        probabilities: (N,) float in [0, 1].

    Returns:
        dict of numbers; None if all labels are alike.
    """
    if len(np.unique(labels)) < 2:
        return None
    labels, probabilities = np.asarray(labels, bool), np.asarray(probabilities)
    return {
        "auc": roc_auc(labels, probabilities),
        "average_precision": average_precision(labels, probabilities),
        "brier": float(((probabilities - labels) ** 2).mean()),
        "ece": expected_calibration_error(labels, probabilities),
        "ece_if_calibrated": expected_calibration_error_if_calibrated(probabilities),
    }


def positive_predictive_value(sensitivity, specificity, prevalence):
    """The share of the detected that have a finding, by Bayes; 0 where nothing is ever detected. All in [0, 1]."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return true / (true + false) if true + false else 0.0


def expected_calibration_error(labels, probabilities):
    """Mean gap between probability and observed frequency, in `BINS` bins of equal width (Guo et al. 2017)."""
    gaps = np.bincount(bins(probabilities), np.asarray(labels, float) - probabilities)
    return float(np.abs(gaps).sum() / len(probabilities))


def expected_calibration_error_if_calibrated(probabilities):
    """What the ECE would be on average if every probability were exactly right.

    Chance alone makes it so large on so few images (Bröcker and Smith 2007, Weather and Forecasting 22(3)). In a bin,
    the sum of label − probability is then nearly normal, with variance Σ p (1 − p): its mean size is √(2/π) of the
    standard deviation.
    """
    probabilities = np.asarray(probabilities, float)
    variances = np.bincount(bins(probabilities), probabilities * (1 - probabilities))
    return float(np.sqrt(variances * 2 / np.pi).sum() / len(probabilities))


def bins(probabilities):
    return np.minimum((np.asarray(probabilities) * BINS).astype(int), BINS - 1)


def bootstrap(score, patients, *arrays, biased=(), rounds=None, seed=0):
    """95 % interval of a score, patients drawn with replacement.

    Args:
        score: function of the arrays that returns a dict of numbers, or None where it is not defined (a draw with one
            class alone), which is then left out.
        patients: (N,) ids; all rows of a patient are drawn together.
        arrays: (N, …) each.
        biased: names of figures of at least 0 that chance makes larger in a draw than in the sample, as it does an ECE:
            the draws' mean excess is taken off, without which the interval need not hold the value.
        rounds: how many draws; `ROUNDS` if None.

    Returns:
        dict: name → [lower, upper]; None where fewer than a fifth of the draws are defined: the few that are do not
        say how far the value is off. {} where none is.
    """
    generator = np.random.default_rng(seed)
    _, patient_of = np.unique(np.asarray(patients), return_inverse=True)
    by_patient, counts = np.argsort(patient_of, kind="stable"), np.bincount(patient_of)
    first = np.cumsum(counts) - counts  # where a patient's rows begin in by_patient
    draws = []
    for _ in range(rounds or ROUNDS):
        patient = generator.integers(len(counts), size=len(counts))
        length = counts[patient]
        place = np.arange(length.sum()) + np.repeat(first[patient] - np.cumsum(length) + length, length)
        drawn = score(*[array[by_patient[place]] for array in arrays])
        if drawn is not None:
            draws.append(drawn)
    if len(draws) < MIN_DEFINED * (rounds or ROUNDS):
        return dict.fromkeys(score(*arrays) or ())
    columns = {name: np.array([drawn[name] for drawn in draws]) for name in draws[0]}
    for name in biased:
        columns[name] = np.maximum(columns[name] - columns[name].mean() + score(*arrays)[name], 0)
    return {name: np.percentile(column, [2.5, 97.5]).tolist() for name, column in columns.items()}


def with_interval(score, patients, *arrays, biased=()):
    """Figures of a score, each as `{"value": …, "interval": [lower, upper] or None}`; arguments as for `bootstrap`."""
    intervals = bootstrap(score, patients, *arrays, biased=biased)
    return {name: {"value": value, "interval": intervals[name]} for name, value in (score(*arrays) or {}).items()}


def proportion(count, total):
    """`count` of `total` as `{"value": …, "interval": [lower, upper]}`, the 95 % interval after Wilson (1927)."""
    return {"value": float(count / total), "interval": wilson(count / total, total)}


def share(hits, patients):
    """The share of the images that are hits, with its 95 % interval after Wilson (1927) over their patients.

    A bootstrap of a share of 0 or 1 knows no other value. Images of one patient are taken to say the same thing, so the
    interval is that of as many images as there are patients: somewhat wide where they do not.

    Args:
        hits: (N,) bool, N of at least 1.
        patients: (N,) ids.

    Returns:
        {"value", "interval", "images"}.
    """
    value = float(np.mean(hits))
    return {"value": value, "interval": wilson(value, len(set(patients))), "images": len(hits)}


def wilson(value, n):
    """95 % interval of a share, `value`, of n: [lower, upper]."""
    middle, reach = value + Z**2 / (2 * n), Z * np.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    low, high = (middle - reach) / (1 + Z**2 / n), (middle + reach) / (1 + Z**2 / n)
    return [float(max(low, 0)), float(min(high, 1))]


def threshold_figures(labels, probabilities, threshold, patients):
    """How well one finding is named at a threshold, each figure with its 95 % interval, shares after Wilson (`share`).

    Args:
        labels: (N,) in {0, 1}, both among them.
        probabilities: (N,) float in [0, 1].
        threshold: probability from which the finding counts as detected.
        patients: (N,) ids.

    Returns:
        dict: sensitivity, specificity, accuracy; `ppv_…`, the share of the detected that have the finding where so many
        of 100 have it, its interval from the ends of sensitivity's and specificity's; tp, fp, fn, tn, which are counts.
    """
    labels, patients = np.asarray(labels, bool), np.asarray(patients)
    detected = np.asarray(probabilities) >= threshold
    figures = {
        "sensitivity": share(detected[labels], patients[labels]),
        "specificity": share(~detected[~labels], patients[~labels]),
        "accuracy": share(detected == labels, patients),
    }
    found, spared = figures["sensitivity"], figures["specificity"]
    for percent in PREVALENCES:
        at_ends = zip(found["interval"], spared["interval"], strict=True)
        pairs = [(found["value"], spared["value"]), *at_ends]
        value, low, high = (positive_predictive_value(*pair, percent / 100) for pair in pairs)
        figures[f"ppv_{percent}"] = {"value": value, "interval": [low, high]}
    counts = {"tp": detected & labels, "fp": detected & ~labels, "fn": ~detected & labels, "tn": ~detected & ~labels}
    return figures | {name: int(rows.sum()) for name, rows in counts.items()}


def fit_platt(logits, labels):
    """temperature, bias: of logits / temperature + bias, which makes the labels most likely (Platt 1999).

    Args:
        logits: (N,) float.
        labels: (N,) in {0, 1}.
    """
    fitted = LogisticRegression(C=np.inf).fit(np.reshape(logits, (-1, 1)), labels)
    slope, bias = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope < MIN_SLOPE:  # it ranks backwards: that is not turned around, all are given the share of the finding
        slope, bias = MIN_SLOPE, float(logit(np.mean(labels)) - MIN_SLOPE * np.mean(logits))
    return 1 / slope, bias


def operating_threshold(labels, probabilities):
    """Of the thresholds with a sensitivity of at least `SENSITIVITY` that of the largest sum with the specificity.

    Where the point of Youden (1950) is sensitive enough it is that; it lies halfway to the next lower probability.
    """
    false_positive, true_positive, thresholds = roc_curve(labels, probabilities, drop_intermediate=False)
    sums = np.where(true_positive >= SENSITIVITY, true_positive - false_positive, -np.inf)
    return halfway(thresholds, int(np.argmax(sums)))


def halfway(thresholds, index):
    """Between a threshold and the next lower one, of thresholds that fall; in (0, 1)."""
    lower = thresholds[index + 1] if index + 1 < len(thresholds) else 0.0
    return float(np.clip((min(thresholds[index], 1.0) + lower) / 2, 1e-4, 1 - 1e-4))


def finite_logit(probabilities):
    """The logit; of what is closer to 0 or 1 than `CERTAIN`, that of the nearest which is not."""
    return logit(np.clip(probabilities, CERTAIN, 1 - CERTAIN))


def sigmoid(x):
    return torch.as_tensor(x, dtype=torch.float64).sigmoid().numpy()


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


def patient_folds(patients):
    """(N,) ids → (N,) int, one of five numbers for each patient: what is told of a fifth of them is fitted to the
    others, so that no figure is of people whom anything was fitted to.
    """
    return np.unique(patients, return_inverse=True)[1] % FOLDS
