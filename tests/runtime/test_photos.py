"""Which photos a person means."""

import os
from pathlib import Path

import pytest
from PIL import Image

from cutis.data.importer import import_sources
from cutis.errors import InputError
from cutis.runtime import find_photos
from cutis.runtime.photos import name_photos


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_folders_are_walked_in_order_for_photos(tmp_path: Path) -> None:
    photos = touch(tmp_path, "a/2.PNG", "a/b/1.jpeg", "c.jpg", "d.tif")
    touch(tmp_path, "a/notes.txt", ".hidden/x.jpg", "._c.jpg", "jpg")
    assert find_photos([tmp_path]) == sorted(photos)


def test_order_of_the_arguments_is_kept_and_repeats_are_not(tmp_path: Path) -> None:
    first, second, odd = touch(tmp_path, "a/1.jpg", "b/2.jpg", "b/scan.dcm")
    assert find_photos([second, tmp_path / "a", odd, tmp_path]) == [second, first, odd]


def test_a_missing_path_gets_the_nearest_name(tmp_path: Path) -> None:
    touch(tmp_path, "lesions/1.jpg")
    with pytest.raises(InputError, match="no such photo or folder") as caught:
        find_photos([tmp_path / "lesion"])
    assert "did you mean 'lesions'" in str(caught.value)
    with pytest.raises(InputError, match="check the path"):
        find_photos([tmp_path / "nowhere" / "x.jpg"])


def test_a_folder_without_photos_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "full/1.jpg", "empty/notes.txt")
    with pytest.raises(InputError, match="the folder holds no photo") as caught:
        find_photos([tmp_path / "full", tmp_path / "empty"])
    assert caught.value.where == str(tmp_path / "empty")


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no photo was named"):
        find_photos([])


def test_a_forbidden_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "1.jpg", "closed/2.jpg")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match="no permission to look into the folder") as caught:
        find_photos([tmp_path])
    assert caught.value.where == str(tmp_path / "closed")


def test_a_catalog_is_its_photos_wherever_they_lie(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "nevus"
    folder.mkdir(parents=True)
    for name in ("b.png", "a.b.png"):
        Image.new("RGB", (32, 32), (200, len(name), 0)).save(folder / name)
    import_sources([tmp_path / "source"], tmp_path / "catalog")
    assert find_photos([tmp_path / "catalog"]) == [folder / "a.b.png", folder / "b.png"]
    names = name_photos([tmp_path / "catalog"])
    assert list(names.values()) == ["source/nevus/a.b", "source/nevus/b"]
