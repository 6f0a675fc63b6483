"""Image files at the depth that they hold: through Pillow, and through imagecodecs what Pillow cuts to 8 bits."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import COMPRESSION_INFO

from .errors import check_size, refusal
from .formats import PILLOW_FORMATS, kind_of
from .grey_levels import array_pixels, decoded_pixels
from .headers import NEXT, check_exif, check_jpeg, check_tiff, codestream_size, is_plain_jpeg, jpeg_2000_frame

# TIFF tags (revision 6.0, section 8)
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_SAMPLES, _PLANES = 277, 284
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO, _PALETTE = 0, 3
_UPRIGHT = {  # Exif orientation → how the stored picture is turned
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


def file_pixels(data: bytes) -> tuple[np.ndarray, float, str]:
    """The bytes of an image file → (H, W) float32 in [0, 1], upright; its colour; and Pillow's name of the format."""
    if data.startswith(b"\xff\xd8\xff"):
        check_jpeg(data)
        if not is_plain_jpeg(data):
            return *_medical_jpeg_pixels(data), "JPEG"
    if data.startswith((b"II", b"MM")):
        if 43 in data[2:4]:
            raise refusal("bigtiff")
        tags = check_tiff(data)
        if tags.get(_BITS, 1) > 8 or tags.get(_SAMPLE_FORMAT, 1) > 1:
            return *_deep_tiff_pixels(data, tags), "TIFF"
        if tags.get(_COMPRESSION, 1) not in COMPRESSION_INFO:
            raise refusal("rare_tiff")
    if kind_of(data) == "JPEG2000" and jpeg_2000_frame(data)[1] > 8:
        return *_deep_jpeg_2000_pixels(data), "JPEG2000"
    if kind_of(data) == "JPEGXL":
        from .jpeg_xl import decode_jpeg_xl

        return *decoded_pixels(decode_jpeg_xl(data)), "JPEGXL"
    try:
        with Image.open(BytesIO(data), formats=PILLOW_FORMATS) as image:
            if image.format == "PNG" and image.mode != "I;16" and data[24] == 16:
                return *_deep_png_pixels(data, image), "PNG"
            return *image_pixels(image), format_of(image)
    except UnidentifiedImageError:
        if data.startswith((b"II", b"MM")):
            return *_deep_tiff_pixels(data, tags), "TIFF"
        raise


def format_of(image: Image.Image) -> str:
    """Pillow's name of the format; a telephone's MPO is a JPEG with a second picture behind it."""
    return "JPEG" if image.format == "MPO" else image.format or "image"


def image_pixels(image: Image.Image) -> tuple[np.ndarray, float]:
    """PIL image of any mode → (H, W) float32 in [0, 1], turned as its EXIF orientation says, and its colour."""
    _check_still(image)
    image.load()  # a PNG may give its Exif block after the picture
    check_exif(_exif(image))
    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(("I", "F")):  # those are one channel, deeper than 8 bits
        if image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode not in ("1", "L"):
            image = image.convert("RGB")
    array = np.asarray(image)
    return decoded_pixels(array) if image.mode == "F" else array_pixels(array)


def _check_still(image: Image.Image) -> None:
    check_size(*image.size)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise refusal("several_pictures")


def _exif(image: Image.Image) -> bytes:
    """The Exif block of a loaded image, which ImageMagick writes into a PNG as text below three lines."""
    if "exif" in image.info or "Raw profile type exif" not in image.info:
        return image.info.get("exif", b"")
    return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))


def _codecs():
    import imagecodecs  # here, because it takes a while and few radiographs need it

    return imagecodecs


def _deep_png_pixels(data, image):
    """A PNG of 16 bits with colours or transparency."""
    _check_still(image)
    image.load()
    check_exif(_exif(image))
    array = _codecs().png_decode(data)
    return decoded_pixels(_upright(array, image.getexif().get(_ORIENTATION)))


def _medical_jpeg_pixels(data):
    """A JPEG of 12 or 16 bits, lossless, or JPEG-LS."""
    width, height, channels = codestream_size(data)
    check_size(width, height)
    from .codecs import decode_jpeg

    array = decode_jpeg(data)
    return decoded_pixels(array.reshape(height, width) if channels == 1 else array.reshape(height, width, 3))


def _deep_jpeg_2000_pixels(data):
    """A JPEG 2000 of more than 8 bits."""
    start, _, width, height, channels = jpeg_2000_frame(data)
    check_size(width, height)
    if channels > 4:
        raise ValueError(f"The picture has {channels} channels.")
    return decoded_pixels(_codecs().jpeg2k_decode(data[start:]))


def _deep_tiff_pixels(data, tags):
    """A TIFF of more than 8 bits, signed, of floats, or of channels that are rare. tags: of `check_tiff`."""
    check_size(tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0))
    samples = tags.get(_SAMPLES, 1)
    if samples > 4 or tags.get(_BITS, 1) > 64 or tags.get(_PHOTOMETRIC, 1) == _PALETTE:
        raise refusal("rare_tiff")
    if tags[NEXT]:
        raise refusal("several_pictures")
    try:
        array = _codecs().tiff_decode(data)
    except Exception as error:
        if tags.get(_BITS, 1) in (8, 16, 32, 64):
            raise
        raise refusal("rare_tiff") from error
    if samples > 1 and tags.get(_PLANES, 1) == 2:
        array = array.transpose(1, 2, 0)
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        raise refusal("rare_tiff")
    return decoded_pixels(_upright(array, tags.get(_ORIENTATION)), tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _upright(array, orientation):
    """(H, W) or (H, W, C), turned as its Exif orientation says."""
    return _UPRIGHT.get(orientation, lambda stored: stored)(array)
