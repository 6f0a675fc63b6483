"""The one inference path: Radiograph → Analysis. App, command line, evaluation and tests all go through it."""

import copy
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice, repeat

import numpy as np
import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from transformers import AutoImageProcessor

from .analysis import UPRIGHT, Analysis, Correction, Finding, age_group
from .backends import OpenVinoBackend, is_forked, pick, segmenter_of
from .checks.geometry import unwarp_to_original
from .checks.input_checks import Limits, none_shown
from .evidence import Evidence
from .explanation import grad_cam
from .loading import checkpoint_of, load_model
from .models import LungUNetForSemanticSegmentation
from .models.configuration_lungfusion import better_fit
from .reading.radiograph import RadiographError
from .reading.sources import is_several, load
from .steps import check, frame, locate, look, orient, run, to_pixel_values

BATCH_SIZE = 8
logger = logging.getLogger(__name__)


class LungFusionPipeline:
    """Analyses chest radiographs; built once, called often, also from several threads.

        pipe = LungFusionPipeline.from_pretrained()
        analysis = pipe("xray.png")

    It serves a fixed model: once weights were changed on purpose, build a pipeline again. Its answers do not depend on
    what the caller has set in torch: autocast, inference mode, the default dtype. A process forked from one that had
    loaded a model is answered by torch on one thread, for the others are lost in a fork.

    Args:
        model: `LungFusionForImageClassification`, or `LungUNetForSemanticSegmentation` for the lungs alone, in
            evaluation mode; what `DataParallel` wrapped is taken out of it. It is left as it is.
        processor: `LungFusionImageProcessor`.
        evidence: `Evidence`, what was measured of it; none if None.
        backend: what runs the model: `"auto"`, `"torch"` or `"openvino"`; see `backends.pick`.

    Raises:
        ValueError: the model is in training mode, one of its weights is no number, or the backend can't run it.
    """

    def __init__(self, model, processor, evidence=None, backend="auto"):
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        if any(module.training for module in model.modules()):
            raise ValueError("The model is in training mode: call .eval() first.")
        for name, weight in (*model.named_parameters(), *model.named_buffers()):
            if not weight.isfinite().all():
                raise ValueError(
                    f"The model's {name} holds what is no number (NaN or infinite): its training diverged, so take an "
                    "earlier checkpoint."
                )
        self.model, self.tells_all = model, False
        self.segmenter = segmenter_of(model)
        self.processor = processor
        self.evidence = evidence or Evidence()
        self.backend = pick(model, backend)
        if backend == "openvino":
            self.compile()
            if not self.backend.is_compiled:
                raise ValueError("OpenVINO can't run this model: give backend='torch'.")

    @classmethod
    def from_pretrained(cls, name_or_path=None, revision=None, device=None, dtype=None, backend="auto"):
        """Load a checkpoint.

        Args:
            name_or_path: id on the Hub, or a folder: a checkpoint's, or a run's with it in `model`; the bundled
                checkpoint if None (no network needed).
            revision: branch, tag or commit on the Hub.
            device: where to run; a GPU if there is one.
            dtype: of weights and computation; float32 unless given.
            backend: what runs the model: `"auto"`, `"torch"` or `"openvino"`; see `backends.pick`.

        Raises:
            OSError: nothing to load there, no safetensors, or they were damaged on the way.
            ValueError: it is no LungFusion checkpoint, some of its weights are missing or no numbers, or the backend
                can't run it.
        """
        source = checkpoint_of(name_or_path)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        with torch.inference_mode(False):  # else heat maps could not be made of the weights
            model = load_model(source, revision, dtype or torch.float32)
            model.eval().to(device, memory_format=torch.channels_last)
            segmenter_of(model).requires_grad_(False)  # heat maps need no gradients through the mask
        processor = AutoImageProcessor.from_pretrained(source, revision=revision, trust_remote_code=False)
        return cls(model, processor, Evidence.from_pretrained(source, revision), backend)

    @property
    def config(self):
        return self.model.config

    @property
    def findings(self):
        """Names of the findings it tells of; empty for a segmenter."""
        return tuple(getattr(self.model.config, "findings" if self.tells_all else "shown", ()))

    def telling_all(self):
        """The same pipeline, but it tells of every finding that was learned, those too that are not shown to users."""
        other = copy.copy(self)
        other.tells_all = True
        return other

    def __call__(self, source, age=None, errors="raise", correct=True):
        """Analyse a radiograph, or several.

        Args:
            source: path, bytes, file object, PIL image, array, tensor or `Radiograph`, or a row of a data set with
                `bytes` or `path` (see `load_radiograph`); or several of them: a list, any other iterable such as a
                column of `datasets` or pandas, or an iterator.
            age: of the person in years, where it is known and the file does not tell it; several for several.
            errors: `"raise"`, or `"return"`: of a source that can't be read the `RadiographError` stands in the place
                of its `Analysis`.
            correct: whether a margin is trimmed, a photographed film straightened, and a radiograph that lies on its
                side, upside down or is inverted set right first; the `correction` of its `Analysis` says what was done.
                Or the `Correction` to be made instead, of all of several: `Correction(mirror=True)`.

        Returns:
            `Analysis`; a list for several; an iterator for an iterator, of which few are held at a time.

        Raises:
            RadiographError: the source can't be read as a radiograph.
            ValueError: an age or `errors` that can't be meant, or the model's answer is no number.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors is {errors!r}: give raise or return.")
        if is_several(source):
            answers = self.stream(source, age, errors, correct)
            return answers if isinstance(source, Iterator) else list(answers)
        radiograph = load(source, age, errors)
        return radiograph if isinstance(radiograph, RadiographError) else self.analyse([radiograph], correct)[0]

    def stream(self, sources, ages, errors, correct):
        """Yield what `__call__` says of each source; `BATCH_SIZE` of them are analysed at a time."""
        pairs = zip(sources, repeat(None)) if ages is None else zip(sources, ages, strict=True)
        numbered = enumerate(pairs, 1)

        def read(one):
            number, (source, age) = one
            return load(source, age, errors, f"Number {number}: ")

        def read_and_analysed(backend, one):
            radiograph = read(one)
            if isinstance(radiograph, RadiographError):
                return radiograph
            return self.analyse([radiograph], correct, backend)[0]

        while batch := list(islice(numbered, BATCH_SIZE)):
            if len(batch) > BATCH_SIZE // 2 and (divided := self.divided()):  # few are not worth compiling once more
                backend, cores = divided
                with ThreadPoolExecutor(cores) as pool:
                    yield from list(pool.map(partial(read_and_analysed, backend), batch))
                continue
            loaded = list(map(read, batch))
            readable = [one for one in loaded if not isinstance(one, RadiographError)]
            analyses = iter(self.analyse(readable, correct) if readable else ())
            for one in loaded:
                yield one if isinstance(one, RadiographError) else next(analyses)

    def analyse(self, radiographs, correct=True, backend=None):
        """`Analysis` of each `Radiograph`; backend: the pipeline's own if None."""
        return [self.answer(state) for state in self.infer(radiographs, correct, backend)]

    def infer(self, radiographs, correct=True, backend=None):
        """An `InferenceState` of each `Radiograph`, corrected as `correct` says."""
        given = correct if isinstance(correct, Correction) else None if correct else UPRIGHT
        with self.settings():
            backend, limits = backend or self.backend, self.limits
            corrections = frame(radiographs) if given is None else [given] * len(radiographs)
            states = run(backend, self.processor, radiographs, corrections)
            if given is None:
                return [orient(backend, self.processor, state, limits) for state in states]
            return [look(backend, state, limits) for state in states]

    def answer(self, state):
        """`Analysis` of an `InferenceState`."""
        with self.settings():
            evidence, warnings = check(self.model, state, self.limits)
        findings, age = (), state.radiograph.age
        if not any(warning.rejects for warning in warnings):
            warnings += none_shown(self.model.config)
            if self.findings:
                probabilities = self.model.probabilities(state.output.logits)[0].tolist()
                named = dict(zip(self.model.config.findings, probabilities, strict=True))
                facts = age, evidence.ood_score, min(*evidence.shape, evidence.effective_side)
                findings = self.answered(named, *facts, locate(self.model, state), evidence.hidden_by)
        return Analysis(
            radiograph=state.radiograph,
            model_alpha=state.alpha,
            right_lung_area=float(evidence.right.mean()),
            left_lung_area=float(evidence.left.mean()),
            mask_quality=evidence.mask_quality,
            ood_score=evidence.ood_score,
            correction=state.correction,
            findings=findings,
            warnings=warnings,
            hidden=evidence.hidden,
            tilt=evidence.tilt,
            original_from_corrected=state.original_from_corrected,
        )

    @contextmanager
    def settings(self):
        """Torch as the model needs it, whatever the caller has set, and in a forked process without lost threads."""
        if is_forked() and torch.get_num_threads() > 1:
            logger.warning(
                "This process was forked from one that had loaded a model, and has none of its threads: torch answers "
                "on one. For all cores build the pipeline in the child alone, or start the child by spawn."
            )
            torch.set_num_threads(1)
        if is_forked() and isinstance(self.backend, OpenVinoBackend):
            self.backend = self.backend.abandoned()
        with ExitStack() as stack:
            for device in {"cpu", self.model.device.type}:
                stack.enter_context(torch.autocast(device, enabled=False))
            stack.enter_context(torch.inference_mode())
            yield

    def compile(self):
        """Do now what the first images would wait for, some seconds where OpenVINO runs the model; threads that ask
        meanwhile are answered by torch.
        """
        with self.settings():
            self.backend.compile(self.processor.size.height)

    def divided(self):
        """A backend for images side by side, and how many; None where they are best run as one batch."""
        with self.settings():
            return self.backend.divided(self.processor.size.height)

    @property
    def limits(self):
        """`Limits` of the segmenter."""
        return Limits(**self.segmenter.config.input_limits)

    def pixel_values(self, radiographs):
        """What the model is given of radiographs as they are: (B, 1, S, S) float in [0, 1]."""
        with self.settings():
            return to_pixel_values(self.model, self.processor, [radiograph.pixels for radiograph in radiographs])

    def answered(self, probabilities, age=None, ood_score=0.0, side=np.inf, places=None, hidden_by=None):
        """`Finding` of each finding told, in a person of that age and an image of that out-of-distribution score, its
        shorter side showing no more than so many pixels would.

        Args:
            probabilities: name → float, of all findings that were learned.
            places: name → `Spot`s, of those whose places are known.
            hidden_by: see `Finding`.
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
                places=(places or {}).get(name, ()) if name in assessed else (),
                hidden_by=hidden_by,
            )
            for name in self.findings
        )

    def features(self, source):
        """The fused features of a radiograph, or of several, for models of your own.

        Args:
            source: as for calling the pipeline.

        Returns:
            (D,) float32 array; (N, D) for several. D is the model's `fusion.num_features`.

        Raises:
            RadiographError: the source can't be read as a radiograph.
            ValueError: the model only segments.
        """
        if isinstance(self.model, LungUNetForSemanticSegmentation):
            raise ValueError("A segmenter has no fused features: give a checkpoint that names findings.")
        if not is_several(source):
            return self.features([source])[0]
        rows, sources = [np.empty((0, self.model.fusion.num_features), np.float32)], iter(source)
        while batch := list(islice(sources, BATCH_SIZE)):
            states = self.infer([load(one) for one in batch])
            rows += [state.output.fused_features.float().cpu().numpy() for state in states]
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
        state = self.infer([load(source, age)], correct)[0]
        analysis, size = self.answer(state), self.processor.size.height
        explained = [name for name in self.findings if name in self.model.config.explained]
        if not explained:
            return analysis, {}
        with self.settings():
            with torch.inference_mode(False):
                maps = grad_cam(self.model, state.output, size, explained)[0].float().cpu().numpy()
            if state.correction != UPRIGHT:
                maps = np.stack([unwarp_to_original(x, state.original_from_corrected, (size, size)) for x in maps])
        return analysis, dict(zip(explained, maps, strict=True))


def reason_of(finding, age, ood_score, side):
    """Why a finding is not assessed, one of `analysis.REASONS`; None where it is. finding: `FindingConfig`."""
    if finding.population and age is not None and age_group(age) not in finding.population:
        return "age"
    if finding.max_ood_score is not None and ood_score > finding.max_ood_score:
        return "ood_score"
    return "resolution" if side < (finding.min_side or 0) else None
