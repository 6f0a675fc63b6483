"""Each public layout, in a small folder with the true file names, becomes the column contract."""

import numpy as np
import pytest
from datasets import Image as ImageFeature
from datasets import load_dataset
from huggingface_hub import DatasetCard
from PIL import Image

from lungfusion import LungFusionImageProcessor
from train.data.cache import to_arrays
from train.data.labels import known_labels
from train.data.layouts import LAYOUTS
from train.data.layouts.jsrt import RAW_SIDE as RAW_JSRT_SIDE
from train.data.sources import known_sources
from train.prepare import main, prepare

WIDTH, HEIGHT = 96, 80


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def radiograph(width=WIDTH, height=HEIGHT):
    """A ramp from black to white."""
    return np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)


def lung(left, right, width=WIDTH, height=HEIGHT):
    """A mask that is white between two columns."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, left:right] = 255
    return mask


def load(folder, split="train"):
    """The written rows by file name, as `load_dataset` gives them."""
    data = load_dataset(str(folder), cache_dir=str(folder / "cache"))[split]
    names = data.features["label"].names
    return {row["file_name"]: {**row, "label": names[row["label"]]} for row in data}, data


def columns(mask):
    """Columns of a mask picture that are white, checking that it is nothing but black and white."""
    pixels = np.asarray(mask)
    assert set(np.unique(pixels)) == {0, 255}
    return np.flatnonzero(pixels.all(axis=0)).tolist()


def test_shenzhen(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name in ("CHNCXR_0001_0", "CHNCXR_0327_1", "CHNCXR_0025_0"):
        save(raw / f"CXR_png/{name}.png", radiograph())
    save(raw / "mask/CHNCXR_0001_0_mask.png", lung(10, 30))
    save(raw / "mask/CHNCXR_0327_1_mask.png", lung(40, 44))
    (raw / "CXR_png/Thumbs.db").write_bytes(b"not a radiograph")
    prepare("shenzhen", raw, out)

    rows, data = load(out)
    assert data.column_names == ["image", "mask", "label", "patient_id", "file_name"]
    assert {name: (row["label"], row["patient_id"]) for name, row in rows.items()} == {
        "CHNCXR_0001_0.png": ("normal", "CHNCXR_0001"),
        "CHNCXR_0025_0.png": ("normal", "CHNCXR_0025"),
        "CHNCXR_0327_1.png": ("tuberculosis", "CHNCXR_0327"),
    }
    assert columns(rows["CHNCXR_0001_0.png"]["mask"]) == list(range(10, 30))
    assert rows["CHNCXR_0025_0.png"]["mask"] is None
    assert known_labels(data, ["tuberculosis"], "shenzhen")[:, 0].tolist() == [0, 0, 1]
    assert "3 radiographs (2 normal, 1 tuberculosis), 2 with lungs, 0 left out" in capsys.readouterr().out


def test_images_keep_the_bytes_of_their_files(tmp_path):
    name = "CHNCXR_0001_0.png"
    save(tmp_path / "raw/CXR_png" / name, radiograph())
    prepare("shenzhen", tmp_path / "raw", tmp_path / "out")
    image = load(tmp_path / "out")[1].cast_column("image", ImageFeature(decode=False))[0]["image"]
    assert image == {"bytes": (tmp_path / "raw/CXR_png" / name).read_bytes(), "path": name}


def test_montgomery_joins_both_lungs(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name in ("MCUCXR_0001_0.png", "MCUCXR_0104_1.png"):
        save(raw / "CXR_png" / name, radiograph())
        save(raw / "ManualMask/leftMask" / name, lung(10, 30) > 0)
    save(raw / "ManualMask/rightMask/MCUCXR_0001_0.png", lung(60, 80) > 0)
    prepare("montgomery", raw, out)

    rows, _ = load(out)
    assert {name: (row["label"], row["patient_id"]) for name, row in rows.items()} == {
        "MCUCXR_0001_0.png": ("normal", "MCUCXR_0001"),
        "MCUCXR_0104_1.png": ("tuberculosis", "MCUCXR_0104"),
    }
    assert columns(rows["MCUCXR_0001_0.png"]["mask"]) == [*range(10, 30), *range(60, 80)]
    assert rows["MCUCXR_0104_1.png"]["mask"] is None  # one lung alone is not the lungs


def test_jsrt(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    depth = np.linspace(0, 4095, RAW_JSRT_SIDE**2).astype(">u2")
    raw.mkdir()
    depth.tofile(raw / "JPCLN001.IMG")
    save(raw / "png/JPCNN001.png", radiograph())
    for fold, name in ((1, "JPCLN001.gif"), (2, "JPCNN001.gif")):
        save(raw / f"scratch/fold{fold}/masks/left lung" / name, lung(10, 20, 64, 64))
        save(raw / f"scratch/fold{fold}/masks/right lung" / name, lung(40, 50, 64, 64))
    prepare("jsrt", raw, out)

    rows, data = load(out)
    assert {name: (row["label"], row["patient_id"]) for name, row in rows.items()} == {
        "JPCLN001.IMG": ("nodule", "JPCLN001"),
        "JPCNN001.png": ("normal", "JPCNN001"),
    }
    assert known_labels(data, ["nodule"], "jsrt")[:, 0].tolist() == [1, 0]
    nodule = rows["JPCLN001.IMG"]
    assert np.array_equal(np.asarray(nodule["image"]).ravel(), 4095 - depth)  # bone white, every level kept
    assert columns(nodule["mask"]) == [*range(320, 640), *range(1280, 1600)]
    assert rows["JPCNN001.png"]["mask"].size == (WIDTH, HEIGHT)


def test_covid_radiography_stretches_the_mask_to_the_image(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    kinds = ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia")
    for kind in kinds:
        save(raw / kind / f"images/{kind}-1.png", radiograph(299, 299))
        save(raw / kind / f"masks/{kind}-1.png", np.stack([lung(64, 120, 256, 256)] * 3, axis=-1))
    prepare("covid_radiography", raw, out)

    rows, _ = load(out)
    assert {row["patient_id"]: row["label"] for row in rows.values()} == {
        "Normal-1": "normal",
        "COVID-1": "covid",
        "Lung_Opacity-1": "lung_opacity",
        "Viral Pneumonia-1": "viral_pneumonia",
    }
    assert rows["COVID-1.png"]["mask"].size == (299, 299)
    assert columns(rows["COVID-1.png"]["mask"]) == list(range(75, 140))  # 64 … 119 of 256


def test_kermany(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name in (
        "train/NORMAL/IM-0115-0001.jpeg",
        "train/NORMAL/IM-0429-0001-0002.jpeg",
        "train/NORMAL/NORMAL2-IM-0806-0001.jpeg",
        "train/PNEUMONIA/person1_bacteria_1.jpeg",
        "train/PNEUMONIA/person447_virus_921_1.jpeg",
        "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
        "test/PNEUMONIA/person1_virus_6.jpeg",
        "test/NORMAL/IM-0001-0001.jpeg",
    ):
        save(raw / name, radiograph())
    (raw / "train/NORMAL/._IM-0115-0001.jpeg").write_bytes(b"left behind by a file manager")
    prepare("kermany", raw, out)

    rows, data = load(out)
    assert {name: (row["label"], row["patient_id"]) for name, row in rows.items()} == {
        "IM-0115-0001.jpeg": ("normal", "IM-0115"),
        "IM-0429-0001-0002.jpeg": ("normal", "IM-0429"),
        "NORMAL2-IM-0806-0001.jpeg": ("normal", "NORMAL2-IM-0806"),
        "person1_bacteria_1.jpeg": ("bacterial_pneumonia", "person1"),
        "person447_virus_921_1.jpeg": ("viral_pneumonia", "person447"),
        "person1946_bacteria_4874.jpeg": ("bacterial_pneumonia", "person1946"),
    }
    assert known_labels(data, ["pneumonia"], "kermany")[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert {name: row["label"] for name, row in load(out, "test")[0].items()} == {
        "IM-0001-0001.jpeg": "normal",
        "person1_virus_6.jpeg": "viral_pneumonia",
    }


def test_rows_beyond_one_group_are_all_written(tmp_path):
    for number in range(60):
        save(tmp_path / f"raw/CXR_png/CHNCXR_{number:04}_{number % 2}.png", radiograph(64, 64))
    prepare("shenzhen", tmp_path / "raw", tmp_path / "out")
    assert [int(row["patient_id"][-4:]) for row in load(tmp_path / "out")[1]] == list(range(60))


@pytest.mark.parametrize(
    ("broken", "content", "why"),
    [
        ("CXR_png/CHNCXR_0002_0.png", b"no picture", "CHNCXR_0002_0.png: this is not a picture"),
        ("CXR_png/CHNCXR_0002_0.png", None, "CHNCXR_0002_0.png: the file cannot be decoded"),
        ("mask/CHNCXR_0002_0_mask.png", b"no picture", "CHNCXR_0002_0_mask.png: the mask can't be decoded"),
        ("mask/CHNCXR_0002_0_mask.png", lung(0, 0), "CHNCXR_0002_0_mask.png: the mask is empty"),
    ],
)
def test_what_cannot_be_read_is_reported_and_left_out(tmp_path, capsys, broken, content, why):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name in ("CHNCXR_0001_0.png", "CHNCXR_0002_0.png"):
        save(raw / "CXR_png" / name, radiograph())
    path = raw / broken
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, np.ndarray):
        save(path, content)
    else:
        path.write_bytes(path.read_bytes()[:-200] if content is None else content)  # None: cut short
    prepare("shenzhen", raw, out)
    assert list(load(out)[0]) == ["CHNCXR_0001_0.png"]
    said = capsys.readouterr()
    assert f"Left out: {why}" in said.err
    assert "1 left out" in said.out


@pytest.mark.parametrize(("values", "white"), [(1000, 4095), (RAW_JSRT_SIDE**2, 4096)], ids=["size", "depth"])
def test_a_raw_jsrt_file_of_another_kind_is_left_out(tmp_path, capsys, values, white):
    np.full(values, white, ">u2").tofile(tmp_path / "JPCLN001.IMG")
    with pytest.raises(FileNotFoundError):
        prepare("jsrt", tmp_path, tmp_path / "out")
    assert "Left out: JPCLN001.IMG: not the 2048 × 2048 big-endian" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_found_says_what_is_expected(tmp_path, monkeypatch, layout):
    monkeypatch.setattr("sys.argv", ["train.prepare", layout, str(tmp_path / "raw"), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == f"Nothing found in {tmp_path / 'raw'}. {LAYOUTS[layout].expects}"  # a sentence: status 1
    assert not (tmp_path / "out").exists()


def test_what_is_written_can_be_trained_on(tmp_path):
    save(tmp_path / "raw/CXR_png/CHNCXR_0001_0.png", radiograph())
    save(tmp_path / "raw/mask/CHNCXR_0001_0_mask.png", lung(24, 72))
    prepare("shenzhen", tmp_path / "raw", tmp_path / "out")
    data = load(tmp_path / "out")[1]
    for column in ("image", "mask"):
        data = data.cast_column(column, ImageFeature(decode=False))
    arrays = to_arrays(data[0], LungFusionImageProcessor(size={"height": 64, "width": 64}))
    assert len(arrays["pixels"]) == len(arrays["mask"]) == 64 * 64
    assert np.frombuffer(arrays["mask"], np.uint8).mean() == pytest.approx(255 / 2, abs=2)


def test_the_card_says_what_is_there(tmp_path):
    for name in ("IM-0115-0001.jpeg", "IM-0115-0002.jpeg"):
        save(tmp_path / "raw/train/NORMAL" / name, radiograph())
    save(tmp_path / "raw/test/PNEUMONIA/person1_virus_6.jpeg", radiograph())
    files = prepare("kermany", tmp_path / "raw", tmp_path / "out", "owner/kermany")
    assert set(files) == {"train-00000-of-00001.parquet", "test-00000-of-00001.parquet", "README.md"}
    card = DatasetCard.load(files["README.md"])
    assert card.data.license == "cc-by-4.0"
    assert card.data.task_categories == ["image-classification"]  # no masks there
    assert card.data.size_categories == "n<1K"
    assert "| train | 2 | 1 | 0 | 2 | 0 | 0 |" in card.text
    assert "| test | 1 | 1 | 0 | 0 | 0 | 1 |" in card.text
    assert 'load_dataset("owner/kermany")' in card.text
    assert "Kermany et al. 2018" in card.text and "Licence: CC BY 4.0." in card.text


def test_every_layout_says_where_it_comes_from():
    for name in LAYOUTS:
        source = known_sources()[name]
        assert all(source[key] for key in ("title", "about", "citation", "licence", "hub_licence", "link"))
        assert source["redistributable"] in (True, False)


def test_what_may_not_be_handed_on_stays_private(tmp_path, monkeypatch):
    command = ["train.prepare", "jsrt", str(tmp_path), str(tmp_path / "out"), "--push-to-hub", "owner/jsrt"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match=r"do not let others publish copies\. Add --private"):
        main()
    monkeypatch.setattr("sys.argv", [*command, "--private"])
    with pytest.raises(SystemExit, match="Nothing found"):
        main()
