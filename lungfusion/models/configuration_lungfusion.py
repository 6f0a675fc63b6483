"""Typed configurations: everything besides the weights that decides what the models compute."""

import math

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from segmentation_models_pytorch.encoders import encoders
from transformers import PreTrainedConfig

from .config_checks import check_finite, check_lesions, check_range, is_backbone, within
from .config_labels import LABELS, OF_EACH_FINDING, names_of_labels, with_labels

CONCATENATIONS = ("none", "multiply", "rgba", "guided", "learned", "crop", "align")
FUSIONS = ("concat", "gated", "lstm")
SIDES = (32, 4096)  # pixels of the square images; config.json may come from anyone, and memory grows with the square
WIDTHS = (1, 8192)  # channels of a layer
MAX_BRANCHES = 16
DEFAULT_FINDINGS = ("pneumonia", "tuberculosis")
LUNGS = ("background", "right lung", "left lung")  # the patient's right is on the left of the picture
INPUT_LIMITS = ("usual_ood_score", "doubtful_ood_score", "max_ood_score", "chest_quality", "min_mask_quality")
AGE_GROUPS = ("child", "adult")  # whom a finding can have been learned on


class SentenceConfig(PreTrainedConfig):
    """What is wrong in a config.json is said by a ValueError, whoever finds it; nothing wrong is saved."""

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        try:
            return super().from_dict(config_dict, **kwargs)
        except (StrictDataclassError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"The configuration cannot be used. {error}") from error

    def save_pretrained(self, *args, **kwargs):
        self._check()
        super().save_pretrained(*args, **kwargs)


@strict
class LungUNetConfig(SentenceConfig):
    r"""Configuration of [`LungUNetForSemanticSegmentation`].

    Args:
        encoder (`str`): `"plain"` for the U-Net of Ronneberger et al. 2015 (23 convolutions), or the name of any
            encoder of segmentation_models_pytorch, e.g. `"tu-tf_efficientnet_lite0"`.
        image_size (`int`): side in pixels of the square image the network reads. A multiple of 32.
        width (`int`): channels of the first level of the plain U-Net (64 in the paper).
        decoder_channels (`list[int]`): channels of the decoder's levels, deepest first (encoders of smp only).
        image_mean, image_std (`float`): normalisation of the grey image, applied inside the model.
        quality_slope, quality_offset (`float`): how the mask's expected Dice d becomes the quality shown,
            sigmoid(slope · logit(d) + offset); fitted to the true Dice by `train.calibrate.mask_quality`. 1 and 0: not
            calibrated.
        input_limits (`dict[str, float]`): by which scores an image is refused or warned of, where this U-Net needs
            others than the usual ones: see `lungfusion.checks.input_checks.Limits`, whose names these are.
    """

    model_type = "lung_unet"

    encoder: str = "plain"
    image_size: int = 256
    width: int = 64
    decoder_channels: list[int] | tuple[int, ...] = (256, 128, 64, 32, 16)
    image_mean: float = 0.5
    image_std: float = 0.5
    quality_slope: float = 1.0
    quality_offset: float = 0.0
    input_limits: dict[str, float | int] | None = None

    def __post_init__(self, **kwargs):
        self.input_limits = self.input_limits or {}
        self.id2label = dict(enumerate(LUNGS))  # of the segments that the image processor makes of the one map drawn
        self.label2id = {name: number for number, name in enumerate(LUNGS)}
        super().__post_init__(**kwargs)
        self._check()

    def _check(self):
        if self.image_size % 32:
            raise ValueError(f"image_size is {self.image_size}: give a multiple of 32, the U-Net halves it five times.")
        check_range(self, SIDES, "image_size")
        check_range(self, WIDTHS, "width")
        if len(self.decoder_channels) != 5 or not all(within(value, WIDTHS) for value in self.decoder_channels):
            raise ValueError(f"decoder_channels is {self.decoder_channels}: give five numbers of channels.")
        if not (self.encoder == "plain" or self.encoder in encoders or is_backbone(self.encoder.removeprefix("tu-"))):
            raise ValueError(f"encoder is {self.encoder!r}: give plain, or an encoder of segmentation_models_pytorch.")
        check_finite(self, "image_mean", "image_std", "quality_slope", "quality_offset")
        if unknown := set(self.input_limits) - set(INPUT_LIMITS):
            raise ValueError(f"input_limits names {', '.join(unknown)}: choose out of {', '.join(INPUT_LIMITS)}.")
        if not all(0 < value < math.inf for value in self.input_limits.values()):
            raise ValueError("input_limits holds scores: give values above 0.")
        if self.image_std <= 0:
            raise ValueError(f"image_std is {self.image_std}: the image is divided by it, so give a value above 0.")


@strict
class LungFusionConfig(SentenceConfig):
    r"""Configuration of [`LungFusionForImageClassification`].

    Args:
        segmenter (`LungUNetConfig` or `dict`): the U-Net that draws the alpha mask.
        image_size (`int`): side in pixels of the square `pixel_values`.
        branch_size (`int`): side in pixels of the square image each branch reads.
        branches (`list[str]`): timm names of the CNNs.
        concatenation (`str`): how image and alpha are joined, one of `none`, `multiply`, `rgba` (the paper's),
            `guided`, `learned`, `crop`, `align`.
        fusion (`str`): how the branches' features are merged, one of `concat`, `gated`, `lstm`.
        fusion_size (`int`): width of the gated and LSTM fusions, and of the classifier's hidden layer.
        dropout (`float`): dropout before each layer of the classifier.
        lesion_backbone (`str`): timm name of the lesion branch's CNN, which looks closer and says where as well; None
            for a model without it.
        lesion_size (`int`): side in pixels of the square picture of the lungs that the lesion branch reads; a multiple
            of 16.
        lesion_findings (`list[str]`): the findings whose logits the lesion branch gives in place of the classifier.
        coarse_size (`int`): side in pixels to which `pixel_values` are reduced for the other branches, where the lesion
            branch wants finer ones than they were trained on; `image_size` if None.
        findings (`list[str]`): the names of the findings, in the order of the logits: transformers' `id2label` as a
            list, and saved as that. `from_pretrained` takes other ones, as `findings`, `id2label` or `num_labels`;
            what was said of the old ones is then left out.
        thresholds (`dict[str, float]`): finding → probability from which it counts as detected; 0.5 for each if none is
            given.
        rule_out_thresholds (`dict[str, float]`): finding → probability below which it counts as not detected; between
            this and its threshold the answer is unclear. Its threshold where absent, so that no answer is unclear.
        populations (`dict[str, list[str]]`): finding → the people it was learned on, out of `child` and `adult`; it is
            not assessed in others. Not said where absent.
        max_ood_scores (`dict[str, float]`): finding → out-of-distribution score above which it is not assessed; it
            always is where absent.
        min_sides (`dict[str, int]`): finding → pixels of a radiograph's shorter side below which it is not assessed; it
            always is where absent.
        shown (`list[str]`): the findings that the pipeline tells users of; all unless given. The others are learned,
            but were not shown to work.
        explained (`list[str]`): the findings that heat maps are offered of, whose maps tell more of a radiograph than
            the finding's mean map does; all unless given.
        temperatures (`dict[str, float]`): finding → divisor of its logit (Guo et al. 2017); 1 where absent.
        biases (`dict[str, float]`): finding → what is then added to it (Platt 1999), for training draws the finding
            more often than it occurs; 0 where absent.
        operating_points (`dict[str, dict[str, float]]`): finding → `sensitivity` and `specificity` at its threshold, on
            validation patients of the hospitals it was learned from; the same at the point of the largest sum of both
            (Youden 1950): `youden_threshold`, `youden_sensitivity`, `youden_specificity`; and, where it was measured
            in hospitals that training left out, `away_sensitivity`, `away_false_alarms` among their healthy people,
            `away_auc`, `away_auc_low`, `away_auc_high`. Other shares may stand beside them.
        hospitals (`dict[str, dict[str, dict]]`): finding → hospital that training left out → what was measured there:
            `auc` (ill against healthy), `auc_without` (ill against all without it), `called_healthy`, `called_without`,
            `found_ill` (shares, or None where there are none to measure), `n_healthy`, `n_ill`.
        reference_scores (`dict[str, dict[str, dict[str, list[float]]]]`): finding → hospital that training left out →
            `healthy` and `ill` → the probabilities that a few of its people were given, each by a model trained
            without it: what one image's score is looked at among.
        sources (`dict[str, str]`): finding → the data on which it was learned and measured, in plain words.
    """

    model_type = "lungfusion"
    keys_to_ignore_at_inference = [  # what Trainer need not gather
        "alpha",
        "cnn_input",
        "roi_affine",
        "hidden_states",
        "fused_features",
        "fusion_weights",
        "ood_score",
        "lesion_map",
    ]
    sub_configs = {"segmenter": LungUNetConfig}

    segmenter: LungUNetConfig | dict | None = None
    image_size: int = 320
    branch_size: int = 256
    branches: list[str] | tuple[str, ...] = ("vgg16", "resnet50", "inception_v3", "xception")
    concatenation: str = "rgba"
    fusion: str = "concat"
    fusion_size: int = 256
    dropout: float = 0.3
    lesion_backbone: str | None = None
    lesion_size: int = 448
    lesion_findings: list[str] | tuple[str, ...] = ()
    coarse_size: int | None = None
    shown: list[str] | tuple[str, ...] | None = None
    explained: list[str] | tuple[str, ...] | None = None
    thresholds: dict[str, float] | None = None
    rule_out_thresholds: dict[str, float] | None = None
    populations: dict[str, list[str] | tuple[str, ...]] | None = None
    max_ood_scores: dict[str, float | int] | None = None
    min_sides: dict[str, int] | None = None
    temperatures: dict[str, float] | None = None
    biases: dict[str, float] | None = None
    operating_points: dict[str, dict[str, float | int]] | None = None
    hospitals: dict[str, dict[str, dict[str, float | int | None]]] | None = None
    reference_scores: dict[str, dict[str, dict[str, list[float | int]]]] | None = None
    sources: dict[str, str] | None = None

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        changes = {key: kwargs.pop(key) for key in ("findings", *LABELS) if kwargs.get(key) is not None}
        if changes:
            config_dict = with_labels(config_dict, changes)
        return super().from_dict(config_dict, **kwargs)

    def __post_init__(self, findings=None, num_labels=None, **kwargs):
        labels = {"findings": findings, "num_labels": num_labels, "id2label": self.id2label, "label2id": self.label2id}
        self.findings = names_of_labels(labels) or DEFAULT_FINDINGS
        if not isinstance(self.segmenter, LungUNetConfig):
            self.segmenter = LungUNetConfig.from_dict(self.segmenter or {})
        self.thresholds = self.thresholds or dict.fromkeys(self.findings, 0.5)
        self.temperatures = dict.fromkeys(self.findings, 1.0) | (self.temperatures or {})
        self.biases = dict.fromkeys(self.findings, 0.0) | (self.biases or {})
        self.shown = list(self.findings) if self.shown is None else list(self.shown)
        self.explained = list(self.findings) if self.explained is None else list(self.explained)
        for name in OF_EACH_FINDING:
            setattr(self, name, getattr(self, name) or {})
        kwargs["problem_type"] = "multi_label_classification"
        super().__post_init__(**kwargs)
        self._check()

    @property
    def findings(self):
        return list(self.id2label.values())

    @findings.setter
    def findings(self, names):
        self.id2label = dict(enumerate(names))
        self.label2id = {name: number for number, name in enumerate(names)}

    def _check(self):
        names_of_labels({"id2label": self.id2label, "label2id": self.label2id})
        if self.concatenation not in CONCATENATIONS:
            raise ValueError(f"concatenation is {self.concatenation!r}: choose one of {', '.join(CONCATENATIONS)}.")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion is {self.fusion!r}: choose one of {', '.join(FUSIONS)}.")
        if not self.branches:
            raise ValueError("A LungFusionConfig needs at least one branch and one finding: branches is empty.")
        check_range(self, SIDES, "image_size", "branch_size")
        check_range(self, WIDTHS, "fusion_size")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: give a share from 0 to below 1.")
        if len(self.branches) > MAX_BRANCHES:
            raise ValueError(f"There are {len(self.branches)} branches: give at most {MAX_BRANCHES}.")
        for name in self.branches:
            if not is_backbone(name):
                raise ValueError(f"branches names {name!r}, which is no model of timm: see timm.list_models().")
        check_lesions(self, SIDES)
        for name in ("shown", "explained", "lesion_findings", *OF_EACH_FINDING):
            if unknown := set(getattr(self, name)) - set(self.findings):
                raise ValueError(f"{name} names {', '.join(sorted(unknown))}, which is not among the findings.")
        if missing := set(self.findings) - set(self.thresholds):
            raise ValueError(
                f"thresholds lacks {', '.join(sorted(missing))}: give one for each finding, or none at all."
            )
        if not all(0 < value < 1 for value in self.thresholds.values()):
            raise ValueError("Each threshold is a probability: give values between 0 and 1, both exclusive.")
        for name, value in self.rule_out_thresholds.items():
            if not 0 < value <= self.thresholds[name]:
                raise ValueError(
                    f"rule_out_thresholds gives {name} {value}: it lies above 0, and at most at the threshold."
                )
        if unknown := {group for groups in self.populations.values() for group in groups} - set(AGE_GROUPS):
            raise ValueError(f"populations names {', '.join(sorted(unknown))}: choose out of {', '.join(AGE_GROUPS)}.")
        if not all(value > 0 for value in self.max_ood_scores.values()):
            raise ValueError("max_ood_scores holds scores of 1 or so: give values above 0.")
        if not all(value > 0 for value in self.min_sides.values()):
            raise ValueError("min_sides holds pixels: give values above 0.")
        if not all(0 < value < math.inf for value in self.temperatures.values()):
            raise ValueError("Each temperature divides a logit: give values above 0.")
        if not all(map(math.isfinite, self.biases.values())):
            raise ValueError("Each bias is added to a logit: give finite values.")
        if not all(0 <= value <= 1 for point in self.operating_points.values() for value in point.values()):
            raise ValueError("operating_points holds shares and thresholds: give values from 0 to 1.")
        figures = [one.items() for of_finding in self.hospitals.values() for one in of_finding.values()]
        for key, value in (figure for one in figures for figure in one):
            if value is not None and not 0 <= value <= (math.inf if key.startswith("n_") else 1):
                raise ValueError(f"hospitals gives {key} {value}: give shares from 0 to 1, and n_… for how many.")
        for groups in (groups for of_finding in self.reference_scores.values() for groups in of_finding.values()):
            if set(groups) - {"healthy", "ill"} or not all(0 <= x <= 1 for scores in groups.values() for x in scores):
                raise ValueError("reference_scores holds, of healthy and ill, probabilities: give values from 0 to 1.")


__all__ = ["LungFusionConfig", "LungUNetConfig"]
