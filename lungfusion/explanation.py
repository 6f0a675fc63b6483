"""Where the networks looked: a saliency map in the radiograph's geometry."""

import torch
from torch.nn import functional as F

from .models.concatenation import unsample


def grad_cam(output, index, size):
    """Grad-CAM (Selvaraju et al. 2017) of one finding, averaged over the branches.

    Each branch's deepest feature map is weighed by the mean gradient of the finding's logit, what speaks for the
    finding is kept, scaled to a largest value of 1, and laid back into the part of the radiograph the branch saw.
    A coarse map (about 8 × 8 places) and weak evidence (Saporta et al. 2022): it says where the score is sensitive,
    not where disease is.

    Args:
        output: `LungFusionOutput` of one radiograph, computed with gradients.
        index: of the finding among the logits.
        size: side S of the result in pixels.

    Returns:
        (B, 1, S, S) float in [0, 1].
    """
    gradients = torch.autograd.grad(output.logits[:, index].sum(), output.feature_maps)
    maps = []
    for features, gradient in zip(output.feature_maps, gradients, strict=True):
        weights = gradient.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        maps.append(unit_maximum((weights * features).sum(1, keepdim=True).relu()))
    seen = [F.interpolate(m, output.joined.shape[-2:], mode="bilinear", align_corners=False) for m in maps]
    return unit_maximum(unsample(torch.stack(seen).mean(0), output.box, size))


def unit_maximum(x):
    """Each (C, H, W) of a batch divided by its maximum; an all-zero one stays zero."""
    return x / x.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)


def share_inside(saliency, alpha):
    """How much of a saliency map lies inside the lungs: a float in [0, 1], or None for an empty map.

    Args:
        saliency, alpha: (H, W) arrays in [0, 1].
    """
    total = float(saliency.sum())
    return float((saliency * alpha).sum()) / total if total > 0 else None
