"""Values of DICOM elements, however oddly a device wrote them: what can't be read is as if it were not there."""

import math


def words(dataset, keyword: str) -> list[str]:
    """The values of an element as text in capitals, empty ones left out."""
    values = [value.strip(" \0\t\r\n").upper() for value in _values(dataset, keyword)]
    return [value for value in values if value]


def numbers(dataset, keyword: str, keep: bool = False) -> list:
    """The values of an element that are finite numbers, as float. keep: others leave None in their place.

    A number with a decimal comma is none: it may as well be two.
    """
    found = []
    for value in _values(dataset, keyword):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number) or keep:
            found.append(number if math.isfinite(number) else None)
    return found


def items(dataset, keyword: str) -> list:
    """The items of a sequence, of the dataset or of its functional groups (PS3.3 C.7.6.16)."""
    found = _items(dataset, keyword)
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in _items(dataset, groups)[:1]:
            found += _items(group, keyword)
    return found


def _values(dataset, keyword):
    """As text; none for bytes, which have no type that says what they mean."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, bytes):
            return []
        values = [value] if isinstance(value, str | int | float) else list(value)
        return [part for value in values if not isinstance(value, bytes) for part in str(value).split("\\")]
    except Exception:  # pydicom makes values of what a file holds only now, and raises nearly anything
        return []


def _items(dataset, keyword):
    try:
        return list(dataset.get(keyword) or ())
    except Exception:
        return []
