"""ZIP archives of ood_images: what is in them, and what they are refused for."""

import zipfile

import pytest

from lungfusion import RadiographError
from lungfusion.reading import archive
from lungfusion.reading.archive import radiographs_in


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
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 2_000_000)
    with pytest.raises(RadiographError, match=r"0\.png: the file has more than 2 MB"):
        radiographs_in([path])[0][1]()
    monkeypatch.setattr(archive, "MAX_BYTES", 11_000_000)
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
