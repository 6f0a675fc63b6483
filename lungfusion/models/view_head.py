"""What a segmenter says of the view: one frontal chest, or what else it is; and on which side the heart lies."""

import torch
from torch import nn
from torch.nn import functional as F

VIEWS = ("frontal", "lateral", "another_radiograph", "several_pictures", "turned", "no_radiograph")
VIEW_CELLS, HEART_CELLS = 8, 16  # rows and columns in which the mask is looked at


class ViewHead(nn.Module):
    """Two linear layers: over an image's deepest features, mean over places, and its mask in a few cells, for the view;
    over what differs between the mask and its mirror image for the heart's side.

    Their logits are 0 until they are fitted (`train.calibrate.views`).
    """

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("view_weight", torch.zeros(len(VIEWS), channels + VIEW_CELLS**2))
        self.register_buffer("view_bias", torch.zeros(len(VIEWS)))
        self.register_buffer("heart_weight", torch.zeros(HEART_CELLS**2))

    def forward(self, features, logits):
        """Args:
            features: (B, channels, h, w), the deepest.
            logits: (B, 1, S, S), the mask drawn; 16 divides S.

        Returns:
            view_logits: (B, views) float32, in the order of `VIEWS`.
            heart_logit: (B,) float32, of the heart lying on the image's right, as it does as a rule.
        """
        seen, compared = view_inputs(features, logits)
        view_logits = seen @ self.view_weight.float().T + self.view_bias.float()
        return view_logits, compared @ self.heart_weight.float()


def view_inputs(features, logits):
    """What the two layers are given: (B, channels + 64) and (B, 256) float32."""
    alpha = logits.float().sigmoid()
    side = alpha.shape[-1]
    mask = F.avg_pool2d(alpha, side // VIEW_CELLS)  # (B, 1, 8, 8)
    seen = torch.cat([features.float().mean((2, 3)), mask.flatten(1)], 1)
    cells = F.avg_pool2d(alpha, side // HEART_CELLS)  # (B, 1, 16, 16)
    return seen, (cells - cells.flip(3)).flatten(1)
