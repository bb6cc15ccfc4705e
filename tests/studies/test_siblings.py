"""Who trains and who tests."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from cutis.data.catalog import Catalog
from cutis.errors import InputError
from cutis.studies.siblings import Trial, draw_trial, grouped_rows

SEEDS = range(5)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """600 photos in groups of one to four, three diagnoses, a mixed group among them."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5, 400)
    group = np.repeat(np.arange(400), sizes)[:600]
    diagnosis = np.array(["nevus", "melanoma", "other"])[rng.choice(3, 400, p=[0.6, 0.3, 0.1])]
    table = pd.DataFrame({"group": [f"g{g}" for g in group], "diagnosis": diagnosis[group]})
    table.loc[table["group"] == table["group"].iloc[5], "diagnosis"] = "melanoma"
    table.loc[5, "diagnosis"] = "nevus"
    table["image_id"] = [f"a/{number}" for number in range(600)]
    return table.assign(source="a")


@pytest.fixture(scope="module", params=SEEDS)
def trial(rows: pd.DataFrame, request: pytest.FixtureRequest) -> Trial:
    return draw_trial(rows, request.param)


def groups(rows: pd.DataFrame, index: np.ndarray) -> set[str]:
    return set(rows["group"].iloc[index])


def test_both_trainings_hold_equally_many_photos_of_each_diagnosis(
    rows: pd.DataFrame, trial: Trial
) -> None:
    counts = [
        rows["diagnosis"].iloc[index].value_counts().to_dict()
        for index in (trial.with_siblings, trial.without_siblings)
    ]
    assert counts[0] == counts[1]
    assert set(counts[0]) == {"nevus", "melanoma", "other"}


def test_test_photos_are_a_stratified_share_of_photos(rows: pd.DataFrame, trial: Trial) -> None:
    drawn = rows["diagnosis"].iloc[trial.test].value_counts()
    for name, count in rows["diagnosis"].value_counts().items():
        assert drawn[name] == round(0.15 * count)


def test_no_group_of_a_test_photo_trains_in_the_clean_arm(rows: pd.DataFrame, trial: Trial) -> None:
    assert not groups(rows, trial.test) & groups(rows, trial.without_siblings)


def test_every_sibling_trains_in_the_leaky_arm(rows: pd.DataFrame, trial: Trial) -> None:
    tested = rows["group"].isin(groups(rows, trial.test)).to_numpy(copy=True)
    tested[trial.test] = False
    assert len(trial.siblings) > 0
    assert set(np.flatnonzero(tested)) == set(trial.siblings)
    assert set(trial.siblings) <= set(trial.with_siblings)
    assert set(trial.with_siblings) <= set(trial.siblings) | set(trial.without_siblings)


def test_no_photo_is_trained_and_tested_or_trained_twice(trial: Trial) -> None:
    for training in (trial.with_siblings, trial.without_siblings):
        assert len(set(training)) == len(training)
        assert not set(training) & set(trial.test)


def test_validation_photos_have_no_sibling_anywhere(rows: pd.DataFrame, trial: Trial) -> None:
    others = np.concatenate([trial.test, trial.with_siblings, trial.without_siblings])
    assert len(trial.validation) > 0
    assert not groups(rows, trial.validation) & groups(rows, others)


def test_has_sibling_says_who_can_be_inflated(rows: pd.DataFrame, trial: Trial) -> None:
    expected = [rows["group"].iloc[t] in groups(rows, trial.siblings) for t in trial.test]
    assert trial.has_sibling.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_seed_decides(rows: pd.DataFrame) -> None:
    first, again, other = draw_trial(rows, 3), draw_trial(rows, 3), draw_trial(rows, 4)
    for field in fields(Trial):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
    assert not np.array_equal(first.test, other.test)


def test_too_few_photos_to_make_room_for_the_siblings() -> None:
    table = pd.DataFrame({"image_id": [f"a/{n}" for n in range(40)], "source": "a"})
    table["group"] = ["one"] * 20 + [f"g{n}" for n in range(20)]
    table["diagnosis"] = ["melanoma"] * 20 + ["nevus"] * 20
    with pytest.raises(InputError, match="siblings of test photos show melanoma, but only 0"):
        draw_trial(table, 0)


def test_groups_come_from_the_links(drawn: Catalog) -> None:
    table = grouped_rows(drawn, None)
    lesions = drawn.photos.set_index("image_id")["lesion_id"]
    assert len(table) == 90
    assert table["group"].nunique() < 70
    assert (table.groupby("group")["image_id"].agg(lambda i: lesions[i].nunique()) >= 1).all()
    assert table.groupby(lesions[table["image_id"]].to_numpy())["group"].nunique().max() == 1
