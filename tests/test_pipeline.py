"""The one inference path, on a tiny real checkpoint."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoImageProcessor, pipeline
from transformers.image_utils import load_image
from transformers.utils import logging

from lungfusion import LungFusionImageProcessor, LungFusionPipeline, RadiographError, load_radiograph
from lungfusion.explanation import grad_cam
from lungfusion.model_pass import ModelPass
from lungfusion.models.concatenation import paste_back
from tests.conftest import SIDE, find_lungs_everywhere, tiny_model, tiny_segmenter


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return LungFusionPipeline.from_pretrained(checkpoint)


def test_analysis_of_a_path(pipe, phantom, tmp_path):
    path = tmp_path / "xray.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).resize((300, 200)).save(path)
    analysis = pipe(path)
    assert analysis.alpha.shape == (200, 300)
    assert analysis.alpha.dtype == np.float32
    assert 0 <= analysis.alpha.min() <= analysis.alpha.max() <= 1
    assert [finding.name for finding in analysis.findings] == ["pneumonia", "tuberculosis"]
    assert analysis["pneumonia"].detected and not analysis["tuberculosis"].detected
    assert analysis["pneumonia"].sensitivity == 0.9
    assert analysis["tuberculosis"].sensitivity is None
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
        "sensitivity": 0.9,
        "specificity": 0.8,
        "source": "phantoms",
        "rule_out_threshold": 0.01,
        "population": [],
        "away": {},
        "reason": None,
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
        assert analysis["pneumonia"].probability == pytest.approx(pipe(image)["pneumonia"].probability, abs=1e-5)
    assert pipe([]) == []


def test_an_iterator_is_analysed_as_it_comes(pipe, phantom):
    read = []

    def sources():
        for number in range(20):
            read.append(number)
            yield phantom[0]

    answers = pipe(sources())
    first = next(answers)
    assert first["pneumonia"].probability == pytest.approx(pipe(phantom[0])["pneumonia"].probability, abs=1e-5)
    assert len(read) < 20
    assert len(list(answers)) == 19
    assert len(pipe((phantom[0], phantom[0]))) == 2


def test_errors_are_raised_with_their_number_or_returned_in_their_place(pipe, phantom):
    sources = [phantom[0], b"not an image", phantom[0]]
    with pytest.raises(RadiographError, match="Number 2: bytes: this is not a picture"):
        pipe(sources)
    one, error, other = pipe(sources, errors="return")
    assert isinstance(error, RadiographError) and str(error).startswith("bytes: this is not a picture")
    assert one.findings == other.findings != ()
    assert isinstance(pipe(b"", errors="return"), RadiographError)
    assert all(isinstance(error, RadiographError) for error in pipe([b"", b"x"], errors="return"))
    with pytest.raises(ValueError, match="'ignore': give raise or return"):
        pipe(sources, errors="ignore")


def with_config(pipe, **changes):
    """The pipeline's model, other things said of its findings."""
    model = tiny_model(**changes)
    model.load_state_dict(tiny_model().state_dict())
    find_lungs_everywhere(model.segmenter)
    torch.nn.init.zeros_(model.classifier[-1].weight)  # probabilities of one half
    return LungFusionPipeline(model, pipe.processor)


@pytest.mark.parametrize(
    ("rule_out", "threshold", "level"),
    [(0.4, 0.45, "detected"), (0.4, 0.6, "unclear"), (0.55, 0.6, "not_detected"), (None, 0.6, "not_detected")],
)
def test_one_word_says_what_the_answer_is(pipe, phantom, rule_out, threshold, level):
    of_finding = {} if rule_out is None else {"pneumonia": rule_out}
    thresholds = {"pneumonia": threshold, "tuberculosis": 0.9}
    finding = with_config(pipe, rule_out_thresholds=of_finding, thresholds=thresholds)(phantom[0])["pneumonia"]
    assert finding.probability == pytest.approx(0.5)
    assert finding.level == finding.to_dict()["level"] == level
    assert finding.detected == (level == "detected")


def test_who_a_finding_was_not_learned_on_is_not_assessed(pipe, phantom):
    away = {"sensitivity": 0.9, "away_auc": 0.8, "away_false_alarms": 0.1}
    small = with_config(pipe, populations={"pneumonia": ["child"]}, operating_points={"pneumonia": away})
    levels = {age: small(phantom[0], age=age)["pneumonia"].level for age in (None, 3, 5.9, 6, 17, 18, 60)}
    assert levels == {age: "not_assessed" if age and age >= 6 else "detected" for age in levels}
    both = small([phantom[0], phantom[0]], age=[40, None])
    assert [analysis["pneumonia"].level for analysis in both] == ["not_assessed", "detected"]
    assert both[0]["tuberculosis"].level == "detected"  # of which nothing is said
    answer = json.loads(json.dumps(both[0]["pneumonia"].to_dict()))
    assert (answer["probability"], answer["reason"], answer["population"]) == (None, "age", ["child"])
    assert answer["away"] == {"auc": 0.8, "false_alarms": 0.1} and not answer["detected"]
    assert small.analyse_and_explain(phantom[0], age=40)[0]["pneumonia"].level == "not_assessed"
    for age in (-1, 200, float("nan"), "40"):
        with pytest.raises(ValueError, match="give years from 0 to 130"):
            small(phantom[0], age=age)
    with pytest.raises(ValueError, match="shorter"):
        small([phantom[0], phantom[0]], age=[3])


def test_an_image_too_unlike_those_learned_from_is_not_assessed(pipe, phantom, monkeypatch):
    strict = with_config(pipe, max_ood_scores={"pneumonia": 1.2})
    monkeypatch.setattr(ModelPass, "ood_score", 1.3)
    analysis = strict(phantom[0])
    assert (analysis["pneumonia"].level, analysis["pneumonia"].reason) == ("not_assessed", "ood_score")
    assert analysis["tuberculosis"].level == "detected"


def test_analysis_with_a_heat_map_is_the_same(pipe, phantom):
    analysis, saliency = pipe.analyse_and_explain(phantom[0])
    alone = pipe(phantom[0])
    assert analysis["tuberculosis"].probability == pytest.approx(alone["tuberculosis"].probability, abs=1e-6)
    np.testing.assert_allclose(analysis.alpha, alone.alpha, atol=1e-6)
    assert list(saliency) == list(pipe.findings)
    for name, of_finding in saliency.items():
        assert of_finding.shape == (SIDE, SIDE)
        np.testing.assert_array_equal(
            np.clip(pipe.processor.to_original_sizes([of_finding], [phantom[0].shape])[0].numpy(), 0, 1),
            pipe.explain(phantom[0], name),
        )


def test_heat_map_is_grad_cam_as_published(pipe, phantom):
    """By the formula: weights are mean gradients of the logit, what is negative is left out, the branches' mean."""
    output = pipe.model(pipe.pixel_values([load_radiograph(phantom[0])]), output_hidden_states=True)
    gradients = torch.autograd.grad(output.logits[0, 1], output.hidden_states)
    seen = []
    for features, gradient in zip(output.hidden_states, gradients, strict=True):
        values = torch.einsum("chw,c->hw", features[0], gradient[0].mean((1, 2))).clamp(min=0)
        assert values.max() > 0
        size = output.cnn_input.shape[-2:]
        seen.append(F.interpolate(values[None, None], size, mode="bilinear")[0, 0])
    expected = paste_back(torch.stack(seen).mean(0)[None, None], output.roi_affine, SIDE)[0, 0]
    saliency = grad_cam(pipe.model, output, SIDE)[0, 1]
    torch.testing.assert_close(saliency, (expected / expected.max()).detach(), atol=1e-5, rtol=1e-4)


def test_a_branch_the_answer_does_not_depend_on_makes_no_part_of_the_heat_map(pixel_values):
    model = tiny_model(fusion="gated")
    with torch.no_grad():
        model.fusion.gate.weight.zero_()
        model.fusion.gate.bias.copy_(torch.tensor([0.0, -25.0]))
    output = model(pixel_values, output_hidden_states=True)
    assert output.fusion_weights[:, 1].max() < 1e-9
    both = grad_cam(model, output, SIDE)
    first, second = output.hidden_states
    output.hidden_states = (first, torch.zeros_like(second))
    alone = grad_cam(model, output, SIDE)
    speaks_for_it = alone.amax((2, 3)) > 0
    assert speaks_for_it.any()
    torch.testing.assert_close(both[speaks_for_it], alone[speaks_for_it], atol=1e-4, rtol=0)


def test_a_model_in_training_goes_on_training(phantom):
    model = tiny_model(dropout=0.9, findings=["mass"], shown=["mass"]).train()
    find_lungs_everywhere(model.segmenter)
    modes = [module.training for module in model.modules()]
    learning = [parameter.requires_grad for parameter in model.parameters()]
    pipe = LungFusionPipeline(model, LungFusionImageProcessor(size={"height": SIDE, "width": SIDE}))
    answers = [pipe(phantom[0])["mass"].probability for _ in range(2)]
    pipe.explain(phantom[0], "mass")
    assert answers[0] == answers[1]  # no dropout in between
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    with pytest.raises(RadiographError):
        pipe(b"")
    assert model.training


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
    drawn = SimpleNamespace(logits=logits, ood_score=torch.zeros(1))
    monkeypatch.setattr(pipe.model.segmenter, "forward", lambda pixel_values: drawn)
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


def test_a_segmenter_alone_draws_lungs(phantom, tmp_path):
    tiny_segmenter().save_pretrained(tmp_path)
    LungFusionImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    pipe = LungFusionPipeline.from_pretrained(tmp_path)
    assert pipe(phantom[0]).alpha.shape == (256, 256)
    assert pipe.findings == ()
    with pytest.raises(ValueError, match="no findings"):
        pipe.explain(phantom[0], "pneumonia")


def test_explain(pipe, phantom):
    saliency = pipe.explain(phantom[0][:200], "tuberculosis")
    assert saliency.shape == (200, 256)
    assert saliency.dtype == np.float32
    assert 0 <= saliency.min() <= saliency.max() <= 1
    with pytest.raises(ValueError, match="not 'gout'"):
        pipe.explain(phantom[0], "gout")


def test_explanations_differ_between_findings(pipe, phantom):
    assert not np.allclose(pipe.explain(phantom[0], "tuberculosis"), pipe.explain(phantom[0], "pneumonia"))


def test_what_is_no_radiograph_raises(pipe):
    with pytest.raises(RadiographError):
        pipe(b"not an image")


def test_missing_weights_are_never_filled_in(checkpoint, tmp_path):
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(checkpoint / "model.safetensors")
    weights.pop("classifier.4.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 of the model's weights, classifier\.4\.weight"):
        LungFusionPipeline.from_pretrained(tmp_path)


def test_a_runs_folder_is_taken_and_no_bar_is_drawn(checkpoint, tmp_path, capsys):
    shutil.copytree(checkpoint, tmp_path / "model")
    logging.enable_progress_bar()
    try:
        assert LungFusionPipeline.from_pretrained(tmp_path).findings == ("pneumonia", "tuberculosis")
        assert logging.is_progress_bar_enabled()  # as it was
    finally:
        logging.disable_progress_bar()
    assert capsys.readouterr().err == ""


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"config\.json"):
        LungFusionPipeline.from_pretrained(tmp_path)


def test_another_models_checkpoint_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="vit model"):
        LungFusionPipeline.from_pretrained(tmp_path)


def test_bfloat16_stays_close(checkpoint, pipe, phantom):
    half = LungFusionPipeline.from_pretrained(checkpoint, dtype=torch.bfloat16)(phantom[0])
    assert half["pneumonia"].probability == pytest.approx(pipe(phantom[0])["pneumonia"].probability, abs=0.05)


def test_processor_survives_saving_and_ignores_depth(checkpoint, phantom):
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    assert type(processor) is LungFusionImageProcessor
    assert processor.size.height == SIDE
    eight = (phantom[0] * 255).astype(np.uint8)
    expected = processor(eight)["pixel_values"]
    assert expected.shape == (1, 1, SIDE, SIDE)
    assert expected.min() == 0 and expected.max() == 1
    same = [eight.astype(np.uint16) * 257, eight / 255, np.stack([eight] * 3, -1), Image.fromarray(eight)]
    same += [Image.fromarray(eight).convert("RGB"), Image.fromarray(eight).convert("P"), torch.from_numpy(eight)[None]]
    for image in same:
        torch.testing.assert_close(processor(image)["pixel_values"], expected, rtol=0, atol=2e-3)


def test_what_was_16_bits_and_is_white_now_is_no_radiograph(phantom, tmp_path):
    """Of a 16-bit PNG `transformers.image_utils.load_image` keeps the lowest 8 bits."""
    deep = (phantom[0] * 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    processor = LungFusionImageProcessor(size={"height": SIDE, "width": SIDE})
    with pytest.raises(ValueError, match="16-bit file is read with 8 bits"):
        processor(load_image(str(tmp_path / "deep.png")))
    kept = processor(Image.open(tmp_path / "deep.png"))["pixel_values"]
    torch.testing.assert_close(kept, processor(phantom[0])["pixel_values"], rtol=0, atol=1e-3)


def test_sizes_are_kept_where_that_is_wished(phantom):
    processor = LungFusionImageProcessor(size={"height": SIDE, "width": SIDE})
    images = [phantom[0][:200], phantom[0][56:]]
    batch = processor(images, do_resize=False, segmentation_maps=[image > 0.5 for image in images])
    assert batch["pixel_values"].shape == batch["labels"].shape == (2, 1, 200, 256)
    assert processor(images, size={"height": 64, "width": 32})["pixel_values"].shape == (2, 1, 64, 32)
    with pytest.raises(ValueError, match="differ in size"):
        processor([phantom[0], phantom[0][:200]], do_resize=False)


def test_mask_returns_to_the_radiographs_geometry():
    processor = LungFusionImageProcessor(size={"height": SIDE, "width": SIDE})
    mask = np.zeros((200, 300), np.float32)
    mask[50:150, 60:240] = 1
    labels = processor(np.random.default_rng(0).random((200, 300)), segmentation_maps=[mask])["labels"]
    assert labels.shape == (1, 1, SIDE, SIDE)
    back = processor.post_process_alpha(labels, [(200, 300)])[0].numpy()
    assert back.shape == mask.shape
    assert ((back > 0.5) == (mask > 0.5)).mean() > 0.98


def test_alpha_in_bfloat16_is_post_processed_too():
    alpha = torch.zeros(2, 1, 32, 32, dtype=torch.bfloat16)
    alpha[0, 0, 8:24, 4:12] = 0.9
    lungs, nothing = LungFusionImageProcessor().post_process_alpha(alpha, [(32, 32), (50, 40)])
    assert lungs.dtype == torch.float32
    torch.testing.assert_close(lungs, alpha[0, 0].float())
    assert nothing.shape == (50, 40) and nothing.max() == 0


def test_transformers_own_pipeline_gives_the_same(checkpoint, pipe, phantom, tmp_path):
    path = tmp_path / "xray.png"
    Image.fromarray((phantom[0] * 255).astype(np.uint8)).save(path)
    classifier = pipeline("image-classification", model=str(checkpoint), trust_remote_code=False)
    theirs = {answer["label"]: answer["score"] for answer in classifier(str(path))}
    ours = {finding.name: finding.probability for finding in pipe(path).findings}
    assert theirs == pytest.approx(ours, abs=1e-5)
