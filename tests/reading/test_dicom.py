"""DICOM: from stored values to what is shown."""

import io
import json

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from lungfusion.reading import dicom as reading_dicom
from lungfusion.reading.radiograph import load_radiograph
from tests.support.dicom_files import DICOM_FILES, PATIENT, dataset, dicom, encapsulated, file_bytes, table
from tests.support.image_files import COLOUR, GREY, LUMA, UNIT, assert_shows, encoded, refused

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow or pydicom may come through


@pytest.mark.parametrize("data", DICOM_FILES.values(), ids=DICOM_FILES)
def test_every_lossless_dicom_gives_the_same_pixels(data):
    assert_shows(data, UNIT)


def test_dicom_without_any_file_header():
    ds = dataset(GREY)
    del ds.file_meta
    buffer = io.BytesIO()
    ds.save_as(buffer, implicit_vr=True, little_endian=True)
    assert buffer.getvalue().startswith(b"\x08\x00")
    assert_shows(buffer.getvalue(), UNIT)


def test_dicom_format_is_reported():
    assert load_radiograph(DICOM_FILES["8 bit"]).format == "DICOM"


@pytest.mark.parametrize(("bits", "factor"), [(12, 16), (16, 256), (12, 4), (14, 20)])
def test_8_bit_picture_in_a_deeper_dicom(bits, factor):
    stored = GREY.astype(np.uint16) * factor
    white = (2**bits - 1) if factor * 256 > 2 ** (bits - 2) else stored.max()
    assert_shows(dicom(stored, BitsStored=bits), stored / white, 1e-6)
    if factor == 2 ** (bits - 8):
        assert_shows(dicom(stored, BitsStored=bits), UNIT, 1 / 255)


def test_dicom_that_uses_little_of_its_bits_is_spread():
    assert_shows(dicom(GREY.astype(np.uint16) * 16 + 500), UNIT, 1e-6)  # 12 bits, declared as 16
    inverted = dicom(4580 - GREY.astype(np.uint16) * 16, PhotometricInterpretation="MONOCHROME1")
    assert_shows(inverted, UNIT, 1e-6)


def test_dark_8_bit_dicom_is_as_dark_as_its_png():
    dark = GREY // 8
    np.testing.assert_array_equal(load_radiograph(dicom(dark)).pixels, load_radiograph(encoded(dark, "PNG")).pixels)


STORED = GREY.astype(np.uint16) * 16  # 12 bits


def linear(values, center, width):
    """DICOM PS3.3 C.11.2.1.2.1."""
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


WINDOWED = {
    "linear": (dict(WindowCenter=2000, WindowWidth=3000), linear(STORED, 2000.0, 3000)),
    "first of several": (dict(WindowCenter=[2000, 1], WindowWidth=[3000, 2]), linear(STORED, 2000.0, 3000)),
    "linear exact": (
        dict(WindowCenter=2000, WindowWidth=3000, VOILUTFunction="LINEAR_EXACT"),
        np.clip((STORED - 2000.0) / 3000 + 0.5, 0, 1),
    ),
    "sigmoid": (
        dict(WindowCenter=2000, WindowWidth=3000, VOILUTFunction="SIGMOID"),
        1 / (1 + np.exp(-4 * (STORED - 2000.0) / 3000)),
    ),
    "monochrome1": (
        dict(WindowCenter=2000, WindowWidth=3000, PhotometricInterpretation="MONOCHROME1"),
        1 - linear(STORED, 2000.0, 3000),
    ),
    "after rescale": (
        dict(WindowCenter=3000, WindowWidth=6000, RescaleSlope=2, RescaleIntercept=-1000),
        linear(STORED * 2.0 - 1000, 3000, 6000),
    ),
    "after falling rescale": (
        dict(WindowCenter=2000, WindowWidth=3000, RescaleSlope=-1, RescaleIntercept=4095),
        linear(4095.0 - STORED, 2000, 3000),
    ),
    "falling rescale only": (dict(RescaleSlope=-1, RescaleIntercept=4095), (4095 - STORED) / 4095),
    "empty": (dict(WindowCenter=None, WindowWidth=None), STORED / 4095),
    "no width": (dict(WindowCenter=2000, WindowWidth=None), STORED / 4095),
    "width 0": (dict(WindowCenter=0, WindowWidth=0), STORED / 4095),
}


@pytest.mark.parametrize(("elements", "expected"), WINDOWED.values(), ids=WINDOWED)
def test_window_and_rescale(elements, expected):
    assert_shows(dicom(STORED, BitsStored=12, **elements), expected, 1e-6)


CURVE = (np.linspace(0, 1, 4096) ** 2 * 4095).round().astype(np.int64)  # one output per 12-bit value
TABLES = {
    "voi": (dict(VOILUTSequence=table(CURVE, 12)), CURVE[STORED] / 4095),
    "voi before window": (
        dict(VOILUTSequence=table(CURVE, 12), WindowCenter=1, WindowWidth=2),
        CURVE[STORED] / 4095,
    ),
    "voi of 8 bits": (dict(VOILUTSequence=table(CURVE >> 4, 8)), (CURVE >> 4)[STORED] / 255),
    "voi from 1000 on": (
        dict(VOILUTSequence=table(CURVE[:2000], 10, first=1000)),
        np.clip(CURVE[np.clip(STORED.astype(int) - 1000, 0, 1999)] / 1023, 0, 1),
    ),
    "voi that uses little of its bits": (dict(VOILUTSequence=table(CURVE, 16)), CURVE[STORED] / CURVE[STORED].max()),
    "voi, monochrome1": (
        dict(VOILUTSequence=table(CURVE, 12), PhotometricInterpretation="MONOCHROME1"),
        1 - CURVE[STORED] / 4095,
    ),
    "modality": (dict(ModalityLUTSequence=table(CURVE, 12)), CURVE[STORED] / 4095),
    "modality, window": (
        dict(ModalityLUTSequence=table(CURVE, 16), WindowCenter=2000, WindowWidth=3000),
        linear(CURVE[STORED], 2000.0, 3000),
    ),
    "modality, voi": (
        dict(ModalityLUTSequence=table(CURVE, 12), VOILUTSequence=table(4095 - CURVE, 12)),
        (4095 - CURVE)[CURVE[STORED]] / 4095,
    ),
}


@pytest.mark.parametrize(("elements", "expected"), TABLES.values(), ids=TABLES)
def test_tables(elements, expected):
    assert_shows(dicom(STORED, BitsStored=12, **elements), expected, 1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 4090])
def test_padding_is_as_dark_as_the_darkest_of_the_rest(photometric, limit):
    stored = STORED // 2 + 1000  # 1000 to 3040
    stored[:5], stored[-5:] = 4095, 4095 if limit is None else 4092
    elements = {"PixelPaddingValue": 4095} | ({} if limit is None else {"PixelPaddingRangeLimit": limit})
    pixels = load_radiograph(dicom(stored, BitsStored=12, PhotometricInterpretation=photometric, **elements)).pixels
    expected = stored / 4095 if photometric == "MONOCHROME2" else 1 - stored / 4095
    expected[:5] = expected[-5:] = expected[5:-5].min()
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_padding_does_not_count_as_data():
    stored = GREY.astype(np.int16) * 4
    stored[:, :3] = -32768
    elements = {"PixelPaddingValue": -32768}
    pixels = load_radiograph(dicom(stored, **elements)).pixels
    np.testing.assert_allclose(pixels[:, 3:], UNIT[:, 3:], atol=0.02)
    assert (pixels[:, :3] == 0).all()


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_dicom_colour_becomes_luma(photometric):
    stored = convert_color_space(COLOUR, "RGB", photometric)
    assert_shows(dicom(stored, PhotometricInterpretation=photometric), LUMA, 1e-5 if photometric == "RGB" else 2 / 255)


def test_dicom_palette_becomes_luma():
    channels = {"Red": np.arange(256), "Green": np.arange(256)[::-1], "Blue": np.arange(256) // 2}
    ds = dataset(GREY, PhotometricInterpretation="PALETTE COLOR")
    for name, values in channels.items():
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", values.astype(np.uint8).tobytes())
    colour = np.stack([values[GREY] for values in channels.values()], axis=-1)
    assert_shows(file_bytes(ds), colour @ [0.299, 0.587, 0.114] / 255, 1e-5)


def test_jpeg_in_dicom_is_the_jpeg():
    jpeg = encoded(GREY, "JPEG", quality=80)
    one_level = 1.01 / 255  # two decoders may round differently
    assert_shows(encapsulated(jpeg, GREY, JPEGBaseline8Bit), load_radiograph(jpeg).pixels, one_level)


def test_jpeg_ls_in_dicom_is_lossless():
    """The one codec without an encoder here: the same small picture twice from pydicom's own files."""
    plain, jpeg_ls = (
        pydicom.dcmread(get_testdata_file(name, download=False))
        for name in ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm")
    )
    plain.Modality = jpeg_ls.Modality = "DX"
    assert_shows(file_bytes(jpeg_ls), load_radiograph(file_bytes(plain)).pixels)


def test_dicom_without_picture_is_refused():
    ds = dataset(GREY)
    del ds.PixelData
    refused(file_bytes(ds), "no picture")


def test_dicom_of_several_frames_is_refused():
    ds = dataset(GREY, NumberOfFrames=2)
    ds.PixelData = ds.PixelData * 2
    refused(file_bytes(ds), "several frames")
    for name in ("rle", "jpeg 2000"):
        ds = pydicom.dcmread(io.BytesIO(DICOM_FILES[name]))
        ds.NumberOfFrames = 2
        ds.PixelData = encapsulate(2 * list(generate_frames(ds.PixelData, number_of_frames=1)))
        refused(file_bytes(ds), "several frames")


@pytest.mark.parametrize("name", ["8 bit", "16 bit", "rle", "jpeg 2000"])
def test_number_of_frames_that_are_not_there_does_not_count(name):
    ds = pydicom.dcmread(io.BytesIO(DICOM_FILES[name]))
    ds.NumberOfFrames = 2
    assert_shows(file_bytes(ds), UNIT)


def floats(values: np.ndarray, keyword="FloatPixelData", **elements) -> bytes:
    """A DICOM file of float values (H, W)."""
    ds = dataset(GREY, BitsAllocated=8 * values.itemsize, **elements)
    del ds.PixelData
    setattr(ds, keyword, values.tobytes())
    return file_bytes(ds)


def test_float_pixels_are_read():
    assert_shows(floats(UNIT * 1000 - 300), UNIT, 1e-4)
    assert_shows(floats(UNIT.astype(np.float64) * 1e-3, "DoubleFloatPixelData"), UNIT, 1e-4)
    half = floats(UNIT * 1000 - 300, WindowCenter=200, WindowWidth=1000)
    assert_shows(half, UNIT, 2e-3)
    refused(floats(np.where(UNIT > 0.5, np.nan, UNIT).astype(np.float32)), "finite")
    refused(floats(UNIT * 1000)[:-50], "cannot be decoded")


def test_floats_that_lie_in_pixel_data_are_read():
    for bits in (32, 64):
        data = dicom(UNIT.astype(f"f{bits // 8}").view(f"u{bits // 8}"), PhotometricInterpretation="MONOCHROME2")
        assert_shows(data, UNIT, 1e-4)


def test_more_bits_than_are_stored_are_read():
    wide = GREY.astype(np.uint32)
    assert_shows(dicom(wide * 16, BitsStored=12), wide * 16 / 4095, 1e-4)
    assert_shows(dicom(wide * 2**24), UNIT, 1e-4)
    assert_shows(dicom(wide * 16 + 2**31, BitsStored=12), wide * 16 / 4095, 1e-4)  # with an overlay above
    assert_shows(dicom((wide.astype(np.int64) * 2**24 - 2**31).astype(np.int32)), UNIT, 1e-4)


ORIENTED = {
    "L\\F": UNIT,
    "R\\F": UNIT[:, ::-1],
    "L\\H": UNIT[::-1],
    "R\\H": UNIT[::-1, ::-1],
    "F\\L": UNIT.T,
    "H\\L": UNIT[::-1].T,
    "F\\R": UNIT[:, ::-1].T,
    "LF\\FR": UNIT,
}


@pytest.mark.parametrize("orientation", ORIENTED)
def test_patient_orientation_is_obeyed(orientation):
    stored = np.round(ORIENTED[orientation] * 255).astype(np.uint8)
    data = dicom(np.ascontiguousarray(stored), PatientOrientation=orientation.split("\\"))
    assert_shows(data, UNIT)
    assert load_radiograph(data).sides_known
    cosines = {"L": [1, 0.1, 0], "R": [-1, 0, 0], "F": [0, 0, -1], "H": [0, 0.1, 1]}
    along = [number for letters in orientation.split("\\") for number in cosines[letters[0]]]
    assert_shows(dicom(np.ascontiguousarray(stored), ImageOrientationPatient=along), UNIT)


def test_orientation_of_a_slice_says_nothing():
    assert not load_radiograph(dicom(GREY, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])).sides_known


@pytest.mark.parametrize("orientation", ["", ["L", ""], ["L", "R"], ["X", "F"], ["L"]])
def test_orientation_that_says_nothing_is_passed_over(orientation):
    data = dicom(GREY, PatientOrientation=orientation)
    assert_shows(data, UNIT)
    assert not load_radiograph(data).sides_known


@pytest.mark.parametrize(
    ("elements", "shape", "spacing"),
    [
        ({}, (80, 96), None),
        ({"PixelAspectRatio": [1, 1]}, (80, 96), None),
        ({"PixelAspectRatio": [1, 3]}, (80, 288), None),
        ({"PixelAspectRatio": [5, 1]}, (400, 96), None),
        ({"PixelAspectRatio": [1, 300]}, (80, 96), None),
        ({"PixelSpacing": [0.2, 0.2]}, (80, 96), 0.2),
        ({"ImagerPixelSpacing": [0.5, 1.5]}, (80, 288), 0.5),
        ({"PixelSpacing": [0.3, 0.1], "PixelAspectRatio": [1, 1]}, (240, 96), 0.1),
        ({"PixelSpacing": [0, 0.1]}, (80, 96), None),
        ({"ImagerPixelSpacing": [0.5, 1.5], "PatientOrientation": ["F", "L"]}, (288, 80), 0.5),
    ],
)
def test_pixels_become_squares(elements, shape, spacing):
    radiograph = load_radiograph(dicom(GREY, **elements))
    assert radiograph.pixels.shape == shape and radiograph.spacing == spacing
    assert abs(radiograph.pixels.mean() - UNIT.mean()) < 0.01


def test_squares_are_not_too_many(monkeypatch):
    monkeypatch.setattr(reading_dicom, "MAX_PIXELS", 25_000)
    radiograph = load_radiograph(dicom(GREY, PixelSpacing=[0.1, 0.4]))
    assert 24_000 < radiograph.pixels.size <= 25_200
    assert radiograph.pixels.shape[0] / radiograph.pixels.shape[1] == pytest.approx(80 / 96 / 4, rel=0.02)
    assert radiograph.spacing * radiograph.pixels.shape[0] == pytest.approx(8, rel=0.02)


def test_text_that_names_a_deflated_syntax_is_no_deflated_file():
    assert_shows(dicom(GREY, ImageComments=f"was {DeflatedExplicitVRLittleEndian}"), UNIT)


def as_json(ds) -> bytes:
    return json.dumps([ds.to_json_dict(bulk_data_threshold=10**9)]).encode()


def test_dicom_as_json_is_read():
    ds = dataset(GREY)
    assert_shows(as_json(ds), UNIT)
    assert_shows(as_json(dataset(GREY.astype(np.uint16) * 257)), UNIT, 1e-6)
    content = ds.to_json_dict(bulk_data_threshold=10**9)
    content["7FE00010"] = {"vr": "OB", "BulkDataURI": "bulk/1"}
    refused(json.dumps(content).encode(), "without its picture")
    assert_shows(json.dumps({tag.lower(): element for tag, element in ds.to_json_dict().items()}).encode(), UNIT)
    refused(as_json(ds)[:-400], "cannot be decoded")
    refused(as_json(ds).replace(b"]", b", {}]"), "several pictures")


def test_deflated_dicom_is_inflated_to_a_limit(monkeypatch):
    data = dicom(GREY, DeflatedExplicitVRLittleEndian)
    assert_shows(data, UNIT)
    refused(data[:-20], "cannot be decoded")
    monkeypatch.setattr(reading_dicom, "MAX_INFLATED", GREY.size)
    refused(data, "cannot be decoded")


def test_nothing_of_the_patient_is_kept_or_told():
    result = load_radiograph(DICOM_FILES["8 bit"])
    assert set(vars(result)) == {"pixels", "name", "format", "colour", "view", "age", "spacing", "sides_known"}
    assert PATIENT not in repr(result)
    for data in (dicom(GREY, Modality="CT"), dicom(GREY)[:-50], dicom(GREY, SamplesPerPixel=7)):
        assert PATIENT.encode() in data
        assert PATIENT not in refused(data)
