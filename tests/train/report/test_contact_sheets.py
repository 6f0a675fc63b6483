"""The sheets and figures an evaluation draws, and its tables."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lungfusion import LungFusionImageProcessor, LungFusionPipeline
from lungfusion.visualization import CONTOUR_COLOUR
from tests.train.test_evaluate import lungs_everywhere
from train.data.pictures import image_bytes
from train.data.splits import load_source
from train.io import read_rows, write_csv
from train.report import contact_sheets as sheets
from train.report import figures
from train.report.tables import metrics_tables
from train.scoring import images
from train.scoring.metrics import PREVALENCES

pytestmark = pytest.mark.usefixtures("few_draws")

FIGURE = {"value": 0.5, "interval": [0.4, 0.6]}


class Recorder:
    """A pipeline that says what it was asked."""

    def __init__(self, pipeline):
        self.pipeline, self.asked = pipeline, []

    def __call__(self, source):
        self.asked.append(source)
        return self.pipeline(source)


@pytest.fixture(scope="module")
def pipeline():
    return LungFusionPipeline(lungs_everywhere(), LungFusionImageProcessor(size={"height": 64, "width": 64}))


def test_sheets_show_the_worst_and_the_percentiles_and_read_no_more(pipeline, masks_alone, tmp_path):
    data = load_source(masks_alone, "train")
    scores = np.random.default_rng(0).permutation(len(data)) / 100
    rows = [
        {"source": "masks", "index": i, "dice": score, "file_name": "cost_$1_$2.png"} for i, score in enumerate(scores)
    ]
    without_mask = {"source": "other", "index": 0, "file_name": "1.png"}
    recorder = Recorder(pipeline)
    sheets.write_contact_sheets(recorder, {"masks": data}, [without_mask, *rows], tmp_path / "images")
    places = [
        int(np.flatnonzero([image_bytes(image) == asked for image in data["image"]])[0]) for asked in recorder.asked
    ]
    last = len(data) - 1
    expected = [*range(10), *[round(share * last) for share in (0.1, 0.5, 0.9)]]
    assert [round(100 * scores[place]) for place in places] == expected
    colours = np.asarray(Image.open(tmp_path / "images" / "worst.png").convert("RGB")).reshape(-1, 3)
    for colour in (sheets.HUMAN_COLOUR, CONTOUR_COLOUR):
        assert (colours == colour).all(1).any()


def test_no_sheets_without_masks(pipeline, tmp_path):
    sheets.write_contact_sheets(
        pipeline, {}, [{"source": "other", "index": 0, "file_name": "1.png"}], tmp_path / "images"
    )
    assert not (tmp_path / "images").exists()


def test_tables_show_what_a_run_measured_and_no_more():
    older = {"images": 3, "least_dice": 0.1, "dice": FIGURE}
    table = "\n".join(metrics_tables({"shenzhen": {"lungs": older, "findings": {}}}))
    assert "Dice" in table and "HD95" not in table
    newer = older | dict.fromkeys(images.LUNG_SCORES, FIGURE)
    table = "\n".join(metrics_tables({"shenzhen": {"lungs": newer, "findings": {}}}))
    assert "| HD95 / width | ASSD / width | least Dice |" in table
    assert table.count("0.500 (0.400–0.600)") == 7  # those in pixels are left to metrics.json


def test_there_is_no_table_without_rows():
    """Predictive values are of the findings that are told: where none is, there is nothing to head."""
    finding = {"images": 9, "positive": 4, "threshold": 0.5, "auc": FIGURE}
    finding |= {f"ppv_{prevalence}": FIGURE for prevalence in PREVALENCES}
    summary = {"images": 9, "refused": 0}
    tables = [
        "\n".join(metrics_tables({"elm": summary | {"findings": {"gout": finding | {"shown": shown}}}}))
        for shown in (True, False)
    ]
    assert ["PPV" in table for table in tables] == [True, False]


def test_figures_are_of_the_findings_shown_and_can_be_drawn_anew_from_the_file(tmp_path, monkeypatch):
    rows = [
        {"source": "elm", "index": i, "patient_id": str(i), "file_name": f"{i}.png"}
        | {"probability_gout": None if i == 5 else i / 10, "label_gout": i % 2}
        | ({"probability_cold": i / 10, "label_cold": i // 5} if i else {"probability_cold": 0.5})
        for i in range(10)
    ]
    write_csv(tmp_path / "per_image.csv", rows)
    read = read_rows(tmp_path / "per_image.csv")
    assert [{k: v for k, v in row.items() if k not in ("index",)} for row in read] == [
        {k: v for k, v in row.items() if k != "index"} for row in rows
    ]
    drawn = []
    monkeypatch.setattr(figures, "draw_curves", lambda curves, rows: drawn.append(curves) or Figure())
    monkeypatch.setattr(figures, "draw_confusion", lambda curves, rows, metrics: drawn.append(curves) or Figure())
    for shown, expected in (((True, False), ["gout"]), ((False, False), ["gout", "cold"])):
        found = dict(zip(("gout", "cold"), ({"shown": is_shown} for is_shown in shown), strict=True))
        figures.write_figures({"elm": {"findings": found}}, read, [], tmp_path)
        assert drawn[-2:] == [[("elm", name) for name in expected]] * 2
