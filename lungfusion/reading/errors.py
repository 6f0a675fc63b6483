"""Why a source can't be read as a radiograph: a short code for programs, a sentence for people."""

MAX_BYTES = 100_000_000  # of a file
MAX_PIXELS = 100_000_000
MIN_SIDE = 64  # pixels
MAX_ASPECT = 20  # the longer side by the shorter; a chest is nearly square

REASONS = {  # code → what is wrong and what to do; names in braces are filled in
    # files
    "no_such_file": "there is no such file; check the path",
    "name_too_long": "the name is too long for a file; check the path",
    "not_permitted": "the file may not be read; check its permissions",
    "unreadable_file": "the file can't be read from its disk; copy it anew",
    "a_folder": "this is not a file but a folder or a device; give the path of one picture",
    "empty_file": "the file is empty; export or upload it again",
    "file_too_large": "the file has more than {limit} MB; make it smaller first",
    "wrong_source": "give a path, bytes, a binary file object, a PIL image, an array, a tensor or a Radiograph",
    "text_file": "the file object gives text; open it in binary mode",
    "an_address": "this is an address on the web, not a path; download the file first",
    # kinds of files
    "not_a_picture": "this is not a picture; use a PNG, JPEG, WebP, TIFF, BMP or DICOM file",
    "git_lfs": "this is not a picture but a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    "apple_double": "this is not a picture but what a Mac keeps beside one (._NAME); give the file of that name itself",
    "web_page": "this is not a picture but a web page: the download failed, or asks to sign in; download it again",
    "xml": "this is not a picture but an XML text, as a server sends it with an error; download the picture again",
    "json": "this is not a picture but a JSON text, as a server sends it with an error; download the picture again",
    "dicom_json": "this is DICOM as JSON, without its picture; ask the server for the DICOM file itself",
    "text": "this is not a picture but a text; download or export the picture again",
    "heic": "this is a HEIC picture, as an iPhone takes it; save it as JPEG or PNG first",
    "jpeg_xr": "this is a JPEG XR picture, which is not read; save it as PNG or JPEG first",
    "svg": "this is an SVG drawing, which is not read; save it as PNG first",
    "photoshop": "this is a Photoshop picture, which is not read; save it as PNG or TIFF first",
    "pdf": "this is a PDF document, not a picture; save the radiograph in it as a picture of its own",
    "document": "this is a document, not a picture; save the radiograph in it as a picture of its own",
    "zip": "this is a ZIP archive; unpack it and give the pictures in it",
    "archive": "this is a packed archive (GZIP, RAR or 7z); unpack it and give the pictures in it",
    "nifti": "this is a NIfTI file, which holds a volume; export the radiograph as DICOM or PNG",
    "volume": "this is a {kind} file of research software, which is not read; export the radiograph as DICOM or PNG",
    "video": "this is a video; save the radiograph as a picture of its own",
    "bigtiff": "this is a BigTIFF, which is not read; save it as an ordinary TIFF or PNG",
    "rare_tiff": "this is a TIFF of a kind that is not read; save it as PNG, or as TIFF of 8 or 16 bits",
    # pictures
    "several_pictures": "the file holds several pictures; save the one radiograph as its own file",
    "too_many_pixels": "the picture has more than {limit} megapixels; make it smaller first",
    "too_small": "the picture is below {limit} pixels on a side; use the original, not a thumbnail",
    "too_narrow": "the picture is more than {limit} times as long as wide, as no chest is; use the original",
    "single_shade": "the picture is a single shade of grey; check that the right file was exported",
    "out_of_memory": "the picture does not fit into memory; make it smaller first",
    "damaged": "the file cannot be decoded; it is damaged, cut short or of a rare kind, so export it again",
    # arrays
    "array_shape": "an array must be (H, W), or (H, W, C) or (C, H, W) of 1, 3 or 4 channels C; reshape it",
    "array_dtype": "an array must hold bool, integer or float values; convert it to uint8",
    "array_floats": "float values must be finite and lie in [0, 1]; divide them by 255, or pass uint8",
    "array_integers": "integer values must lie in 0 to 65535; shift or scale them first",
    "wrapped": "the grey levels jump between black and white inside smooth regions, as numbers do that overflowed; "
    "export it again with all bits",
    "not_finite": "the picture holds values that are not finite numbers; export it again",
    # DICOM
    "no_picture": "the DICOM file holds no picture; export the image itself",
    "dicomdir": "this is a DICOMDIR, the list of a disc's files; give the pictures beside it",
    "another_modality": "the DICOM file is not a radiograph (modality CR, DX or DR) but another kind of image ({word})",
    "not_a_frontal_chest": "this is not a frontal chest radiograph: its DICOM header says {word}",
    "several_frames": "the DICOM file holds several frames; export the one radiograph as its own file",
    "too_deep": "the DICOM file is compressed with more than 16 bits a pixel; export it with 16",
    # archives
    "too_many_files": "more than {limit} files; send them in several parts",
    "unpacks_too_large": "it unpacks to more than {limit} MB; split it",
    "damaged_archive": "the archive is damaged; pack it again",
    "empty_archive": "there are no files in the archive; pack the radiographs again",
    "no_radiographs": "nothing in it can be a radiograph; give PNG, JPEG, WebP, TIFF, BMP or DICOM files",
    "encrypted": "it is encrypted; pack it without a password",
    "not_unpacked": "it can't be unpacked; the archive is damaged or of a rare kind",
    "nested_archive": "archives within archives are opened one level deep; unpack it first",
}


class RadiographError(ValueError):
    """The source is no radiograph that can be read; the message says why in plain words and what to do.

    code: a key of `REASONS`, for programs and translations; "damaged" where none is given.
    values: what was filled into the sentence, by name.
    name: what the source is called, which stands before the sentence in the message; "" where that is not known.
    """

    def __init__(self, message, code="damaged", values=None, name=""):
        super().__init__(message)
        self.code, self.values, self.name = code, dict(values or {}), name

    def named(self, name):
        """The same, with a name before the sentence."""
        return RadiographError(f"{name}: {self}", self.code, self.values, name)

    @property
    def reason(self):
        """The sentence without the name."""
        return str(self).removeprefix(f"{self.name}: ")


def refusal(code, **values) -> RadiographError:
    """The error of a code, with its sentence."""
    return RadiographError(REASONS[code].format(**values), code, values)


def check_size(width: int, height: int) -> None:
    """Raise RadiographError unless a picture of this size is taken. Called before anything is decoded."""
    if min(width, height) < MIN_SIDE:
        raise refusal("too_small", limit=MIN_SIDE)
    if width * height > MAX_PIXELS:
        raise refusal("too_many_pixels", limit=MAX_PIXELS // 10**6)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise refusal("too_narrow", limit=MAX_ASPECT)
