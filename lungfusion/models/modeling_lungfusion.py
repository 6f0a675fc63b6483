"""LungFusion: segment the lungs, join image and mask, look with several CNNs, fuse, classify."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .branches import Branch
from .concatenation import CONCATENATION_MODULES
from .configuration_lungfusion import NODULE_FINDINGS, LungFusionConfig
from .fusion import FUSION_MODULES
from .modeling_lung_unet import LungUNetForSemanticSegmentation, initialize
from .nodule_detector import NoduleDetector, nodule_logits


@dataclass
class LungFusionModelOutput(ModelOutput):
    """What [`LungFusionModel`] returns.

    Attributes:
        pooler_output: (B, D) float, the branches' features, fused.
        alpha: (B, 1, S, S) float in [0, 1], the lung mask.
        cnn_input: (B, 3 or 4, s, s) float in [0, 1], what the branches saw.
        roi_affine: (B, 2, 3) float32, the part of the image they saw: maps places in `cnn_input` to places in the
            image, both from −1 to 1, as `torch.nn.functional.affine_grid` takes it.
        hidden_states: one (B, C_i, h_i, w_i) float for each branch, its deepest feature map; only with
            `output_hidden_states`.
        fusion_weights: (B, branches) float, sums to 1; only with gated fusion.
        ood_score, view_logits, heart_logit: see `LungUNetOutput`; only if the segmenter drew the alpha.
    """

    pooler_output: torch.FloatTensor | None = None
    alpha: torch.FloatTensor | None = None
    cnn_input: torch.FloatTensor | None = None
    roi_affine: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    fusion_weights: torch.FloatTensor | None = None
    ood_score: torch.FloatTensor | None = None
    view_logits: torch.FloatTensor | None = None
    heart_logit: torch.FloatTensor | None = None


@dataclass
class LungFusionOutput(ModelOutput):
    """What [`LungFusionForImageClassification`] returns.

    Attributes:
        loss: () float, binary cross-entropy over the known labels (cross-entropy for a single label); only with
            `labels`.
        logits: (B, findings) float, calibrated; see `probabilities`.
        fused_features: (B, D) float, the `pooler_output` of [`LungFusionModel`].
        nodule_map: (B, 2, h, w) float over the part of the image that `roi_affine` says: logits of a nodule's or mass's
            centre, not calibrated, and its width in mm; see `NoduleDetector`. Only with a `nodule_detector`.
        alpha, cnn_input, roi_affine, hidden_states, fusion_weights, ood_score, view_logits, heart_logit: see
            [`LungFusionModelOutput`].
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    alpha: torch.FloatTensor | None = None
    cnn_input: torch.FloatTensor | None = None
    roi_affine: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    fused_features: torch.FloatTensor | None = None
    fusion_weights: torch.FloatTensor | None = None
    ood_score: torch.FloatTensor | None = None
    view_logits: torch.FloatTensor | None = None
    heart_logit: torch.FloatTensor | None = None
    nodule_map: torch.FloatTensor | None = None


class LungFusionModel(PreTrainedModel):
    """The fused features of several CNNs over the segmented lungs. The segmenter is frozen until it is asked to learn
    (`requires_grad_`).
    """

    config_class = LungFusionConfig
    base_model_prefix = "lungfusion"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _keys_to_ignore_on_load_unexpected = [r"^classifier\.", r"^nodules\."]

    def __init__(self, config: LungFusionConfig):
        config._check()
        super().__init__(config)
        self.segmenter = LungUNetForSemanticSegmentation(config.segmenter).requires_grad_(False)
        self.concatenation = CONCATENATION_MODULES[config.concatenation](config.branch_size)
        of_each = zip(config.branches, config.inputs, strict=True)
        self.branches = nn.ModuleList(Branch(name, self.concatenation.channels, reads) for name, reads in of_each)
        channels = [branch.num_features for branch in self.branches]
        self.fusion = FUSION_MODULES[config.fusion](channels, config.fusion_size)
        self.add_head(config)
        self.post_init()

    def add_head(self, config):
        """What comes after the fusion: nothing."""

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.segmenter.requires_grad_(False)  # transformers makes new parameters, which learn
        return loaded

    def forward(self, pixel_values, alpha=None, output_hidden_states=None, return_dict=None, is_cut=False):
        """Fuse the branches' features.

        Args:
            pixel_values: (B, 1, S, S) float in [0, 1], bone white, of any precision.
            alpha: (B, 1, S, S) float in [0, 1]: a lung mask known already, which the segmenter then need not draw
                (in training: augmented together with the image).
            output_hidden_states: whether the feature maps are returned too; `config.output_hidden_states` if None.
            return_dict: `False` for a plain tuple.
            is_cut: whether `pixel_values`, and `alpha` where the concatenation reads it, are cut to the part that the
                branches see already, as in training; then no lungs are drawn.
        """
        output = self.fuse(pixel_values, alpha, output_hidden_states, is_cut)
        return output.to_tuple() if return_dict is False else output

    def fuse(self, pixel_values, alpha=None, output_hidden_states=None, is_cut=False):
        pixel_values, checks, roi_affine = pixel_values.to(self.dtype), (None, None, None), None
        if alpha is None and not is_cut:
            drawn = self.segmenter(pixel_values)
            alpha, checks = drawn.logits.sigmoid(), (drawn.ood_score, drawn.view_logits, drawn.heart_logit)
        if is_cut:
            cnn_input = self.concatenation.joined(pixel_values, alpha)
        else:
            cnn_input, roi_affine = self.concatenation(pixel_values, alpha.to(self.dtype))
        feature_maps = tuple(branch(cnn_input) for branch in self.branches)
        fused, weights = self.fusion(feature_maps)
        told = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return LungFusionModelOutput(
            fused, alpha, cnn_input, roi_affine, feature_maps if told else None, weights, *checks
        )

    def train(self, mode=True):
        """As usual, but whatever is frozen stays in evaluation: its batch norms do not drift."""
        super().train(mode)
        for part in list(self.modules())[1:]:
            parameters = list(part.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                part.eval()
        return self

    @torch.no_grad()
    def _init_weights(self, module):
        initialize(self, module)

    def _set_gradient_checkpointing(self, enable=True, **_):
        """Checkpointing is timm's own, in the branches that know it."""
        branches = [branch for branch in self.branches if branch.can_checkpoint]
        if not branches:
            raise ValueError(f"None of the branches {', '.join(self.config.branches)} knows gradient checkpointing.")
        for branch in branches:
            branch.backbone.set_grad_checkpointing(enable)


class LungFusionForImageClassification(LungFusionModel):
    """Findings in a chest radiograph, from the fused features of several CNNs over the segmented lungs."""

    _keys_to_ignore_on_load_unexpected = []

    def add_head(self, config):
        """A shallow classifier: one logit for each finding; and the nodule detector, where there is one."""
        self.num_labels = config.num_labels
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(self.fusion.num_features, config.fusion_size),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.fusion_size, config.num_labels),
        )
        detector = config.nodule_detector
        self.nodules = None if detector is None else NoduleDetector(detector.size, detector.channels)

    def forward(self, pixel_values, labels=None, alpha=None, output_hidden_states=None, return_dict=None, is_cut=False):
        """Name the findings.

        Args:
            labels: (B, findings) float: 1 present, 0 absent, NaN unknown; gives `loss`. With the problem type
                `single_label_classification` (B,) int: the number of the one that is present.
            pixel_values, alpha, output_hidden_states, return_dict, is_cut: see [`LungFusionModel`].
        """
        base = self.fuse(pixel_values, alpha, output_hidden_states, is_cut)
        logits, nodule_map = self.classifier(base.pooler_output), None
        if self.nodules is not None and not is_cut:
            nodule_map = self.nodules(pixel_values.to(self.dtype), base.alpha.to(self.dtype), base.roi_affine)
            logits = self.with_nodules(logits, nodule_logits(nodule_map))
        logits = self.calibrate(logits)
        loss = None if labels is None else self.loss_of(logits, labels)
        output = LungFusionOutput(loss, logits, fused_features=base.pooler_output, **seen(base), nodule_map=nodule_map)
        return output.to_tuple() if return_dict is False else output

    def save_pretrained(self, *args, **kwargs):
        if self.config.num_labels != self.classifier[-1].out_features:
            raise ValueError(
                f"The configuration names {self.config.num_labels} findings, the classifier has "
                f"{self.classifier[-1].out_features}: give from_pretrained the new names, with ignore_mismatched_sizes."
            )
        if self._auto_class:  # AutoModel, too, finds its class without the package: the features alone
            base = f"{LungFusionModel.__module__.rpartition('.')[2]}.{LungFusionModel.__name__}"
            self.config.auto_map = (getattr(self.config, "auto_map", None) or {}) | {"AutoModel": base}
        super().save_pretrained(*args, **kwargs)

    def with_nodules(self, logits, of_nodules):
        """The classifier's logits (B, findings), those of nodule and mass (B, 2) by the detector instead."""
        columns = list(logits.unbind(1))
        for name, of_detector in zip(NODULE_FINDINGS, of_nodules.unbind(1), strict=True):
            columns[list(self.config.findings).index(name)] = of_detector
        return torch.stack(columns, dim=1)

    def calibrate(self, logits):
        """Divide by each finding's temperature and add its bias: (B, findings) → the same."""
        findings = self.config.findings.values()
        temperatures = logits.new_tensor([finding.temperature for finding in findings])
        biases = logits.new_tensor([finding.bias for finding in findings])
        return logits / temperatures + biases

    @property
    def is_single_label(self):
        return self.config.problem_type == "single_label_classification"

    def probabilities(self, logits):
        """(B, findings) logits → float32 in [0, 1]: each finding's own; of a single label they sum to 1."""
        return logits.float().softmax(1) if self.is_single_label else logits.float().sigmoid()

    def loss_of(self, logits, labels):
        return F.cross_entropy(logits.float(), labels) if self.is_single_label else masked_bce_loss(logits, labels)


def seen(output):
    """What both outputs have in common, by its names."""
    names = ("alpha", "cnn_input", "roi_affine", "hidden_states", "fusion_weights")
    names += ("ood_score", "view_logits", "heart_logit")
    return {name: getattr(output, name) for name in names}


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


__all__ = ["LungFusionForImageClassification", "LungFusionModel", "LungFusionModelOutput", "LungFusionOutput"]
