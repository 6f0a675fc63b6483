"""The image processor keeps a picture's depth, whatever the order of its bytes or its mode."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor
from transformers.image_utils import load_image

from lungfusion import LungFusionImageProcessor
from tests.support.tiny import SIDE, draw_phantom

PIXELS, _ = draw_phantom(seed=0, size=96)
DEEP = (PIXELS * 4095).astype(np.uint16)
GREY = Image.fromarray((PIXELS * 255).astype(np.uint8))


def opaque(mode):
    image = GREY.convert(mode)
    image.putalpha(255)
    return image


DEEP_IMAGES = {
    "I;16": Image.fromarray(DEEP),
    "I;16B": Image.frombytes("I;16B", (96, 96), DEEP.astype(">u2").tobytes()),
    "I": Image.fromarray(DEEP.astype(np.int32)),
    "F": Image.fromarray(DEEP.astype(np.float32)),
    "big endian": DEEP.astype(">u2"),
    "big endian float": DEEP.astype(">f4"),
    "unsigned of 32 bits": DEEP.astype(np.uint32),
    "double": DEEP.astype(np.float64),
    "three channels": np.stack([DEEP] * 3, axis=-1),
    "flipped twice": DEEP[::-1].copy()[::-1],
    "tensor": torch.from_numpy(DEEP.astype(np.int32)),
}
FLAT_IMAGES = {mode: GREY.convert(mode) for mode in ("L", "P", "RGB", "CMYK", "YCbCr")} | {
    mode: opaque(mode) for mode in ("LA", "RGBA")
}


@pytest.fixture(scope="module")
def processor():
    return LungFusionImageProcessor(size={"height": 64, "width": 64})


@pytest.mark.parametrize("image", DEEP_IMAGES.values(), ids=DEEP_IMAGES)
def test_deep_pictures_keep_their_depth(image, processor):
    expected = processor(DEEP.astype(np.float32))["pixel_values"]
    assert torch.allclose(processor(image)["pixel_values"], expected, atol=1e-4)


@pytest.mark.parametrize("image", FLAT_IMAGES.values(), ids=FLAT_IMAGES)
def test_8_bit_pictures_of_any_mode_are_the_same(image, processor):
    expected = processor(np.asarray(GREY))["pixel_values"]
    assert torch.allclose(processor(image)["pixel_values"], expected, atol=0.02)


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
