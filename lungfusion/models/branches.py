"""The branches: CNNs of timm, each with its own normalisation, read at their deepest feature map."""

import timm
import torch
from torch import nn


class Branch(nn.Module):
    """One CNN.

    What it reads is the picture's grey values, or their local contrast (see `local_contrast`). `mean` and `std` are
    timm's figures for the pretrained weights of that architecture; they are persistent buffers and so travel with the
    weights. A fourth channel, alpha, is centred to [−1, 1].
    """

    def __init__(self, name, in_channels, reads="grey"):
        super().__init__()
        self.reads = reads
        self.backbone = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", in_chans=in_channels)
        if hasattr(self.backbone, "pre_logits"):
            self.backbone.pre_logits = nn.Identity()  # VGG's dense layers: 120 million weights, none of them for maps
        normalisation = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
        extra = [0.5] * (in_channels - 3)
        self.register_buffer("mean", torch.tensor([*normalisation.mean, *extra]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([*normalisation.std, *extra]).view(1, -1, 1, 1))
        self.num_features = self.backbone.num_features
        self.can_checkpoint = can_checkpoint(self.backbone)

    def forward(self, cnn_input):
        """(B, in_channels, s, s) float in [0, 1] → (B, num_features, h, w)."""
        if self.reads == "local_contrast":
            image = local_contrast(cnn_input[:, :1]).expand(-1, 3, -1, -1)
            cnn_input = torch.cat([image, cnn_input[:, 3:]], dim=1)
        return self.backbone.forward_features((cnn_input - self.mean) / self.std)


def local_contrast(image, near=10 / 224, around=18 / 224, least=0.02):
    """Grey values less their mean nearby, over their deviation around there (Jarrett et al. 2009, ICCV).

    Exposure, tone curve and slow changes of brightness fall away, by which one hospital's radiographs differ from
    another's.

    Args:
        image: (B, 1, s, s) float in [0, 1].
        near, around: standard deviations of the Gaussian windows of mean and deviation, as fractions of the side.
        least: deviation of grey values that is added, so that noise in black is not raised to contrast.

    Returns:
        (B, 1, s, s) float in [0, 1]: 0.5 is the local mean, 0 and 1 lie three deviations from it.
    """
    side = image.shape[-1]
    narrow, wide = (gaussian(side, sigma * side, image) for sigma in (near, around))
    difference = image - narrow @ image @ narrow.T
    deviation = (wide @ difference.square() @ wide.T).sqrt()
    return (0.5 + difference / (6 * (deviation + least))).clamp(0, 1)


def gaussian(side, sigma, like):
    """(side, side): what the pixels of a row weigh in each of the same row blurred; at its ends fewer of them."""
    place = torch.arange(side, device=like.device, dtype=torch.float32)
    weights = (-((place[:, None] - place) ** 2) / (2 * sigma**2)).exp()
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


def can_checkpoint(backbone):
    """Whether timm can trade this network's memory for time; those that can't (VGG…) assert that it is not asked."""
    try:
        backbone.set_grad_checkpointing(True)
        backbone.set_grad_checkpointing(False)
    except (AssertionError, AttributeError):
        return False
    return True
