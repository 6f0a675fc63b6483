"""Reading one radiograph from a path, bytes, a file object, a PIL image, an array or DICOM, whoever it comes from.

Everything becomes a grey picture in [0, 1] with bone white. How values become [0, 1]:

- 8-bit values are divided by 255. Deeper integers (a 16-bit PNG or TIFF, an integer array) are divided by the white of
  the smallest usual depth (8, 10, 12, 14 or 16 bits) that holds the largest value, so a 12-bit picture in a 16-bit file
  is not black. Of a 16-bit colour image Pillow keeps the upper 8 bits.
- Float arrays must already lie in [0, 1]. A float TIFF that does not is spread from its minimum to its maximum.
- Colour becomes ITU-R 601 luma, and transparency shows black behind it.
- DICOM is shown as a viewer would: modality table or rescale, then VOI table or first window, MONOCHROME1 inverted.
  Without a window, white is the largest value of Bits Stored; where more than 8 bits are stored and the data spans less
  than a quarter of them, black and white are the data's own minimum and maximum.
"""

import os
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import RadiographError
from .headers import check_exif, check_jpeg, check_tiff

MAX_BYTES = 100_000_000
MAX_PIXELS = 100_000_000
MIN_SIDE = 64  # pixels

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")

_DEPTHS = (8, 10, 12, 14, 16)
_LUMA = np.array([19595, 38470, 7471]) / 65536  # ITU-R 601 as Pillow rounds it: exact in float64, and sums to exactly 1
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_BAND = 256  # rows converted at a time: wider types than the result's take memory for these only

_TOO_MANY_PIXELS = f"the picture has more than {MAX_PIXELS // 10**6} megapixels; make it smaller first"
_UNDECODABLE = "the file cannot be decoded; it is damaged, cut short or of a rare kind, so export it again"
_REASONS = (  # what to tell the user, by the first class that fits the exception
    (FileNotFoundError, "there is no such file; check the path"),
    (NotADirectoryError, "there is no such file; check the path"),
    (PermissionError, "the file may not be read; check its permissions"),
    (UnidentifiedImageError, "this is not a picture; use a PNG, JPEG, WebP, TIFF, BMP or DICOM file"),
    (Image.DecompressionBombError, _TOO_MANY_PIXELS),
    (MemoryError, "the picture does not fit into memory; make it smaller first"),
    (Exception, _UNDECODABLE),
)


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph as shown on a screen. Of a DICOM file nothing but the picture, its view and the age is kept.

    pixels: (H, W) float32, C-contiguous, in [0, 1]: 0 black, 1 white, bone white.
    name: the file's base name, or "file", "bytes", "image" or "array" where there is none.
    format: "PNG", "JPEG", "WEBP", "TIFF", "BMP" or "DICOM", or "image" or "array" for a picture made in memory.
    colour: the mean gap between the strongest and the weakest channel of the picture, in [0, 1]; 0 where all is grey.
    view: "PA", "AP" or another word for how the beam went, as a DICOM header says; None where nothing says so.
    age: of the patient when the picture was taken, in years and their parts; None where nothing says so.
    """

    pixels: np.ndarray
    name: str
    format: str
    colour: float = 0.0
    view: str | None = None
    age: float | None = None


def load_radiograph(source) -> Radiograph:
    """Read a radiograph.

    source: a path (str or os.PathLike), the bytes of a file (bytes, bytearray, memoryview), a binary file object (read
        from where it stands, not closed), a PIL image, a NumPy array, or a Radiograph, which is returned as it is.
        Arrays are (H, W), (H, W, 1), (1, H, W), (H, W, 3) RGB or (H, W, 4) RGBA; bool, non-negative integers of up to
        16 bits, or floats in [0, 1].

    Raises RadiographError, and only that, for anything but one still picture within MAX_BYTES, MAX_PIXELS and MIN_SIDE.
    """
    if isinstance(source, Radiograph):
        return source
    name = _name(source)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")  # they may quote the file
            pixels, format, facts = _decode(source)
        if not pixels.min() < pixels.max():
            raise RadiographError("the picture is a single shade of grey; check that the right file was exported")
    except RadiographError as error:
        raise error.named(name) from error
    except Exception as error:  # decoders raise nearly anything over a broken file
        reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
        raise RadiographError(f"{name}: {reason}") from error
    return Radiograph(np.ascontiguousarray(pixels), name, format, **facts)


def _name(source) -> str:
    """What to call the source: never more of a path than its last part."""
    if isinstance(source, np.ndarray):
        return "array"
    if isinstance(source, Image.Image):
        return "image"
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "bytes"
    path = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    return (isinstance(path, (str, os.PathLike)) and Path(os.fsdecode(path)).name) or "file"


def _decode(source) -> tuple[np.ndarray, str, dict]:
    """Any source but a Radiograph → pixels (H, W) float32 in [0, 1], the format, and what else is known of it."""
    if isinstance(source, np.ndarray):
        pixels, colour = _array_pixels(source)
        return pixels, "array", {"colour": colour}
    if isinstance(source, Image.Image):
        pixels, colour = _image_pixels(source)
        return pixels, _format(source), {"colour": colour}
    data = _read(source)
    if _is_dicom(data):
        pixels, facts = _dicom_pixels(data)
        return pixels, "DICOM", facts
    if data.startswith((b"II", b"MM")) and {42, 43} & set(data[2:4]):
        check_tiff(data)
    if data.startswith(b"\xff\xd8\xff"):
        check_jpeg(data)
    with Image.open(BytesIO(data), formats=IMAGE_FORMATS) as image:
        pixels, colour = _image_pixels(image)
        return pixels, _format(image), {"colour": colour}


def _format(image: Image.Image) -> str:
    """Pillow's name of the format; a telephone's MPO is a JPEG with a second picture behind it."""
    return "JPEG" if image.format == "MPO" else image.format or "image"


def _read(source) -> bytes:
    """Path, bytes or binary file object → its bytes, at least one and at most MAX_BYTES."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(os.fsdecode(source))
        if path.exists() and not path.is_file():
            raise RadiographError("this is not a file but a folder or a device; give the path of one picture")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise RadiographError('the file object does not give bytes; open it in binary mode ("rb")')
    else:
        raise RadiographError("give a path, bytes, a binary file object, a PIL image or a NumPy array")
    if not data:
        raise RadiographError("the file is empty; export or upload it again")
    if len(data) > MAX_BYTES:
        raise RadiographError(f"the file is larger than {MAX_BYTES // 10**6} MB; export a smaller one")
    return data


def _check_size(width: int, height: int) -> None:
    """Raise RadiographError unless a picture of this size is taken. Called before anything is decoded."""
    if min(width, height) < MIN_SIDE:
        raise RadiographError(f"the picture is below {MIN_SIDE} pixels on a side; use the original, not a thumbnail")
    if width * height > MAX_PIXELS:
        raise RadiographError(_TOO_MANY_PIXELS)


# Arrays


def _array_pixels(array: np.ndarray) -> tuple[np.ndarray, float]:
    """(H, W), (H, W, 1), (1, H, W), (H, W, 3) or (H, W, 4) of any dtype → (H, W) float32 in [0, 1], and its colour."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise RadiographError("an array must be (H, W), (H, W, 1), (1, H, W), (H, W, 3) or (H, W, 4); reshape it")
    _check_size(array.shape[1], array.shape[0])
    white = np.float32(_white(array))
    pixels = np.empty(array.shape[:2], np.float32)
    for rows in _bands(array):
        pixels[rows] = _grey(array[rows]) / white
        if array.shape[2:] == (4,):
            pixels[rows] *= array[rows, :, 3].astype(np.float32) / white
    if array.ndim == 2:
        return pixels, 0.0
    sample = array[::4, ::4, :3].astype(np.float32)  # every 16th pixel says enough of the colour
    return pixels, float((sample.max(-1) - sample.min(-1)).mean() / white)


def _bands(array: np.ndarray) -> list[slice]:
    """Slices that take an array _BAND rows at a time."""
    return [slice(start, start + _BAND) for start in range(0, len(array), _BAND)]


def _grey(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3 or 4) → (H, W) float32, the luma of colours."""
    return (array if array.ndim == 2 else np.einsum("hwc,c->hw", array[..., :3], _LUMA)).astype(np.float32)


def _white(array: np.ndarray) -> int:
    """The value that stands for white in an array of this dtype and with this largest value."""
    if array.dtype == bool:
        return 1
    if array.dtype.kind not in "iuf":
        raise RadiographError("an array must hold bool, integer or float values; convert it to uint8")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not 0 <= low <= high <= 1:  # also false where there is a NaN
            raise RadiographError("float values must be finite and lie in [0, 1]; divide them by 255, or pass uint8")
        return 1
    if low < 0 or high >= 2 ** _DEPTHS[-1]:
        raise RadiographError(f"integer values must lie in 0 to {2 ** _DEPTHS[-1] - 1}; shift or scale them first")
    return 2 ** next(bits for bits in _DEPTHS if high < 2**bits) - 1


# Image files, through Pillow


def _image_pixels(image: Image.Image) -> tuple[np.ndarray, float]:
    """PIL image of any mode → (H, W) float32 in [0, 1], turned as its EXIF orientation says, and its colour."""
    _check_size(*image.size)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise RadiographError("the file holds several pictures; save the one radiograph as its own file")
    inverted = _is_inverted(image)
    image.load()  # a PNG may give its Exif block after the picture
    check_exif(_exif(image))
    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(("I", "F")):  # those are one channel, deeper than 8 bits
        if image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode not in ("1", "L"):
            image = image.convert("RGB")
    array = np.asarray(image)
    pixels, colour = _array_pixels(_spread(array) if image.mode == "F" else array)
    return np.subtract(1, pixels, out=pixels) if inverted else pixels, colour


def _exif(image: Image.Image) -> bytes:
    """The Exif block of a loaded image, which ImageMagick writes into a PNG as text below three lines."""
    if "exif" in image.info or "Raw profile type exif" not in image.info:
        return image.info.get("exif", b"")
    return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white: Pillow inverts such a TIFF itself when it has 8 bits, but not when it has more."""
    deep_tiff = image.format == "TIFF" and image.mode.startswith(("I", "F"))
    return deep_tiff and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO


def _spread(values: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as they are, others spread from minimum to maximum. NaN where the values are not finite."""
    low, high = values.min(), values.max()
    return values if 0 <= low <= high <= 1 else (values - low) / ((high - low) or 1)


# DICOM, through pydicom


def _is_dicom(data: bytes) -> bool:
    """A DICOM file, or one without its preamble: it then begins with a low element of group 0002 or 0008."""
    return data[128:132] == b"DICM" or (data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00")


def _dicom_pixels(data: bytes) -> tuple[np.ndarray, dict]:
    """The bytes of a DICOM file → (H, W) float32 in [0, 1], and its colour, view and age."""
    from . import dicom, dicom_facts  # here, because pydicom takes a while and few radiographs come as DICOM

    if dicom.DEFLATED in data:
        raise RadiographError("a deflated DICOM file is not read; save it with another transfer syntax")
    dataset = dicom.read_dataset(data)
    _check_dicom(dataset)
    dicom_facts.check_frontal_chest(dataset)
    stored = dicom.stored_values(dataset)
    pixels, colour = (_monochrome_pixels(stored, dataset), 0.0) if stored.ndim == 2 else _array_pixels(stored)
    view, age = dicom_facts.view_position(dataset), dicom_facts.age_in_years(dataset)
    return pixels, {"colour": colour, "view": view, "age": age}


def _check_dicom(dataset) -> None:
    """Raise RadiographError unless the dataset holds one radiograph of acceptable size. Decodes nothing."""
    if "PixelData" not in dataset:
        raise RadiographError("the DICOM file holds no picture; export the image itself")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise RadiographError("the DICOM file holds several frames; export the one radiograph as its own file")
    if dataset.BitsAllocated > _DEPTHS[-1]:
        raise RadiographError(f"the DICOM file has more than {_DEPTHS[-1]} bits a pixel; export it with {_DEPTHS[-1]}")
    _check_size(dataset.Columns, dataset.Rows)
    if dataset.Rows * dataset.Columns * dataset.SamplesPerPixel > MAX_PIXELS:
        raise RadiographError(_TOO_MANY_PIXELS)


def _monochrome_pixels(stored: np.ndarray, dataset) -> np.ndarray:
    """Stored values (H, W), integers of up to 16 bits → (H, W) float32 in [0, 1], as DICOM PS3.3 C.11 shows them.

    What is shown depends on the value alone, so each value that occurs is worked out once.
    """
    kind = f"{stored.dtype.kind}{stored.dtype.itemsize}"
    codes = stored.astype(f"={kind}", copy=False).view(f"u{stored.dtype.itemsize}")
    shown = np.zeros(256**stored.dtype.itemsize, np.float32)
    occurs = np.zeros(len(shown), bool)
    for rows in _bands(codes):
        occurs[codes[rows]] = True
    present = np.flatnonzero(occurs)
    shown[present] = _shown(present.astype(codes.dtype).view(f"={kind}"), dataset)
    pixels = np.empty(codes.shape, np.float32)
    for rows in _bands(codes):
        pixels[rows] = shown[codes[rows]]
    return pixels


def _shown(stored: np.ndarray, dataset) -> np.ndarray:
    """All values that are stored (N,), any integer dtype → how bright each is shown (N,), float32 in [0, 1]."""
    from pydicom.pixels import apply_rescale, apply_windowing

    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    values = _without_padding(stored.astype(np.int64), dataset, inverted)
    lowest = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
    black, white = lowest, lowest + 2**dataset.BitsStored - 1
    if dataset.get("ModalityLUTSequence"):
        values, black, white = _look_up(values, dataset.ModalityLUTSequence[0])
    else:
        values = apply_rescale(values, dataset)
        black, white = apply_rescale(np.array([black, white]), dataset)
    if dataset.get("VOILUTSequence"):
        values, black, white = _look_up(values, dataset.VOILUTSequence[0])
        black, white = _used_range(values, black, white, dataset.BitsStored)
    elif _has_window(dataset):
        values = apply_windowing(values, dataset)  # → between black and white
    else:
        black, white = _used_range(values, min(black, white), max(black, white), dataset.BitsStored)
    if inverted:
        black, white = white, black
    return np.clip((values - black) / (white - black), 0, 1).astype(np.float32)


def _without_padding(values: np.ndarray, dataset, inverted: bool) -> np.ndarray:
    """Values (N,), with those that mark the outside of the picture replaced by the darkest of the rest."""
    if dataset.get("PixelPaddingValue") is None:
        return values
    ends = dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue)
    padding = (values >= min(ends)) & (values <= max(ends))
    rest = values[~padding]
    darkest = np.max if inverted else np.min
    return np.where(padding, darkest(rest), values) if rest.size else values


def _look_up(values: np.ndarray, item) -> tuple[np.ndarray, int, int]:
    """Values through one table of a Modality or VOI LUT Sequence → values, and the table's black and white.

    Not left to pydicom 3.0, which reads wrong entries from an 8-bit VOI table of more than 256, and refuses a modality
    table of 10 to 15 bits.
    """
    entries, first, bits = item.LUTDescriptor
    table = item.LUTData
    if isinstance(table, bytes):
        table = np.frombuffer(table, "<u2" if len(table) >= 2 * (entries or 2**16) else "u1")
    table = np.atleast_1d(table).astype(np.int64)
    return table[np.clip(values - first, 0, len(table) - 1).astype(np.intp)], 0, 2**bits - 1


def _has_window(dataset) -> bool:
    """Whether the dataset gives a window; some devices write an empty one, or one of width 0."""
    widths = np.atleast_1d(dataset.get("WindowWidth"))
    return dataset.get("WindowCenter") is not None and widths[0] is not None and widths[0] >= 1


def _used_range(values: np.ndarray, black: float, white: float, bits_stored: int) -> tuple[float, float]:
    """(black, white), or the values' own range where that is less than a quarter (12 bits declared as 16)."""
    low, high = values.min(), values.max()
    return (low, high) if bits_stored > 8 and high - low < (white - black) / 4 else (black, white)
