"""What a DICOM header says of the picture and the patient, as far as an analysis may use it.

Headers are filled in by hand or by default, so only a plain word counts: what is empty, unknown or contradictory is
passed over. Nothing that could name a patient leaves this file.
"""

import re
from datetime import date

from .elements import items, numbers, words
from .errors import refusal

# PS3.3 C.7.3.1.1.1. A word in neither list (or none, or a device's own) is no reason to refuse a picture.
_RADIOGRAPHY = {"CR", "DX", "DR", "RG", "RF", "SC", "OT"}
_OTHER_MODALITIES = {
    *("CT", "MR", "MG", "US", "PT", "NM", "XA", "IO", "PX", "ES", "GM", "SM", "XC", "OP", "OPT", "OCT", "IVUS", "BI"),
    *("BMUS", "BDUS", "DG", "LS", "TG", "ECG", "EPS", "HD", "DMS", "IVOCT", "OAM", "OPM", "OPTBSV", "OPTENF", "OPV"),
    *("RTIMAGE", "RTDOSE", "RTPLAN", "RTSTRUCT", "SR", "DOC", "KO", "PR", "SEG", "REG", "PLAN", "AU", "M3D", "CFM"),
}
_CLASSES = {  # storage classes (PS3.4 B.5) of what is no radiograph, for files that give no modality
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"), "CT"),
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"), "MR"),
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"), "US"),
    **dict.fromkeys(("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2.1"), "MG"),
}
_SCOUTS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM", "SCANOGRAPH"}  # values of Image Type
# PS3.3 C.8.1.2 and C.8.11.5.1.1, and what hospitals write. In decubitus the patient lies aside; the beam is frontal.
_FRONTAL = {"AP", "PA", "RLD", "LLD"}
_NOT_FRONTAL = {
    *("LL", "RL", "ML", "LM", "LAT", "LLAT", "RLAT", "LATERAL", "LLATERAL", "RLATERAL", "LEFTLATERAL", "RIGHTLATERAL"),
    *("XTABLELATERAL", "RLO", "LLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE", "AXIAL", "SWIMMERS", "SKYLINE"),
}
# PS3.16 annex L, as the Defined Terms are written; RIB and what names the chest beside another part are let through.
_OTHER_PARTS = {
    *("ABDOMEN", "ABDOMENPELVIS", "ACJOINT", "ANKLE", "ANUS", "ARM", "BLADDER", "BRAIN", "BREAST", "CALCANEUS", "CALF"),
    *("CARPUS", "FETLOCK", "HOCK", "HOOF", "MANUS", "METACARPUS", "METATARSUS", "PASTERN", "PES", "STIFLE", "TAIL"),
    *("TARSUS", "WING"),
    *("CERVICALSPINE", "CLAVICLE", "COCCYX", "COLON", "CSPINE", "CTSPINE", "EAR", "ELBOW", "EXTREMITY", "EYE", "FACE"),
    *("FACIALBONES", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "FOREFOOT", "HAND", "HEAD", "HEADNECK", "HEEL"),
    *("HIP", "HUMERUS", "JAW", "KIDNEY", "KNEE", "LEG", "LIVER", "LOWERLEG", "LOWERLIMB", "LSPINE", "LSSPINE"),
    *("LUMBARSPINE", "MANDIBLE", "MAXILLA", "NASALBONE", "NECK", "NOSE", "ORBIT", "PATELLA", "PELVIS", "PENIS"),
    *("RADIUS", "RADIUSULNA", "SACRUM", "SCAPULA", "SCROTUM", "SHOULDER", "SIJOINT", "SINUS", "SKULL", "SPINE"),
    *("SSPINE", "STERNUM", "THIGH", "THORACICSPINE", "THUMB", "TIBIA", "TIBIAFIBULA", "TLSPINE", "TMJ", "TOE"),
    *("TSPINE", "ULNA", "UPPERARM", "UPPERLIMB", "WHOLEBODY", "WRIST", "ZYGOMA"),
}
# As PS3.16 CID 7454 names species, and their English names.
_ANIMALS = re.compile(
    r"\b(ANIMAL|VETERINARY|AVES|AVIAN|BIRD|BOS|BOVINE|CALF|CAMEL|CANINE|CANIS|CAPRA|CAPRINE|CAT|CATTLE|CAVIA|CERVID|COW|"
    r"DOG|DONKEY|EQUID|EQUINE|EQUUS|FELINE|FELIS|FERRET|GALLUS|GOAT|GUINEA PIG|HORSE|LAMA|LEPORINE|LIZARD|LLAMA|MACACA|"
    r"MONKEY|MOUSE|MUS|MUSTELA|ORYCTOLAGUS|OVINE|OVIS|PIG|PORCINE|PSITTAC\w+|RABBIT|RAT|RATTUS|REPTILE|RODENT|SHEEP|"
    r"SIMIAN|SNAKE|SUS|SWINE|TORTOISE|TURTLE)\b"
)
_DAYS_IN_A_YEAR = 365.25
_YEARS = {"Y": 1, "M": 1 / 12, "W": 7 / _DAYS_IN_A_YEAR, "D": 1 / _DAYS_IN_A_YEAR}
_OLDEST = 130  # years
_LEAST_MM, _MOST_MM, _MOST_STRETCHED = 0.005, 20, 10  # of a pixel; what lies beyond is a slip of the pen


def check_frontal_chest(dataset) -> None:
    """Raise RadiographError where the header says outright that this is no frontal chest radiograph, with its word."""
    classes = [_CLASSES[uid] for uid in words(dataset, "SOPClassUID") if uid in _CLASSES]
    modalities = words(dataset, "Modality") or classes
    if set(modalities) & _OTHER_MODALITIES and not set(modalities) & _RADIOGRAPHY:
        raise refusal("another_modality", word=modalities[0])
    for part in words(dataset, "BodyPartExamined"):
        if letters_of(part) in _OTHER_PARTS:
            raise refusal("not_a_frontal_chest", word=f"body part {part}")
        if re.search(r"\bLAT(ERAL)?\b", part.replace("_", " ")):
            raise refusal("not_a_frontal_chest", word=f"body part {part}")
    for species in words(dataset, "PatientSpeciesDescription") + meanings(dataset, "PatientSpeciesCodeSequence"):
        if _ANIMALS.search(species) and "HUMAN" not in species:
            raise refusal("not_a_frontal_chest", word=f"species {species}")
    for kind in words(dataset, "ImageType"):
        if kind in _SCOUTS:
            raise refusal("not_a_frontal_chest", word=f"image type {kind}")
    views = words(dataset, "ViewPosition") + meanings(dataset, "ViewCodeSequence")
    if any(letters_of(view) in _FRONTAL for view in views):
        return
    for view in views:
        if letters_of(view) in _NOT_FRONTAL or ("LATERAL" in view and "DECUB" not in view):
            raise refusal("not_a_frontal_chest", word=f"view {view}")
    orientation = words(dataset, "PatientOrientation")
    if any(direction[0] in "AP" for direction in orientation):  # the picture's plane holds front and back
        raise refusal("not_a_frontal_chest", word="patient orientation " + "\\".join(orientation))


def meanings(dataset, keyword: str) -> list[str]:
    """The meanings of a code sequence, in capitals."""
    return [meaning for item in items(dataset, keyword) for meaning in words(item, "CodeMeaning")]


def view_position(dataset) -> str | None:
    """ "PA", "AP" or the header's other word for how the beam went, in capitals; None where it says nothing."""
    return next(iter(words(dataset, "ViewPosition")), None)


def standing(dataset) -> tuple[bool, bool, bool] | None:
    """What makes a frontal picture stand, the head above and the patient's right on the left, as Patient Orientation
    says (PS3.3 C.7.6.1.1.1: where its rows and its columns run to), or Image Orientation where that is missing: whether
    rows and columns are exchanged, then whether it is mirrored, and whether it is upside down. None where neither says.
    """
    ends = [direction[0] for direction in words(dataset, "PatientOrientation")]
    ends = ends or directions(numbers(dataset, "ImageOrientationPatient"))
    if len(ends) != 2 or not {*ends} & {*"LR"} or not {*ends} & {*"FH"}:
        return None
    return ends[0] in "FH", "R" in ends, "H" in ends


def directions(cosines) -> list[str]:
    """The letters of where rows and columns run to, of their direction cosines (PS3.3 C.7.6.2.1.1); [] without six."""
    vectors = (cosines[:3], cosines[3:]) if len(cosines) == 6 else ()
    axes = [max(range(3), key=lambda axis: abs(vector[axis])) for vector in vectors]
    return [("LR", "PA", "HF")[axis][vector[axis] < 0] for axis, vector in zip(axes, vectors, strict=True)]


def pixel_spacing(dataset) -> tuple[float, float, bool]:
    """How far pixels lie apart down and across, and whether that is in mm; else it is in proportion: 1 and 1 where the
    header says nothing.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = numbers(dataset, keyword)
        if len(spacing) == 2 and all(_LEAST_MM < mm < _MOST_MM for mm in spacing) and is_likely(*spacing):
            return *spacing, True
    ratio = numbers(dataset, "PixelAspectRatio")
    return (*ratio, False) if len(ratio) == 2 and min(ratio) > 0 and is_likely(*ratio) else (1.0, 1.0, False)


def is_likely(down: float, across: float) -> bool:
    return 1 / _MOST_STRETCHED < down / across < _MOST_STRETCHED


def age_in_years(dataset) -> float | None:
    """The patient's age when the picture was taken, in years and their parts; None where the header does not tell.

    From PatientAge ("034Y", "018M"), else from the date of birth and the date of the picture.
    """
    match = re.fullmatch(r"(\d{1,4}) *([YMWD]?)", next(iter(words(dataset, "PatientAge")), ""))
    if match and int(match[1]):  # devices write 000Y where they know nothing
        age = int(match[1]) * _YEARS[match[2] or "Y"]
        return age if age <= _OLDEST else None
    born = _date(dataset, "PatientBirthDate")
    taken = (_date(dataset, f"{what}Date") for what in ("Acquisition", "Content", "Series", "Study"))
    taken = next((day for day in taken if day), None)
    if not born or not taken:
        return None
    age = (taken - born).days / _DAYS_IN_A_YEAR
    return age if 0 <= age <= _OLDEST else None


def letters_of(word: str) -> str:
    """A word in capitals without blanks, dashes and the like."""
    return re.sub(r"[^A-Z0-9]", "", word)


def _date(dataset, keyword: str) -> date | None:
    """A DA value, with or without the dots or dashes of older files."""
    digits = re.sub(r"[.\-/]", "", next(iter(words(dataset, keyword)), ""))
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
