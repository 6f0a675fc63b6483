"""The drawn radiograph: reproducible, plausible, and its signs and mask where they belong."""

import functools
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy import ndimage

from train.augment.phantom import radiograph as phantom
from train.augment.phantom.radiograph import draw_phantom

EXAMPLES = Path(__file__).parents[3] / "examples"
drawn_once = functools.cache(draw_phantom)  # for tests that only look

SEEDS = range(8)


def grey_values(path):
    """What a file holds, (height, width) float in [0, 1] with bone white."""
    if path.suffix == ".dcm":
        return 1 - pydicom.dcmread(path).pixel_array / 4095
    pixels = np.asarray(Image.open(path))
    return pixels / np.iinfo(pixels.dtype).max


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radiographs")
    phantom.main(folder)
    return folder


def test_one_seed_gives_one_picture():
    for first, second in zip(draw_phantom(3, 128), draw_phantom(3, 128), strict=True):
        np.testing.assert_array_equal(first, second)


def test_seeds_draw_different_people():
    drawn = [draw_phantom(seed, 64) for seed in range(4)]
    for i, (pixels, mask) in enumerate(drawn):
        for other_pixels, other_mask in drawn[:i]:
            assert np.abs(pixels - other_pixels).mean() > 0.01
            assert (mask != other_mask).mean() > 0.01


@pytest.mark.parametrize("size", [64, 97, 128])
def test_shapes_types_and_range(size):
    pixels, mask = draw_phantom(1, size)
    assert pixels.shape == mask.shape == (size, size)
    assert pixels.dtype == np.float32 and mask.dtype == bool
    assert pixels.min() >= 0 and pixels.max() <= 1
    assert pixels.min() < 0.05 and pixels.max() > 0.7  # open air is black, the abdomen nearly white


@pytest.mark.parametrize("seed", SEEDS)
def test_mask_is_two_lungs_of_plausible_size(seed):
    _, mask = drawn_once(seed, 128)
    labels, count = ndimage.label(mask)
    assert count == 2
    assert 0.15 < mask.mean() < 0.45
    (_, x_first), (_, x_second) = ndimage.center_of_mass(mask, labels, [1, 2])
    assert min(x_first, x_second) < 64 < max(x_first, x_second)
    left, right = mask[:, 64:].sum(), mask[:, :64].sum()
    assert 0.6 < left / right < 1.0  # the heart takes its place from the patient's left lung, on the image's right


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_are_darker_than_what_lies_between_and_below_and_lighter_than_air(seed):
    pixels, mask = drawn_once(seed, 128)
    between = ~mask & np.maximum.accumulate(mask, axis=1) & np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    assert pixels[mask].mean() + 0.12 < pixels[between].mean()
    assert pixels[mask].mean() + 0.12 < pixels[-10:, 50:78].mean()
    assert pixels[mask].mean() > pixels[:6, :6].mean() + 0.2


@pytest.mark.parametrize("opacity", phantom.SIGNS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sign_brightens_the_lungs_and_little_else(opacity, seed):
    clear, mask = drawn_once(seed, 192)
    opaque, opaque_mask = draw_phantom(seed, 192, opacity)
    np.testing.assert_array_equal(mask, opaque_mask)
    gain = opaque - clear
    far = ndimage.distance_transform_edt(~mask) > 8  # 1.6 cm: beyond the faded edge of the sign
    assert np.quantile(gain[mask], 0.995) > 0.05
    assert gain[mask].mean() > 0
    assert np.abs(gain[far]).max() < 0.05  # scattered light
    assert gain[mask].clip(0).sum() > 0.75 * gain.clip(0).sum()


def test_each_sign_lies_in_its_zone():
    def centre(opacity):
        """Height of the sign's centre, 0 at the lungs' tips and 1 at their bases."""
        clear, mask = drawn_once(4, 128)
        gain = (draw_phantom(4, 128, opacity)[0] - clear).clip(0) * mask
        rows = np.flatnonzero(mask.any(axis=1))
        return ((gain.sum(axis=1) @ np.arange(128)) / gain.sum() - rows[0]) / (rows[-1] - rows[0])

    assert centre("upper_lobe") < 0.4 < 0.55 < centre("consolidation")
    assert centre("effusion") > 0.7


def test_unknown_sign_is_refused_with_the_choice():
    with pytest.raises(ValueError, match="consolidation, upper_lobe, effusion, nodule, mass"):
        draw_phantom(0, 64, "pneumothorax")


def test_tilt_turns_pixels_and_mask_together_and_clockwise():
    pixels, mask = draw_phantom(5, 128)
    tilted, tilted_mask = draw_phantom(5, 128, tilt=10)
    turned = ndimage.rotate(pixels, -10, reshape=False, order=1)  # scipy turns the other way
    turned_mask = ndimage.rotate(mask.astype(float), -10, reshape=False, order=1) > 0.5
    assert (tilted_mask & turned_mask).sum() / (tilted_mask | turned_mask).sum() > 0.97
    assert np.abs(tilted - turned)[turned_mask].mean() < 0.02 < np.abs(tilted - pixels)[turned_mask].mean()


def test_one_seed_is_one_person_at_every_size():
    small, small_mask = draw_phantom(6, 128)
    large, large_mask = draw_phantom(6, 256)
    halved = large.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.abs(small - halved).mean() < 0.012
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.995
    assert (small_mask != (large_mask.reshape(128, 2, 128, 2).mean(axis=(1, 3)) > 0.5)).mean() < 0.01


@pytest.mark.parametrize("name", ["phantom_tilted.png", "phantom_16bit.png", "phantom_dicom.dcm"])
def test_written_file_holds_the_picture_and_its_label(written, name):
    request = phantom.EXAMPLES[name]
    pixels, _ = draw_phantom(**request)
    held = grey_values(written / name)
    step = 1 / (4095 if name.endswith(".dcm") else 65535 if "16bit" in name else 255)
    label = np.zeros_like(pixels, dtype=bool)
    label[:40, :120] = True
    np.testing.assert_allclose(held[~label], pixels[~label], atol=0.51 * step)
    assert (held[label] > 0.85).sum() > 200 > (pixels[label] > 0.85).sum()


def test_written_files_have_the_promised_depth(written):
    assert {p.name for p in written.iterdir()} == set(phantom.EXAMPLES)
    for path in written.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.mode == ("I;16" if "16bit" in path.stem else "L")
            assert picture.size == (512, 512)
    ds = pydicom.dcmread(written / "phantom_dicom.dcm")
    assert (ds.PhotometricInterpretation, ds.BitsStored, ds.Rows, ds.Columns) == ("MONOCHROME1", 12, 512, 512)
    assert ds.pixel_array.max() > 4000  # open air: MONOCHROME1 stores black as the highest value
    assert ds.PatientName == "PHANTOM^DRAWN"


def test_dicom_is_reproducible_byte_for_byte(tmp_path):
    pixels, _ = draw_phantom(0, 64)
    first, second = tmp_path / "first.dcm", tmp_path / "second.dcm"
    phantom.write_dicom(first, pixels)
    phantom.write_dicom(second, pixels)
    assert first.read_bytes() == second.read_bytes()


def test_example_files_are_pixel_by_pixel_what_the_code_draws(written):
    shipped = EXAMPLES / "radiographs"
    assert sum(p.stat().st_size for p in shipped.glob("phantom_*")) < 2.5e6
    for name in phantom.EXAMPLES:
        difference = np.abs(grey_values(shipped / name) - grey_values(written / name))
        assert difference.max() < 1.5 / 255, f"{name} is out of date: run python -m train.augment.phantom.radiograph"
