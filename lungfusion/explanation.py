"""Where the networks looked: a saliency map in the radiograph's geometry."""

import torch
from torch.nn import functional as F

from .models.concatenation import paste_back


@torch.backends.cudnn.flags(enabled=False)  # it has no backward pass of an LSTM in evaluation mode; torch itself has
@torch.enable_grad()
def grad_cam(model, output, size):
    """Grad-CAM (Selvaraju et al. 2017) of every finding, averaged over the branches.

    Each branch's deepest feature map is weighed by the mean gradient of the finding's logit, what speaks for the
    finding is kept and laid back into the part of the radiograph the branch saw; the mean of the branches is scaled to
    a largest value of 1. So a branch counts as much as the finding's logit depends on it.
    A finding of the lesion branch has its map instead: each place's own score.
    A coarse map (about 8 × 8 places) and weak evidence (Saporta et al. 2022): it says where the score is sensitive,
    not where disease is. Only fusion and classifier are run again, so it costs little.

    Args:
        model: `LungFusionForImageClassification`.
        output: what it returned with `output_hidden_states`, with gradients or without.
        size: side S of the result in pixels.

    Returns:
        (B, findings, S, S) float in [0, 1].
    """
    feature_maps = [features.detach().clone().requires_grad_() for features in output.hidden_states]
    logits = model.calibrate(model.classifier(model.fusion(feature_maps)[0]))  # (B, findings)
    saliency = []
    for of_finding in logits.sum(0):
        gradients = torch.autograd.grad(of_finding, feature_maps, retain_graph=True)
        maps = []
        for features, gradient in zip(feature_maps, gradients, strict=True):
            weights = gradient.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
            maps.append((weights * features.detach()).sum(1, keepdim=True).relu())
        seen = [F.interpolate(m, output.cnn_input.shape[-2:], mode="bilinear", align_corners=False) for m in maps]
        saliency.append(unit_maximum(paste_back(torch.stack(seen).mean(0), output.roi_affine.clone(), size)))
    for number, name in enumerate(model.config.lesion_findings):
        of_places = output.lesion_map[:, number : number + 1].detach().float().sigmoid()
        seen = F.interpolate(of_places, [model.config.lesion_size] * 2, mode="bilinear", align_corners=False)
        map_of_image = unit_maximum(paste_back(seen, output.roi_affine.clone(), size))
        saliency[model.config.findings.index(name)] = map_of_image
    return torch.cat(saliency, dim=1)


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
