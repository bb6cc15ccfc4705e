"""What `--copy` brings into a catalog."""

from collections.abc import Callable
from pathlib import Path

from cutis.data.importer import import_sources

Draw = Callable[..., Path]


def test_some_photos_have_masks_and_others_none(tmp_path: Path, draw: Draw) -> None:
    for number in range(3):
        draw(tmp_path / "clinic" / "photos" / f"{number}.png", number)
    draw(tmp_path / "clinic" / "masks" / "0_segmentation.PNG", 9)
    table = tmp_path / "clinic" / "rows.csv"
    table.write_text("img,dx\n0,nevus\n1,melanoma\n2,nevus\n")
    columns = {"image": "img", "diagnosis": "dx"}
    into = tmp_path / "catalog"
    rows = import_sources([table], into, format="table", columns=columns, copy=True).catalog.photos
    assert list(rows["path"]) == [f"photos/rows/{number}.png" for number in range(3)]
    assert rows["mask"][0] == "photos/rows/0_segmentation.png"
    assert rows["mask"][1:].isna().all()
    files = {path.relative_to(into).as_posix() for path in (into / "photos").rglob("*.png")}
    assert files == {*rows["path"], rows["mask"][0]}
