"""Where the networks looked: a saliency map in the radiograph's geometry."""

from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional as F

from .models.concatenation import paste_back


@torch.enable_grad()
def grad_cam(model, output, size, findings=None):
    """Grad-CAM (Selvaraju et al. 2017) of every finding, averaged over the branches.

    Each branch's deepest feature map is weighed by the mean gradient of the finding's logit, what speaks for the
    finding is kept and laid back into the part of the radiograph the branch saw; the mean of the branches is scaled to
    a largest value of 1. So a branch counts as much as the finding's logit depends on it.
    A coarse map (about 8 × 8 places) and weak evidence (Saporta et al. 2022): it says where the score is sensitive,
    not where disease is. Only fusion and classifier are run again, so it costs little.

    Args:
        model: `LungFusionForImageClassification`.
        output: what it returned with `output_hidden_states`, with gradients or without.
        size: side S of the result in pixels.
        findings: names of those asked for; all of the model's if None.

    Returns:
        (B, findings, S, S) float in [0, 1].
    """
    findings, shape = list(findings or model.config.findings), output.cnn_input.shape[-2:]
    feature_maps = [features.detach().clone().requires_grad_() for features in output.hidden_states]
    with without_cudnn(model):
        logits = model.calibrate(model.classifier(model.fusion(feature_maps)[0]))  # (B, all findings)
        columns = [logits[:, model.config.label2id[name]].sum() for name in findings]
        gradients = [torch.autograd.grad(one, feature_maps, retain_graph=True) for one in columns]
    seen = 0
    for features, of_findings in zip(feature_maps, zip(*gradients, strict=True), strict=True):
        weights = torch.stack([gradient.mean((2, 3)) for gradient in of_findings], dim=1)  # (B, findings, C)
        maps = torch.einsum("bfc,bchw->bfhw", weights, features.detach()).relu()
        seen = seen + F.interpolate(maps, shape, mode="bilinear", align_corners=False) / len(feature_maps)
    return unit_maximum(paste_back(seen, output.roi_affine.clone(), size))


def without_cudnn(model):
    """Where a GPU runs an LSTM, torch itself in place of cuDNN, which has no backward pass of it in evaluation mode.

    The switch is the whole process's: elsewhere it is left alone, for other threads may be answering or compiling.
    """
    needed = model.device.type == "cuda" and any(isinstance(part, nn.RNNBase) for part in model.fusion.modules())
    return torch.backends.cudnn.flags(enabled=False) if needed else nullcontext()


def unit_maximum(x):
    """Each (H, W) of (B, C, H, W) divided by its maximum; an all-zero one stays zero."""
    return x / x.amax((2, 3), keepdim=True).clamp(min=1e-12)


def share_inside(saliency, alpha):
    """How much of a saliency map lies inside the lungs: a float in [0, 1], or None for an empty map.

    Args:
        saliency, alpha: (H, W) arrays in [0, 1].
    """
    total = float(saliency.sum())
    return float((saliency * alpha).sum()) / total if total > 0 else None
