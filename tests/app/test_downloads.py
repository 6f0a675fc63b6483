"""What is taken home, and what is said of two radiographs."""

import base64
import json
from io import BytesIO

import numpy as np
from PIL import Image
from pypdf import PdfReader

from lungfusion.analysis import Correction
from lungfusion.app.view import downloads
from lungfusion.checks.orientation import UPRIGHT
from lungfusion.visualization import mask_image
from tests.support.answers import ENGLISH, MADE_BY, TUBERCULOSIS
from tests.support.tiny import analysis


def files_of(chest, correction=UPRIGHT):
    """Name → bytes of every file that is offered."""
    kinds = [kind for kind, _ in downloads.offered(ENGLISH, chest)]
    files = [downloads.file_of(kind, ENGLISH, chest, correction, MADE_BY, {}) for kind in kinds]
    return {name: base64.b64decode(address.split(",")[1]) for name, address in files}


def test_downloads_hold_the_page_the_mask_and_the_lungs_at_full_size_and_the_numbers():
    alpha = np.random.default_rng(0).random((1100, 1200), dtype=np.float32)
    alpha[:500] = 0
    chest = analysis(np.full((1100, 1200), 0.4, np.float32), alpha, [TUBERCULOSIS])
    files = files_of(chest)
    assert list(files) == ["chest.pdf", "chest_lungs.png", "chest_cut_out.png", "chest.json"]
    assert (np.asarray(Image.open(BytesIO(files["chest_lungs.png"]))) == np.asarray(mask_image(chest))).all()
    cut_out = Image.open(BytesIO(files["chest_cut_out.png"]))
    assert cut_out.mode == "RGBA" and cut_out.size == (1200, 1100)
    assert (np.asarray(cut_out)[..., 3] == np.asarray(mask_image(chest))).all()
    assert np.asarray(cut_out)[-1, -1, :3].tolist() == [102] * 3 and not np.asarray(cut_out)[:500].any()
    numbers = json.loads(files["chest.json"])
    assert numbers["findings"][0]["level"] == "detected" and numbers["findings"][0]["probability"] == 0.63
    assert numbers["model"] == "owner/model" and numbers["version"] == "9.9"
    assert numbers["applied_correction"] == {"angle": 0, "invert": False, "mirror": False, "corners": None}


def test_downloads_of_a_turned_image_say_so():
    files = files_of(analysis(), Correction(90, True))
    assert "chest_turned_90_inverted_lungs.png" in files
    numbers = json.loads(files["chest_turned_90_inverted.json"])
    assert numbers["applied_correction"] == {"angle": 90, "invert": True, "mirror": False, "corners": None}
    (page,) = PdfReader(BytesIO(files["chest_turned_90_inverted.pdf"])).pages
    assert "Turned by 90° first. Black and white swapped first." in " ".join(page.extract_text().split())
    assert "chest_mirrored.json" in files_of(analysis(), Correction(mirror=True))
