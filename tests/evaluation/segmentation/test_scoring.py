"""Pairs are scored one at a time, and the examples are the right ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutis.errors import InputError
from cutis.evaluation.segmentation import Pair, score_pairs
from cutis.evaluation.segmentation.assembly import histogram, size_terciles
from cutis.evaluation.segmentation.examples import RANDOM, SIDE, WORST, Examples, reduced
from cutis.metrics.segmentation import score_masks

Judged = Any  # of conftest.py, which cannot be imported


def test_scores_shares_and_groups(judged: Judged) -> None:
    scored = score_pairs(judged.rows, judged.pairs())
    assert np.array_equal(scored.jaccard, score_masks(judged.pairs()).by_image()["jaccard"])
    assert scored.true_share == pytest.approx([mask.mean() for mask in judged.truth])
    assert scored.predicted_share == pytest.approx([mask.mean() for mask in judged.predicted])
    assert scored.grouped
    assert scored.groups == 15
    assert not score_pairs(judged.rows.drop(columns="group"), judged.pairs()).grouped


def test_pairs_are_taken_one_at_a_time(judged: Judged) -> None:
    alive = most = 0

    class Tracked(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def pairs() -> Iterator[Pair]:
        nonlocal alive, most
        for predicted, truth in judged.pairs():
            alive += 1
            most = max(most, alive)
            yield predicted.view(Tracked), truth

    score_pairs(judged.rows, pairs())
    assert most <= 2


def test_the_worst_come_first_and_the_earlier_of_equal_ones(judged: Judged) -> None:
    scored = score_pairs(judged.rows, judged.pairs())
    expected = np.argsort(scored.jaccard, kind="stable")[:WORST]
    assert [example.row for example in scored.worst] == expected.tolist()
    for example in scored.worst:
        assert np.array_equal(example.predicted, judged.predicted[example.row])
        assert np.array_equal(example.truth, judged.truth[example.row])
    same = Examples(40)
    for row in range(40):
        same.offer(row, judged.truth[0], judged.truth[1])
    assert [example.row for example in same.worst()] == list(range(WORST))


def test_random_examples_do_not_depend_on_the_scores(judged: Judged) -> None:
    scored = score_pairs(judged.rows, judged.pairs())
    perfect = score_pairs(judged.rows, zip(judged.truth, judged.truth, strict=True))
    rows = [example.row for example in scored.random]
    assert len(set(rows)) == RANDOM
    assert rows == [example.row for example in perfect.random]


def test_examples_are_kept_small() -> None:
    assert reduced(np.ones((3000, 4000), np.bool_)).shape == (SIDE * 3 // 4, SIDE)
    assert reduced(np.ones((20, 30), np.bool_)).shape == (20, 30)


def test_photos_without_a_pair_are_named_and_left_out(judged: Judged) -> None:
    pairs: list[Pair] = list(judged.pairs())
    pairs[0] = InputError("the mask is inverted")
    scored = score_pairs(judged.rows, pairs)
    assert scored.problems == (("set/0", "the mask is inverted"),)
    assert len(scored.photos) == len(pairs) - 1
    whole = score_pairs(judged.rows, judged.pairs())
    assert np.array_equal(scored.jaccard, whole.jaccard[1:])
    assert scored.photos["image_id"].iloc[scored.worst[0].row] == "set/3"  # nothing was found
    with pytest.raises(InputError, match="no photo can be judged: gone"):
        score_pairs(judged.rows, [InputError("gone")] * len(pairs))


def test_pairs_that_do_not_fit_are_refused(judged: Judged) -> None:
    pairs = list(judged.pairs())
    pairs[4] = (pairs[4][0][:, 1:], pairs[4][1])
    with pytest.raises(InputError, match="differ in size") as refused:
        score_pairs(judged.rows, pairs)
    assert refused.value.where == "set/4"
    with pytest.raises(ValueError, match="shorter"):
        score_pairs(judged.rows, list(judged.pairs())[:-1])


def test_the_table_has_a_row_a_photo(judged: Judged) -> None:
    table = score_pairs(judged.rows, judged.pairs()).table()
    assert table["image_id"].tolist() == judged.rows["image_id"].tolist()
    pixels = table.filter(like="pixels_").sum(axis=1)
    assert (pixels == judged.truth[0].size).all()
    failed = table["jaccard"] < 0.65
    assert 0 < failed.sum() < len(table)
    assert (table["failed"] == failed).all()
    assert (table.loc[failed, "thresholded_jaccard"] == 0).all()


def test_terciles_share_the_photos_with_a_lesion(judged: Judged) -> None:
    truth = [np.zeros_like(judged.truth[0]), *judged.truth[1:]]
    scored = score_pairs(judged.rows, zip(judged.predicted, truth, strict=True))
    parts = size_terciles(scored)
    assert [name for name, *_ in parts] == ["small", "medium", "large"]
    which = np.array([chosen for *_, chosen in parts])
    assert which.sum(axis=0).tolist() == [0] + [1] * 29
    assert all(8 <= count <= 12 for count in which.sum(axis=1))
    for _, low, high, chosen in parts:
        assert low < scored.true_share[chosen].min()
        assert scored.true_share[chosen].max() <= high
    assert [part[1] for part in parts[1:]] == [part[2] for part in parts[:-1]]
    nothing = [np.zeros_like(mask) for mask in truth]
    assert size_terciles(score_pairs(judged.rows, zip(nothing, nothing, strict=True))) == []


def test_the_histogram_has_the_threshold_as_an_edge() -> None:
    rows = pd.DataFrame({"image_id": ["a", "b"], "path": ["a", "b"]})
    truth = np.arange(400).reshape(20, 20) < 200
    below = truth & (np.arange(400).reshape(20, 20) < 129)  # 0.645
    at = truth & (np.arange(400).reshape(20, 20) < 130)  # 0.65
    scored = score_pairs(rows, [(below, truth), (at, truth)])
    made = histogram(scored)
    place = made["edges"].index(0.65)
    assert made["photos"][place - 1 : place + 1] == [1, 1]
    assert sum(made["photos"]) == 2
    assert scored.failed.tolist() == [True, False]
