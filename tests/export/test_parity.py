"""The gate: what each limit lets through, and what it does not."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cutis.export.parity import (
    ENOUGH_PHOTOS,
    INT8_MASK_JACCARD,
    LARGEST_LOSS,
    LARGEST_MEAN_DIFFERENCE,
    LEAST_AGREEMENT,
    LOGIT_LIMIT,
    MASK_JACCARD,
    Compared,
    NetworkCheck,
    Parity,
    SegmenterCheck,
    check_network,
    check_segmenter,
    paired_loss,
)

DIAGNOSES = ("melanoma", "melanocytic_nevus")
CLOSE = 0.001
"""Half the distance of two logits: so near that an answer flips without a change to be seen."""


def photos(
    count: int,
    *,
    diagnoses: Sequence[str | None] | None = None,
    groups: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Each photo a group of its own, all melanomas of validation, unless said otherwise."""
    return pd.DataFrame(
        {
            "image_id": [f"drawn/{number}" for number in range(count)],
            "group": groups or [f"g{number}" for number in range(count)],
            "part": parts or ["validation"] * count,
            "diagnosis": diagnoses or ["melanoma"] * count,
        }
    )


def answers(first: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
    """Logits (N, 2) that answer so, by a hair."""
    logits = np.full((len(first), 2), -CLOSE, np.float32)
    logits[np.arange(len(first)), np.asarray(first)] = CLOSE
    return logits


def checked(
    name: str,
    run: NDArray[np.float32],
    network: NDArray[np.float32],
    rows: pd.DataFrame | None = None,
    *,
    same_input: NDArray[np.bool_] | None = None,
    temperature: float = 1.0,
) -> NetworkCheck:
    seen = np.ones(len(run), bool) if same_input is None else same_input
    rows = photos(len(run)) if rows is None else rows
    compared = Compared(run, network, seen)
    return check_network(name, "onnxruntime", 1234, compared, rows, DIAGNOSES, temperature)


@pytest.mark.parametrize("name", ["fp32", "int8", "tflite"])
def test_a_network_that_is_the_run_passes(name: str) -> None:
    logits = answers([0, 1] * 50)
    found = checked(name, logits, logits)
    assert (found.name, found.bytes, found.photos) == (f"{name}/onnxruntime", 1234, 100)
    assert found.failures == ()
    assert (found.agreement, found.mean_probability_difference) == (1, 0)
    assert (found.largest_logit_difference, found.largest_probability_difference) == (0, 0)
    assert found.accuracy is not None
    assert found.accuracy.model_dump() == {"run": 0.5, "network": 0.5, "loss": 0, "bound": 0}


@pytest.mark.parametrize("name", ["int8", "tflite", "fp32"])
def test_answers_agree_on_97_of_100(name: str) -> None:
    """Where no diagnosis is known the answers alone decide."""
    unknown = photos(100, diagnoses=[None] * 100)
    run = answers([0] * 100)
    # what rounding flips has other pixels, else fp32 would fail by its logits
    at_most = checked(name, run, answers([1] * 3 + [0] * 97), unknown, same_input=run[:, 0] > 1)
    beyond = checked(name, run, answers([1] * 4 + [0] * 96), unknown, same_input=run[:, 0] > 1)
    assert LEAST_AGREEMENT == at_most.agreement == 0.97
    assert not any("first answer" in why for why in at_most.failures)
    assert beyond.failures[-1] == "the first answer is the same on 96.0%, at least 97% wanted"
    assert at_most.accuracy is at_most.held_out_accuracy is None
    assert (at_most.recall_loss, at_most.flipped) == ({}, {})


@pytest.mark.parametrize(("shift", "passes"), [(0.0099, True), (0.0101, False)])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_probabilities_differ_by_a_hundredth_on_average(
    shift: float, passes: bool, temperature: float
) -> None:
    def logits(probability: NDArray[np.float64]) -> NDArray[np.float32]:
        odds = temperature * np.log(probability / (1 - probability))
        return np.stack([odds, np.zeros_like(odds)], axis=1).astype(np.float32)

    chance = np.linspace(0.6, 0.9, 40)
    # half the photos move by twice as much
    moved = chance + np.where(np.arange(40) % 2, 2 * shift, 0)
    found = checked("int8", logits(chance), logits(moved), temperature=temperature)
    assert LARGEST_MEAN_DIFFERENCE == 0.01
    assert found.mean_probability_difference == pytest.approx(shift, abs=1e-6)
    assert found.largest_probability_difference == pytest.approx(2 * shift, abs=1e-6)
    assert found.failures == (
        () if passes else ("probabilities differ by 0.0101 on average, limit 0.01",)
    )


def test_a_logit_of_fp32_is_within_a_thousandth() -> None:
    run = answers([0] * 100)
    for difference, passes in ((0.9 * LOGIT_LIMIT, True), (1.1 * LOGIT_LIMIT, False)):
        network = run.copy()
        network[7, 1] -= difference
        found = checked("fp32", run, network)
        assert found.largest_logit_difference == pytest.approx(difference, rel=1e-3)
        assert found.failures == (() if passes else ("a logit differs by 0.0011, limit 0.001",))
        assert checked("int8", run, network).failures == ()


def test_fp32_may_see_other_pixels_of_one_photo_in_a_hundred() -> None:
    run = answers([0] * 100)
    for count, passes in ((1, True), (2, False)):
        network, same = run.copy(), np.ones(100, bool)
        network[:count, 1] -= 10 * LOGIT_LIMIT
        same[:count] = False
        found = checked("fp32", run, network, same_input=same)
        assert (found.other_input, found.largest_logit_difference) == (count, 0)
        assert found.failures == (
            () if passes else ("the lesion is cut out otherwise on 2 of 100 photos, limit 1%",)
        )
        assert checked("int8", run, network, same_input=same).failures == ()


@pytest.mark.parametrize("name", ["fp32", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_never_passes(name: str, value: float) -> None:
    """One value among 2,000, on the answer that the run gives."""
    run = answers([0] * 1000)
    network = run.copy()
    network[500, 0] = value
    assert checked(name, run, network).failures
    everywhere = np.full_like(run, value)
    assert checked(name, run, everywhere).failures
    assert checked(name, run, everywhere, same_input=np.zeros(1000, bool)).failures


def net_loss(lost: int, gained: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of 1,000 melanomas the run finds all but those that the network gains."""
    run, network = np.zeros(1000, np.intp), np.zeros(1000, np.intp)
    network[:lost] = 1
    run[lost : lost + gained] = 1
    return answers(run), answers(network)


def test_the_bound_of_the_loss_decides_and_not_the_loss() -> None:
    found = checked("int8", *net_loss(6, 0))
    assert found.accuracy is not None
    assert found.accuracy.loss == pytest.approx(0.006)
    assert found.accuracy.bound == pytest.approx(0.010, abs=1e-9)
    assert found.failures == ()
    beyond = checked("int8", *net_loss(9, 0))
    assert beyond.accuracy is not None
    assert beyond.accuracy.loss < LARGEST_LOSS
    assert beyond.failures == ("accuracy may fall by 1.4 points (upper 95 % bound), limit 1",)


def test_what_is_gained_counts_against_what_is_lost() -> None:
    found = checked("int8", *net_loss(10, 10))
    assert found.accuracy is not None
    assert found.accuracy.loss == 0
    assert found.failures == ()


def test_the_loss_is_resampled_by_group() -> None:
    """Ten photos lost at one lesion say less than ten of ten lesions: the bound is wider."""
    lesions = ["one lesion"] * 10 + [f"g{number}" for number in range(990)]
    found = checked("int8", *net_loss(10, 10), photos(1000, groups=lesions))
    assert found.accuracy is not None
    assert found.accuracy.loss == 0
    assert found.accuracy.bound == pytest.approx(0.02, abs=0.002)
    assert len(found.failures) == 1
    assert "accuracy may fall by" in found.failures[0]


def test_the_bound_is_one_sided() -> None:
    rng = np.random.default_rng(0)
    lost = rng.choice([-1.0, 0.0, 1.0], 400, p=[0.1, 0.7, 0.2])
    groups = pd.Series([f"g{number}" for number in range(400)])
    found = paired_loss(np.maximum(lost, 0), np.maximum(-lost, 0), groups)
    assert found is not None
    drawn = rng.integers(0, 400, (20_000, 400))
    assert found.loss == pytest.approx(lost.mean())
    assert found.bound == pytest.approx(np.quantile(lost[drawn].mean(axis=1), 0.95), abs=0.004)


def test_of_one_group_the_loss_itself_is_held_to_the_limit() -> None:
    alone = photos(1000, groups=["one"] * 1000)
    kept = checked("int8", *net_loss(10, 0), alone)
    assert kept.accuracy is not None
    assert (kept.accuracy.loss, kept.accuracy.bound) == (0.01, None)
    assert kept.failures == ()
    assert checked("int8", *net_loss(11, 0), alone).failures == (
        "accuracy may fall by 1.1 points (upper 95 % bound), limit 1",
    )


@pytest.mark.parametrize(
    ("of", "lost", "said"),
    [
        (ENOUGH_PHOTOS, 1, ()),
        (ENOUGH_PHOTOS, 2, ("recall of melanoma falls by 4.0 points, limit 2",)),
        (ENOUGH_PHOTOS - 1, 2, ()),
        (100, 2, ()),
        (100, 3, ("recall of melanoma falls by 3.0 points, limit 2",)),
    ],
)
def test_no_frequent_diagnosis_loses_recall(of: int, lost: int, said: tuple[str, ...]) -> None:
    """Among 2,000 nevi the accuracy shows nothing of it."""
    truth = np.array([0] * of + [1] * (2000 - of))
    network = truth.copy()
    network[:lost] = 1
    rows = photos(2000, diagnoses=[DIAGNOSES[k] for k in truth])
    found = checked("int8", answers(truth), answers(network), rows)
    assert found.failures == said
    if of >= ENOUGH_PHOTOS:
        assert found.recall_loss == {
            "melanoma": pytest.approx(lost / of),
            "melanocytic_nevus": 0,
        }
        assert found.flipped == {}
    else:
        assert found.recall_loss == {"melanocytic_nevus": 0}
        assert found.flipped == {"melanoma": ("drawn/0", "drawn/1")}


def test_a_recall_that_rises_passes() -> None:
    run, network = net_loss(0, 50)
    found = checked("int8", run, network, photos(1000))
    assert found.recall_loss == {"melanoma": pytest.approx(-0.05)}
    assert not any("recall" in why for why in found.failures)


def test_flipped_photos_of_rare_diagnoses_are_listed_right_or_wrong() -> None:
    truth = ["melanoma"] * 4 + ["melanocytic_nevus"] * 96
    found = checked(
        "int8",
        answers([0, 0, 1, 1, *[1] * 96]),
        answers([0, 1, 0, 1, *[1] * 96]),
        photos(100, diagnoses=truth),
    )
    assert found.flipped == {"melanoma": ("drawn/1", "drawn/2")}


def test_held_out_figures_leave_training_photos_out() -> None:
    parts = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    network = [0] * 58 + [1, 1] + [0] * 39 + [1]
    found = checked("int8", answers([0] * 100), answers(network), photos(100, parts=parts))
    assert (found.agreement, found.held_out_agreement) == (0.97, pytest.approx(39 / 40))
    assert found.accuracy is not None
    assert found.held_out_accuracy is not None
    assert found.accuracy.loss == pytest.approx(0.03)
    assert found.held_out_accuracy.loss == pytest.approx(1 / 40)
    alone = checked("int8", answers([0] * 9), answers([0] * 9), photos(9, parts=["train"] * 9))
    assert alone.held_out_agreement is alone.held_out_accuracy is None


def test_photos_without_a_diagnosis_count_for_agreement_alone() -> None:
    rows = photos(100, diagnoses=["melanoma"] * 50 + [None] * 50)
    found = checked("int8", answers([0] * 100), answers([0] * 97 + [1] * 3), rows)
    assert found.agreement == 0.97
    assert found.accuracy is not None
    assert (found.accuracy.run, found.accuracy.loss) == (1, 0)
    assert found.recall_loss == {"melanoma": 0}


FIGURES = ("difference", "beyond", "jaccard", "run", "network")


def outlined(name: str = "int8", count: int = 200, **figures: float) -> SegmenterCheck:
    """A segmenter that is the run's but for some figures, the same of all photos."""
    same = {"difference": 0.0, "beyond": 0.0, "jaccard": 1.0, "run": 0.8, "network": 0.8}
    values = {key: np.full(count, {**same, **figures}[key]) for key in FIGURES}
    groups = pd.Series([f"g{number}" for number in range(count)])
    return check_segmenter(name, "openvino", 99, values, groups)


@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_a_segmenter_that_is_the_run_passes(name: str) -> None:
    found = outlined(name)
    assert (found.name, found.failures) == (f"segmenter-{name}/openvino", ())
    assert found.jaccard is not None
    assert (found.jaccard.run, found.jaccard.loss, found.jaccard.bound) == (0.8, 0, 0)


@pytest.mark.parametrize(
    ("name", "figures", "said"),
    [
        ("fp32", {"beyond": 0.011}, "1.1% of the pixels have a logit that differs by more than"),
        ("fp32", {"jaccard": 0.9989}, "a mean Jaccard of 0.9989 with the run's, at least 0.999"),
        ("int8", {"jaccard": 0.9699}, "a mean Jaccard of 0.9699 with the run's, at least 0.97"),
        ("int8", {"network": 0.789}, "the mean Jaccard may fall by 1.1 points"),
        ("fp32", {"network": 0.789}, "the mean Jaccard may fall by 1.1 points"),
        ("int8", {"difference": np.nan}, "a logit is not a number"),
        ("fp32", {"difference": np.nan}, "a logit is not a number"),
        ("int8", {"difference": np.inf}, "a logit is not a number"),
    ],
)
def test_another_segmenter_fails(name: str, figures: dict[str, float], said: str) -> None:
    (why,) = outlined(name, **figures).failures
    assert said in why


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("fp32", {"beyond": 0.01, "difference": 9.0, "jaccard": MASK_JACCARD}),
        ("int8", {"beyond": 1.0, "difference": 9.0, "jaccard": INT8_MASK_JACCARD}),
        ("int8", {"network": 0.791}),
        ("int8", {"network": 0.9}),
    ],
)
def test_within_the_limits_a_segmenter_passes(name: str, figures: dict[str, float]) -> None:
    assert outlined(name, **figures).failures == ()


def test_photos_without_a_mask_are_not_judged_against_people() -> None:
    assert outlined(run=np.nan, network=np.nan).jaccard is None
    half = np.where(np.arange(200) < 100, np.nan, 0.5)
    values = {name: np.full(200, 1.0) for name in FIGURES} | {"run": half, "network": half}
    groups = pd.Series([f"g{number}" for number in range(200)])
    found = check_segmenter("int8", "openvino", 1, values, groups)
    assert found.jaccard is not None
    assert (found.jaccard.run, found.jaccard.network) == (0.5, 0.5)


def test_all_rows_stand_in_the_record() -> None:
    network = checked("int8", answers([0] * 9), answers([0] * 9))
    parity = Parity(calibration_photos=3, networks=(network,), segmenters=(outlined(),))
    assert [check.name for check in parity.checks] == [
        "segmenter-int8/openvino",
        "int8/onnxruntime",
    ]
    assert Parity.model_validate_json(parity.model_dump_json()) == parity
