"""Folders and ZIP archives: which files of them count, what they are called, and what they are refused for."""

import io
import os
import time
import zipfile

import pytest

from lungfusion import RadiographError, load_radiograph
from lungfusion.reading import archive
from lungfusion.reading.archive import numbered, radiographs_in
from tests.support.dicom_files import DICOM_FILES
from tests.support.image_files import GREY, encoded


def packed(path, files, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def test_files_and_archives_are_listed_in_order(tmp_path):
    (tmp_path / "one.png").write_bytes(b"1")
    files = {"a/two.png": b"2", "../../three.dcm": b"3", "__MACOSX/._two.png": b"", ".hidden": b"", "empty/": b""}
    found = radiographs_in([tmp_path / "one.png", packed(tmp_path / "more.zip", files)])
    assert [name for name, _ in found] == ["one.png", "two.png", "three.dcm"]
    assert found[0][1]() == tmp_path / "one.png"
    assert [read() for _, read in found[1:]] == [b"2", b"3"]
    assert not (tmp_path.parent / "three.dcm").exists()  # nothing is unpacked to disk


def test_too_many_files_are_refused(tmp_path):
    path = packed(tmp_path / "many.zip", {f"{i}.png": b"" for i in range(archive.MAX_FILES + 1)})
    with pytest.raises(RadiographError, match=r"many\.zip: more than 200 files"):
        radiographs_in([path])


def test_bombs_are_refused(tmp_path, monkeypatch):
    path = packed(tmp_path / "bomb.zip", {f"{i}.png": bytes(3_000_000) for i in range(4)})
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(archive, "MAX_BYTES", 2_000_000)
    with pytest.raises(RadiographError, match=r"0\.png: the file has more than 2 MB"):
        radiographs_in([path])[0][1]()
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 11_000_000)
    with pytest.raises(RadiographError, match="unpacks to more than 11 MB; split it"):
        radiographs_in([path])


def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path):
    path = packed(tmp_path / "liar.zip", {"a.png": bytes(5_000_000)})
    data = path.read_bytes()
    size = (5_000_000).to_bytes(4, "little")
    assert data.count(size) == 2  # the member's own header and the directory
    path.write_bytes(data.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(RadiographError, match="can't be unpacked"):
        radiographs_in([path])[0][1]()


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_archives_are_refused_with_a_reason(tmp_path, damage):
    path = packed(tmp_path / "bad.zip", {"a.png": bytes(range(256)) * 50})
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[40:90]
    else:
        data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RadiographError, match="damaged"):
        radiographs_in([path])[0][1]()


def test_an_encrypted_member_is_refused(tmp_path):
    path = packed(tmp_path / "secret.zip", {"a.png": b"1"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(RadiographError, match="encrypted"):
        radiographs_in([path])[0][1]()


PNG = encoded(GREY, "PNG")


def names(*paths, **options):
    return [name for name, _ in radiographs_in(paths, **options)]


def test_no_two_files_share_a_name(tmp_path):
    files = {"p1/IM0001": DICOM_FILES["8 bit"], "p2/IM0001": DICOM_FILES["16 bit"], "p2/other.png": PNG}
    first, second = packed(tmp_path / "a.zip", files), packed(tmp_path / "b.zip", {"IM0001.png": PNG})
    (tmp_path / "again").mkdir()
    again = packed(tmp_path / "again" / "b.zip", {"IM0001.png": PNG})
    found = radiographs_in([first, second, again])
    expected = ["a.zip/p1/IM0001", "a.zip/p2/IM0001", "other.png", "b.zip/IM0001.png", "b.zip/IM0001.png-2"]
    assert [name for name, _ in found] == expected
    assert [read() for _, read in found] == [*files.values(), PNG, PNG]


def test_numbered_names_are_all_different():
    assert numbered(["x", "x", "x-2", "X"]) == ["x", "x-3", "x-2", "X-4"]
    assert numbered(["1.2.840.1", "1.2.840.1"]) == ["1.2.840.1", "1.2.840.1-2"]


def test_names_that_no_encoding_holds_are_shown_with_replacements(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/r\xf6ntgen.png")
    with open(path, "wb") as file:
        file.write(PNG)
    ((name, read),) = radiographs_in([path])
    assert name == "r\ufffdntgen.png" == load_radiograph(read()).name
    assert names(tmp_path) == [name]


def test_of_a_patient_s_disc_only_dicom_counts(tmp_path):
    viewer = {f"VIEWER/lib/f{i}.dll": b"MZ" + bytes(100) for i in range(archive.MAX_FILES + 30)}
    disc = {"DICOM/IM000000": DICOM_FILES["8 bit"], "VIEWER/logo.png": PNG, "DICOMDIR": DICOM_FILES["8 bit"]}
    assert names(packed(tmp_path / "cd.zip", viewer | disc)) == ["IM000000"]
    del disc["DICOMDIR"]  # copied without its list
    assert names(packed(tmp_path / "copy.zip", viewer | disc)) == ["IM000000", "logo.png"]


def test_files_that_cannot_be_radiographs_are_not_counted(tmp_path):
    others = {"Thumbs.db": b"\xd0\xcf\x11\xe0", "readme.txt": b"read", "report.pdf": b"%PDF-1.7", "LICENSE": b"x"}
    path = packed(tmp_path / "mixed.zip", others | {"notes.png": b"damaged", "phone": b"\0\0\0\x18ftypheic"})
    assert names(path) == ["notes.png", "phone"]  # which are told why they are not read
    with pytest.raises(RadiographError, match=r"^others\.zip: nothing in it can be a radiograph") as caught:
        radiographs_in([packed(tmp_path / "others.zip", others)])
    assert caught.value.code == "no_radiographs"


def test_an_empty_archive_is_named(tmp_path):
    for files in ({}, {"folder/": b""}, {".hidden": b"1"}):
        with pytest.raises(RadiographError, match=r"^none\.zip: there are no files in the archive") as caught:
            radiographs_in([packed(tmp_path / "none.zip", files)])
        assert caught.value.code == "empty_archive" and caught.value.reason.startswith("there are")


def test_archives_in_archives_are_opened_one_level_deep(tmp_path):
    inner = packed(tmp_path / "inner.zip", {"c/three.png": PNG}).read_bytes()
    middle = packed(tmp_path / "middle.zip", {"two.png": PNG, "inner.zip": inner}).read_bytes()
    path = packed(tmp_path / "outer.zip", {"one.png": PNG, "middle.zip": middle, "bad.zip": b"PK\x03\x04" + b"x" * 90})
    found = radiographs_in([path])
    assert [name for name, _ in found] == ["one.png", "two.png", "inner.zip", "bad.zip"]
    assert found[1][1]() == PNG
    for number, code in ((2, "nested_archive"), (3, "damaged_archive")):
        with pytest.raises(RadiographError) as caught:
            found[number][1]()
        assert caught.value.code == code


def test_folders_are_walked(tmp_path):
    (tmp_path / "study" / "b" / ".cache").mkdir(parents=True)
    for name in ("b/two.png", "one.png", "notes.txt", "b/.cache/three.png", "b/IM1", ".DS_Store"):
        (tmp_path / "study" / name).write_bytes(DICOM_FILES["8 bit"] if name.endswith("IM1") else PNG)
    (tmp_path / "study" / "notes.txt").write_text("no picture")
    found = radiographs_in([tmp_path / "study"])
    assert [name for name, _ in found] == ["one.png", "IM1", "two.png"]
    assert found[1][1]() == tmp_path / "study" / "b" / "IM1"
    assert len(names(tmp_path / "study", limit=3)) == 3
    with pytest.raises(RadiographError, match="more than 2 files"):
        names(tmp_path / "study", limit=2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RadiographError, match=r"^empty: nothing"):
        names(tmp_path / "empty")


@pytest.mark.parametrize("count", [archive.MAX_MEMBERS + 1, 70_000])  # the second in the numbers of ZIP64
def test_an_archive_of_many_names_is_refused_before_they_are_read(tmp_path, count, monkeypatch):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("x.txt", b"")
        info = file.filelist[0]
        file.filelist = [info] * count
    path = tmp_path / "names.zip"
    path.write_bytes(data.getvalue())
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lambda _: pytest.fail("the names were read"))
    before = time.process_time()
    with pytest.raises(RadiographError, match=r"^names\.zip: more than 10000 files"):
        radiographs_in([path])
    assert time.process_time() - before < 0.5


def test_an_archive_whose_list_lies_about_its_count_is_refused_by_its_length(tmp_path, monkeypatch):
    path = packed(tmp_path / "liar.zip", {f"{i}.png": b"" for i in range(9)})
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 300)
    with pytest.raises(RadiographError, match="more than 10000 files"):
        radiographs_in([path])
