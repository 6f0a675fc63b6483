"""Losses a recipe may train the segmenter with (`loss:`). Each is a function of the model and a batch → () tensor."""

from torch.nn import functional as F


def own_loss(model, batch):
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


LOSSES = {"dice_bce": own_loss, "boundary": boundary_loss}
