"""Every source gives the same picture: a path, bytes, a file object, a PIL image, an array."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from lungfusion.reading.radiograph import load_radiograph
from tests.support.image_files import (
    COLOUR,
    GREY,
    HEIGHT,
    IMAGE_FILES,
    LUMA,
    UNIT,
    WIDTH,
    assert_shows,
    encoded,
    exif,
    refused,
)

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow or pydicom may come through


def test_paths(tmp_path):
    path = tmp_path / "folder.dcm" / "chest film.png"
    path.parent.mkdir()
    path.write_bytes(IMAGE_FILES["png grey"])
    for source in (path, str(path)):
        assert_shows(source, UNIT)
        assert load_radiograph(source).name == "chest film.png"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes(kind):
    source = kind(IMAGE_FILES["png grey"])
    assert_shows(source, UNIT)
    assert load_radiograph(source).name == "bytes"


def test_file_objects_are_read_from_where_they_stand_and_left_open(tmp_path):
    path = tmp_path / "chest.png"
    path.write_bytes(b"skipped" + IMAGE_FILES["png grey"])
    with path.open("rb") as file:
        file.seek(7)
        result = load_radiograph(file)
        assert not file.closed
    np.testing.assert_array_equal(result.pixels, UNIT)
    assert result.name == "chest.png"
    assert load_radiograph(io.BytesIO(IMAGE_FILES["png grey"])).name == "file"


def test_pil_image():
    result = load_radiograph(Image.fromarray(GREY))
    np.testing.assert_array_equal(result.pixels, UNIT)
    assert (result.name, result.format) == ("image", "image")


def test_pil_image_is_left_as_it_was():
    image = Image.open(io.BytesIO(encoded(COLOUR, "PNG", exif=exif(6))))
    assert load_radiograph(image).format == "PNG"
    assert (image.mode, image.size) == ("RGB", (WIDTH, HEIGHT))


def test_radiograph_is_returned_as_it_is():
    first = load_radiograph(GREY)
    assert load_radiograph(first) is first


@pytest.mark.parametrize(
    "array",
    [
        GREY,
        GREY[..., None],
        GREY[None],
        np.stack([GREY] * 3, axis=-1),
        np.stack([GREY] * 3 + [np.full_like(GREY, 255)], axis=-1),
        UNIT,
        UNIT.astype(np.float64),
        np.stack([UNIT] * 3, axis=-1),
        np.stack([UNIT] * 3 + [np.ones_like(UNIT)], axis=-1).astype(np.float64),
        np.asfortranarray(GREY),
        GREY.astype(np.int64),
        GREY.astype(np.uint16) * 257,
        np.stack([GREY.astype(np.uint16) * 257] * 3, axis=-1),
        np.stack([GREY.astype(np.int32) * 257] * 3 + [np.full(GREY.shape, 65535)], axis=-1),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_arrays_of_every_shape_and_dtype(array):
    assert_shows(array, UNIT)
    result = load_radiograph(array)
    assert (result.name, result.format) == ("array", "array")
    assert not np.shares_memory(result.pixels, array)


def test_bool_array():
    assert_shows(GREY > 100, (GREY > 100).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [-0.01, 1.01, 255, np.nan, np.inf])
def test_floats_outside_0_to_1_are_refused(value, dtype):
    array = UNIT.astype(dtype)
    array[3, 4] = value
    refused(array, "array: ", "[0, 1]", "divide")


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_outside_16_bits_are_refused(value):
    array = GREY.astype(np.int32)
    array[3, 4] = value
    refused(array, "0 to 65535")


@pytest.mark.parametrize("shape", [(WIDTH,), (5, HEIGHT, WIDTH), (HEIGHT, WIDTH, 2), (2, 1, HEIGHT, WIDTH), (0, 0), ()])
def test_other_shapes_are_refused(shape):
    refused(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [complex, object, "U3", "datetime64[s]"])
def test_other_dtypes_are_refused(dtype):
    refused(np.zeros((HEIGHT, WIDTH), dtype), "uint8")


def test_channels_may_come_first():
    for array in (UNIT[None], UNIT[None, None], np.stack([UNIT] * 3), np.stack([GREY] * 3)[None]):
        assert_shows(array, UNIT, 1e-6)


def test_tensors_are_arrays():
    for tensor in (torch.from_numpy(GREY), torch.from_numpy(UNIT)[None], torch.from_numpy(UNIT).requires_grad_()):
        assert_shows(tensor, UNIT, 1e-6)
        assert load_radiograph(tensor).name == "array"
    assert_shows(torch.from_numpy(UNIT).to(torch.bfloat16), UNIT, 2e-3)


def test_what_is_masked_is_black():
    for array in (GREY, UNIT):
        masked = np.ma.masked_array(array, mask=array > array.max() / 2)
        assert_shows(masked, np.where(masked.mask, 0, UNIT))


def test_rows_of_a_data_set(tmp_path):
    (tmp_path / "one.png").write_bytes(encoded(GREY, "PNG"))
    for row in ({"bytes": encoded(GREY, "PNG"), "path": None}, {"bytes": None, "path": tmp_path / "one.png"}):
        assert_shows(row, UNIT)
    assert load_radiograph({"bytes": encoded(GREY, "PNG"), "path": "folder/two.png"}).name == "two.png"
    for image in (GREY, Image.fromarray(GREY), {"bytes": encoded(GREY, "PNG"), "path": None}):
        assert_shows({"image": image, "label": 1}, UNIT)


def test_addresses(tmp_path):
    (tmp_path / "a b.png").write_bytes(encoded(GREY, "PNG"))
    assert_shows((tmp_path / "a b.png").as_uri(), UNIT)
    refused("https://hospital.example/chest.png", "chest.png: ", "download")
    uri = "data:image/png;base64," + base64.b64encode(encoded(GREY, "PNG")).decode()
    assert_shows(uri, UNIT)
    assert load_radiograph(uri).name == "bytes"


def test_colour_arrays_become_luma():
    for array in (COLOUR, COLOUR / 255, COLOUR.astype(np.uint16) * 257):
        assert_shows(array, LUMA, 1e-5)


def test_text_file_object():
    refused(io.StringIO("text"), "binary mode")


@pytest.mark.parametrize("source", [None, 3, [1, 2], {"picture": "chest.png"}, {"bytes": None, "path": None}])
def test_source_of_another_type(source):
    refused(source, "give a path")
