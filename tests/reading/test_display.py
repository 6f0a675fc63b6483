"""Optional elements of DICOM never cost the picture: odd, empty or meant for another, they are passed over."""

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
)

from lungfusion import load_radiograph
from tests.reading.test_dicom import CURVE, STORED, linear
from tests.support.dicom_files import dataset, dicom, encapsulated, file_bytes
from tests.support.image_files import GREY, UNIT, assert_shows, refused

pytestmark = pytest.mark.filterwarnings("ignore")  # of pydicom, over what it is made to write

AS_STORED = STORED / 4095
INVERTED = 1 - AS_STORED
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]


def odd(syntax, elements, stored=STORED, **others):
    """A DICOM file of 12 bits with elements (type, value) by keyword that pydicom would not write by itself."""
    ds = dataset(stored, syntax, **{"BitsStored": 12} | others)
    for keyword, (kind, value) in elements.items():
        ds.add_new(keyword, kind, value)
    return file_bytes(ds)


def sequence(**elements):
    item = Dataset()
    for keyword, (kind, value) in elements.items():
        item.add_new(keyword, kind, value)
    return "SQ", Sequence([item])


def window(center, width, kind="LO"):
    return {"WindowCenter": (kind, center), "WindowWidth": (kind, width)}


LUT = ("OW", CURVE.astype("<u2").tobytes())
PASSED_OVER = {
    "rescale empty": {"RescaleSlope": ("DS", None), "RescaleIntercept": ("DS", None)},
    "rescale slope 0": {"RescaleSlope": ("DS", "0"), "RescaleIntercept": ("DS", "7")},
    "rescale of text": {"RescaleSlope": ("LO", "one"), "RescaleIntercept": ("LO", "zero")},
    "rescale infinite": {"RescaleSlope": ("LO", "inf"), "RescaleIntercept": ("LO", "nan")},
    "voi function empty": {"VOILUTFunction": ("CS", None)},
    "window empty": window(None, None, "DS"),
    "window of text": window("AUTO", "NORMAL"),
    "window with decimal commas": window("2000,5", "3000,5"),
    "window infinite": window("inf", "nan"),
    "window of negative width": window("2000", "-3000"),
    "window without width": {"WindowCenter": ("DS", "2000")},
    "window as bytes": window(b"\x07\x00", b"\x10\x00", "OB"),
    "window beyond the data": window("30000", "100"),
    "window below the data": window("-5000", "1000"),
    "window of 8 bits": window("127", "255"),
    "window that leaves one grey": window("2000", "900000"),
    "modality item empty": {"ModalityLUTSequence": sequence()},
    "modality item without data": {"ModalityLUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 12]))},
    "modality descriptor of text": {"ModalityLUTSequence": sequence(LUTDescriptor=("LO", "many"), LUTData=LUT)},
    "modality descriptor of two": {"ModalityLUTSequence": sequence(LUTDescriptor=("US", [4096, 0]), LUTData=LUT)},
    "modality table empty": {"ModalityLUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 12]), LUTData=("OW", b""))},
    "modality table of one value": {
        "ModalityLUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 12]), LUTData=("OW", b"\x07\x00" * 4096))
    },
    "voi item without data": {"VOILUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 12]))},
    "voi table of black": {
        "VOILUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 12]), LUTData=("OW", bytes(8192)))
    },
    "voi table for other values": {"VOILUTSequence": sequence(LUTDescriptor=("US", [4096, 60000, 12]), LUTData=LUT)},
    "padding as bytes": {"PixelPaddingValue": ("OW", b"\xff\xff\xff\xff")},
    "padding of text": {"PixelPaddingValue": ("LO", "none")},
    "padding everywhere": {"PixelPaddingValue": ("US", 0), "PixelPaddingRangeLimit": ("US", 4095)},
    "padding that does not occur": {"PixelPaddingValue": ("US", 65535)},
    "photometric lower case": {"PhotometricInterpretation": ("LO", "monochrome2")},
    "photometric empty": {"PhotometricInterpretation": ("CS", None)},
    "photometric twice": {"PhotometricInterpretation": ("LO", ["MONOCHROME2", "MONOCHROME2"])},
    "photometric unknown": {"PhotometricInterpretation": ("LO", "GREY")},
    "palette without tables": {"PhotometricInterpretation": ("CS", "PALETTE COLOR")},
    "modality twice": {"Modality": ("LO", ["cr", "cr"])},
    "frames empty": {"NumberOfFrames": ("IS", None)},
    "frames of text": {"NumberOfFrames": ("LO", "one")},
    "one frame": {"NumberOfFrames": ("IS", "1")},
    "high bit absent": {"HighBit": ("US", None)},
    "high bit impossible": {"HighBit": ("US", 99)},
    "samples absent": {"SamplesPerPixel": ("US", None)},
    "representation absent": {"PixelRepresentation": ("US", None)},
    "allocated absent": {"BitsAllocated": ("US", None)},
}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit"])
@pytest.mark.parametrize("elements", PASSED_OVER.values(), ids=PASSED_OVER)
def test_what_cannot_be_used_is_passed_over(elements, syntax):
    assert_shows(odd(syntax, elements), AS_STORED, 1e-6)


NEXT_MEANS = {
    "second window": (window(["", "2000"], ["", "3000"]), linear(STORED, 2000.0, 3000)),
    "second window for another picture": (window(["9e4", "2000"], ["10", "3000"], "DS"), linear(STORED, 2000.0, 3000)),
    "window after a table": (
        {"VOILUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 12]))} | window("2000", "3000", "DS"),
        linear(STORED, 2000.0, 3000),
    ),
    "rescale after a table": (
        {"ModalityLUTSequence": sequence()}
        | {"RescaleSlope": ("DS", "-1"), "RescaleIntercept": ("DS", "4095")}
        | window("2000", "3000", "DS"),
        linear(4095.0 - STORED, 2000, 3000),
    ),
    "slope without intercept": (
        {"RescaleSlope": ("DS", "2")} | window("4000", "6000"),
        linear(STORED * 2.0, 4000, 6000),
    ),
    "window of a functional group": (
        {"SharedFunctionalGroupsSequence": sequence(FrameVOILUTSequence=sequence(**window("2000", "3000", "DS")))},
        linear(STORED, 2000.0, 3000),
    ),
    "sigmoid lower case": (
        window("2000", "3000", "DS") | {"VOILUTFunction": ("LO", "sigmoid")},
        1 / (1 + np.exp(-4 * (STORED - 2000.0) / 3000)),
    ),
    "inverse by the shape alone": (
        {"PhotometricInterpretation": ("CS", None), "PresentationLUTShape": ("CS", "INVERSE")},
        INVERTED,
    ),
    "inverted lower case": ({"PhotometricInterpretation": ("LO", "monochrome1 ")}, INVERTED),
    "table shorter than it says": (
        {"VOILUTSequence": sequence(LUTDescriptor=("US", [0, 0, 12]), LUTData=LUT)},  # 0: 65536 entries
        CURVE[STORED] / 4095,
    ),
    "table deeper than it says": (
        {"VOILUTSequence": sequence(LUTDescriptor=("US", [4096, 0, 8]), LUTData=LUT)},
        CURVE[STORED] / 4095,
    ),
}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit"])
@pytest.mark.parametrize(("elements", "expected"), NEXT_MEANS.values(), ids=NEXT_MEANS)
def test_the_next_means_of_display_is_taken(elements, expected, syntax):
    assert_shows(odd(syntax, elements), expected, 1e-6)


def test_bits_above_and_below_the_stored_ones_do_not_count():
    overlay = STORED | 0xA000
    assert_shows(dicom(overlay, BitsStored=12), AS_STORED, 1e-6)
    assert_shows(dicom((STORED << 4) | 0x5, BitsStored=12, HighBit=15), AS_STORED, 1e-6)
    assert_shows(dicom(STORED, BitsStored=12, HighBit=15), AS_STORED, 1e-6)  # which would leave 8 bits of 12


def test_signed_values_of_fewer_bits_are_extended():
    signed = STORED.astype(np.int32) - 2048
    low_bits = (signed & 0xFFF).astype(np.uint16)
    assert_shows(odd(ExplicitVRLittleEndian, {"PixelRepresentation": ("US", 1)}, low_bits), AS_STORED, 1e-6)
    assert_shows(dicom(signed.astype(np.int16), BitsStored=12), AS_STORED, 1e-6)


def test_padding_out_of_range_of_a_signed_picture_is_the_same_bits():
    signed = GREY.astype(np.int16) * 16
    signed[:, :3] = -2000
    pixels = load_radiograph(odd(ImplicitVRLittleEndian, {"PixelPaddingValue": ("US", 63536)}, signed)).pixels
    assert (pixels[:, :3] == pixels[:, 3:].min()).all()


def test_real_data_with_a_window_for_others():
    """A real file holds 32744 to 65535 and a window of 2725 and 5310."""
    stored = (32744 + UNIT * 32791).astype(np.uint16)
    data = dicom(stored, WindowCenter=2725, WindowWidth=5310)
    assert_shows(data, stored / 65535, 1e-6)


# Transfer syntaxes


def test_big_endian_without_any_header():
    data = dicom(GREY.astype(np.uint16) * 257, ExplicitVRBigEndian)
    assert_shows(data[data.index(b"\x00\x08\x00\x16UI") :], UNIT)
    assert_shows(b"\n" + data, UNIT)
    assert_shows(data[128:], UNIT)


LEVELS_OF_JPEG = 12 / 4095
JPEG_12 = imagecodecs.jpeg8_encode(STORED, level=100, bitspersample=12)


@pytest.mark.parametrize("ends_at", [63, 0])
def test_12_bit_jpeg_whatever_its_scan_header_says(ends_at):
    scan = JPEG_12.index(b"\xff\xda")
    place = scan + 2 + 3 + 2 + 1  # marker; length and count; one component; start of the spectrum
    frame = JPEG_12[:place] + bytes([ends_at]) + JPEG_12[place + 1 :]
    assert JPEG_12[place] == 63
    assert_shows(encapsulated(frame, STORED, JPEGExtended12Bit, BitsStored=12), AS_STORED, LEVELS_OF_JPEG)
    assert_shows(frame, AS_STORED, LEVELS_OF_JPEG)


def test_jpeg_2000_in_its_boxes():
    boxes = imagecodecs.jpeg2k_encode(STORED, codecformat="jp2", reversible=True, level=0, bitspersample=12)
    assert boxes[4:8] == b"jP  "
    assert_shows(encapsulated(boxes, STORED, JPEG2000Lossless, BitsStored=12), AS_STORED, 1e-6)


def test_jpeg_ls_of_12_bits():
    frame = imagecodecs.jpegls_encode(STORED)
    assert_shows(encapsulated(frame, STORED, JPEGLSLossless, BitsStored=12), AS_STORED, 1e-6)
    assert_shows(encapsulated(frame, STORED, JPEGLSLossless, BitsStored=12, HighBit=15), AS_STORED, 1e-6)


def test_a_frame_in_thousands_of_fragments_is_read():
    ds = dataset(STORED, JPEGLSLossless, BitsStored=12)
    frame = imagecodecs.jpegls_encode(STORED)
    frame += bytes(len(frame) % 2)
    parts = [frame[i : i + 2] for i in range(0, len(frame), 2)]
    parts += [b""] * (8000 - len(parts))
    ds.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"".join(
        b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for part in parts
    )
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    assert_shows(file_bytes(ds), AS_STORED, 1e-6)


def test_a_dicomdir_is_named():
    ds = dataset(GREY)
    ds.DirectoryRecordSequence = Sequence([])
    refused(file_bytes(ds), "DICOMDIR")


def test_no_chest_is_20_times_as_long_as_wide():
    for shape in ((64, 64 * 20 + 1), (64 * 20 + 1, 64)):
        long = np.resize(GREY, shape)
        for source in (long, dicom(long)):
            refused(source, "20 times as long as wide")
    assert_shows(np.repeat(GREY[:64, :64], 20, axis=1), np.repeat(UNIT[:64, :64], 20, axis=1))
