"""What is too large, too small, cut short, damaged or of another kind: an error that says so, and no other."""

import base64
import random
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from lungfusion.reading import radiograph
from lungfusion.reading.headers import codestream_size
from lungfusion.reading.radiograph import Radiograph, RadiographError, load_radiograph
from tests.reading.test_dicom import STORED, TABLES
from tests.support.dicom_files import DICOM_FILES, dataset, dicom, encapsulated, file_bytes
from tests.support.image_files import (
    COLOUR,
    GREY,
    HEIGHT,
    IMAGE_FILES,
    UNIT,
    WIDTH,
    assert_shows,
    encoded,
    exif,
    jpeg_2000,
    png,
    refused,
)

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow or pydicom may come through


@pytest.mark.parametrize("side", [10_001, 20_000, 2**31 - 1])
def test_too_many_pixels_are_refused_from_the_header(side):
    refused(png(side, side, b""), "100 megapixels")  # decoding would complain of the missing rows


def test_too_many_pixels_in_dicom_are_refused_from_the_header():
    ds = dataset(GREY)
    ds.Rows = ds.Columns = 20_000
    refused(file_bytes(ds), "100 megapixels")


def test_too_many_pixels_in_an_array_are_refused():
    refused(np.broadcast_to(np.uint8(1), (10_000, 10_001)), "100 megapixels")


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless], ids=["jpeg", "jpeg 2000"])
def test_compressed_frame_that_is_larger_than_the_dicom_says_is_not_decoded(syntax, monkeypatch):
    def decode(*args, **kwargs):
        raise AssertionError("decoded")

    large = np.zeros((400, 400), np.uint8)
    ds = dataset(large)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([jpeg_2000(large) if syntax == JPEG2000Lossless else encoded(large, "JPEG")])
    ds["PixelData"].is_undefined_length = True
    ds.Rows, ds.Columns = HEIGHT, WIDTH
    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", decode)
    monkeypatch.setattr(imagecodecs, "jpeg_decode", decode)
    with pytest.raises(RadiographError) as caught:
        load_radiograph(file_bytes(ds))
    assert "AssertionError" not in repr(caught.value.__cause__)


def test_a_box_before_a_codestream_does_not_tell_its_size():
    boxes = imagecodecs.jpeg2k_encode(np.zeros((400, 300), np.uint8), codecformat="jp2", reversible=True, level=0)
    place, another = boxes.index(b"jp2c") - 4, jpeg_2000(GREY)[:200]
    data = boxes[:place] + struct.pack(">I4s", 8 + len(another), b"free") + another + boxes[place:]
    assert codestream_size(data) == (300, 400, 1)
    ds = dataset(GREY)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.PixelData = encapsulate([data])
    ds["PixelData"].is_undefined_length = True
    refused(file_bytes(ds), "cannot be decoded")


def test_large_picture_passes_without_a_warning_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    assert_shows(IMAGE_FILES["png grey"], UNIT)


@pytest.mark.parametrize("shape", [(63, 200), (200, 63)])
def test_small_picture_is_refused(shape):
    small = np.resize(GREY, shape)
    for source in (small, encoded(small, "PNG"), dicom(small), Image.fromarray(small)):
        refused(source, "64 pixels")


def test_smallest_picture_is_read():
    small = np.resize(GREY, (radiograph.MIN_SIDE, radiograph.MIN_SIDE))
    assert load_radiograph(small).pixels.shape == (64, 64)


def test_single_shade_is_refused():
    flat = np.full((HEIGHT, WIDTH), 7, np.uint8)
    deep = flat.astype(np.uint16)
    for source in (flat, encoded(flat, "PNG"), encoded(deep, "PNG"), encoded(flat * np.float32(3.5), "TIFF")):
        refused(source, "single shade")
    for stored in (flat, deep):
        refused(dicom(stored), "single shade")


def test_too_large_file_is_refused(tmp_path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(radiograph.MAX_BYTES + 1)  # a sparse file
    refused(path, "large.png: ", "100 MB")


def test_missing_file(tmp_path):
    message = refused(tmp_path / "nowhere.png", "nowhere.png: ", "no such file")
    assert str(tmp_path) not in message
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file" / "nowhere.png", "no such file")


def test_folder(tmp_path):
    refused(tmp_path, "not a file but a folder")


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    path = tmp_path / "chest.png"
    path.write_bytes(IMAGE_FILES["png grey"])
    monkeypatch.setattr(Path, "open", denied)
    assert str(tmp_path) not in refused(path, "chest.png: ", "permissions")


def test_empty_file(tmp_path):
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty.png: ", "is empty")
    refused(b"", "is empty")


def box(kind: bytes) -> bytes:
    """The beginning of an ISO media file, which HEIC, AVIF and videos are."""
    return struct.pack(">I", 24) + b"ftyp" + kind + bytes(4) + b"mif1" + kind + bytes(500)


OTHER_KINDS = {
    "text": (b"404: no such study\n" * 5, "text", "not a picture but a text"),
    "zeros": (bytes(500), "not_a_picture", "PNG, JPEG, WebP, TIFF, BMP or DICOM"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git_lfs", "git lfs pull"),
    "apple double": (bytes.fromhex("00051607 00020000") + b"Mac OS X" + bytes(100), "apple_double", "Mac"),
    "web page": (b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web_page", "web page"),
    "page's part": (b"<body>Sign in</body>", "web_page", "web page"),
    "text of Germany": ("Die Studie ist nicht verfügbar.".encode(), "text", "a text"),
    "text of 16 bits": ("not found".encode("utf-16"), "text", "a text"),
    "older pointer": (b"version https://hawser.github.com/spec/v1\noid sha256:00\n", "git_lfs", "git lfs pull"),
    "xhtml": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">\n<html></html>', "web_page", "web page"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "xml", "XML"),
    "json": (b'{"error": "not found"}', "json", "JSON"),
    "heic": (box(b"heic"), "heic", "HEIC picture"),
    "heif": (box(b"mif1"), "heic", "HEIC picture"),
    "svg": (b'<?xml version="1.0"?>\n<svg width="9">' + b" " * 500, "svg", "SVG drawing"),
    "photoshop": (b"8BPS" + bytes(500), "photoshop", "Photoshop"),
    "pdf": (b"%PDF-1.7\n" * 30, "pdf", "PDF document"),
    "word": (b"\xd0\xcf\x11\xe0" + bytes(500), "document", "document"),
    "zip": (b"PK\x03\x04" + bytes(500), "zip", "ZIP archive; unpack it"),
    "gzip": (zlib.compress(bytes(500), wbits=31), "archive", "unpack it"),
    "nifti": (struct.pack("<I", 348) + bytes(340) + b"n+1\0" + bytes(500), "nifti", "NIfTI"),
    "nrrd": (b"NRRD0004\n" + bytes(500), "volume", "NRRD file"),
    "video": (box(b"isom"), "video", "video"),
    "big tiff": (b"II\x2b\0" + bytes(500), "bigtiff", "BigTIFF"),
}


def multipart(*parts: bytes, newline=b"\r\n") -> bytes:
    """The body of an answer of DICOMweb."""
    head = b"\n--4b1d\nContent-Type: application/dicom\nMIME-Version: 1.0\n\n".replace(b"\n", newline)
    return b"".join(head + part for part in parts) + newline + b"--4b1d--"


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\n\r\n"


def test_what_a_server_wraps_around_a_file_is_taken_off():
    for data in (DICOM_FILES["8 bit"], IMAGE_FILES["png grey"]):
        assert_shows(multipart(data), UNIT)
        assert_shows(multipart(data)[2:], UNIT)
        assert_shows(multipart(data).removesuffix(b"\r\n--4b1d--"), UNIT)
        for around in (b"", HEADERS, b"This is a multipart message.\r\n"):
            assert_shows(around + multipart(b'{"a": 1}', data), UNIT)
        assert_shows(multipart(data, newline=b"\n"), UNIT)
        assert_shows(multipart(base64.encodebytes(data)), UNIT)
        assert_shows(HEADERS + HEADERS.replace(b"HTTP/1.1", b"HTTP/2") + data, UNIT)
        refused(multipart(data, data), "several pictures")
        text = base64.encodebytes(data)
        line = text.replace(b"\n", b"")
        for wrapped in (text, text.replace(b"\n", b"\r\n"), line, b"data:image/png;charset=utf-8;base64," + text):
            assert_shows(wrapped, UNIT)
        for wrapped in (line.rstrip(b"="), base64.urlsafe_b64encode(data), b'"' + line + b'"\n', repr(line).encode()):
            assert_shows(wrapped, UNIT)
        if len(line) > 4096:  # longer than any path
            assert_shows(line.decode(), UNIT)
    refused("no path but a text " * 999, "a text")
    refused(base64.b64encode(b"no picture at all " * 9), "a text")
    refused(base64.b64encode(IMAGE_FILES["png grey"])[:-40], "damaged")
    refused(multipart(b"<html>Sign in</html>"), "web page")


@pytest.mark.parametrize(("data", "code", "words"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_file_of_another_kind_is_named(tmp_path, data, code, words):
    for name in ("notes.txt", "notes.png", "notes.dcm"):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, f"{name}: this is ", words)
        with pytest.raises(RadiographError) as caught:
            load_radiograph(tmp_path / name)
        assert caught.value.code == code


TRUNCATED = {"jpeg": encoded(GREY, "JPEG"), "webp": encoded(GREY, "WEBP")} | IMAGE_FILES | DICOM_FILES


@pytest.mark.parametrize("data", TRUNCATED.values(), ids=TRUNCATED)
@pytest.mark.parametrize("part", [0.2, 0.6])
def test_file_cut_short_is_refused(data, part):
    refused(data[: int(len(data) * part)])


def test_error_comes_from_the_decoder_s_own():
    with pytest.raises(RadiographError) as caught:
        load_radiograph(IMAGE_FILES["bmp grey"][:-500])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, OSError)


WHOLE = TRUNCATED | {
    "mpo": encoded(GREY, "MPO", save_all=True, append_images=[Image.fromarray(GREY)]),
    "tiff jpeg": encoded(COLOUR, "TIFF", compression="jpeg"),
    "png exif": encoded(COLOUR, "PNG", exif=exif(6)),
    "dicom jpeg": encapsulated(encoded(GREY, "JPEG"), GREY, JPEGBaseline8Bit),
    "dicom window": dicom(STORED, BitsStored=12, WindowCenter=2000, WindowWidth=3000, PixelPaddingValue=0),
    "dicom tables": dicom(STORED, BitsStored=12, **TABLES["modality, voi"][0]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_file_is_read_or_refused_but_nothing_else(name):
    chance = random.Random(name)
    for _ in range(20):
        data = bytearray(WHOLE[name])
        for _ in range(chance.choice([1, 2, 8])):
            data[chance.randrange(min(len(data), chance.choice([200, 1000, len(data)])))] = chance.randrange(256)
        del data[chance.choice([len(data), chance.randrange(len(data))]) :]
        try:
            result = load_radiograph(bytes(data))
        except RadiographError:
            continue
        assert isinstance(result, Radiograph)
        assert 0 <= result.pixels.min() < result.pixels.max() <= 1
