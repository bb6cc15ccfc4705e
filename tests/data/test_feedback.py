"""Feedback of the app: its folder, importing it again, and where splits put it."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutis import taxonomy
from cutis.cli import run
from cutis.data.catalog import Catalog, CatalogOptions, SourceInfo, write_catalog
from cutis.data.importer import import_sources
from cutis.data.sources import read_source
from cutis.data.splits import Split, load_split, make_split, part_rows
from cutis.errors import InputError
from cutis.records import Feedback, Part

MakeCatalog = Callable[..., Catalog]
Row = dict[str, str]


def jpeg(seed: int) -> bytes:
    clouds = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(clouds).resize((48, 36), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def confirmed(seed: int, **cells: str) -> Row:
    """A row about the photo of a seed; each seed is a case and a patient of its own."""
    row = dict.fromkeys(Feedback.COLUMNS, "")
    row |= {
        "image": f"{hashlib.sha256(jpeg(seed)).hexdigest()}.jpg",
        "case": f"{seed:016x}",
        "patient": f"p{seed}",
        "diagnosis": "melanocytic_nevus" if seed % 2 else "melanoma",
        "confirmed_by": "consensus",
        "age": "44",
        "sex": "female",
        "site": "Back",
    }
    return row | cells


def write_feedback(
    folder: Path, rows: Sequence[Row], photos: Sequence[int], **note: object
) -> Path:
    (folder / "photos").mkdir(parents=True)
    for seed in photos:
        content = jpeg(seed)
        name = f"{hashlib.sha256(content).hexdigest()}.jpg"
        (folder / "photos" / name).write_bytes(content)
    with (folder / "feedback.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, Feedback.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    said = {
        "format": "cutis-feedback",
        "version": 1,
        "written": "2026-11-21T10:00:00+00:00",
        "licence": "of the clinic",
        "clinic": "3fa9",
        "sha256": hashlib.sha256((folder / "feedback.csv").read_bytes()).hexdigest(),
    }
    (folder / "feedback.json").write_text(json.dumps(said | note))
    return folder


@pytest.fixture
def handover(tmp_path: Path) -> Path:
    rows = [confirmed(seed) for seed in range(6)]
    return write_feedback(tmp_path / "first" / "feedback", rows, range(6))


def test_the_reader_takes_what_the_archive_knows(handover: Path) -> None:
    source = read_source(handover)
    assert (source.format, source.name) == ("feedback", "feedback-3fa9")
    assert source.licence == "of the clinic"
    assert len(source.rows) == 6
    row = source.rows.iloc[1]
    assert row["name"].startswith("0000000000000001/")
    assert (row["lesion_id"], row["patient_id"]) == ("0000000000000001", "p1")
    assert (row["source_label"], row["confirmed_by"]) == ("melanocytic_nevus", "consensus")
    assert (row["age"], row["sex"], row["site"]) == (44.0, "female", "back")
    assert Path(row["path"]).is_file()


def test_every_word_of_confirmation_is_one_that_tables_keep() -> None:
    import pandas as pd

    from cutis.data.sources.tables import clean_confirmation

    assert tuple(clean_confirmation(pd.Series(Feedback.CONFIRMED_BY))) == Feedback.CONFIRMED_BY


def test_a_photo_of_two_cases_has_two_rows_and_a_repeated_one_counts_once(tmp_path: Path) -> None:
    rows = [confirmed(1), confirmed(1, case="b"), confirmed(1, case="b")]
    folder = write_feedback(tmp_path / "feedback", rows, [1])
    assert [name.split("/")[0] for name in read_source(folder).rows["name"]] == [f"{1:016x}", "b"]
    catalog = import_sources([folder], tmp_path / "catalog").catalog
    assert "identical_bytes" in set(catalog.links["kind"])


def broken(tmp_path: Path, text: str, rows: Sequence[Row], **note: object) -> str:
    folder = write_feedback(tmp_path / "feedback", rows, [1, 2], **note)
    with pytest.raises(InputError, match=text) as caught:
        read_source(folder, "feedback")
    return str(caught.value)


def test_a_wrong_row_is_named_by_its_line(tmp_path: Path) -> None:
    rows = [confirmed(1), confirmed(2, diagnosis="melanomma")]
    said = broken(tmp_path, "no diagnosis 'melanomma'", rows)
    assert "feedback.csv, line 3" in said
    assert "did you mean 'melanoma'" in said
    assert "melanoma" in taxonomy.diagnoses()


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ({"confirmed_by": "histologie"}, "does not say how(.|\n)*did you mean 'histology'"),
        ({"confirmed_by": ""}, "does not say how"),
        ({"image": "../x.jpg"}, "names no photo"),
        ({"case": "../../x"}, "names no case"),
        ({"image": f"{'0' * 64}.jpg"}, "a photo of the feedback is missing(.|\n)*line 3"),
    ],
)
def test_what_a_row_may_not_say(tmp_path: Path, cells: Row, text: str) -> None:
    broken(tmp_path, text, [confirmed(1), confirmed(2, **cells)])


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ({"sha256": "0" * 64}, "changed or damaged after"),
        ({"version": 2}, "later version"),
        ({"format": "other"}, "another format"),
        ({"version": None}, "cannot be read"),
        ({"clinic": "../x"}, "cannot be read"),
    ],
)
def test_the_note_is_checked(tmp_path: Path, note: dict[str, object], text: str) -> None:
    broken(tmp_path, text, [confirmed(1)], **note)


def test_a_changed_photo_a_missing_column_and_an_empty_table_are_refused(
    tmp_path: Path, handover: Path
) -> None:
    broken(tmp_path / "empty", "holds no case", [])
    photo = sorted((handover / "photos").iterdir())[0]
    photo.write_bytes(b"x")
    with pytest.raises(InputError, match="was changed or damaged"):
        read_source(handover)
    table = handover / "feedback.csv"
    table.write_text("image,case\n")
    note = json.loads((handover / "feedback.json").read_text())
    note["sha256"] = hashlib.sha256(table.read_bytes()).hexdigest()
    (handover / "feedback.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match="has no column patient, diagnosis"):
        read_source(handover)


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "feedback.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="unpack the archive"):
        read_source(tmp_path / "feedback.zip", "feedback")


def test_a_later_handover_replaces_the_earlier_one(tmp_path: Path, handover: Path) -> None:
    import_sources([handover], tmp_path / "catalog")
    # One case corrected, one withdrawn, one new; the folder lies elsewhere and has another name.
    rows = [confirmed(0, diagnosis="basal_cell_carcinoma"), *map(confirmed, (1, 2, 3, 4, 9))]
    second = write_feedback(tmp_path / "second" / "later", rows, (0, 1, 2, 3, 4, 9))
    catalog = import_sources([second], tmp_path / "catalog").catalog
    assert [source.name for source in catalog.info.sources] == ["feedback-3fa9"]
    found = catalog.photos.set_index("lesion_id")["diagnosis"]
    assert sorted(found.index) == [f"{seed:016x}" for seed in (0, 1, 2, 3, 4, 9)]
    assert found[f"{0:016x}"] == "basal_cell_carcinoma"
    with pytest.raises(InputError, match="two sources are called"):
        import_sources([handover, second], tmp_path / "both")


def rows_of(source: str, photos: int, start: int = 0) -> list[dict[str, object]]:
    return [
        {
            "image_id": f"{source}/{number:03d}",
            "source": source,
            "diagnosis": "melanoma" if number % 2 else "melanocytic_nevus",
        }
        for number in range(start, start + photos)
    ]


def with_feedback(catalog: Catalog, *names: str, conflicts: str = "keep") -> Catalog:
    """The same catalog with some of its sources marked as feedback."""
    sources = [
        info.model_copy(update={"format": "feedback"}) if info.name in names else info
        for info in catalog.info.sources
    ]
    assert all(isinstance(info, SourceInfo) for info in sources)
    return write_catalog(
        catalog.folder,
        catalog.photos,
        catalog.links,
        sources=sources,
        options=CatalogOptions(conflicts=conflicts),
    )


@pytest.fixture
def mixed(make_catalog: MakeCatalog) -> Catalog:
    """Forty photos of a collection, and feedback of which some belongs together with these."""
    links = [(f"one/{k:03d}", f"app/{k:03d}", "same_photograph") for k in range(20)]
    links += [("app/020", "app/021", "same_lesion")]
    catalog = make_catalog(rows_of("one", 40) + rows_of("app", 30), links)
    return with_feedback(catalog, "app")


def ids(catalog: Catalog, split: Split, part: Part, source: str) -> set[str]:
    found = part_rows(catalog, split, part)["image_id"]
    return {name.partition("/")[2] for name in found if name.startswith(f"{source}/")}


def test_feedback_is_never_in_a_judged_part(mixed: Catalog) -> None:
    split = make_split(mixed, shares=(40, 30, 30))
    judged = (Part.VALIDATION, Part.TEST)
    assert [ids(mixed, split, part, "app") for part in judged] == [set(), set()]
    trains = ids(mixed, split, Part.TRAIN, "app")
    linked = {f"{k:03d}" for k in range(20)}
    # Alone it trains; belonging to a photo of the collection it trains only where that one does.
    assert trains - linked == {f"{k:03d}" for k in range(20, 30)}
    assert trains & linked == ids(mixed, split, Part.TRAIN, "one") & linked
    assert 0 < len(trains & linked) < 20
    assert "feedback (app) only trains" in split.info.rules
    assert split.info.certificate is not None
    assert [check.name for check in split.info.certificate.checks if check.passed is False] == []


def test_feedback_trains_in_every_fold_unless_its_group_is_judged(mixed: Catalog) -> None:
    make_split(mixed, name="five", folds=5)
    held: set[str] = set()
    for fold in range(5):
        split = load_split(mixed, f"five:{fold}")
        assert ids(mixed, split, Part.TEST, "app") == set()
        assert ids(mixed, split, Part.VALIDATION, "app") == set()
        assert ids(mixed, split, Part.TRAIN, "app") == {f"{k:03d}" for k in range(20, 30)}
        held |= ids(mixed, split, Part.TEST, "one")
    assert len(held) == 40
    whole = load_split(mixed, "five")
    assert whole.info.certificate is not None
    assert whole.info.certificate.passed
    assert whole.info.counts["train"] == {"melanoma": 5, "melanocytic_nevus": 5}


@pytest.mark.parametrize("conflicts", ["drop", "majority", "trust:app", "trust:one"])
def test_a_diagnosis_that_only_feedback_gives_is_never_judged(
    make_catalog: MakeCatalog, conflicts: str
) -> None:
    rows, silent = rows_of("one", 30) + rows_of("app", 30), rows_of("silent", 30)
    # Of the other source's copies the first ten do not say what they show, the next ten say the
    # same, and the last ten something else.
    for row in silent[:10]:
        row["diagnosis"] = None
    for row in silent[20:]:
        row["diagnosis"] = "basal_cell_carcinoma"
    links = [(f"silent/{k:03d}", f"app/{k:03d}", "same_photograph") for k in range(30)]
    trusted = conflicts.replace("one", "silent")
    catalog = make_catalog([*rows, *silent], links)
    catalog = with_feedback(catalog, "app", conflicts=trusted)
    split = make_split(catalog, shares=(30, 35, 35))
    judged = set().union(
        *(part_rows(catalog, split, part)["image_id"] for part in (Part.VALIDATION, Part.TEST))
    )
    kept = [{f"{source}/{k:03d}" for source in ("app", "silent")} for k in range(30)]
    of_feedback = kept[:10] + (kept[20:] if conflicts == "trust:app" else [])
    assert not any(names & judged for names in of_feedback)
    assert sum(bool(names & judged) for names in kept[10:20]) > 3
    if conflicts == "trust:one":
        assert sum(bool(names & judged) for names in kept[20:]) > 3
    assert split.info.certificate is not None
    assert split.info.certificate.passed


def test_a_held_out_source_keeps_its_feedback_out(make_catalog: MakeCatalog) -> None:
    rows = rows_of("one", 30) + rows_of("two", 10) + rows_of("app", 10)
    catalog = with_feedback(make_catalog(rows, [("two/000", "app/000", "same_photograph")]), "app")
    split = make_split(catalog, hold_out="two")
    assert len(ids(catalog, split, Part.TEST, "two")) == 10
    assert ids(catalog, split, Part.TRAIN, "app") == {f"{k:03d}" for k in range(1, 10)}
    asked = make_split(catalog, name="asked", hold_out="app")
    assert len(ids(catalog, asked, Part.TEST, "app")) == 10
    assert any("own uncertainty" in note for note in asked.info.warnings)
    assert not any("only trains" in rule for rule in asked.info.rules)


def test_an_extended_split_trains_on_feedback_that_is_not_judged(
    mixed: Catalog, make_catalog: MakeCatalog
) -> None:
    small = make_catalog(rows_of("one", 40), [], "small")
    base = make_split(small, shares=(40, 30, 30))
    split = make_split(mixed, name="more", extend=small.folder / "splits" / "default")
    for part in (Part.VALIDATION, Part.TEST):
        assert ids(mixed, split, part, "one") == ids(small, base, part, "one")
        assert ids(mixed, split, part, "app") == set()
    judged = ids(small, base, Part.VALIDATION, "one") | ids(small, base, Part.TEST, "one")
    linked = judged & {f"{k:03d}" for k in range(20)}
    assert linked
    assert ids(mixed, split, Part.TRAIN, "app") == {f"{k:03d}" for k in range(30)} - linked


def test_an_extended_split_does_not_judge_by_what_feedback_says(
    make_catalog: MakeCatalog,
) -> None:
    small = make_catalog(rows_of("one", 40), [], "small")
    make_split(small, shares=(40, 30, 30))
    large, wart = {"width": 90, "height": 90}, {"width": 9, "height": 9, "diagnosis": "wart"}
    rows = [row | large for row in rows_of("one", 40)] + [row | wart for row in rows_of("app", 40)]
    links = [(f"one/{k:03d}", f"app/{k:03d}", "same_photograph") for k in range(40)]
    for policy, refused in (("trust:app", True), ("trust:one", False)):
        catalog = with_feedback(make_catalog(rows, links), "app", conflicts=policy)
        base = small.folder / "splits" / "default"
        if refused:
            with pytest.raises(InputError, match=r"24 photos .* now that of feedback"):
                make_split(catalog, name="more", extend=base)
        else:
            split = make_split(catalog, name="more", extend=base)
            assert len(ids(catalog, split, Part.TEST, "one")) == 12


def test_feedback_alone_cannot_be_split(make_catalog: MakeCatalog) -> None:
    catalog = with_feedback(make_catalog(rows_of("app", 10)), "app")
    with pytest.raises(InputError, match=r"nothing to divide(.|\n)*--extend"):
        make_split(catalog)


def test_dropped_feedback_is_in_no_part(make_catalog: MakeCatalog) -> None:
    rows = rows_of("one", 20) + rows_of("app", 4)
    for row in rows:
        row["quality_hair"] = 0.0
    rows[-1]["flags"] = ("hair",)
    catalog = with_feedback(make_catalog(rows), "app")
    split = make_split(catalog, drop=["hair"])
    assert ids(catalog, split, Part.TRAIN, "app") == {"000", "001", "002"}


def test_the_command_line_goes_from_feedback_to_a_split(
    tmp_path: Path, handover: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(100, 112):
        place = tmp_path / "own" / ("nevus" if seed % 2 else "melanoma") / f"{seed}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(jpeg(seed))
    catalog = str(tmp_path / "catalog")
    assert run(["import", str(tmp_path / "own"), "--into", catalog]) == 0
    assert run(["split", catalog]) == 0
    assert run(["import", str(handover), "--into", catalog, "--format", "feedback",
                "--conflicts", "keep"]) == 0  # fmt: skip
    base = f"{catalog}/splits/default"
    assert run(["split", catalog, "--name", "more", "--extend", base]) == 0
    assert run(["split", catalog, "--name", "fresh"]) == 0
    assert "feedback (feedback-3fa9) only trains" in capsys.readouterr().out
    opened = Catalog.open(Path(catalog))
    for name in ("more", "fresh"):
        split = load_split(opened, name)
        assert len(ids(opened, split, Part.TRAIN, "feedback-3fa9")) == 6
