"""A drawn chest radiograph, so that examples, tests and tiny trainings need no patient's image.

    python -m train.augment.phantom.radiograph [OUT_DIR]  # writes the images of examples/radiographs

Thickness maps of soft tissue and bone (`anatomy`) are drawn in the film plane (`film`); Beer-Lambert
attenuation turns them into the intensity at the film, and the film's response into grey values.

A phantom is a drawing. Its signs of disease are made to be looked at and to exercise code: nothing about disease, about
a patient or about how well a model finds disease can be concluded from them.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from train.augment.phantom.anatomy import (
    Body,
    airways_and_stomach,
    branches,
    lungs,
    ribs,
    shoulder_girdle,
    spine,
    trunk,
)
from train.augment.phantom.film import FIELD, Film, bump, step

MU_SOFT = 0.206  # 1/cm: water at 60 keV, near the mean energy of a 120 kV beam (Hubbell and Seltzer, NISTIR 5632)
MU_BONE = 0.604  # 1/cm: cortical bone at 60 keV, 0.315 cm2/g x 1.92 g/cm3 (same tables)
LUNG_DENSITY = 0.26  # of water: inflated lung (ICRU Report 44)
SCATTER = 0.2  # share of the scattered photons that reach the film behind a grid; set by eye


def consolidation(film, body, side, rng, extent):
    """A lower lobe filled, patchy at its edges, its air-filled bronchi left dark."""
    distance = np.hypot((film.x - side * rng.uniform(7, 8)) / 4.6, (film.y - body.right_dome + 3.6) / 4.4) / extent
    patch = step(1 - distance + 0.3 * film.noise(rng, (10, 20, 40)), 0.35)
    filled = 1 - 0.4 / extent
    return patch * (filled - 0.3 * np.clip(branches(film, body, rng, radius=0.32, forks=3) / 0.4, 0, 1))


def upper_lobe(film, body, side, rng, extent):
    """Patches in both upper zones and a ring-shaped cavity in one of them."""
    zone = step(body.apex + 10 - film.y, 2) * np.where(film.x * side > 0, 1, 0.55)
    patches = step(film.noise(rng, (12, 24, 48)) - 0.35 / extent, 0.5)
    ring = np.hypot(film.x - side * rng.uniform(6.5, 7.5), film.y - body.apex - rng.uniform(4.5, 6))
    return np.clip(0.45 * extent * zone * patches * step(ring - 1.5, 0.3) + 0.4 * bump(ring - 1.6, 0.35), 0, 1)


def effusion(film, body, side, rng, extent):
    """Fluid in a costophrenic angle, its upper edge a meniscus that climbs the chest wall."""
    climb = 4.5 * np.exp(-np.clip(body.cavity(film.y) - side * film.x, 0, None) / 1.6)
    return 0.92 * step(film.y - body.right_dome + extent * rng.uniform(0.5, 2.5) + climb, 0.6) * (side * film.x > 0)


def nodule(film, body, side, rng, extent):
    """A round nodule."""
    centre = (side * rng.uniform(6.5, 9), body.apex + rng.uniform(6, 16))
    radius = extent * rng.uniform(0.8, 1.3)
    return film.ellipsoid(centre, (radius, radius), 0.2 * radius)


# What each sign draws: the share of the lung's air that it takes the place of, (size, size) in [0, 1]
SIGNS = {"consolidation": consolidation, "upper_lobe": upper_lobe, "effusion": effusion, "nodule": nodule}


def expose(film, body, soft, bone, rng):
    """Grey values, float32 in [0, 1], of the film behind soft tissue and bone (cm)."""
    depth = MU_SOFT * np.clip(soft, 0, None) + (MU_BONE - MU_SOFT) * bone  # bone takes the place of soft tissue
    intensity = np.exp(-depth)
    intensity += SCATTER * gaussian_filter(depth * intensity, 2.5 / film.pitch, truncate=2.5)
    grain = gaussian_filter(rng.standard_normal(depth.shape), 0.5)
    intensity *= np.exp(0.01 * grain / np.sqrt(intensity + 0.02))  # the fewer photons, the more their number varies
    pixels = (1 - np.clip(intensity, 0, 1) ** (1 / body.latitude)) ** body.contrast
    pixels += 0.7 * (pixels - gaussian_filter(pixels, 0.3 / film.pitch))  # edge enhancement, as digital systems do
    return np.clip(1.02 * pixels + 0.02, 0, 1).astype(np.float32)


def draw_phantom(seed=0, size=512, opacity=None, tilt=0.0, extent=1.0):
    """Draw one frontal chest radiograph and its lungs.

    seed chooses the anatomy and the exposure; size is the side in pixels; opacity is None or a key of SIGNS; tilt turns
    the patient clockwise, in degrees. Returns pixels (size, size) float32 in [0, 1], bone white, and mask (size, size)
    bool: the lungs beside heart and mediastinum, opacities included. One seed is one person at every size, opacity and
    tilt. A phantom is a drawing: nothing about disease can be concluded from it.
    """
    if opacity is not None and opacity not in SIGNS:
        raise ValueError(f"opacity must be None or one of {', '.join(SIGNS)}, not {opacity!r}")
    streams = np.random.SeedSequence(seed).spawn(4)
    body_rng, texture_rng, sign_rng, grain_rng = (np.random.Generator(np.random.PCG64(s)) for s in streams)
    body = Body(body_rng)
    film = Film(size, tilt, body.stature)

    air, mask = lungs(film, body)
    vessels = np.minimum(branches(film, body, texture_rng, radius=0.68, forks=5), air)
    aerated = (air - vessels) * (1 + 0.015 * film.noise(texture_rng, (40, 80, 160)))
    if opacity is not None:
        near = np.clip(2 * gaussian_filter(mask.astype(float), 0.4 / film.pitch), 0, 1)  # signs end at the lungs
        aerated *= 1 - near * SIGNS[opacity](film, body, sign_rng.choice([-1, 1]), sign_rng, extent)
    soft = trunk(film, body) - (1 - LUNG_DENSITY) * aerated - airways_and_stomach(film, body, texture_rng)
    bone = ribs(film, body) + spine(film, body) + shoulder_girdle(film, body)
    return expose(film, body, soft, bone, grain_rng), mask


EXAMPLES = {  # file name: what draw_phantom is asked for
    "phantom_clear.png": {"seed": 11},
    "phantom_consolidation.png": {"seed": 2, "opacity": "consolidation"},
    "phantom_upper_lobe.png": {"seed": 3, "opacity": "upper_lobe"},
    "phantom_tilted.png": {"seed": 4, "tilt": 8.0},
    "phantom_16bit.png": {"seed": 6, "opacity": "nodule"},
    "phantom_dicom.dcm": {"seed": 6, "opacity": "effusion"},
}


def burn_in_label(pixels):
    """The same pixels with the word PHANTOM in the upper left corner."""
    picture = Image.fromarray(pixels)
    ImageDraw.Draw(picture).text((10, 8), "PHANTOM", fill=0.9, font=ImageFont.load_default(size=18))
    return np.asarray(picture)


def write_dicom(path, pixels):
    """A 12 bit computed radiography image, MONOCHROME1 (bone is 0); fixed identifiers make its bytes reproducible."""
    from pydicom.dataset import Dataset, FileMetaDataset  # here, since only this function needs pydicom
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    study, series, instance, writer = (generate_uid(entropy_srcs=["lungfusion phantom", str(i)]) for i in range(4))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ComputedRadiographyImageStorage, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = writer, "PHANTOM"
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        ComputedRadiographyImageStorage,
        instance,
        study,
        series,
    )
    ds.PatientName, ds.PatientID, ds.SeriesDescription = "PHANTOM^DRAWN", "PHANTOM", "Drawn by a program: no patient"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition, ds.BurnedInAnnotation = "CR", "CHEST", "PA", "YES"
    ds.Rows, ds.Columns = pixels.shape
    ds.ImagerPixelSpacing = [10 * FIELD / side for side in pixels.shape]  # mm
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PresentationLUTShape = 1, "MONOCHROME1", "INVERSE"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.round((1 - pixels) * 4095).astype("<u2").tobytes()
    ds.save_as(path, enforce_file_format=True)


def write_example(path, pixels):
    """pixels as DICOM (.dcm) or as a grey PNG of 8 bits, or of 16 if the name says so."""
    if path.suffix == ".dcm":
        return write_dicom(path, pixels)
    depth = np.uint16 if "16bit" in path.stem else np.uint8
    Image.fromarray(np.round(pixels * np.iinfo(depth).max).astype(depth)).save(path)


def main(out_dir=Path(__file__).parents[3] / "examples" / "radiographs"):
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, request in EXAMPLES.items():
        pixels, _ = draw_phantom(**request)
        write_example(out_dir / name, burn_in_label(pixels))
        print(out_dir / name)


if __name__ == "__main__":
    main(*sys.argv[1:2])
