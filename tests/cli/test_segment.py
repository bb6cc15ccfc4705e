"""`cutis segment` from the command line: what it prints and how it ends; it needs no torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch import Tensor, nn

from cutis.export import SegmenterPart, export_parts
from cutis.export.photos import COLUMNS
from cutis.records import NOTICE, Preprocessing, Provenance, SegmenterInfo

_WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "safetensors", "onnx", "onnxscript"}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name.split(".")[0])

sys.meta_path.insert(0, Refuse())
from cutis.cli import run
sys.exit(run(sys.argv[1:]))
"""


class Darkness(nn.Module):
    """To it what is darker than the middle is lesion."""

    def forward(self, pixels: Tensor) -> Tensor:
        return -10 * pixels.mean(dim=1, keepdim=True)


def with_disk(height: int, width: int) -> np.ndarray:
    """Pale skin with a dark disk."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2, columns - width / 2)
    return np.where(away[..., None] < height / 3, (70, 40, 30), (230, 200, 190)).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("segmenter") / "bundle"
    provenance = Provenance(
        recipe="dark",
        catalog_sha256="0" * 64,
        split_name="default",
        split_sha256="1" * 64,
        unsafe=False,
        seed=0,
        train_counts={"melanoma": 1},
        train_groups=1,
        sources=("drawn",),
        licences=("CC0",),
    )
    info = SegmenterInfo(
        cutis_version="0",
        architecture="darkness",
        preprocessing=Preprocessing(size=48, mean=(0.55,) * 3, std=(0.5,) * 3),
        provenance=provenance,
        licence="CC0",
    )
    photos = []
    for part in ("train", "train", "validation"):
        path = out.parent / f"{len(photos)}.png"
        Image.fromarray(with_disk(48, 48)).save(path)
        photos.append({"image_id": path.stem, "path": path, "group": path.stem, "part": part})
    export_parts(
        out,
        pd.DataFrame(photos, columns=list(COLUMNS)),
        segmenter=SegmenterPart(Darkness().eval(), info),
        networks=["fp32"],
        measure=False,
    )
    return out


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(with_disk(60 + number, 80)).save(folder / f"{number:03}.jpg")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def test_photos_are_segmented_without_torch(bundle: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    line = ["segment", photos, "--model", bundle, "--out", out]
    command = [sys.executable, "-c", _WITHOUT_TORCH, *map(str, line)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{out}: 4 photos, 1 unreadable" in done.stdout
    assert "do not say whether a lesion is harmless" in done.stdout
    assert NOTICE in done.stdout
    table = pd.read_csv(out / "measures.csv", dtype={"name": str})
    assert table["name"].tolist() == ["000", "001", "002", "broken"]
    assert table["error"].notna().tolist() == [False, False, False, True]
    assert table["area_share"][:3].between(0.24, 0.3).all()
    assert len(list(out.glob("*.png"))) == len(list(out.glob("*-overlay.jpg"))) == 3


def test_masks_to_check_by_eye_are_counted(
    cutis: Any, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30), "white").save(photos / "white.png")
    done = cutis("segment", photos, "--model", bundle, "--out", tmp_path / "masks")
    assert done.code == 0
    assert "check by eye: 1 empty" in done.out


def test_what_segment_refuses(refused: Any, bundle: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    said = refused("segment", photos, "--model", tmp_path / "nowhere", "--out", out)
    assert "there is no such bundle" in said
    said = refused("segment", photos / "004.jpg", "--model", bundle, "--out", out)
    assert "there is no such photo or folder" in said
    said = refused("segment", photos, "--model", bundle, "--out", photos / "masks")
    assert "the output and the photos lie in one another" in said
    said = refused("predict", photos, "--model", bundle)
    assert "use `cutis segment` with this bundle" in said
    assert not out.exists()
