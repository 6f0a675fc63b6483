"""LungFusion: segment the lungs, join image and mask, look with several CNNs, fuse, classify."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .branches import Branch
from .concatenation import CONCATENATION_MODULES
from .configuration_lungfusion import LungFusionConfig
from .fusion import FUSION_MODULES
from .modeling_lung_unet import LungUNetForSemanticSegmentation, initialize


@dataclass
class LungFusionOutput(ModelOutput):
    """What [`LungFusionForImageClassification`] returns.

    Attributes:
        loss: () float, binary cross-entropy over the known labels; only with `labels`.
        logits: (B, findings) float, calibrated; `sigmoid(logits)` are the probabilities.
        alpha: (B, 1, S, S) float in [0, 1], the lung mask.
        cnn_input: (B, 3 or 4, s, s) float in [0, 1], what the branches saw.
        roi_affine: (B, 2, 3) float32, the part of the image they saw: maps places in `cnn_input` to places in the
            image,
            both from −1 to 1, as `torch.nn.functional.affine_grid` takes it.
        feature_maps: one (B, C_i, h_i, w_i) float for each branch.
        fused_features: (B, D) float.
        fusion_weights: (B, branches) float, sums to 1; only with gated fusion.
        ood_score: (B,) float32, how unlike the segmenter's training radiographs each image is; only if it drew
            the alpha.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    alpha: torch.FloatTensor | None = None
    cnn_input: torch.FloatTensor | None = None
    roi_affine: torch.FloatTensor | None = None
    feature_maps: tuple[torch.FloatTensor, ...] | None = None
    fused_features: torch.FloatTensor | None = None
    fusion_weights: torch.FloatTensor | None = None
    ood_score: torch.FloatTensor | None = None


class LungFusionForImageClassification(PreTrainedModel):
    """Findings in a chest radiograph, from the fused features of several CNNs over the segmented lungs."""

    config_class = LungFusionConfig
    base_model_prefix = "lungfusion"
    main_input_name = "pixel_values"

    def __init__(self, config: LungFusionConfig):
        super().__init__(config)
        self.segmenter = LungUNetForSemanticSegmentation(config.segmenter)
        self.concatenation = CONCATENATION_MODULES[config.concatenation](config.branch_size)
        self.branches = nn.ModuleList(Branch(name, self.concatenation.channels) for name in config.branches)
        channels = [branch.num_features for branch in self.branches]
        self.fusion = FUSION_MODULES[config.fusion](channels, config.fusion_size)
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(self.fusion.num_features, config.fusion_size),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.fusion_size, len(config.findings)),
        )
        self.post_init()

    def forward(self, pixel_values, labels=None, alpha=None, return_dict=None):
        """Name the findings.

        Args:
            pixel_values: (B, 1, S, S) float in [0, 1], bone white.
            labels: (B, findings) float: 1 present, 0 absent, NaN unknown; gives `loss`.
            alpha: (B, 1, S, S) float in [0, 1]: a lung mask known already, which the segmenter then need not draw
                (in training: augmented together with the image).
            return_dict: `False` for a plain tuple.
        """
        ood_score = None
        if alpha is None:
            drawn = self.segmenter(pixel_values)
            alpha, ood_score = drawn.logits.sigmoid(), drawn.ood_score
        cnn_input, roi_affine = self.concatenation(pixel_values, alpha)
        feature_maps = tuple(branch(cnn_input) for branch in self.branches)
        fused, weights = self.fusion(feature_maps)
        logits = self.calibrate(self.classifier(fused))
        loss = None if labels is None else masked_bce_loss(logits, labels)
        output = LungFusionOutput(loss, logits, alpha, cnn_input, roi_affine, feature_maps, fused, weights, ood_score)
        return output.to_tuple() if return_dict is False else output

    def train(self, mode=True):
        """As usual, but whatever is frozen stays in evaluation: its batch norms do not drift."""
        super().train(mode)
        for part in self.modules():
            parameters = list(part.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                part.eval()
        return self

    def calibrate(self, logits):
        """Divide by each finding's temperature and add its bias: (B, findings) → the same."""
        temperatures, biases = (
            logits.new_tensor([of_finding[name] for name in self.config.findings])
            for of_finding in (self.config.temperatures, self.config.biases)
        )
        return logits / temperatures + biases

    @torch.no_grad()
    def _init_weights(self, module):
        initialize(self, module)


def masked_bce_loss(logits, labels):
    """Binary cross-entropy; unknown labels (NaN) do not count.

    Each image's loss is the mean over the findings known of it; then the mean is taken over the images of which any is
    known. So a source that labels one finding weighs as much as one that labels twelve, if as many of its images are
    drawn.

    Args:
        logits: (B, findings) float.
        labels: (B, findings) float in {0, 1, NaN}.
    """
    known = ~labels.isnan()
    loss = F.binary_cross_entropy_with_logits(logits.float(), labels.float().nan_to_num(0), reduction="none")
    per_image = (loss * known).sum(1) / known.sum(1).clamp(min=1)
    return per_image.sum() / known.any(1).sum().clamp(min=1)


__all__ = ["LungFusionForImageClassification", "LungFusionOutput"]
