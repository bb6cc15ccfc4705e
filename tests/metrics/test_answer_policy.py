"""Verdicts by hand, their reasons, and the record that stands in a bundle."""

import doctest
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cutis.errors import InputError
from cutis.metrics.answer_policy import (
    REASON_TEXTS,
    AnswerPolicy,
    Answers,
    calibrate_policy,
    decide,
)
from cutis.metrics.conformal import set_thresholds
from cutis.metrics.out_of_distribution import highest_valid
from cutis.metrics.quality import FLAG_TEXTS
from cutis.records import QualityFlag
from cutis.taxonomy import Malignancy

BENIGN, MALIGNANT, PRECANCER = Malignancy.BENIGN, Malignancy.MALIGNANT, Malignancy.PRECANCER
GRADES = (BENIGN, BENIGN, BENIGN, MALIGNANT)
POLICY = AnswerPolicy(
    set_thresholds=(0.5, 0.2, 0.2, 0.1), pooled=(False,) * 4, largest_set=2, highest_energy=-1.0
)


def one(
    row: Sequence[float],
    flags: Sequence[str] = (),
    energy: float = -5.0,
    policy: AnswerPolicy = POLICY,
    grades: Sequence[Malignancy | None] = GRADES,
) -> str:
    """The text about a single photo."""
    (text,) = decide(
        policy,
        np.array([row]),
        grades,
        energies=np.array([energy]),
        distances=None,
        flags=[flags],
    ).texts()
    return text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ([0.9, 0.06, 0.03, 0.01], "answer"),
        ([0.6, 0.25, 0.1, 0.05], "answer with caution: several_diagnoses"),
        ([0.8, 0.05, 0.05, 0.1], "answer with caution: malignant_possible, several_diagnoses"),
        ([0.1, 0.05, 0.05, 0.8], "answer with caution: malignant_possible"),
        ([0.1, 0.25, 0.25, 0.4], "cannot tell: too_many_diagnoses"),
        ([0.49, 0.19, 0.19, 0.09], "cannot tell: no_diagnosis_fits"),
        ([np.nan] * 4, "cannot tell: unreadable"),
    ],
)
def test_the_set_decides(row: list[float], text: str) -> None:
    assert one(row) == text


@pytest.mark.parametrize(
    ("flags", "energy", "text"),
    [
        (["hair"], -5.0, "answer with caution: hair"),
        (["ruler", "black_corners"], -5.0, "answer"),
        (["blurred"], -5.0, "cannot tell: blurred"),
        (["hair", "dark", "not_skin"], -5.0, "cannot tell: dark, not_skin"),
        (["unreadable"], -5.0, "cannot tell: unreadable"),
        ([], -1.0, "answer"),
        ([], -0.9, "cannot tell: unlike_training"),
        ([], np.nan, "cannot tell: unlike_training"),
        (["blurred"], 3.0, "cannot tell: unlike_training, blurred"),
    ],
)
def test_quality_and_likeness_decide(flags: list[str], energy: float, text: str) -> None:
    assert one([0.9, 0.06, 0.03, 0.01], flags, energy) == text


@pytest.mark.parametrize("grade", [MALIGNANT, PRECANCER, None])
def test_whatever_is_not_known_to_be_benign_forces_caution(grade: Malignancy | None) -> None:
    assert one([0.9, 0, 0, 0], grades=(grade, BENIGN, BENIGN, BENIGN)).startswith(
        "answer with caution: malignant_possible"
    )


def test_a_set_of_all_diagnoses_is_no_answer() -> None:
    policy = AnswerPolicy(set_thresholds=(0.1, 0.1), pooled=(True, True), largest_set=2)
    assert one([0.5, 0.5], policy=policy, grades=(BENIGN, BENIGN)) == (
        "cannot tell: too_many_diagnoses"
    )


def test_flags_of_a_policy_can_be_chosen() -> None:
    policy = POLICY.model_copy(update={"refusing_flags": (QualityFlag.RULER,), "caution_flags": ()})
    assert one([0.9, 0, 0, 0], ["ruler"], policy=policy) == "cannot tell: ruler"
    assert one([0.9, 0, 0, 0], ["hair", "blurred"], policy=policy) == "answer"


def test_distance_counts_as_energy_does() -> None:
    policy = POLICY.model_copy(update={"highest_energy": None, "highest_distance": 10.0})
    row = np.array([[0.9, 0, 0, 0]] * 2)
    found = decide(policy, row, GRADES, energies=None, distances=np.array([10.0, 10.1]), flags=None)
    assert found.texts() == ["answer", "cannot tell: unlike_training"]


def test_answers_of_many_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([2, 1, 0.5, 0.5], 300)
    rows[7] = [np.nan, 0.9, 0.9, 0.9]
    energies = rng.normal(-2, 1, 300)
    flags = [[flag for flag in FLAG_TEXTS if rng.random() < 0.05] for _ in rows]
    found = decide(POLICY, rows, GRADES, energies=energies, distances=None, flags=flags)
    texts = [one(list(rows[k]), flags[k], energies[k]) for k in range(300)]
    assert found.texts() == texts
    assert {text.split(":")[0] for text in texts} == {
        "answer",
        "answer with caution",
        "cannot tell",
    }
    # An answer without caution never stands where a malignant diagnosis is possible.
    assert not found.malignant_in_set[found.verdicts == "answer"].any()
    assert found.malignant_in_set.tolist() == found.sets[:, 3].tolist()
    assert not found.sets[7].any()


def test_every_reason_has_a_text_and_flags_keep_theirs() -> None:
    assert set(FLAG_TEXTS) < set(REASON_TEXTS)
    assert {str(flag) for flag in QualityFlag} == set(FLAG_TEXTS)
    assert len(REASON_TEXTS) == len(FLAG_TEXTS) + 6


def test_ten_thousand_photos_take_a_moment() -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(4), 10_000)
    flags = [("hair",) if number % 9 == 0 else () for number in range(10_000)]
    start = time.perf_counter()
    found = decide(
        POLICY, rows, GRADES, energies=rng.normal(size=10_000), distances=None, flags=flags
    )
    assert len(found.texts()) == 10_000
    assert time.perf_counter() - start < 0.8


def calibration(groups: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities whose truths are drawn from them, two photos a group."""
    rng = np.random.default_rng(0)
    index = np.repeat(np.arange(groups), 2)
    probabilities = rng.dirichlet([1, 0.3, 0.2, 0.1], groups)[index]
    steps = np.cumsum(probabilities, axis=1)
    truth = (rng.random((groups, 1))[index] > steps).sum(axis=1).clip(0, 3)
    return probabilities, truth, index


def test_a_calibrated_policy_survives_the_bundles_json() -> None:
    probabilities, truth, groups = calibration()
    scores = np.random.default_rng(1).normal(size=(2, truth.size))
    policy = calibrate_policy(probabilities, truth, groups, energies=scores[0], distances=scores[1])
    expected = set_thresholds(probabilities, truth, groups)
    assert policy.set_thresholds == tuple(expected.values)
    assert policy.pooled == tuple(expected.pooled)
    # Two limits, each of which lets half of 2.5 % fail.
    assert policy.highest_energy == highest_valid(scores[0], groups, 0.9875)
    assert policy.highest_distance == highest_valid(scores[1], groups, 0.9875)
    assert AnswerPolicy.model_validate_json(policy.model_dump_json()) == policy
    with pytest.raises(ValidationError):
        AnswerPolicy.model_validate({**policy.model_dump(), "largest": 2})


def test_one_score_has_the_whole_share_to_itself() -> None:
    probabilities, truth, groups = calibration()
    scores = np.random.default_rng(1).normal(size=truth.size)
    policy = calibrate_policy(probabilities, truth, groups, energies=scores, distances=None)
    assert policy.highest_energy == highest_valid(scores, groups, 0.975)
    assert policy.highest_distance is None


def check(**changes: object) -> Answers:
    given: dict = {
        "policy": POLICY,
        "probabilities": np.full((2, 4), 0.25),
        "malignancies": GRADES,
        "energies": np.zeros(2),
        "distances": None,
        "flags": None,
    }
    return decide(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": np.full((2, 3), 0.3)}, "do not fit(.|\n)*4 diagnoses"),
        ({"malignancies": GRADES[:3]}, "do not fit"),
        ({"energies": None}, "energy, which was not measured"),
        ({"energies": np.zeros(3)}, "3 photos with energy(.|\n)*2 photos"),
        ({"flags": [()]}, "1 photos with flags"),
        ({"flags": [["blured"], []]}, "no quality flag 'blured'(.|\n)*did you mean 'blurred'"),
    ],
)
def test_decide_refuses(changes: dict[str, object], message: str) -> None:
    assert len(check().verdicts) == 2
    with pytest.raises(InputError, match=message):
        check(**changes)


def test_the_example_of_the_page_runs() -> None:
    page = Path(__file__).parents[2] / "docs" / "abstention.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert (found.failed, found.attempted) == (0, 10)
