"""What a header says: no frontal chest, and with which word; the view and the patient's age."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from lungfusion import RadiographError, load_radiograph
from tests.support.dicom_files import dicom
from tests.support.image_files import GREY, UNIT, assert_shows, refused

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


def code(meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "SCT", meaning
    return Sequence([item])


NO_FRONTAL_CHEST = {
    "left lateral": ({"ViewPosition": "LL"}, "view LL"),
    "lateral in words": ({"ViewPosition": "left lateral"}, "view LEFT LATERAL"),
    "oblique": ({"ViewPosition": "RAO"}, "view RAO"),
    "coded view": ({"ViewCodeSequence": code("left lateral")}, "view LEFT LATERAL"),
    "orientation": ({"PatientOrientation": ["A", "F"]}, r"patient orientation A\F"),
    "orientation, turned": ({"PatientOrientation": ["F", "PR"]}, r"patient orientation F\PR"),
    "hand": ({"BodyPartExamined": "HAND"}, "body part HAND"),
    "spine": ({"BodyPartExamined": "t-spine"}, "body part T-SPINE"),
    "lateral chest": ({"BodyPartExamined": "CHEST_LAT"}, "body part CHEST_LAT"),
    "dog": ({"PatientSpeciesDescription": "Canis lupus familiaris"}, "species CANIS LUPUS FAMILIARIS"),
    "cat by its code": ({"PatientSpeciesCodeSequence": code("Feline species")}, "species FELINE SPECIES"),
    "part of a horse": ({"BodyPartExamined": "Fetlock"}, "body part FETLOCK"),
    "scout": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "Modality": "OT"}, "image type LOCALIZER"),
}


@pytest.mark.parametrize(("elements", "word"), NO_FRONTAL_CHEST.values(), ids=NO_FRONTAL_CHEST)
def test_what_the_header_calls_no_frontal_chest_is_refused_with_its_word(elements, word):
    with pytest.raises(RadiographError) as caught:
        load_radiograph(dicom(GREY, **elements))
    assert caught.value.code == "not_a_frontal_chest"
    assert str(caught.value) == f"bytes: this is not a frontal chest radiograph: its DICOM header says {word}"
    assert caught.value.reason.startswith("this is") and caught.value.values == {"word": word}


FRONTAL = {
    "pa": {"ViewPosition": "PA", "PatientOrientation": ["L", "F"], "BodyPartExamined": "CHEST"},
    "decubitus": {"ViewPosition": "RLD"},
    "decubitus in words": {"ViewPosition": "LEFT LATERAL DECUBITUS"},
    "view before orientation": {"ViewPosition": "AP", "PatientOrientation": ["A", "F"]},
    "coded view": {"ViewCodeSequence": code("postero-anterior")},
    "empty": {"ViewPosition": "", "PatientOrientation": None, "BodyPartExamined": ""},
    "unknown words": {"ViewPosition": "STANDARD", "PatientOrientation": ["X", "Y"], "BodyPartExamined": "TORAX"},
    "oblique axes": {"PatientOrientation": ["LA", "F"]},
    "human": {"PatientSpeciesDescription": "Homo sapiens", "PatientSpeciesCodeSequence": code("Homo sapiens")},
    "species unknown": {"PatientSpeciesDescription": "N/A", "ImageType": ["DERIVED", "PRIMARY", ""]},
}


@pytest.mark.parametrize("elements", FRONTAL.values(), ids=FRONTAL)
def test_other_headers_do_not_cost_the_picture(elements):
    assert_shows(dicom(GREY, **elements), UNIT)


@pytest.mark.parametrize("modality", ["CT", "MR", "MG", "US", "PT", "ct", ["CT", "MR"]])
def test_other_modalities_are_refused(modality):
    refused(dicom(GREY, Modality=modality), "not a radiograph", str(modality[0]).upper()[:1])


@pytest.mark.parametrize("modality", [None, "", "DX"])
def test_the_class_says_what_kind_of_image_it_is_where_the_modality_does_not(modality):
    data = dicom(GREY, Modality=modality, SOPClassUID=CTImageStorage)
    if modality:
        assert_shows(data, UNIT)
    else:
        refused(data, "not a radiograph", "(CT)")


@pytest.mark.parametrize("modality", ["RF", "cr", "CR ", "XRAY", ["CR", "CT"], None])
def test_modalities_of_radiographs_and_odd_words_are_read(modality):
    assert_shows(dicom(GREY, Modality=modality), UNIT)


@pytest.mark.parametrize(
    ("elements", "age"),
    [
        ({"PatientAge": "045Y"}, 45),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "010D"}, 10 / 365.25),
        ({"PatientAge": "45"}, 45),
        ({"PatientAge": "000Y"}, None),
        ({"PatientAge": "999Y"}, None),
        ({"PatientAge": "adult"}, None),
        ({"PatientBirthDate": "20200101", "StudyDate": "20230702"}, 3.5),
        ({"PatientAge": "000Y", "PatientBirthDate": "2020.01.01", "AcquisitionDate": "20230702"}, 3.5),
        ({"PatientBirthDate": "20240101", "StudyDate": "20230702"}, None),
        ({"PatientBirthDate": "20209901", "StudyDate": "20230702"}, None),
        ({"PatientBirthDate": "20200101"}, None),
        ({}, None),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_age_in_years(elements, age):
    found = load_radiograph(dicom(GREY, **elements)).age
    assert found == (None if age is None else pytest.approx(age, abs=0.01))


def test_view_is_told():
    assert load_radiograph(dicom(GREY, ViewPosition="ap")).view == "AP"
    assert load_radiograph(dicom(GREY)).view is None
    assert load_radiograph(GREY).view is load_radiograph(GREY).age is None
