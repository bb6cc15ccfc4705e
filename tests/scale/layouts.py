"""Collections of all layouts, as folders and by URL."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from cutis.data import scan
from cutis.data.importer import ImportSummary, import_sources
from cutis.data.remote import Place
from cutis.records import Feedback
from cutis.scale.stand_in import stand_in
from cutis.scale.storage import read_photo

PHOTOS = 12
HEAD = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"


def draw(place: Path, seed: int) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    clouds = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(clouds).resize((64, 48), Image.Resampling.BICUBIC).save(place)
    return place


def ham(folder: Path) -> Path:
    """HAM10000 with masks, a file twice, a photo that is none, clutter and a note."""
    lines = []
    for number in range(PHOTOS):
        name = f"ISIC_{number:07}"
        draw(folder / f"part_{number // 6}" / f"{name}.jpg", 3 if number == 9 else number)
        draw(folder / "masks" / f"{name}_segmentation.png", 100 + number)
        lines.append(f"H{number},{name},{'mel' if number % 2 else 'nv'},histo,50,male,back")
    (folder / "part_1" / "ISIC_0000011.jpg").write_text("no photo")
    (folder / "HAM10000_metadata.csv").write_text(HEAD + "\n".join(lines) + "\n")
    (folder / "source.toml").write_text('licence = "of the clinic"\n')
    for clutter in ("part_0/._ISIC_0000000.jpg", "__MACOSX/ISIC_0000099.jpg", ".DS_Store"):
        (folder / clutter).parent.mkdir(exist_ok=True)
        (folder / clutter).write_text("clutter")
    return folder


def one_hot(folder: Path) -> Path:
    for number in range(2):
        draw(folder / "images" / f"ISIC_{number}.jpg", number)
    (folder / "truth").mkdir()
    (folder / "truth" / "ISIC2018_training.csv").write_text(
        "image,MEL,NV\nISIC_0,1,0\nISIC_1,0,1\n"
    )
    return folder


def ph2(folder: Path) -> Path:
    for number in range(2):
        draw(folder / "images" / f"IMD00{number}.bmp", number)
    (folder / "PH2_dataset.txt").write_text(
        "|| Name || Clinical Diagnosis ||\n|| IMD000 || 0 ||\n|| IMD001 || 2 ||\n"
    )
    return folder


def classes(folder: Path) -> Path:
    for number in range(4):
        draw(folder / "train" / ("nevus" if number % 2 else "melanoma") / f"{number}.png", number)
    return folder


def table(folder: Path) -> Path:
    for number in range(3):
        draw(folder / "photos" / f"{number}.png", number)
        draw(folder / "drawn" / f"m{number}.png", 50 + number)
    rows = pd.DataFrame(
        {
            "img": [f"{number}.png" for number in range(3)],
            "dx": ["nevus", "melanoma", "nevus"],
            "where": [f"drawn/m{number}.png" for number in range(3)],
        }
    )
    rows.to_parquet(folder / "metadata.parquet")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    return folder / "metadata.parquet"


COLUMNS = {"image": "img", "diagnosis": "dx", "mask": "where"}


def feedback(folder: Path) -> Path:
    photo = draw(folder / "photos" / "any.jpg", 5)
    photo = photo.rename(photo.with_stem(hashlib.sha256(photo.read_bytes()).hexdigest()))
    row = dict.fromkeys(Feedback.COLUMNS, "")
    row |= {"image": photo.name, "case": "c1", "diagnosis": "melanoma", "confirmed_by": "histology"}
    with (folder / Feedback.TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, Feedback.COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    digest = hashlib.sha256((folder / Feedback.TABLE).read_bytes()).hexdigest()
    note = {"format": Feedback.FORMAT, "version": 1, "sha256": digest, "clinic": "3fa9"}
    (folder / Feedback.NOTE).write_text(json.dumps(note))
    return folder


def fetched_table(folder: Path) -> Path:
    """A table of another suffix, which is read since it is named."""
    place = table(folder)
    named = place.with_name("rows.dat")
    pd.read_parquet(place).to_csv(named, index=False)
    return named


def marks(folder: Path) -> Path:
    """Names that other programs would take for something else."""
    draw(folder / "nevus" / "2020::01.png", 1)
    draw(folder / "nevus" / "01.png", 2)
    draw(folder / "melanoma" / "a b%20#1?.png", 3)
    return folder


LAYOUTS = (ham, one_hot, ph2, classes, table, fetched_table, marks, feedback)


def url_of(place: Path) -> str:
    return f"file://{place}"


def scan_urls(places: Sequence[Place], measure: scan.Measure | None) -> Iterator[list[scan.Scan]]:
    """In place of the nodes."""
    for place in places:
        photo = read_photo(place) if isinstance(place, str) else place
        yield [scan.scan_photo(photo, measure)]


def import_url(url: str, into: Path, **options: object) -> ImportSummary:
    with stand_in(url) as remote:
        return import_sources([remote], into, scan_blocks=scan_urls, **options)  # type: ignore[arg-type]


def assert_same_catalog(remote: Path, local: Path, prefix: str, folder: Path) -> None:
    """Every byte but those that say where photos lie, which is the same place below."""
    assert (remote / "links.parquet").read_bytes() == (local / "links.parquet").read_bytes()
    there, here = (pq.read_table(into / "catalog.parquet") for into in (remote, local))
    places = ["path", "mask"]
    assert there.drop_columns(places).equals(here.drop_columns(places))
    for column in places:
        stored = [cell and cell.replace(str(folder), prefix) for cell in here[column].to_pylist()]
        assert there[column].to_pylist() == stored
    said, known = (json.loads((into / "catalog.json").read_text()) for into in (remote, local))
    assert said["sources"][0].pop("root").replace(prefix, str(folder)) == known["sources"][0].pop(
        "root"
    )
    assert said.pop("files")["links.parquet"] == known.pop("files")["links.parquet"]
    assert said == known
