"""The lung segmenter: a U-Net that draws the lungs of a chest radiograph as an alpha mask."""

from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_lungfusion import LungUNetConfig
from .ood import MahalanobisDistance
from .view_head import ViewHead


@dataclass
class LungUNetOutput(ModelOutput):
    """What [`LungUNetForSemanticSegmentation`] returns.

    Attributes:
        loss: () float, Dice plus binary cross-entropy; only with `labels`.
        logits: (B, 1, h, w) float, in the size of `pixel_values`; `sigmoid(logits)` is the alpha mask.
        ood_score: (B,) float32, how unlike the training radiographs each image is; see [`MahalanobisDistance`].
        view_logits: (B, views) float32, whether it is one frontal chest or what else; see [`ViewHead`].
        heart_logit: (B,) float32, of the heart lying on the image's right; negative where it seems mirrored.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    ood_score: torch.FloatTensor | None = None
    view_logits: torch.FloatTensor | None = None
    heart_logit: torch.FloatTensor | None = None


class LungUNetForSemanticSegmentation(PreTrainedModel):
    """U-Net (Ronneberger, Fischer, Brox 2015) for the lungs of a frontal chest radiograph."""

    config_class = LungUNetConfig
    base_model_prefix = "unet"
    main_input_name = "pixel_values"

    def __init__(self, config: LungUNetConfig):
        super().__init__(config)
        self.unet = PlainUNet(config.width) if config.encoder == "plain" else EncoderUNet(config)
        self.ood_head = MahalanobisDistance(self.unet.num_features)
        self.view_head = ViewHead(self.unet.num_features)
        self.post_init()

    def forward(self, pixel_values, labels=None, return_dict=None):
        """Draw the lungs.

        Args:
            pixel_values: (B, 1, h, w) float in [0, 1], bone white, of any precision; h and w are free, the network
                works at `config.image_size`.
            labels: (B, 1, h, w) float in [0, 1], the true mask; gives `loss`.
            return_dict: `False` for a plain tuple.
        """
        features = self.encode(pixel_values.to(self.dtype))
        drawn = self.unet.decode(features)  # (B, 1, S, S)
        logits = resize(drawn, pixel_values.shape[-2:])  # (B, 1, h, w)
        loss = None if labels is None else dice_bce_loss(logits, labels)
        view_logits, heart_logit = self.view_head(features[-1], drawn, pixel_values)
        output = LungUNetOutput(loss, logits, self.ood_head(features[-1]), view_logits, heart_logit)
        return output.to_tuple() if return_dict is False else output

    def encode(self, pixel_values):
        """(B, 1, h, w) → the U-Net's feature maps on its way down, the deepest last: each (B, C, S/k, S/k)."""
        size = (self.config.image_size, self.config.image_size)
        image = resize(pixel_values, size)  # (B, 1, S, S)
        return self.unet.encode((image - self.config.image_mean) / self.config.image_std)

    @torch.no_grad()
    def _init_weights(self, module):
        initialize(self, module)


class PlainUNet(nn.Module):
    """The U-Net of Ronneberger et al. 2015, figure 1: 23 convolutions, five levels, skip connections.

    Two changes, both usual since: convolutions are padded, so that the mask has the image's size, and each is
    followed by batch normalisation, so that it trains from scratch on a few hundred radiographs.
    """

    def __init__(self, width=64):
        super().__init__()
        channels = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(double_convolution(i, o) for i, o in zip([1, *channels], channels, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * o, o, 2, stride=2) for o in reversed(channels[:-1]))
        self.merge = nn.ModuleList(double_convolution(2 * o, o) for o in reversed(channels[:-1]))
        self.mask = nn.Conv2d(width, 1, 1)
        self.num_features = channels[-1]

    def encode(self, x):
        """(B, 1, S, S) → a map for each level, the deepest (B, num_features, S/16, S/16); 16 divides S."""
        features = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            features.append(x)
        return features

    def decode(self, features):
        """What `encode` gave → (B, 1, S, S) logits."""
        *skips, x = features
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.mask(x)


def double_convolution(inputs, outputs):
    layers = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


class EncoderUNet(smp.Unet):
    """A U-Net on an encoder of segmentation_models_pytorch; weights are never downloaded here."""

    def __init__(self, config):
        super().__init__(
            encoder_name=config.encoder,
            encoder_weights=None,
            encoder_depth=len(config.decoder_channels),
            decoder_channels=tuple(config.decoder_channels),
            in_channels=1,
            classes=1,
        )
        self.num_features = self.encoder.out_channels[-1]

    def encode(self, x):
        """(B, 1, S, S) → a map for each level, the deepest (B, num_features, S/32, S/32); 32 divides S."""
        return self.encoder(x)

    def decode(self, features):
        """What `encode` gave → (B, 1, S, S) logits."""
        return self.segmentation_head(self.decoder(features))


def resize(x, size):
    """Bilinear, antialiased, in float32; `x` itself where it has the size already.

    A product with a matrix along each axis: as exact as `F.interpolate`, which computes the matrices, and a little
    slower; but as a part of a graph that OpenVINO compiles it is by far the faster.

    Args:
        x: (B, C, h, w) float.
        size: (height, width) of the result.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    height, width = zip(x.shape[-2:], size, strict=True)  # old and new
    rows = weights_of(x, *height)
    columns = rows if width == height else weights_of(x, *width)
    with torch.autocast(x.device.type, enabled=False):
        return (rows @ x.float() @ columns.T).to(x.dtype)


def weights_of(x, side, new_side):
    """(new_side, side) float32: what the pixels of a row of `side` weigh in each of the resized one."""
    one_by_one = torch.eye(side, device=x.device, dtype=torch.float32)[None, None]
    return F.interpolate(one_by_one, size=(new_side, side), mode="bilinear", align_corners=False, antialias=True)[0, 0]


def dice_bce_loss(logits, labels):
    """Soft Dice loss (Milletari et al. 2016), per image, plus binary cross-entropy.

    Args:
        logits: (B, 1, h, w) float.
        labels: (B, 1, h, w) float in [0, 1].
    """
    logits, labels = logits.float(), labels.float()
    alpha = logits.sigmoid()
    overlap = (alpha * labels).sum((1, 2, 3))
    dice = (2 * overlap + 1) / (alpha.sum((1, 2, 3)) + labels.sum((1, 2, 3)) + 1)
    return (1 - dice).mean() + F.binary_cross_entropy_with_logits(logits, labels)


def initialize(model, module):
    """He initialisation (He et al. 2015) for what has no loaded weights; norms and LSTM as transformers does."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, MahalanobisDistance | ViewHead):
        for buffer in module.buffers():
            init.zeros_(buffer)
    else:
        PreTrainedModel._init_weights(model, module)


__all__ = ["LungUNetForSemanticSegmentation", "LungUNetOutput"]
