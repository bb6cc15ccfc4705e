"""Groups and how they are dealt out: properties that hold for any collection."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis.data.partition import deal, group_names


def links_of(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["image_id_a", "image_id_b"], dtype=object)


def test_groups_follow_links_to_their_end() -> None:
    links = links_of(("b", "c"), ("c", "e"), ("d", "x"))
    assert group_names(["e", "d", "c", "b", "a"], links).to_dict() == {
        "a": "a",
        "b": "b",
        "c": "b",
        "d": "d",
        "e": "b",
    }


def test_no_links_no_groups() -> None:
    assert group_names(["a", "b"], links_of()).to_dict() == {"a": "a", "b": "b"}


@st.composite
def collections(draw: st.DrawFn) -> pd.DataFrame:
    """Photos in groups of one to four; a few groups hold two diagnoses."""
    rows = []
    for group in range(draw(st.integers(2, 60))):
        diagnosis = draw(st.sampled_from("aaaaabbbc"))
        source = draw(st.sampled_from(["one", "two"]))
        for photo in range(draw(st.sampled_from([1, 1, 1, 2, 4]))):
            other = photo == 3 and draw(st.booleans())
            rows.append((f"g{group:02d}", "b" if other else diagnosis, source))
    return pd.DataFrame(rows, columns=["group", "diagnosis", "source"])


SHARES = st.sampled_from([(70, 15, 15), (80, 10, 10), (1, 1, 1, 1, 1), (50, 50)])


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=collections(), shares=SHARES, seed=st.integers(0, 5))
def test_groups_stay_whole_and_diagnoses_reach_every_part(
    rows: pd.DataFrame, shares: tuple[float, ...], seed: int
) -> None:
    part = deal(rows, shares, seed)
    placed = rows.assign(part=part)
    assert placed.groupby("group")["part"].nunique().max() == 1
    assert set(part) <= set(range(len(shares)))
    pure = rows.groupby("group")["diagnosis"].nunique() == 1
    if pure.all():
        groups = rows.groupby("diagnosis")["group"].nunique()
        for diagnosis in groups.index[groups >= len(shares)]:
            assert placed.loc[placed["diagnosis"] == diagnosis, "part"].nunique() == len(shares)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=collections(), shares=SHARES, seed=st.integers(0, 5), shuffle=st.integers(0, 5))
def test_the_order_of_the_rows_plays_no_role(
    rows: pd.DataFrame, shares: tuple[float, ...], seed: int, shuffle: int
) -> None:
    part = pd.Series(deal(rows, shares, seed), index=rows.index)
    mixed = rows.sample(frac=1, random_state=shuffle)
    assert (pd.Series(deal(mixed, shares, seed), index=mixed.index).sort_index() == part).all()


def many(seed: int = 0, groups: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    sizes = random.choice([1, 1, 1, 1, 2, 3, 6], groups)
    table = pd.DataFrame(
        {
            "group": [f"g{i:04d}" for i in range(groups)],
            "diagnosis": random.choice(list("abcd"), groups, p=[0.7, 0.2, 0.07, 0.03]),
            "source": random.choice(["one", "two", "three"], groups, p=[0.8, 0.15, 0.05]),
        }
    )
    return table.loc[table.index.repeat(sizes)].reset_index(drop=True)


def test_shares_hold_by_diagnosis_source_and_group_size() -> None:
    shares = np.array([0.7, 0.15, 0.15])
    for seed in range(5):
        rows = many(seed)
        placed = rows.assign(part=deal(rows, shares, seed))
        placed["size"] = placed.groupby("group")["group"].transform("size")
        for column, slack in (("diagnosis", 6), ("source", 9), ("size", 15)):
            counts = pd.crosstab(placed[column], placed["part"])
            off = (counts - np.outer(counts.sum(axis=1), shares)).abs()
            assert off.max(axis=None) <= slack, (seed, column)


def test_the_seed_changes_who_goes_where() -> None:
    rows = many()
    first, again, other = (deal(rows, (70, 15, 15), seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert 0.2 < (first != other).mean() < 0.6


def test_rare_diagnoses_reach_train_first_then_test() -> None:
    rows = pd.DataFrame(
        {
            "group": [f"g{i}" for i in range(25)],
            "diagnosis": ["common"] * 20 + ["two"] * 2 + ["three"] * 3,
            "source": "one",
        }
    )
    part = deal(rows, (70, 15, 15), 0)
    assert sorted(part[20:22]) == [0, 2]
    assert sorted(part[22:]) == [0, 1, 2]
