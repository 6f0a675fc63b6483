"""The one inference path, on a tiny real checkpoint."""

import json

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lungfusion import LungFusionImageProcessor, LungFusionPipeline, RadiographError, load_radiograph
from lungfusion.backends import TorchBackend
from lungfusion.evidence import FIGURES
from lungfusion.models.modeling_lung_unet import LungUNetOutput
from lungfusion.models.view_head import VIEWS
from tests.support.tiny import SIDE, alike, find_lungs_everywhere, tiny_model, tiny_segmenter


def test_analysis_of_a_path(pipe, phantom, tmp_path):
    path = tmp_path / "xray.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).resize((300, 200)).save(path)
    analysis = pipe(path)
    assert analysis.alpha.shape == (200, 300)
    assert analysis.alpha.dtype == np.float32
    assert 0 <= analysis.alpha.min() <= analysis.alpha.max() <= 1
    assert [finding.name for finding in analysis.findings] == ["pneumonia", "tuberculosis"]
    assert analysis["pneumonia"].detected and not analysis["tuberculosis"].detected
    assert analysis["pneumonia"].evidence.home["sensitivity"] == 0.9
    assert analysis["tuberculosis"].evidence.home == {}
    assert [warning.code for warning in analysis.warnings] == ["cut_off", "one_lung_found"]  # it covers everything
    with pytest.raises(KeyError, match="pneumonia, tuberculosis"):
        analysis["gout"]


def test_to_dict_is_json_ready(pipe, phantom):
    answer = json.loads(json.dumps(pipe(phantom[0]).to_dict()))
    assert answer["height"] == answer["width"] == 256
    assert answer["lung_area"] == answer["right_lung_area"] + answer["left_lung_area"] == 1.0
    assert answer["findings"][0] | {"probability": 0} == {
        "name": "pneumonia",
        "probability": 0,
        "threshold": 0.01,
        "rule_out_threshold": 0.01,
        "population": [],
        "reason": None,
        "evidence": {
            "sources": ["phantoms"],
            "home": {"sensitivity": 0.9, "specificity": 0.8},
            **{figure: [] for figure in FIGURES},
        },
        "better_fit": None,
        "places": [],
        "hidden_by": None,
        "level": "detected",
        "detected": True,
    }


def test_every_source_gives_the_same(pipe, phantom, tmp_path):
    grey = Image.fromarray((phantom[0] * 255).astype(np.uint8))
    path = tmp_path / "xray.png"
    grey.save(path)
    sources = [str(path), path.read_bytes(), grey, np.asarray(grey), np.asarray(grey) / 255, load_radiograph(path)]
    with path.open("rb") as file:
        answers = [pipe(source) for source in [*sources, file]]
    probabilities = [[finding.probability for finding in answer.findings] for answer in answers]
    np.testing.assert_allclose(probabilities, probabilities[:1] * len(answers), atol=1e-5)


def test_a_list_gives_a_list_in_order_and_batches_change_nothing(pipe):
    rng = np.random.default_rng(0)
    images = [rng.random((100 + i, 120)).astype(np.float32) for i in range(11)]
    together = pipe(images)
    assert [analysis.alpha.shape[0] for analysis in together] == [100 + i for i in range(11)]
    for image, analysis in zip(images, together, strict=True):
        assert analysis["pneumonia"].probability == pytest.approx(pipe(image)["pneumonia"].probability, abs=1e-4)
    assert pipe([]) == []


def test_what_counts_as_several(pipe, phantom, tmp_path):
    grey = Image.fromarray((phantom[0] * 255).astype(np.uint8))
    grey.save(path := tmp_path / "xray.png")
    rows = datasets.Dataset.from_dict({"image": [str(path)] * 2}).cast_column("image", datasets.Image())
    undecoded = rows.cast_column("image", datasets.Image(decode=False))["image"]
    names, row = [str(path)] * 2, {"bytes": path.read_bytes(), "path": None}
    series = pd.Series(names), pd.Series([path, grey], dtype=object)
    several = [rows["image"], undecoded, *series, dict.fromkeys("ab", grey).values(), np.array(names), (row, row)]
    several += [rows, torch.utils.data.Subset(rows, [0, 1]), torch.from_numpy(np.array(grey)).expand(2, 1, -1, -1)]
    for source in several:
        answers = pipe(source)
        assert isinstance(answers, list) and len(answers) == 2, type(source)
        assert pipe.features(source).shape == (2, 8)
    assert pipe(pd.Series(names), age=pd.Series([3, 4]))[1].radiograph.age == 4
    pixels = torch.from_numpy(np.array(grey))
    one = [undecoded[0], row, pixels, (pixels / 255)[None], (pixels / 255).bfloat16().requires_grad_()]
    expected = pipe(path)["pneumonia"].probability
    for source in one:
        assert pipe(source)["pneumonia"].probability == pytest.approx(expected, abs=1e-3)
        assert pipe.features(source).shape == (8,)
    assert pipe.features(iter([path, grey])).shape == (2, 8) and pipe.features([]).shape == (0, 8)


def test_an_iterator_is_analysed_as_it_comes(pipe, phantom):
    read = []

    def sources():
        for number in range(20):
            read.append(number)
            yield phantom[0]

    answers = pipe(sources())
    first = next(answers)
    assert first["pneumonia"].probability == pytest.approx(pipe(phantom[0])["pneumonia"].probability, abs=1e-4)
    assert len(read) < 20
    assert len(list(answers)) == 19
    assert len(pipe((phantom[0], phantom[0]))) == 2


def test_errors_are_raised_with_their_number_or_returned_in_their_place(pipe, phantom):
    sources = [phantom[0], b"not an image", phantom[0]]
    with pytest.raises(RadiographError, match="Number 2: bytes: this is not a picture"):
        pipe(sources)
    one, error, other = pipe(sources, errors="return")
    assert isinstance(error, RadiographError) and str(error).startswith("bytes: this is not a picture")
    assert one.findings and one.to_dict() == alike(other.to_dict())
    assert isinstance(pipe(b"", errors="return"), RadiographError)
    assert all(isinstance(error, RadiographError) for error in pipe([b"", b"x"], errors="return"))
    with pytest.raises(ValueError, match="'ignore': give raise or return"):
        pipe(sources, errors="ignore")


def test_a_model_in_training_is_refused(pipe):
    model = tiny_model()
    model.classifier[0].train()
    for in_training in (model, tiny_segmenter().train()):
        with pytest.raises(ValueError, match=r"in training mode: call \.eval\(\) first"):
            LungFusionPipeline(in_training, pipe.processor)


def test_a_model_trained_on_several_gpus_is_taken_out_of_its_wrapper(pipe, phantom):
    wrapped = LungFusionPipeline(torch.nn.DataParallel(pipe.model), pipe.processor, pipe.evidence)
    assert wrapped.model is pipe.model
    assert wrapped(phantom[0]).to_dict() == alike(pipe(phantom[0]).to_dict())


def test_what_is_no_number_is_told(pipe, phantom):
    model = tiny_model()
    with torch.no_grad():
        model.classifier[-1].bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"model's classifier\.4\.bias holds what is no number \(NaN"):
        LungFusionPipeline(model, pipe.processor)
    diverged = LungFusionPipeline(tiny_model(), pipe.processor)
    with torch.no_grad():
        diverged.model.classifier[-1].bias[0] = torch.nan
    for source in (phantom[0], [phantom[0]]):
        with pytest.raises(ValueError, match="model's answer is no number"):
            diverged(source)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
def test_a_quantised_model_answers(pipe, phantom):
    """Of its state, the types of numbers are no numbers that could be finite."""
    small = torch.ao.quantization.quantize_dynamic(pipe.model, {torch.nn.Linear}).eval()
    said = [LungFusionPipeline(model, pipe.processor)(phantom[0]).findings for model in (pipe.model, small)]
    for before, after in zip(*said, strict=True):
        assert after.probability == pytest.approx(before.probability, abs=0.02)


def test_no_lungs_no_findings(phantom):
    model = tiny_model()
    find_lungs_everywhere(model.segmenter, logit=-5)
    analysis = LungFusionPipeline(model, LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}))(phantom[0])
    assert analysis.findings == ()
    assert [warning.code for warning in analysis.warnings] == ["lungs_not_found"]
    assert analysis.to_dict()["warnings"][0]["sentence"].startswith("No lungs were found")


def drawing(pipe, monkeypatch, mask):
    """The pipeline, its segmenter drawing this mask (S, S) whatever the image."""
    logits = torch.from_numpy(np.where(mask, 4.0, -4.0).astype(np.float32))[None, None]
    unfitted = torch.zeros(1, len(VIEWS)), torch.zeros(1)
    drawn = LungUNetOutput(None, logits, torch.zeros(1), *unfitted)
    monkeypatch.setattr(pipe.model.segmenter, "forward", lambda pixel_values: drawn)
    monkeypatch.setattr(pipe, "backend", TorchBackend(pipe.model))
    return pipe


def test_both_lungs_are_measured(pipe, phantom, monkeypatch):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:80, 10:40] = mask[20:70, 56:80] = True
    mask[90:93, 90:93] = True
    analysis = drawing(pipe, monkeypatch, mask)(phantom[0][:200])
    assert analysis.right_lung_area == pytest.approx(60 * 30 / SIDE**2)
    assert analysis.left_lung_area == pytest.approx(50 * 24 / SIDE**2)
    assert analysis.lung_area == pytest.approx((analysis.alpha > 0.5).mean(), abs=0.01)
    assert analysis.alpha[180:, 230:].max() == 0  # where the speck was
    assert analysis.warnings == ()


def test_one_lung_is_a_warning_and_findings_are_given(pipe, phantom, monkeypatch):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:80, 56:86] = True
    analysis = drawing(pipe, monkeypatch, mask)(phantom[0])
    assert (analysis.right_lung_area, analysis.left_lung_area) == (0, pytest.approx(60 * 30 / SIDE**2))
    assert [warning.code for warning in analysis.warnings] == ["one_lung_found"]
    assert len(analysis.findings) == 2


def test_what_is_no_radiograph_raises(pipe):
    with pytest.raises(RadiographError):
        pipe(b"not an image")


def test_the_callers_model_and_process_are_left_as_they_are(pipe, phantom, monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda *_: pytest.fail("The memory allocator is the command's to change."))
    model = tiny_model(findings=["mass"]).requires_grad_(True)
    own = LungFusionPipeline(model, pipe.processor)
    own([phantom[0]] * 5)
    own.explain(phantom[0], "mass")
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
