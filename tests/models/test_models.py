"""Contract of the models: every option runs, learns, survives saving, and says what is wrong with a configuration."""

from itertools import cycle

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForSemanticSegmentation,
    Trainer,
    TrainingArguments,
)

from lungfusion.models import LungFusionConfig, LungFusionForImageClassification, LungFusionModel, LungUNetConfig
from lungfusion.models.branches import Branch, in_local_contrast
from lungfusion.models.configuration_lungfusion import CONCATENATIONS, FUSIONS
from lungfusion.models.modeling_lung_unet import LungUNetForSemanticSegmentation, dice_bce_loss
from lungfusion.models.modeling_lungfusion import masked_bce_loss
from tests.support.tiny import SIDE, tiny_model, tiny_segmenter

NAN = float("nan")


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("concatenation", CONCATENATIONS)
def test_every_option_keeps_the_contract(concatenation, fusion, pixel_values):
    model = tiny_model(concatenation=concatenation, fusion=fusion)
    output = model(pixel_values, labels=torch.tensor([[1, NAN], [NAN, 0]]), output_hidden_states=True)

    assert output.logits.shape == (2, 2)
    assert output.alpha.shape == (2, 1, SIDE, SIDE)
    assert output.alpha.min() >= 0 and output.alpha.max() <= 1
    assert output.cnn_input.shape == (2, 4 if concatenation in ("rgba", "guided") else 3, 64, 64)
    assert output.roi_affine.shape == (2, 2, 3)
    assert len(output.hidden_states) == 2
    assert output.fused_features.shape == (2, model.fusion.num_features)
    if fusion == "gated":
        assert torch.allclose(output.fusion_weights.sum(1), torch.ones(2))
    else:
        assert output.fusion_weights is None

    output.loss.backward()
    trained = [*model.branches.parameters(), *model.fusion.parameters(), *model.classifier.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize(("concatenation", "fusion"), list(zip(CONCATENATIONS, cycle(FUSIONS), strict=False)))
def test_every_option_is_saved_whole(concatenation, fusion, pixel_values, tmp_path):
    model = tiny_model(concatenation=concatenation, fusion=fusion)
    assert model(pixel_values).hidden_states is None  # not asked for
    model.save_pretrained(tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert type(again) is LungFusionForImageClassification
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key
    torch.testing.assert_close(again(pixel_values).logits, model(pixel_values).logits, rtol=0, atol=1e-6)
    assert lasting(again.config) == lasting(model.config)


def lasting(config):
    """What a configuration says, without what saving adds to it."""
    kept = {
        k: v for k, v in config.to_dict().items() if k not in ("dtype", "architectures", "auto_map", "_name_or_path")
    }
    kept["segmenter"] = {k: v for k, v in kept["segmenter"].items() if k not in ("dtype", "architectures")}
    return kept


@pytest.mark.parametrize(
    "changes", [{}, {"encoder": "tu-test_efficientnet", "decoder_channels": [32, 16, 8, 8, 4]}], ids=["plain", "smp"]
)
def test_segmenter_keeps_the_contract(changes, pixel_values, tmp_path):
    model = tiny_segmenter(**changes)
    output = model(pixel_values, labels=(pixel_values > 0.5).float())
    assert output.logits.shape == pixel_values.shape
    output.loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    model.save_pretrained(tmp_path)
    again = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    torch.testing.assert_close(again(pixel_values).logits, model(pixel_values).logits, rtol=0, atol=1e-6)
    assert AutoConfig.from_pretrained(tmp_path).id2label == {0: "background", 1: "right lung", 2: "left lung"}


def test_plain_unet_has_the_papers_23_convolutions_and_31_million_weights():
    with torch.device("meta"):
        model = LungUNetForSemanticSegmentation(LungUNetConfig())
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    assert sum(c.weight.numel() for c in convolutions) == pytest.approx(31.03e6, rel=0.001)


def test_a_known_alpha_replaces_the_segmenter(pixel_values):
    model = tiny_model(concatenation="rgba")
    drawn = model(pixel_values)
    given = model(pixel_values, alpha=drawn.alpha)
    torch.testing.assert_close(given.logits, drawn.logits)
    without = model(pixel_values, alpha=torch.zeros_like(drawn.alpha)).logits
    assert (without - drawn.logits).abs().max() > 1e-3


def test_return_dict_false_gives_a_tuple(pixel_values):
    model = tiny_model()
    torch.testing.assert_close(model(pixel_values, return_dict=False)[0], model(pixel_values).logits)


def test_temperature_divides_the_logits(pixel_values):
    plain = tiny_model()(pixel_values).logits
    cooled = tiny_model(findings={"pneumonia": {}, "tuberculosis": {"temperature": 2.0}})(pixel_values).logits
    assert torch.allclose(cooled, plain / torch.tensor([1.0, 2.0]))


def test_an_image_weighs_as_much_as_another_however_many_findings_are_known_of_it():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    labels = torch.tensor([[1.0, 1.0], [NAN, 0.0]])
    of_each = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(0), reduction="none")
    expected = (of_each[0].mean() + of_each[1, 1]) / 2
    assert torch.allclose(masked_bce_loss(logits, labels), expected)


def test_unknown_labels_do_not_count():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0], [1.0, 0.0]])
    labels = torch.tensor([[1.0, NAN], [NAN, NAN], [0.0, NAN]])
    known = torch.nn.functional.binary_cross_entropy_with_logits(logits[[0, 2], 0], labels[[0, 2], 0])
    assert torch.allclose(masked_bce_loss(logits, labels), known)
    assert masked_bce_loss(logits, torch.full((3, 2), NAN)) == 0


def test_a_perfect_mask_has_almost_no_loss():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    assert dice_bce_loss((mask * 2 - 1) * 20, mask) < 1e-3
    assert dice_bce_loss((1 - mask * 2) * 20, mask) > 10


def test_a_vgg_branch_has_convolutions_alone():
    with torch.device("meta"):  # its shapes, without their memory
        branch = Branch("vgg16", 4)
    assert branch.num_features == 512
    assert sum(parameter.numel() for parameter in branch.parameters()) == 14_714_688 + 64 * 9  # and a fourth channel


def test_local_contrast_heeds_neither_exposure_nor_what_is_bright_elsewhere():
    torch.manual_seed(0)
    plain, contrast = Branch("test_resnet", 3), Branch("test_resnet", 3, "local_contrast")
    contrast.load_state_dict(plain.state_dict())
    image = 0.3 + 0.2 * torch.rand(1, 1, 64, 64)
    darker = 0.5 * image + 0.1 + torch.linspace(0, 0.1, 64)[:, None]

    def difference(branch):
        one, other = (branch.eval()(picture.expand(-1, 3, -1, -1)) for picture in (image, darker))
        return float((one - other).abs().mean() / one.abs().mean())

    with torch.no_grad():
        assert difference(contrast) < 0.5 * difference(plain)


def test_every_branch_has_a_name_of_its_own():
    branches = ["test_resnet", "test_resnet", "test_resnet", "test_efficientnet"]
    config = LungFusionConfig(branches=branches, branch_inputs=["image", "local_contrast", "image", "image"])
    assert config.branch_names == ["test_resnet 1", "test_resnet, local contrast", "test_resnet 3", "test_efficientnet"]
    with pytest.raises(ValueError, match=r"branch_inputs is .*: give image or local_contrast for each branch"):
        LungFusionConfig(branches=branches, branch_inputs=["image"])


def test_alpha_is_left_as_it_is_beside_local_contrast():
    image, alpha = torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64)
    seen = in_local_contrast(torch.cat([image.expand(-1, 3, -1, -1), alpha], dim=1))
    assert torch.equal(seen[:, 3:], alpha) and seen.min() >= 0 and seen.max() <= 1
    assert torch.equal(seen[:, 0], seen[:, 2]) and not torch.allclose(seen[:, :1], image, atol=0.05)


def test_what_is_frozen_does_not_change_in_training(pixel_values):
    model = tiny_model()
    assert not any(parameter.requires_grad for parameter in model.segmenter.parameters())
    model.branches[0].requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(pixel_values, labels=torch.tensor([[1.0, 0.0], [0.0, 1.0]])).loss.backward()
    optimizer.step()
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert not [key for key in changed if key.startswith(("segmenter", "branches.0"))]
    assert {key.split(".")[0] for key in changed} >= {"branches", "classifier"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"concatenation": "glue"}, "choose one of none, multiply"),
        ({"fusion": "sum"}, "choose one of concat"),
        ({"branches": []}, "at least one branch"),
        ({"findings": ["a", "a"]}, "names one twice"),
        ({"findings": {"gout": {"rivals": ["mass"]}}}, "give other findings' names"),
        ({"findings": {"pneumonia": {"threshold": 1.0}}}, "probability"),
        ({"findings": {"pneumonia": {"temperature": 0.0}}}, "above 0"),
        ({"segmenter": {"image_size": 100}}, "multiple of 32"),
    ],
)
def test_a_wrong_configuration_says_what_to_do(changes, sentence):
    with pytest.raises((ValueError, StrictDataclassError)) as raised:
        LungFusionConfig(**changes)
    messages = f"{raised.value} {raised.value.__cause__}"
    assert sentence in messages


def test_the_base_model_gives_the_fused_features(pixel_values, tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    base, told = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(base) is LungFusionModel
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    output, expected = base(pixel_values, output_hidden_states=True), model(pixel_values)
    torch.testing.assert_close(output.pooler_output, expected.fused_features)
    torch.testing.assert_close(output.alpha, expected.alpha)
    assert len(output.hidden_states) == 2
    torch.testing.assert_close(base(pixel_values, return_dict=False)[0], output.pooler_output)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_input_of_any_precision_is_taken(pixel_values, dtype):
    model, expected = tiny_model(concatenation="rgba").to(dtype), tiny_model(concatenation="rgba")(pixel_values)
    output = model(pixel_values, alpha=expected.alpha)
    assert output.logits.dtype == dtype
    torch.testing.assert_close(output.logits.float(), expected.logits, rtol=0.1, atol=0.1)
    assert tiny_segmenter().to(dtype)(pixel_values).logits.dtype == dtype


def test_gradient_checkpointing_changes_nothing_but_memory(pixel_values):
    labels, gradients = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), []
    for checkpointing in (False, True):
        model = tiny_model()
        if checkpointing:
            model.gradient_checkpointing_enable()
        assert all(branch.backbone.grad_checkpointing == checkpointing for branch in model.branches)
        model(pixel_values, labels=labels).loss.backward()
        gradients.append([parameter.grad for parameter in model.branches.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, rtol=1e-4, atol=1e-6)
    model.gradient_checkpointing_disable()
    assert not any(branch.backbone.grad_checkpointing for branch in model.branches)
    with pytest.raises(ValueError, match="vgg11 knows gradient checkpointing"):
        tiny_model(branches=["vgg11"]).gradient_checkpointing_enable()


def test_trainer_gathers_logits_alone(pixel_values, tmp_path):
    rows = [{"pixel_values": image, "labels": torch.tensor([1.0, 0.0])} for image in pixel_values]
    arguments = TrainingArguments(tmp_path, report_to="none", label_names=["labels"], use_cpu=True)
    answer = Trainer(tiny_model(), arguments).predict(rows)
    assert answer.predictions.shape == (2, 2)
    np.testing.assert_allclose(answer.predictions, tiny_model()(pixel_values).logits.detach(), atol=1e-4)


def test_golden_logits(pixel_values):
    """The arithmetic of the whole forward, held against a change by accident."""
    logits = tiny_model(concatenation="rgba", fusion="concat")(pixel_values).logits
    golden = torch.tensor([[-0.5037, 3.1182], [-0.5083, 3.2153]])
    torch.testing.assert_close(logits.detach(), golden, rtol=0, atol=2e-3)
