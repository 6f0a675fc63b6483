"""The one inference path: Radiograph → Analysis. App, command line, evaluation and tests all go through it."""

from collections.abc import Iterator
from itertools import islice, repeat

import numpy as np
import torch
from transformers import AutoImageProcessor

from .analysis import UPRIGHT, Analysis, Finding, age_group
from .answering import answering
from .checks.geometry import bring_back
from .checks.input_checks import Evidence as InputEvidence
from .checks.input_checks import Limits, check_input, none_shown
from .compiled import CompiledModel, segmenter_of
from .evidence import Evidence
from .explanation import grad_cam
from .loading import checkpoint_of, load_model
from .model_pass import as_passes, run, run_corrected, with_orientation
from .models import LungUNetForSemanticSegmentation
from .models.configuration_lungfusion import better_fit
from .models.mask_postprocessing import calibrated_quality, expected_dice, split_lungs
from .reading.radiograph import RadiographError, load_radiograph
from .reading.sources import load

BATCH_SIZE = 8


class LungFusionPipeline:
    """Analyses chest radiographs; built once, called often, also from several threads.

        pipe = LungFusionPipeline.from_pretrained()
        analysis = pipe("xray.png")

    Args:
        model: `LungFusionForImageClassification`, or `LungUNetForSemanticSegmentation` for the lungs alone. It is left
            as it is: one in training answers in evaluation mode and goes on training afterwards.
        processor: `LungFusionImageProcessor`.
        evidence: `Evidence`, what was measured of it; none if None.
    """

    def __init__(self, model, processor, evidence=None):
        self.model = model
        self.segmenter = segmenter_of(model)
        self.processor = processor
        self.evidence = evidence or Evidence()
        self.compiled = CompiledModel(model)

    @classmethod
    def from_pretrained(cls, name_or_path=None, revision=None, device=None, dtype=None):
        """Load a checkpoint.

        Args:
            name_or_path: id on the Hub, or a folder: a checkpoint's, or a run's with it in `model`; the bundled
                checkpoint if None (no network needed).
            revision: branch, tag or commit on the Hub.
            device: where to run; a GPU if there is one.
            dtype: of weights and computation; float32 unless given.

        Raises:
            OSError: nothing to load there, no safetensors, or they were damaged on the way.
            ValueError: it is no LungFusion checkpoint, or some of its weights are missing.
        """
        source = checkpoint_of(name_or_path)
        model = load_model(source, revision, dtype or torch.float32)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        model.eval().to(device, memory_format=torch.channels_last)
        segmenter_of(model).requires_grad_(False)  # heat maps need no gradients through the mask
        processor = AutoImageProcessor.from_pretrained(source, revision=revision, trust_remote_code=False)
        return cls(model, processor, Evidence.from_pretrained(source, revision))

    @property
    def findings(self):
        """Names of the findings the model tells of; empty for a segmenter."""
        return tuple(getattr(self.model.config, "shown", ()))

    def __call__(self, source, age=None, errors="raise", correct=True):
        """Analyse a radiograph, or several.

        Args:
            source: path, bytes, file object, PIL image, array or `Radiograph` (see `load_radiograph`); or a list, tuple
                or iterator of them.
            age: of the person in years, where it is known and the file does not tell it; a list for a list.
            errors: `"raise"`, or `"return"`: of a source that can't be read the `RadiographError` stands in the place
                of its `Analysis`.
            correct: whether a margin is trimmed, a photographed film straightened, and a radiograph that lies on its
                side, upside down or is inverted set right first; the `correction` of its `Analysis` says what was done.

        Returns:
            `Analysis`; a list for a list or tuple; an iterator for an iterator, of which few are held at a time.

        Raises:
            RadiographError: the source can't be read as a radiograph.
            ValueError: an age or `errors` that can't be meant.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors is {errors!r}: give raise or return.")
        if isinstance(source, Iterator) and not hasattr(source, "read"):
            return self.stream(source, age, errors, correct)
        if isinstance(source, list | tuple):
            return list(self.stream(source, age, errors, correct))
        radiograph = load(source, age, errors)
        return radiograph if isinstance(radiograph, RadiographError) else self.analyse([radiograph], correct)[0]

    def stream(self, sources, ages, errors, correct):
        """Yield what `__call__` says of each source; `BATCH_SIZE` of them are analysed at a time."""
        pairs = zip(sources, repeat(None)) if ages is None else zip(sources, ages, strict=True)
        numbered = enumerate(pairs, 1)

        def read(one):
            number, (source, age) = one
            return load(source, age, errors, f"Number {number}: ")

        def read_and_analysed(one):
            radiograph = read(one)
            return radiograph if isinstance(radiograph, RadiographError) else self.analyse([radiograph], correct)[0]

        while batch := list(islice(numbered, BATCH_SIZE)):
            if len(batch) > BATCH_SIZE // 2 and self.compiled.is_used:  # for few it is not worth compiling once more
                yield from self.compiled.side_by_side(read_and_analysed, batch)
                continue
            loaded = list(map(read, batch))
            readable = [one for one in loaded if not isinstance(one, RadiographError)]
            analyses = iter(self.analyse(readable, correct) if readable else ())
            for one in loaded:
                yield one if isinstance(one, RadiographError) else next(analyses)

    @answering
    def analyse(self, radiographs, correct=True):
        return [self.analysis(one) for one in self.passes(radiographs, correct)]

    def passes(self, radiographs, correct=True):
        """A `ModelPass` of each radiograph, corrected if it is to be and had to be."""
        if correct:
            return run_corrected(self, radiographs, self.limits)
        passes = run(self, radiographs, [UPRIGHT] * len(radiographs))
        return [with_orientation(self, one, self.limits) for one in passes]

    @property
    def limits(self):
        """`Limits` of the segmenter."""
        return Limits(**self.segmenter.config.input_limits)

    def pixel_values(self, radiographs):
        pixels = self.processor([r.pixels for r in radiographs])["pixel_values"]
        return pixels.to(self.model.device, self.model.dtype, memory_format=torch.channels_last)

    def answers(self, radiographs, pixel_values, output):
        """One `Analysis` for each radiograph, uncorrected, from what the model gave for their pixel values."""
        same = [np.eye(3)] * len(radiographs)
        shapes = [radiograph.pixels.shape for radiograph in radiographs]
        passes = as_passes(radiographs, [UPRIGHT] * len(radiographs), shapes, same, pixel_values, output)
        return [self.analysis(with_orientation(self, one, self.limits)) for one in passes]

    def analysis(self, one):
        """`Analysis` of a `ModelPass`."""
        quality = self.mask_quality(one.drawn_alpha)
        right, left = split_lungs(one.lungs)
        seen = InputEvidence(
            shape=one.shape,
            colour=one.radiograph.colour,
            image=one.image,
            right=right,
            left=left,
            mask_quality=quality,
            ood_score=one.ood_score_once_corrected,
            correction=one.correction,
            wanted=one.wanted,
            several=one.several,
        )
        warnings = check_input(seen, self.limits)
        findings, age = (), one.radiograph.age
        if not any(warning.rejects for warning in warnings):
            warnings += none_shown(self.model.config)
            if self.findings:
                probabilities = self.model.probabilities(one.output.logits)[0].tolist()
                named = dict(zip(self.model.config.findings, probabilities, strict=True))
                findings = self.answered(named, age, seen.ood_score, min(seen.shape))
        return Analysis(
            radiograph=one.radiograph,
            model_alpha=one.alpha,
            right_lung_area=float(right.mean()),
            left_lung_area=float(left.mean()),
            mask_quality=quality,
            ood_score=seen.ood_score,
            correction=one.correction,
            findings=findings,
            warnings=warnings,
            tilt=seen.tilt,
            matrix=one.matrix,
        )

    def mask_quality(self, alpha):
        """The Dice to expect of a mask as the network drew it, (S, S): its own estimate, calibrated."""
        config = self.segmenter.config
        return calibrated_quality(expected_dice(alpha), config.quality_slope, config.quality_offset)

    def answered(self, probabilities, age=None, ood_score=0.0, side=np.inf):
        """`Finding` of each finding told, in a person of that age and an image of that out-of-distribution score, its
        shorter side so many pixels.

        Args:
            probabilities: name → float, of all findings that were learned.
        """
        config = self.model.config
        reasons = {name: reason_of(finding, age, ood_score, side) for name, finding in config.findings.items()}
        assessed = {name: value for name, value in probabilities.items() if reasons[name] is None}
        return tuple(
            Finding(
                name=name,
                probability=assessed.get(name),
                threshold=config.findings[name].threshold,
                rule_out_threshold=config.findings[name].rule_out_threshold or config.findings[name].threshold,
                population=config.findings[name].population,
                reason=reasons[name],
                evidence=self.evidence[name],
                better_fit=better_fit(name, config.findings[name].rivals, assessed) if name in assessed else None,
            )
            for name in self.findings
        )

    @answering
    def features(self, source):
        """The fused features of a radiograph, or of a list of them, for models of your own.

        Args:
            source: as for calling the pipeline.

        Returns:
            (D,) float32 array; (N, D) for a list. D is the model's `fusion.num_features`.

        Raises:
            RadiographError: the source can't be read as a radiograph.
            ValueError: the model only segments.
        """
        if isinstance(self.model, LungUNetForSemanticSegmentation):
            raise ValueError("A segmenter has no fused features: give a checkpoint that names findings.")
        if not isinstance(source, list | tuple):
            return self.features([source])[0]
        rows = [np.empty((0, self.model.fusion.num_features), np.float32)]
        for start in range(0, len(source), BATCH_SIZE):
            radiographs = [load_radiograph(s) for s in source[start : start + BATCH_SIZE]]
            rows += [one.output.fused_features.float().cpu().numpy() for one in self.passes(radiographs)]
        return np.concatenate(rows)

    def explain(self, source, finding):
        """Where the networks looked for a finding.

        Args:
            source: as for calling the pipeline.
            finding: its name.

        Returns:
            (H, W) float32 array in [0, 1], in the geometry of the radiograph; what it means: `explanation.grad_cam`.

        Raises:
            ValueError: the model does not tell of that finding, or has no heat map of it that is worth a look.
        """
        if finding not in self.findings:
            raise ValueError(f"The model names {', '.join(self.findings) or 'no findings'}, not {finding!r}.")
        if finding not in self.model.config.explained:
            raise ValueError(f"There is no heat map of {finding}: it says no more than the finding's mean map does.")
        analysis, saliency = self.analyse_and_explain(source)
        shape = analysis.radiograph.pixels.shape
        return np.clip(self.processor.to_original_sizes([saliency[finding]], [shape])[0].numpy(), 0, 1)

    @answering
    def analyse_and_explain(self, source, age=None, correct=True):
        """Both at once, in one pass of the networks.

        Args:
            source, age, correct: as for calling the pipeline, but one.

        Returns:
            analysis: `Analysis`.
            saliency: finding → (S, S) float32 array in [0, 1], as for `explain`, but square: stretched over the
                radiograph as loaded it fits. Of every finding the model tells of, answered or not, whose map says
                more of a radiograph than the finding's mean map (`config.explained`).
        """
        one = self.passes([load(source, age)], correct)[0]
        analysis, size = self.analysis(one), self.processor.size.height
        explained = [name for name in self.findings if name in self.model.config.explained]
        if not explained:
            return analysis, {}
        with torch.inference_mode(False):
            maps = grad_cam(self.model, one.output, size, explained)[0].float().cpu().numpy()
        if one.correction != UPRIGHT:
            maps = np.stack([bring_back(x, one.matrix, (size, size)) for x in maps])
        return analysis, dict(zip(explained, maps, strict=True))


def reason_of(finding, age, ood_score, side):
    """Why a finding is not assessed, one of `analysis.REASONS`; None where it is. finding: `FindingConfig`."""
    if finding.population and age is not None and age_group(age) not in finding.population:
        return "age"
    if finding.max_ood_score is not None and ood_score > finding.max_ood_score:
        return "ood_score"
    return "resolution" if side < (finding.min_side or 0) else None
