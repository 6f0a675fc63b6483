"""What a segmenter says of the view: one frontal chest, or what else it is; and on which side the heart lies."""

import torch
from torch import nn
from torch.nn import functional as F

VIEWS = ("frontal", "lateral", "another_radiograph", "several_pictures", "turned", "no_radiograph")
VIEW_CELLS = 8  # rows and columns in which the mask is looked at
HEART_SIDE = 64  # pixels of the picture in which the heart is looked for
HEART_CHANNELS = (1, 16, 32, 32)  # of its convolutions, each of which halves the sides
HEART_CELLS = HEART_SIDE // 2 ** (len(HEART_CHANNELS) - 1)


class ViewHead(nn.Module):
    """A linear layer over an image's deepest features, mean over places, and its mask in a few cells, for the view; and
    three small convolutions over the image, less the same over its mirror image, for the heart's side.

    Their logits are 0 until they are fitted (`train.calibrate.views`). Nothing of it is trained with the segmenter, so
    its weights are buffers.
    """

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("view_weight", torch.zeros(len(VIEWS), channels + VIEW_CELLS**2))
        self.register_buffer("view_bias", torch.zeros(len(VIEWS)))
        for number in range(len(HEART_CHANNELS) - 1):
            inputs, outputs = HEART_CHANNELS[number : number + 2]
            self.register_buffer(f"heart_kernel{number}", torch.zeros(outputs, inputs, 3, 3))
            self.register_buffer(f"heart_bias{number}", torch.zeros(outputs))
        self.register_buffer("heart_output", torch.zeros(HEART_CHANNELS[-1] * HEART_CELLS**2))

    def forward(self, features, logits, image):
        """Args:
            features: (B, channels, h, w), the deepest.
            logits: (B, 1, S, S), the mask drawn; 8 divides S.
            image: (B, 1, H, W) in [0, 1].

        Returns:
            view_logits: (B, views) float32, in the order of `VIEWS`.
            heart_logit: (B,) float32, of the heart lying on the image's right, as it does as a rule.
        """
        view_logits = view_inputs(features, logits) @ self.view_weight.float().T + self.view_bias.float()
        small = F.adaptive_avg_pool2d(image.float(), HEART_SIDE)
        return view_logits, heart_logit(small, {name: x.float() for name, x in self.named_buffers()})


def view_inputs(features, logits):
    """What the linear layer is given: (B, channels + 64) float32."""
    alpha = logits.float().sigmoid()
    mask = F.avg_pool2d(alpha, int(alpha.shape[-1] // VIEW_CELLS))  # (B, 1, 8, 8); int: not traced
    return torch.cat([features.float().mean((2, 3)), mask.flatten(1)], 1)


def heart_logit(small, weights):
    """(B,) float32 of small pictures (B, 1, 64, 64) in [0, 1]; of mirror images the same, negative."""
    deviation, mean = torch.std_mean(small, (2, 3), keepdim=True)
    small = (small - mean) / (deviation + 1e-3)
    return heart_score(small, weights) - heart_score(small.flip(3), weights)


def heart_score(x, weights):
    for number in range(len(HEART_CHANNELS) - 1):
        x = F.conv2d(x, weights[f"heart_kernel{number}"], weights[f"heart_bias{number}"], stride=2, padding=1).relu()
    return x.flatten(1) @ weights["heart_output"]
