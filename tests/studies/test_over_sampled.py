"""Over-sampling: the derived catalog, and what an audit says of it."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cutis.cli import run
from cutis.data.batches import different_photos
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import make_split
from cutis.errors import InputError
from cutis.records import LinkKind
from cutis.studies.comparison.copies import copies_in_training, together
from cutis.studies.comparison.record import Copied
from cutis.studies.over_sampled import over_sample

NUMBER = 45  # between the melanomas and the nevi of the drawn catalog


def originals(catalog: Catalog) -> "pd.Series[str]":
    return catalog.photos["image_id"].str.partition("#")[0]


def test_every_diagnosis_gets_as_many_photos(catalog: Catalog, tmp_path: Path) -> None:
    before = catalog.usable()["diagnosis"].value_counts()
    assert before["melanoma"] < NUMBER < before["melanocytic_nevus"]
    made = over_sample(catalog, tmp_path / "made", photos=NUMBER, view=None, seed=0)
    counts = made.usable()["diagnosis"].value_counts().to_dict()
    assert counts == {"melanoma": NUMBER, "melanocytic_nevus": NUMBER}
    taken = originals(made)[made.photos["diagnosis"] == "melanoma"]
    assert set(taken) == set(
        catalog.photos.loc[catalog.photos["diagnosis"] == "melanoma", "image_id"]
    )
    drawn = originals(made)[made.photos["diagnosis"] == "melanocytic_nevus"]
    assert drawn.is_unique
    assert made.info.sources[0].photos == 2 * NUMBER


def test_a_copy_is_its_photo_under_another_name(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=200, view=None, seed=0)
    known = catalog.photos.set_index("image_id")
    copies = made.photos[made.photos["image_id"].str.contains("#")]
    assert len(copies) > 200
    for _, row in copies.iterrows():
        photo = known.loc[row["image_id"].partition("#")[0]]
        assert row["sha256"] == photo["sha256"]
        assert made.locate(row["path"]).samefile(catalog.locate(photo["path"]))
    numbers = Counter(originals(made))
    for name, times in numbers.items():
        wanted = {name, *(f"{name}#{number}" for number in range(2, times + 1))}
        assert wanted <= set(made.photos["image_id"])


def test_photos_inside_the_catalog_are_found(
    draw_folder: Callable[[Path], Path], tmp_path: Path
) -> None:
    photos = draw_folder(tmp_path / "clinic")
    catalog = import_sources([photos], tmp_path / "catalog", copy=True).catalog
    made = over_sample(catalog, tmp_path / "made", photos=15, view=None, seed=0)
    assert not Path(catalog.photos["path"].iloc[0]).is_absolute()
    assert all(made.locate(path).is_file() for path in made.photos["path"])


def test_the_seed_draws(catalog: Catalog, tmp_path: Path) -> None:
    made = [
        over_sample(catalog, tmp_path / str(number), photos=NUMBER, view=None, seed=seed)
        for number, seed in enumerate((0, 0, 1))
    ]
    assert made[0].sha256 == made[1].sha256 != made[2].sha256


def test_balanced_is_as_many_as_the_most_frequent(catalog: Catalog, tmp_path: Path) -> None:
    most = int(catalog.usable()["diagnosis"].value_counts().max())
    made = over_sample(catalog, tmp_path / "made", photos="balanced", view=None, seed=0)
    assert set(made.usable()["diagnosis"].value_counts()) == {most}


def test_what_belongs_together_still_does(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=NUMBER, view=None, seed=0)
    groups = make_split(catalog).table.set_index("image_id")["group"]
    derived = make_split(made).table.set_index("image_id")["group"]
    origin = originals(made)
    old = origin.map(groups).to_numpy()
    new = derived[made.photos["image_id"]].to_numpy()
    assert len(set(old)) < len(set(origin)) <= len(origin)
    assert len(set(zip(old, new, strict=True))) == len(set(old)) == len(set(new))
    kinds = made.links["kind"].value_counts()
    assert kinds[LinkKind.IDENTICAL_BYTES] == len(origin) - origin.nunique()
    assert kinds[LinkKind.SAME_LESION] > 0


def test_a_view_is_applied_to_the_copies(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=20, view="benign-malignant", seed=0)
    assert made.info.options.view == "benign-malignant"
    assert set(made.usable()["diagnosis"].value_counts()) == {20}
    assert set(made.photos["diagnosis"]) <= set(catalog.photos["diagnosis"])


def test_merged_photographs_are_drawn_once(catalog: Catalog, tmp_path: Path) -> None:
    info = json.loads((catalog.folder / "catalog.json").read_text())
    info["options"]["conflicts"] = "majority"
    (catalog.folder / "catalog.json").write_text(json.dumps(info))
    merged = Catalog.open(catalog.folder)
    made = over_sample(merged, tmp_path / "made", photos=20, view=None, seed=0)
    assert set(made.usable()["diagnosis"].value_counts()) == {20}
    assert made.info.options.conflicts == "keep"


def test_an_audit_finds_the_copies(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=200, view=None, seed=0)
    make_split(made, name="by-image", unsafe_by_image=True)
    assert run(["audit", str(made.folder), "--split", "by-image"]) == 1
    assert "identical files across parts" in capsys.readouterr().out
    make_split(made, name="whole")
    assert run(["audit", str(made.folder), "--split", "whole"]) == 0


def test_a_folder_with_other_copies_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=20, view=None, seed=0)
    before = (made.folder / "catalog.parquet").stat().st_mtime_ns
    over_sample(catalog, tmp_path / "made", photos=20, view=None, seed=0)
    with pytest.raises(InputError, match="holds another catalog"):
        over_sample(catalog, tmp_path / "made", photos=21, view=None, seed=0)
    assert (made.folder / "catalog.parquet").stat().st_mtime_ns == before


def test_copies_are_counted_by_diagnosis() -> None:
    judged = pd.DataFrame({"sha256": ["a", "b", "c", "a"], "diagnosis": ["x", "x", "y", "x"]})
    train = pd.DataFrame({"sha256": ["a", "a", "d"], "diagnosis": ["x", "x", "y"]})
    found = copies_in_training(judged, train)
    assert found == {"x": Copied(judged=3, copied=2), "y": Copied(judged=1, copied=0)}
    assert together(found) == Copied(judged=4, copied=2)


def test_a_photo_is_decoded_once_for_each_of_its_diagnoses() -> None:
    rows = pd.DataFrame({"sha256": ["a", "b", "a", "a"], "diagnosis": ["x", "x", "x", "y"]})
    different, place = different_photos(rows)
    assert different["sha256"].tolist() == ["a", "b", "a"]
    assert different["diagnosis"].tolist() == ["x", "x", "y"]
    assert place.tolist() == [0, 1, 0, 2]
