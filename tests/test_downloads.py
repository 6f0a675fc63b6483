"""What is taken home, and what is said of two radiographs."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from lungfusion.analysis import Correction, Finding
from lungfusion.app.view import downloads
from lungfusion.app.view.pictures import mask_image
from lungfusion.app.view.sheet import sheet_pdf
from lungfusion.checks import input_checks as gate
from lungfusion.checks.orientation import UPRIGHT
from tests.answers import ENGLISH, GOUT, MADE_BY, TUBERCULOSIS
from tests.conftest import analysis


def files_of(chest, correction=UPRIGHT):
    links = downloads.download_links(ENGLISH, chest, correction, MADE_BY)
    return {name: base64.b64decode(address.split(",")[1]) for name, address, _ in links}


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
    assert numbers["applied_correction"] == {"angle": 0, "invert": False, "corners": None}


def test_downloads_of_a_turned_image_say_so():
    files = files_of(analysis(), Correction(90, True))
    assert "chest_turned_90_inverted_lungs.png" in files
    numbers = json.loads(files["chest_turned_90_inverted.json"])
    assert numbers["applied_correction"] == {"angle": 90, "invert": True, "corners": None}
    (page,) = PdfReader(BytesIO(files["chest_turned_90_inverted.pdf"])).pages
    assert "Turned by 90 degrees first. Black and white swapped first." in " ".join(page.extract_text().split())


@pytest.mark.parametrize("count", [0, 2, 16])
def test_the_printed_page_is_one_and_says_what_the_screen_does(count):
    findings = [Finding(f"finding_{i}", 0.63, 0.31, 0.9149, 0.88, "the Elm set (adults)") for i in range(count)]
    findings += [GOUT] * bool(count)
    chest = analysis(findings=findings, warnings=[gate.LOW_RESOLUTION], name="胸片 <b>&.png")
    pages = PdfReader(BytesIO(sheet_pdf(chest, UPRIGHT, MADE_BY))).pages
    assert len(pages) == 1
    text = " ".join(pages[0].extract_text().split())
    assert "For research and education. Not a medical device." in text
    assert gate.LOW_RESOLUTION.sentence in text
    assert "?? <b>&.png: PNG, 64 × 64 pixels." in text
    assert "LungFusion 9.9, model owner/model." in text
    assert ("The model reacts to: finding 0" in text) == bool(count) == ("Gout: not judged" in text)
    assert text.count(": detected") == count
    assert text.count(" 63% ") == count == text.count("it found 91 of 100")
    assert len(pages[0].images) == 2
