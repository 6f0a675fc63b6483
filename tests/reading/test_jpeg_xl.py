"""JPEG XL: read at its depth; its header tells the size before anything is decoded."""

import imagecodecs
import numpy as np
import pytest

from lungfusion import RadiographError, load_radiograph
from lungfusion.reading.jpeg_xl import read_header
from tests.support.image_files import GREY


@pytest.mark.parametrize("shape", [(96, 96, 3), (64, 640), (100, 133), (256, 512), (70, 900)])
@pytest.mark.parametrize("boxes", [False, True])
def test_the_header_tells_the_size(shape, boxes):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    data = imagecodecs.jpegxl_encode(pixels, effort=1, usecontainer=boxes)
    assert read_header(data) == (shape[1], shape[0], False)


def test_pictures_keep_their_depth():
    deep = np.random.default_rng(0).integers(0, 4096, (70, 90)).astype(np.uint16)
    for pixels, white in ((GREY, 255), (deep, 4095)):
        radiograph = load_radiograph(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1))
        assert radiograph.format == "JPEGXL" and radiograph.colour == 0
        np.testing.assert_allclose(radiograph.pixels, pixels / white, atol=1e-6)


def test_what_is_no_still_picture_of_bearable_size_is_refused():
    film = imagecodecs.jpegxl_encode(np.random.default_rng(0).integers(0, 255, (3, 70, 90, 3)).astype(np.uint8))
    whole = imagecodecs.jpegxl_encode(GREY, effort=1)
    huge = b"\xff\x0a" + (2**30 - 1 << 3 | 3 << 1).to_bytes(5, "little") + bytes(100)
    for data, why in ((film, "several pictures"), (whole[:-50], "damaged"), (huge, "pixels"), (whole[:12], "damaged")):
        with pytest.raises(RadiographError, match=why):
            load_radiograph(data)
    with pytest.raises(ValueError, match="No box"):
        read_header(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(500))
