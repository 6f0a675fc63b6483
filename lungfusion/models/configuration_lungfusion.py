"""Typed configurations: everything besides the weights that decides what the models compute and what is told of it."""

import copy
import math
import re
from dataclasses import asdict, dataclass, fields

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from segmentation_models_pytorch.encoders import encoders
from timm import is_model
from transformers import PreTrainedConfig

CONCATENATIONS = ("none", "multiply", "rgba", "guided", "learned", "crop", "align", "cutout")
BOXES = ("crop", "align", "cutout")  # of these, that cut out the lungs' box
INPUTS = ("image", "local_contrast")  # what a branch looks at
FUSIONS = ("concat", "gated", "lstm")
PROBLEM_TYPES = ("multi_label_classification", "single_label_classification")
SIDES = (32, 4096)  # pixels of the square images; config.json may come from anyone, and memory grows with the square
WIDTHS = (1, 8192)  # channels of a layer
MAX_BRANCHES = 16
DEFAULT_FINDINGS = ("pneumonia", "tuberculosis")
NODULE_FINDINGS = ("nodule", "mass")  # what the nodule detector finds, by width
LUNGS = ("background", "right lung", "left lung")  # the patient's right is on the left of the picture
INPUT_LIMITS = ("usual_ood_score", "doubtful_ood_score", "max_ood_score", "chest_quality", "min_mask_quality")
INPUT_LIMITS += ("min_frontal", "min_heart_left")
AGE_GROUPS = ("child", "adult")  # whom a finding can have been learned on
LABELS = ("id2label", "label2id", "num_labels")  # how transformers names the findings
PLAIN_NAME = re.compile(r"[\w.-]+")  # not hf-hub:… or local-dir:…, for which timm would look elsewhere
OF_VERSION_0_2 = ("thresholds", "temperatures", "biases", "shown", "explained", "lesion_backbone")  # now findings


@dataclass(frozen=True)
class FindingConfig:
    """What turns one finding's logit into an answer, and of whom it is given. It never changes:
    `dataclasses.replace` makes another one.

    Args:
        threshold: float in (0, 1), the probability from which it counts as detected.
        rule_out_threshold: float in (0, threshold], the probability below which it counts as not detected; between the
            two the answer is unclear. None: the threshold, so that no answer is unclear.
        temperature: float above 0, the divisor of its logit (Guo et al. 2017).
        bias: float that is then added, for training draws the finding more often than it occurs (Platt 1999).
        population: the people it was learned on, out of `child` and `adult`; it is not assessed in others. Empty: not
            said, it is assessed in everybody.
        max_ood_score: out-of-distribution score above which it is not assessed; None: it always is.
        min_side: pixels of a radiograph's shorter side below which it is not assessed; None: it always is.
        shown: whether users are told of it; others are learned, but were not shown to work.
        explained: whether heat maps of it are offered: where they say more of a radiograph than their mean does.
        rivals: findings that the same shadow sets off; it counts as detected only where its logit is not below theirs.

    Raises:
        ValueError: a value is no such thing; the sentence says which, and what to give.
    """

    threshold: float = 0.5
    rule_out_threshold: float | None = None
    temperature: float = 1.0
    bias: float = 0.0
    population: tuple[str, ...] = ()
    max_ood_score: float | None = None
    min_side: int | None = None
    shown: bool = True
    explained: bool = True
    rivals: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("population", "rivals"):  # lists, as JSON has them
            names = getattr(self, name)
            if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
                raise ValueError(f"{name} is {names!r}: give a list of names.")
            object.__setattr__(self, name, tuple(names))
        for name in ("shown", "explained"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}: give true or false.")
        if not is_number(self.threshold) or not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold!r}: give a probability above 0 and below 1.")
        if self.rule_out_threshold is not None and not (
            is_number(self.rule_out_threshold) and 0 < self.rule_out_threshold <= self.threshold
        ):
            raise ValueError(
                f"rule_out_threshold is {self.rule_out_threshold!r}: give a probability above 0, at most the threshold."
            )
        if not is_number(self.bias):
            raise ValueError(f"bias is {self.bias!r}: it is added to a logit, so give a finite number.")
        for name in ("temperature", "max_ood_score", "min_side"):
            value = getattr(self, name)
            if not (value is None and name != "temperature") and not (is_number(value) and value > 0):
                raise ValueError(f"{name} is {value!r}: give a finite number above 0.")
        if unknown := set(self.population) - set(AGE_GROUPS):
            raise ValueError(f"population names {', '.join(sorted(unknown))}: choose out of {', '.join(AGE_GROUPS)}.")


@dataclass(frozen=True)
class NoduleDetectorConfig:
    """Which nodule detector a model has; see `NoduleDetector`.

    Args:
        size: side in pixels of the square picture of the lungs' box that it reads; a multiple of 16. A pixel stands for
            about 314 mm divided by it.
        channels: of its levels at strides 2, 4, 8 and 16.

    Raises:
        ValueError: a value is no such thing; the sentence says which, and what to give.
    """

    size: int = 320
    channels: tuple[int, ...] = (12, 24, 48, 80)

    def __post_init__(self):
        object.__setattr__(self, "channels", tuple(self.channels))
        check_range(self, SIDES, "size")
        if self.size % 16:
            raise ValueError(f"size is {self.size}: give a multiple of 16, the nodule detector halves it four times.")
        if len(self.channels) != 4 or not all(within(channels, WIDTHS) for channels in self.channels):
            raise ValueError(f"channels is {self.channels}: give four numbers of channels.")


def finding_config(name, values):
    """`FindingConfig` of a finding, from one or from its dict in config.json; a ValueError names the finding."""
    if isinstance(values, FindingConfig):
        return values
    if not isinstance(values, dict):
        raise ValueError(f"findings gives {name} {values!r}: give its settings by their names.")
    known = [one.name for one in fields(FindingConfig)]
    if unknown := set(values) - set(known):
        raise ValueError(f"findings gives {name} {', '.join(map(str, unknown))}: choose out of {', '.join(known)}.")
    try:
        return FindingConfig(**values)
    except ValueError as error:
        raise ValueError(f"findings, {name}: {error}") from error


def better_fit(name, rivals, scores):
    """The rival of a finding that fits better than it: the one of the highest score, if that is above its own.

    Args:
        name: of the finding.
        rivals: names, as `FindingConfig.rivals` has them.
        scores: name → its logit or probability; None, or absent, of a rival that was not assessed.

    Returns:
        its name; None where no rival fits better.
    """
    known = [rival for rival in rivals if scores.get(rival) is not None and scores[rival] > scores[name]]
    return max(known, key=scores.get, default=None)


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_backbone(name):
    return bool(PLAIN_NAME.fullmatch(name)) and is_model(name)


def check_range(config, limits, *names):
    for name in names:
        if not within(getattr(config, name), limits):
            raise ValueError(f"{name} is {getattr(config, name)}: give a value from {limits[0]} to {limits[1]}.")


def within(value, limits):
    return limits[0] <= value <= limits[1]


def check_finite(config, *names):
    for name in names:
        if not math.isfinite(getattr(config, name)):
            raise ValueError(f"{name} is {getattr(config, name)}: give a finite value.")


def names_of_labels(labels):
    """The findings that `findings`, `id2label`, `label2id` and `num_labels` name, as far as they are given.

    Returns:
        list of str in the order of the logits, or None where nothing is given. JSON sorts a dict of findings by name,
        so `id2label` goes before it.

    Raises:
        ValueError: they name none, name one twice, are no names, or contradict each other.
    """
    findings, id2label = labels.get("findings"), labels.get("id2label")
    label2id, count = labels.get("label2id"), labels.get("num_labels")
    if id2label is not None:
        by_number = {int(number): name for number, name in id2label.items()}
        if sorted(by_number) != list(range(len(by_number))):
            raise ValueError(f"id2label numbers the findings {sorted(by_number)}: number them from 0 on.")
        id2label = [by_number[number] for number in range(len(by_number))]
    elif label2id is not None:
        return names_of_labels(labels | {"id2label": {number: name for name, number in label2id.items()}})
    if findings is not None and not isinstance(findings, list | tuple | dict):
        raise ValueError(f"findings is {findings!r}: give a list of names, or the settings of each.")
    names = id2label if findings is None else list(findings)
    if names is None:
        return None if count is None else [f"LABEL_{number}" for number in range(count)]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"findings is {names}: give at least one finding, each by its name.")
    if len(set(names)) != len(names):
        raise ValueError(f"findings names one twice: {', '.join(names)}.")
    if isinstance(findings, dict) and id2label is not None and sorted(names) == sorted(id2label):
        names = id2label
    numbered = {name: number for number, name in enumerate(names)}
    if id2label not in (None, names) or label2id not in (None, {}, numbered) or count not in (None, len(names)):
        raise ValueError(f"findings are {', '.join(names)}: findings, id2label, label2id and num_labels must agree.")
    return names


def with_labels(settings, changes):
    """The settings of a configuration with other labels, as `from_pretrained` is given them: what was said of other
    findings than these is left out.
    """
    names = names_of_labels(changes)
    findings = changes.get("findings")
    if not isinstance(findings, dict):
        same = names == names_of_labels({key: settings.get(key) for key in ("findings", *LABELS)})
        findings = settings.get("findings") if same else names
    kept = {key: value for key, value in settings.items() if key not in LABELS}
    return kept | {"findings": findings, "id2label": dict(enumerate(names))}


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
        branch_inputs (`list[str]`): what each of them looks at, `image` or `local_contrast`; None: all at the image.
        concatenation (`str`): how image and alpha are joined, one of `none`, `multiply`, `rgba` (the paper's),
            `guided`, `learned`, `crop`, `align`, `cutout`.
        fusion (`str`): how the branches' features are merged, one of `concat`, `gated`, `lstm`.
        fusion_size (`int`): width of the gated and LSTM fusions, and of the classifier's hidden layer.
        dropout (`float`): dropout before each layer of the classifier.
        findings (`dict[str, FindingConfig]`): what is said of each finding, in the order of the logits; iterating gives
            their names. Taken as a list of names too, or with a dict in place of each `FindingConfig`, as
            config.json holds them; transformers' `id2label` follows from it. `from_pretrained` takes other ones, as
            `findings`, `id2label` or `num_labels`; what was said of the old ones is then left out.
        nodule_detector (`NoduleDetectorConfig` or `dict`): the nodule detector, which says of `nodule` and `mass`
            where they are, and gives their logits in place of the classifier. It looks at the lungs' box, so
            `concatenation` is `crop`, `align` or `cutout`. None: there is none.
        problem_type (`str`): `"multi_label_classification"`, each finding present or absent for itself, or
            `"single_label_classification"`, one of them in each image: labels are its numbers, and the loss is
            cross-entropy.

    Raises:
        ValueError: what is given makes no sense; the sentence says which value, and what to give.
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
        "view_logits",
        "heart_logit",
        "nodule_map",
    ]
    sub_configs = {"segmenter": LungUNetConfig}

    segmenter: LungUNetConfig | dict | None = None
    image_size: int = 320
    branch_size: int = 256
    branches: list[str] | tuple[str, ...] = ("vgg16", "resnet50", "inception_v3", "xception")
    branch_inputs: list[str] | tuple[str, ...] | None = None
    concatenation: str = "rgba"
    fusion: str = "concat"
    fusion_size: int = 256
    dropout: float = 0.3
    findings: dict[str, FindingConfig | dict] | list[str] | tuple[str, ...] | None = None
    nodule_detector: NoduleDetectorConfig | dict | None = None

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        changes = {key: kwargs.pop(key) for key in ("findings", *LABELS) if kwargs.get(key) is not None}
        if changes:
            config_dict = with_labels(config_dict, changes)
        return super().from_dict(config_dict, **kwargs)

    def __post_init__(self, num_labels=None, **kwargs):
        if earlier := [name for name in OF_VERSION_0_2 if name in kwargs]:
            raise ValueError(
                f"The configuration holds {', '.join(earlier)}, as those of version 0.2 and earlier do; now findings "
                "does. Load it with that version, or begin a training with it: a recipe's init_from takes it."
            )
        labels = {"findings": self.findings, "id2label": self.id2label, "label2id": self.label2id}
        names = names_of_labels(labels | {"num_labels": num_labels}) or DEFAULT_FINDINGS
        said = self.findings if isinstance(self.findings, dict) else {}
        self.findings = {name: finding_config(name, said.get(name, {})) for name in names}
        self.id2label = dict(enumerate(names))
        self.label2id = {name: number for number, name in enumerate(names)}
        if not isinstance(self.segmenter, LungUNetConfig):
            self.segmenter = LungUNetConfig.from_dict(self.segmenter or {})
        if isinstance(self.nodule_detector, dict):
            if unknown := set(self.nodule_detector) - set(NoduleDetectorConfig.__dataclass_fields__):
                raise ValueError(f"nodule_detector gives {', '.join(map(str, unknown))}: give size and channels.")
            self.nodule_detector = NoduleDetectorConfig(**self.nodule_detector)
        self.problem_type = self.problem_type or PROBLEM_TYPES[0]
        super().__post_init__(**kwargs)
        self._check()

    @property
    def inputs(self):
        """What each of the branches looks at."""
        return self.branch_inputs or [INPUTS[0]] * len(self.branches)

    @property
    def branch_names(self):
        """A name for each of the branches, none twice."""
        pairs = zip(self.branches, self.inputs, strict=True)
        names = [name if reads == INPUTS[0] else f"{name}, {reads.replace('_', ' ')}" for name, reads in pairs]
        return [name if names.count(name) == 1 else f"{name} {n}" for n, name in enumerate(names, start=1)]

    @property
    def shown(self):
        """Names of the findings that users are told of."""
        return tuple(name for name, finding in self.findings.items() if finding.shown)

    @property
    def explained(self):
        """Names of the findings that heat maps are offered of."""
        return tuple(name for name, finding in self.findings.items() if finding.explained)

    def with_findings(self, findings):
        """The same configuration with other settings of some findings; this one stays as it is.

        Args:
            findings: name → `FindingConfig`; the others keep theirs.

        Raises:
            ValueError: one of them is not among the findings.
        """
        if unknown := set(findings) - set(self.findings):
            raise ValueError(f"There is no finding {', '.join(sorted(unknown))}: it has {', '.join(self.findings)}.")
        changed = copy.deepcopy(self)
        changed.findings = self.findings | findings
        changed._check()
        return changed

    def to_dict(self):
        findings = {name: asdict(finding) for name, finding in self.findings.items()}
        for finding in findings.values():
            finding |= {"population": list(finding["population"]), "rivals": list(finding["rivals"])}
        said = super().to_dict() | {"findings": findings}
        if self.nodule_detector is not None:
            said["nodule_detector"] = asdict(self.nodule_detector) | {"channels": list(self.nodule_detector.channels)}
        return said

    def _check(self):
        names_of_labels({"findings": list(self.findings), "id2label": self.id2label, "label2id": self.label2id})
        for name, finding in self.findings.items():
            if unknown := set(finding.rivals) - (set(self.findings) - {name}):
                raise ValueError(f"findings, {name}: rivals names {', '.join(unknown)}: give other findings' names.")
        if self.concatenation not in CONCATENATIONS:
            raise ValueError(f"concatenation is {self.concatenation!r}: choose one of {', '.join(CONCATENATIONS)}.")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion is {self.fusion!r}: choose one of {', '.join(FUSIONS)}.")
        if self.nodule_detector is not None:
            if missing := [name for name in NODULE_FINDINGS if name not in self.findings]:
                raise ValueError(f"The nodule detector finds {' and '.join(NODULE_FINDINGS)}: name {missing[0]} too.")
            if self.concatenation not in BOXES:
                raise ValueError(
                    f"concatenation is {self.concatenation!r}: the nodule detector needs the lungs' box, so choose "
                    f"{' or '.join(BOXES)}."
                )
        if self.problem_type not in PROBLEM_TYPES:
            raise ValueError(f"problem_type is {self.problem_type!r}: choose one of {', '.join(PROBLEM_TYPES)}.")
        if not self.branches:
            raise ValueError("A LungFusionConfig needs at least one branch and one finding: branches is empty.")
        check_range(self, SIDES, "image_size", "branch_size")
        check_range(self, WIDTHS, "fusion_size")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: give a share from 0 to below 1.")
        if len(self.branches) > MAX_BRANCHES:
            raise ValueError(f"There are {len(self.branches)} branches: give at most {MAX_BRANCHES}.")
        if len(self.inputs) != len(self.branches) or not set(self.inputs) <= set(INPUTS):
            raise ValueError(f"branch_inputs is {self.branch_inputs}: give {' or '.join(INPUTS)} for each branch.")
        for name in self.branches:
            if not is_backbone(name):
                raise ValueError(f"branches names {name!r}, which is no model of timm: see timm.list_models().")


__all__ = ["FindingConfig", "LungFusionConfig", "LungUNetConfig", "NoduleDetectorConfig"]
