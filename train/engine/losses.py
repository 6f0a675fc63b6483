"""Losses a recipe may train with (`loss:`). Each is a function of the model and a batch → () tensor."""

import torch
from torch.nn import functional as F


def own_loss(model, batch, epoch=None):
    """The loss the model itself computes: for the segmenter Dice plus binary cross-entropy."""
    return model(**batch).loss


def boundary_loss(model, batch):
    """The model's own loss, and once more the cross-entropy of the pixels near the lungs' border."""
    output = model(**batch)
    return output.loss + border_cross_entropy(output.logits, batch["labels"])


def border_cross_entropy(logits, labels):
    """Binary cross-entropy, each pixel weighted by how near the true border it lies.

    Ronneberger et al. 2015 (equation 2) weigh borders by a Gaussian of the distance to them. Here the weight is
    4 m (1 − m), m being the mask's mean over a window of 1/32 of the side: 1 on the border, 0 where the whole window
    is lung or not lung; it needs no distance transform.

    Args:
        logits: (B, 1, h, w) float.
        labels: (B, 1, h, w) float in [0, 1].
    """
    logits, labels = logits.float(), labels.float()
    reach = max(1, labels.shape[-1] // 64)
    mean = F.avg_pool2d(labels, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    weight = 4 * mean * (1 - mean)
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (weight * loss).sum() / weight.sum().clamp(min=1)


def by_finding(model, batch, weights=None, rivals=(), rivals_weight=0.0):
    """Binary cross-entropy, each finding's mean over the images known of it, then the mean over the findings.

    So a finding that few images know weighs as much as one that all know, and an image's healthy label of tuberculosis
    weighs as much as another's, however many findings else are known of it.

    Where a batch has `log_odds`, how common each finding is in the image's hospital, they are added to the logits first
    (logit adjustment, Menon et al. 2021, ICLR): so a model gains nothing by telling the hospitals apart.

    Args:
        weights: (findings,) float tensor, of each finding; all alike unless given.
        rivals, rivals_weight: see `which_of_rivals`, and how much it weighs beside the rest.
    """
    labels, inputs = batch["labels"], {key: value for key, value in batch.items() if key not in ("labels", "log_odds")}
    logits = model(**inputs).logits.float() + batch.get("log_odds", 0)
    known = ~labels.isnan()
    loss = F.binary_cross_entropy_with_logits(logits, labels.float().nan_to_num(0), reduction="none")
    of_findings = (loss * known).sum(0) / known.sum(0).clamp(min=1)
    weights = known.any(0) * (torch.ones_like(of_findings) if weights is None else weights.to(of_findings))
    loss = (weights * of_findings).sum() / weights.sum().clamp(min=1e-6)
    return loss + rivals_weight * which_of_rivals(logits, labels, rivals) if rivals else loss


def which_of_rivals(logits, labels, rivals):
    """Which of two it is, of images that have one and not the other: cross-entropy of the softmax over the two logits.

    Args:
        logits, labels: (B, findings) float.
        rivals: list of (finding, other), numbers: where `finding` is present and `other` absent, its logit is to be the
            higher one. The mean over those of the pairs that the batch has such images of.
    """
    losses = []
    for finding, other in rivals:
        rows = (labels[:, finding] == 1) & (labels[:, other] == 0)
        if rows.any():
            losses.append(F.softplus(logits[rows, other] - logits[rows, finding]).mean())
    return torch.stack(losses).mean() if losses else logits.sum() * 0


LOSSES = {"dice_bce": own_loss, "boundary": boundary_loss, "own": own_loss, "by_finding": by_finding}
