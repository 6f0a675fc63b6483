"""The lesion branch: a second, finer look at the lungs for spots that are too small for the other branches."""

import torch
from torch import nn

from .branches import Branch
from .concatenation import sample

AFTER_THE_MAP = ("conv_head", "bn2", "norm_head")  # what timm's networks may hold behind their last stage, by version
STRIDE = 16  # pixels of the picture to a place of the map: a spot of 1 cm is about one place


class LesionBranch(Branch):
    """A light CNN over the lungs' region, finely sampled, cut off at stride 16. Each place of its map has a logit for
    each kind of lesion, so the map says where as well.

    Args:
        name: timm's name of the network; one with a feature map of stride 16.
        size: side in pixels of the square picture it reads.
        findings: how many kinds of lesions it looks for.
    """

    def __init__(self, name, size, findings):
        super().__init__(name, in_channels=3)
        self.size = size
        strides = [level["reduction"] for level in self.backbone.feature_info]
        if STRIDE not in strides:
            raise ValueError(f"{name} has no feature map of stride {STRIDE}: choose another lesion_backbone.")
        self.level = strides.index(STRIDE)
        self.backbone.prune_intermediate_layers([self.level], prune_head=True)
        for part in AFTER_THE_MAP:
            if hasattr(self.backbone, part):
                setattr(self.backbone, part, nn.Identity())
        self.head = nn.Conv2d(self.backbone.feature_info[self.level]["num_chs"], findings, 1)

    def forward(self, image, roi_affine):
        """Look at a region of the radiograph.

        Args:
            image: (B, 1, S, S) float in [0, 1].
            roi_affine: (B, 2, 3) float32, the region; see `Concatenation`.

        Returns:
            (B, findings, size / 16, size / 16) float logits, over the region.
        """
        return self.look(sample(image, roi_affine, self.size))

    def look(self, picture):
        """(B, 1, size, size) float in [0, 1], the region itself → as `forward`."""
        normal = (picture.expand(-1, 3, -1, -1) - self.mean) / self.std
        (features,) = self.backbone.forward_intermediates(
            normal, indices=[self.level], intermediates_only=True, stop_early=True
        )
        return self.head(features)


def pool_lesions(lesion_map):
    """Logits of a map (B, findings, h, w) → (B, findings): log-sum-exp, as near the largest as makes no odds, but every
    place learns from it.
    """
    return torch.logsumexp(lesion_map.flatten(2), dim=2)
