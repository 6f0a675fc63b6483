"""The lesion branch: optional, exportable, answers for its findings, and learns where a spot is."""

import pytest
import torch
from onnxruntime import InferenceSession

from examples.export_onnx import export
from lungfusion.explanation import grad_cam
from lungfusion.models import LungFusionConfig, LungFusionForImageClassification
from lungfusion.models.lesion_branch import pool_lesions
from tests.support.tiny import SIDE, TINY_MODEL, tiny_model
from train.engine.lesion_branch import begin_branch, take_lesions_from, with_lesion_branch
from train.engine.lesion_loss import lesion_loss, place_targets

FINDINGS = ["pneumonia", "nodule", "mass"]
LESIONS = {"lesion_backbone": "test_efficientnet", "lesion_size": 64, "lesion_findings": ["nodule", "mass"]}
WHOLE = torch.eye(2, 3)[None]


@pytest.fixture
def fused():
    return tiny_model(findings=FINDINGS, concatenation="align", branch_size=32)


def test_a_checkpoint_without_it_is_as_before(fused, tmp_path):
    assert not any(key.startswith("lesions.") for key in fused.state_dict())
    fused.save_pretrained(tmp_path)
    again = LungFusionForImageClassification.from_pretrained(tmp_path)
    assert again.lesions is None and again(torch.rand(1, 1, SIDE, SIDE)).lesion_map is None


def test_it_answers_for_its_findings_alone(fused, pixel_values):
    model = with_lesion_branch(fused, LESIONS | {"image_size": SIDE})
    before, after = fused(pixel_values), model(pixel_values)
    assert after.lesion_map.shape == (2, 2, 4, 4)
    torch.testing.assert_close(after.logits[:, 0], before.logits[:, 0])
    torch.testing.assert_close(after.logits[:, 1:], pool_lesions(after.lesion_map))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any("conv_head" in key or ".bn2" in key.split("blocks")[0] for key in model.lesions.state_dict())


def test_other_branches_see_what_they_were_trained_on(fused):
    """Finer pixel values are reduced for them to what the model had before."""
    model = with_lesion_branch(fused, LESIONS | {"image_size": 2 * SIDE})
    assert (model.config.image_size, model.config.coarse_size) == (2 * SIDE, SIDE)
    coarse = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 6), (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    fine = torch.nn.functional.interpolate(coarse, (2 * SIDE, 2 * SIDE), mode="bilinear")
    seen = [m(x, alpha=torch.ones_like(x)).cnn_input for m, x in ((model, fine), (fused, coarse))]
    torch.testing.assert_close(*seen, atol=0.02, rtol=0)


def test_another_model_takes_it_over(fused, pixel_values, tmp_path):
    trained = with_lesion_branch(fused, LESIONS | {"image_size": SIDE})
    trained.config.temperatures["nodule"], trained.config.min_sides, trained.config.shown = (
        2.0,
        {"nodule": 256},
        ["nodule"],
    )
    other = tiny_model(findings=["mass", "nodule"], concatenation="align", branches=["test_resnet"])
    other.config.hospitals = {"nodule": {"Elm": {"auc": 0.5}}}  # of its own answer, which is heard no more
    model = take_lesions_from(other, trained)
    config = model.config
    assert (config.shown, config.explained, config.hospitals, config.min_sides) == (["nodule"], [], {}, {"nodule": 256})
    alpha = torch.ones_like(pixel_values)
    expected, answer = trained(pixel_values, alpha=alpha), model(pixel_values, alpha=alpha)
    torch.testing.assert_close(answer.logits[:, 1], expected.logits[:, 1])
    torch.testing.assert_close(answer.logits[:, 0], expected.logits[:, 2])
    model.save_pretrained(tmp_path)
    again = LungFusionForImageClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(again(pixel_values, alpha=alpha).logits, answer.logits)
    with pytest.raises(ValueError, match="without a lesion branch"):
        take_lesions_from(other, other)


def test_other_labels_leave_it_out(fused, tmp_path):
    with_lesion_branch(fused, LESIONS | {"image_size": SIDE}).save_pretrained(tmp_path)
    loaded = LungFusionForImageClassification.from_pretrained(
        tmp_path, findings=["fracture"], ignore_mismatched_sizes=True
    )
    assert loaded.lesions is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lesion_size": 65}, "multiple of 16"),
        ({"lesion_backbone": "hf-hub:x"}, "no model of timm"),
        ({"lesion_findings": []}, "go together"),
        ({"lesion_findings": ["fracture"]}, "not among the findings"),
    ],
)
def test_configurations_that_cannot_be(wrong, said):
    with pytest.raises(ValueError, match=said):
        LungFusionConfig(**(TINY_MODEL | {"findings": FINDINGS} | LESIONS | wrong))


def test_export(fused):
    model = with_lesion_branch(fused, LESIONS | {"image_size": SIDE})
    images = torch.rand(3, 1, SIDE, SIDE)
    shapes = {"pixel_values": {0: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(model, (), {"pixel_values": images[:2]}, dynamic_shapes=shapes).module()
    answer, expected = exported(pixel_values=images), model(images)
    for name in ("logits", "lesion_map"):
        torch.testing.assert_close(answer[name], expected[name], rtol=0, atol=1e-5)


def test_onnx(fused, tmp_path):
    model = with_lesion_branch(fused, LESIONS | {"image_size": SIDE})
    names = export(model, tmp_path / "model.onnx")
    images = torch.rand(3, 1, SIDE, SIDE)
    session = InferenceSession(tmp_path / "model.onnx")
    answer = dict(zip(names, session.run(None, {"pixel_values": images.numpy()}), strict=True))
    expected = model(images)
    for name in ("logits", "lesion_map"):
        torch.testing.assert_close(torch.from_numpy(answer[name]), expected[name], rtol=0, atol=1e-3)


def test_its_map_is_the_heat_map(fused, pixel_values):
    """Of its findings alone; what was seen right above in the lungs' box lies there in the radiograph."""
    model = with_lesion_branch(fused, LESIONS | {"image_size": SIDE})
    output = model(pixel_values, output_hidden_states=True)
    output.roi_affine = torch.tensor([[[0.5, 0, 0.2], [0, 0.5, 0.1]]]).expand(2, 2, 3)
    output.lesion_map = torch.full((2, 2, 4, 4), -9.0)
    output.lesion_map[:, 0, 0, 3] = 2
    saliency = grad_cam(model, output, SIDE)
    row, column = divmod(int(saliency[0, 1].argmax()), SIDE)
    x, y = 2 * (column + 0.5) / SIDE - 1, 2 * (row + 0.5) / SIDE - 1
    assert abs(x - (0.5 * 0.75 + 0.2)) < 0.15 and abs(y - (0.5 * -0.75 + 0.1)) < 0.15
    assert saliency[0, 1].max() == 1 and saliency[0, 1, SIDE // 2 :].max() < 0.01
    torch.testing.assert_close(saliency[:, 0], grad_cam(fused, output, SIDE)[:, 0])


def test_targets_lie_where_the_boxes_do():
    """A box in the right upper quarter of a view that is turned by a quarter."""
    turned = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])  # a place (x, y) of the view is at (−y, x)
    boxes = torch.tensor([[[1.0, 0.5, -0.5, 0.1, 0.2], [torch.nan] * 5]])
    target = place_targets(boxes, turned, 8)
    assert target[0, 0].max() == 0 and target[0, 1].max() == 1
    row, column = divmod(int(target[0, 2].argmax()), 8)
    x, y = (2 * column + 1) / 8 - 1, (2 * row + 1) / 8 - 1
    assert abs(-y - 0.5) < 0.2 and abs(x + 0.5) < 0.2


def test_it_learns_where_a_spot_is(fused):
    torch.manual_seed(0)
    model = with_lesion_branch(fused, LESIONS | {"image_size": SIDE})
    begin_branch(model.lesions, None, None)
    pictures = 0.1 * torch.rand(4, 1, 64, 64)
    boxes = torch.full((4, 1, 5), torch.nan)
    for i, (x, y) in enumerate(((12, 12), (44, 20))):
        pictures[i, 0, y - 5 : y + 5, x - 5 : x + 5] += 0.8
        boxes[i, 0] = torch.tensor([0, x / 32 - 1, y / 32 - 1, 0.16, 0.16])
    labels = torch.tensor([[1.0, 0, 1]] * 2 + [[0.0, 0, 0]] * 2)
    batch = {"labels": labels, "weights": torch.ones(4, 3), "boxes": boxes, "place_weights": torch.ones(4)}
    optimizer = torch.optim.Adam(model.lesions.parameters(), 0.003)
    model.lesions.train()
    for _ in range(40):
        optimizer.zero_grad()
        lesion_loss(model.lesions.look(pictures), WHOLE.expand(4, 2, 3), batch).backward()
        optimizer.step()
    lesion_map = model.lesions.look(pictures)
    pooled = pool_lesions(lesion_map)[:, 0]
    assert pooled[:2].min() > pooled[2:].max()
    for i, (x, y) in enumerate(((12, 12), (44, 20))):
        assert divmod(int(lesion_map[i, 0].argmax()), 4) == (y // 16, x // 16)


def test_it_begins_as_a_classifiers_branch():
    """Of that network, its first stages frozen; a classifier without one can't lend it."""
    settings = {"lesion_size": 64, "lesion_findings": ["nodule"], "image_size": SIDE}
    classifier = tiny_model(findings=["nodule"], branches=["test_resnet", "test_efficientnet"], concatenation="rgba")
    model = with_lesion_branch(classifier, settings | {"lesion_backbone": "test_efficientnet"})
    begin_branch(model.lesions, "test_efficientnet", None, classifier, frozen=2)
    of_branch, own = classifier.branches[1].backbone.state_dict(), model.lesions.backbone
    of_branch["conv_stem.weight"] = of_branch["conv_stem.weight"][:, :3]  # without alpha's
    assert all(torch.equal(tensor, of_branch[key]) for key, tensor in own.state_dict().items())
    model.train()
    learning = [part.training and any(p.requires_grad for p in part.parameters()) for part in own.blocks]
    assert learning == [False, False, *[True] * (len(learning) - 2)] and model.lesions.head.weight.requires_grad
    with pytest.raises(ValueError, match="test_resnet, test_efficientnet, not mobilenetv2_100"):
        begin_branch(model.lesions, "mobilenetv2_100", None, classifier)


def test_unknown_labels_and_places_teach_nothing():
    lesion_map = torch.randn(1, 2, 4, 4, requires_grad=True)
    batch = {"labels": torch.full((1, 3), torch.nan), "weights": torch.zeros(1, 3)}
    batch |= {"boxes": torch.full((1, 2, 5), torch.nan), "place_weights": torch.zeros(1)}
    lesion_loss(lesion_map, WHOLE, batch).backward()
    assert lesion_map.grad.abs().max() == 0
