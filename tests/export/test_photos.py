"""Which photos of a split serve for what: those that give the ranges are not compared."""

from pathlib import Path

import pandas as pd
import pytest

from cutis.errors import InputError
from cutis.export import photos as module
from cutis.export.photos import COLUMNS, ExportPhotos, divide


def split(train: int, validation: int, test: int, unplaced: int = 0) -> pd.DataFrame:
    counts = {"train": train, "validation": validation, "test": test, None: unplaced}
    parts = [part for part, count in counts.items() for _ in range(count)]
    names = [f"drawn/{number}" for number in range(len(parts))]
    rows = {"image_id": names, "path": [Path(f"{name}.png") for name in names], "part": parts}
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def compared(divided: ExportPhotos) -> set[Path]:
    return set(divided.compared["path"])


def test_all_but_the_calibration_photos_are_compared() -> None:
    rows = split(2000, 700, 300)
    divided = divide(rows, seed=0)
    calibration = set(divided.calibration)
    assert len(divided.calibration) == len(calibration) == 512
    assert calibration <= set(rows["path"][:2000])
    assert compared(divided) == set(rows["path"]) - calibration
    assert list(divided.compared.columns) == list(COLUMNS)
    assert list(divided.compared.index) == list(range(3000 - 512))
    assert divided.compared["image_id"].is_monotonic_increasing == (
        rows["image_id"].is_monotonic_increasing
    )


def test_fine_tuning_takes_other_training_photos_and_the_choice_validation() -> None:
    rows = split(6000, 700, 300)
    divided = divide(rows, seed=0)
    tuning, choice = set(divided.fine_tuning), set(divided.choice)
    assert len(divided.fine_tuning) == len(tuning) == 4096
    assert tuning <= set(rows["path"][:6000]) - set(divided.calibration)
    assert len(divided.choice) == len(choice) == 512
    assert choice <= set(rows["path"][6000:6700])


def test_of_few_training_photos_half_calibrates() -> None:
    divided = divide(split(9, 3, 0), seed=0)
    assert (len(divided.calibration), len(divided.fine_tuning)) == (4, 5)
    assert len(divided.compared) == 8
    assert len(divided.choice) == 3
    alone = divide(split(1, 1, 0), seed=0)
    assert (len(alone.calibration), alone.fine_tuning, len(alone.compared)) == (1, [], 1)


def test_the_seed_decides_and_the_order_is_random() -> None:
    rows = split(2000, 5, 0)
    first = divide(rows, seed=0).calibration
    assert divide(rows, seed=0).calibration == first
    assert divide(rows, seed=1).calibration != first
    assert sorted(first, key=list(rows["path"]).index) != first


def test_copies_of_a_calibration_photo_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An over-sampled catalog has a photo in many rows."""
    monkeypatch.setattr(module, "CALIBRATION_PHOTOS", 5)
    rows = split(20, 4, 0)
    doubled = pd.concat([rows, rows.assign(image_id=rows["image_id"] + "-copy")])
    divided = divide(doubled, seed=0)
    assert len(divided.calibration) == 5
    assert not set(divided.calibration) & compared(divided)
    assert not set(divided.calibration) & set(divided.fine_tuning)
    assert len(divided.compared) == 2 * (24 - len(set(divided.calibration)))


def test_photos_of_no_part_are_left_out() -> None:
    divided = divide(split(4, 2, 2, unplaced=5), seed=0)
    assert len(divided.compared) == 6
    assert divided.compared["part"].notna().all()


@pytest.mark.parametrize(
    ("counts", "said"),
    [((0, 5, 5), "training"), ((5, 0, 5), "validation"), ((0, 0, 0), "training")],
)
def test_both_kinds_of_photos_are_needed(counts: tuple[int, int, int], said: str) -> None:
    with pytest.raises(InputError, match=f"there are no {said} photos") as caught:
        divide(split(*counts), seed=0)
    assert "training photos to calibrate int8 networks on" in str(caught.value.expected)
