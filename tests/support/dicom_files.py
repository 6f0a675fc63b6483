"""The same picture in DICOM files of every kind."""

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from tests.support.image_files import GREY, jpeg_2000, jpeg_lossless

PATIENT = "Doe^Jane"


def dataset(stored: np.ndarray, syntax=ExplicitVRLittleEndian, **elements) -> Dataset:
    """A DICOM radiograph of stored values (H, W) or (H, W, 3), with any elements set by keyword."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = generate_uid()
    ds.PatientName = PATIENT
    ds.Modality = "DX"
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel = 1 if stored.ndim == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    if stored.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 * stored.itemsize
    ds.BitsStored = elements.pop("BitsStored", ds.BitsAllocated)
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.PixelData = stored.astype(stored.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
    ds["PixelData"].VR = "OW" if stored.itemsize > 1 else "OB"
    return ds


def file_bytes(ds: Dataset) -> bytes:
    """A dataset as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom(stored: np.ndarray, syntax=ExplicitVRLittleEndian, **elements) -> bytes:
    return file_bytes(dataset(stored, syntax, **elements))


def encapsulated(frame: bytes, stored: np.ndarray, syntax, **elements) -> bytes:
    """A DICOM file whose pixel data is an already compressed frame."""
    ds = dataset(stored, syntax, **elements)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return file_bytes(ds)


def compressed(stored: np.ndarray, syntax, **elements) -> bytes:
    if syntax == JPEG2000Lossless:
        return encapsulated(jpeg_2000(stored), stored, syntax, **elements)
    ds = dataset(stored, **elements)
    ds.compress(syntax, encoding_plugin="pydicom")
    return file_bytes(ds)


def table(values: np.ndarray, bits: int, first: int = 0) -> Sequence:
    """A Modality or VOI LUT Sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    return Sequence([item])


DICOM_FILES = {
    "8 bit": dicom(GREY),
    "implicit": dicom(GREY, ImplicitVRLittleEndian),
    "big endian": dicom(GREY.astype(np.uint16) * 257, ExplicitVRBigEndian),
    "no preamble": dicom(GREY)[132:],
    "monochrome1": dicom(255 - GREY, PhotometricInterpretation="MONOCHROME1"),
    "16 bit": dicom(GREY.astype(np.uint16) * 257),
    "signed": dicom((GREY.astype(int) * 257 - 32768).astype(np.int16)),
    "rgb": dicom(np.stack([GREY] * 3, axis=-1)),
    "rle": compressed(GREY, RLELossless),
    "rle 16 bit": compressed(GREY.astype(np.uint16) * 257, RLELossless),
    "jpeg 2000": compressed(GREY, JPEG2000Lossless),
    "jpeg 2000 16 bit": compressed(GREY.astype(np.uint16) * 257, JPEG2000Lossless),
    "jpeg lossless": encapsulated(jpeg_lossless(GREY.astype(int), 8), GREY, JPEGLosslessSV1),
    "jpeg lossless 16 bit": encapsulated(
        jpeg_lossless(GREY.astype(int) * 257, 16), GREY.astype(np.uint16), JPEGLosslessSV1
    ),
    "other capture": dicom(GREY, Modality="OT"),
    "no modality": dicom(GREY, Modality=""),
}
