"""How far exported networks are from the run that was evaluated: figures, limits and verdict.

The limits of int8 networks are on what people see, answers and probabilities, and on what they
lose, accuracy and recall; agreement alone hides a rare diagnosis that is no longer found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.metrics import softmax
from cutis.metrics.bootstrap import Resampling, bootstrap
from cutis.metrics.scores import weighted_mean
from cutis.records import FORMAT_VERSION, Part, Record
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES, BundleInfo
from cutis.runtime.cost import Cost, measure_cost

LOGIT_LIMIT = 1e-3
"""Largest difference of an fp32 logit; more means that the export is another network."""
OTHER_INPUT_SHARE = 0.01
"""Share of photos on which rounding may move the lesion's outline by a pixel, so that the
classifier is fed other pixels. Their logits are not held to LOGIT_LIMIT; their answers count."""

LEAST_AGREEMENT = 0.97
LARGEST_MEAN_DIFFERENCE = 0.01
LARGEST_LOSS = 0.01
"""Of accuracy (a segmenter: of the mean Jaccard), for its upper bound."""
LARGEST_RECALL_LOSS = 0.02
ENOUGH_PHOTOS = 50
"""Photos of a diagnosis from which on its recall is held to a limit."""

MASK_SHARE = 0.01
"""Share of pixels whose logit may be beyond LOGIT_LIMIT in a segmenter: where two values are equal
but for rounding, E-Net's max-unpooling puts the larger one elsewhere, and its neighbours change."""
MASK_JACCARD = 0.999
"""Least mean Jaccard of an fp32 segmenter's masks with the run's."""
INT8_MASK_JACCARD = 0.97


class Loss(Record):
    """What a network loses against the run on the same photos, as shares."""

    run: float
    network: float
    loss: float
    bound: float | None  # one-sided upper 95 % bound over resampled groups; None with one group


class NetworkCheck(Record):
    """A classifier's file on one engine against the run, from photo to probabilities."""

    network: str
    engine: str
    bytes: int
    photos: int
    largest_logit_difference: float  # over photos of which both saw the same pixels
    other_input: int  # photos on which the lesion's outline differs
    agreement: float  # share of photos with the same first answer
    mean_probability_difference: float  # absolute, over photos and diagnoses
    largest_probability_difference: float
    held_out_agreement: float | None  # over validation and test photos alone
    accuracy: Loss | None  # None where no photo has a diagnosis
    held_out_accuracy: Loss | None
    recall_loss: dict[str, float]  # of diagnoses with ENOUGH_PHOTOS photos
    flipped: dict[str, tuple[str, ...]]  # of rarer ones: photos that are answered otherwise
    failures: tuple[str, ...]
    cost: Cost | None = None

    @property
    def name(self) -> str:
        """As in `BundleInfo.passed`."""
        return f"{self.network}/{self.engine}"


class SegmenterCheck(Record):
    """A segmenter's file on one engine against the run, at the segmenter's size."""

    network: str
    engine: str
    bytes: int
    photos: int
    largest_logit_difference: float
    beyond_limit: float  # share of pixels whose logit differs by more than LOGIT_LIMIT
    mean_jaccard: float  # of both masks, by photo
    smallest_jaccard: float
    jaccard: Loss | None  # against the masks that people drew; None where there are none
    failures: tuple[str, ...]
    cost: Cost | None = None

    @property
    def name(self) -> str:
        """As in `BundleInfo.passed`."""
        return f"segmenter-{self.network}/{self.engine}"


def verdict(check: NetworkCheck | SegmenterCheck, info: BundleInfo) -> str:
    """What became of a file on an engine, in words."""
    files = SEGMENTER_FILES if isinstance(check, SegmenterCheck) else MODEL_FILES
    held = files[check.network] in info.files
    if not check.failures:
        return "passed" if held else "passed, not in the bundle"
    if check.name in info.allowed:
        return "failed, let in"
    return "failed, not run" if held else "failed, left out"


C = TypeVar("C", NetworkCheck, SegmenterCheck)


class Parity(Record):
    """`parity.json`: a row for each file and engine, with those that were refused."""

    format_version: int = FORMAT_VERSION
    calibration_photos: int  # whose ranges the int8 networks have; not among the photos compared
    fine_tuned: tuple[str, ...] = ()  # networks whose weights were adapted to int8
    methods: Mapping[str, str] = {}  # how the ranges of int8 networks were found
    networks: tuple[NetworkCheck, ...] = ()
    segmenters: tuple[SegmenterCheck, ...] = ()

    @property
    def checks(self) -> tuple[NetworkCheck | SegmenterCheck, ...]:
        """All rows."""
        return (*self.segmenters, *self.networks)

    def with_costs(self, bundle: Path, photos: Sequence[Path]) -> "Parity":
        """With the cost of every network that the bundle holds, measured on some photos."""

        def costed(check: C, verb: str, files: Mapping[str, str]) -> C:
            if not (bundle / files[check.network]).is_file():
                return check
            cost = measure_cost(bundle, verb, check.network, check.engine, photos)
            return check.model_copy(update={"cost": cost})

        networks = tuple(costed(check, "predict", MODEL_FILES) for check in self.networks)
        segmenters = tuple(costed(check, "segment", SEGMENTER_FILES) for check in self.segmenters)
        return self.model_copy(update={"networks": networks, "segmenters": segmenters})


@dataclass(frozen=True)
class Compared:
    """What a run and a network answer to the same N photos."""

    run: NDArray[np.float32]  # logits (N, K)
    network: NDArray[np.float32]  # likewise
    same_input: NDArray[np.bool_]  # (N,)


def check_network(
    name: str,
    engine: str,
    size: int,
    compared: Compared,
    photos: pd.DataFrame,
    diagnoses: Sequence[str],
    temperature: float,
) -> NetworkCheck:
    """A classifier's row.

    Args:
        size: of the file, bytes.
        photos: (N rows) `image_id`, `group`, `part` and `diagnosis`, null where not known.
        temperature: of the run; both probabilities are taken at it.
    """
    with np.errstate(invalid="ignore"):  # infinite logits: the probabilities are not numbers
        ours, run = (
            softmax(logits.astype(np.float64), temperature)
            for logits in (compared.network, compared.run)
        )
    gap = np.abs(ours - run)
    # A logit that is not a number must not pass: NaN compares as unequal everywhere.
    exact = np.abs(compared.network - compared.run)[compared.same_input]
    first, wanted = compared.network.argmax(axis=1), compared.run.argmax(axis=1)
    same = first == wanted
    held_out = (photos["part"] != Part.TRAIN.value).to_numpy()
    truth = photos["diagnosis"].map({name: k for k, name in enumerate(diagnoses)})
    known = truth.notna().to_numpy()
    index = np.asarray(truth.fillna(-1), np.intp)
    right, run_right = first == index, wanted == index

    def loss(chosen: NDArray[np.bool_]) -> Loss | None:
        return paired_loss(run_right[chosen], right[chosen], photos["group"][chosen])

    recall, flipped = _by_diagnosis(diagnoses, index, right, run_right, same, photos["image_id"])
    found = NetworkCheck(
        network=name,
        engine=engine,
        bytes=size,
        photos=len(photos),
        largest_logit_difference=float(exact.max(initial=0.0)),
        other_input=int((~compared.same_input).sum()),
        agreement=float(same.mean()),
        mean_probability_difference=float(gap.mean()),
        largest_probability_difference=float(gap.max()),
        held_out_agreement=float(same[held_out].mean()) if held_out.any() else None,
        accuracy=loss(known),
        held_out_accuracy=loss(known & held_out),
        recall_loss=recall,
        flipped=flipped,
        failures=(),
    )
    fails = _fp32_failures if name == "fp32" else _int8_failures
    return found.model_copy(update={"failures": tuple(fails(found))})


def _by_diagnosis(
    diagnoses: Sequence[str],
    truth: NDArray[np.intp],
    right: NDArray[np.bool_],
    run_right: NDArray[np.bool_],
    same: NDArray[np.bool_],
    names: pd.Series,
) -> tuple[dict[str, float], dict[str, tuple[str, ...]]]:
    """Loss of recall of the frequent diagnoses, photos of the rare ones with another answer."""
    recall, flipped = {}, {}
    for number, name in enumerate(diagnoses):
        own = truth == number
        if own.sum() >= ENOUGH_PHOTOS:
            recall[name] = int(run_right[own].sum() - right[own].sum()) / int(own.sum())
        elif own.any():
            flipped[name] = tuple(str(photo) for photo in names[own & ~same])
    return recall, flipped


def paired_loss(
    run: NDArray[np.bool_] | NDArray[np.float64],
    network: NDArray[np.bool_] | NDArray[np.float64],
    groups: pd.Series,
) -> Loss | None:
    """The mean of the run's figures less that of the network's, photo by photo (N,).

    The bound is the 95th percentile over resamples of whole groups. None without photos.
    """
    if not run.size:
        return None
    lost = run.astype(np.float64) - network.astype(np.float64)
    # 0.90 cuts 5 % off at each side: its upper end is the one-sided bound of 95 %
    interval = bootstrap(
        lambda weights: {"loss": weighted_mean(lost, weights)},
        np.asarray(pd.factorize(groups)[0], np.intp),
        Resampling(level=0.90),
    )["loss"]
    bound = float(interval.high)
    return Loss(
        run=float(run.mean()),
        network=float(network.mean()),
        loss=float(lost.mean()),
        bound=bound if np.isfinite(bound) else None,
    )


def _fp32_failures(found: NetworkCheck) -> list[str]:
    failures = []
    if not found.largest_logit_difference <= LOGIT_LIMIT:
        failures.append(
            f"a logit differs by {found.largest_logit_difference:.2g}, limit {LOGIT_LIMIT:g}"
        )
    if found.other_input > OTHER_INPUT_SHARE * found.photos:
        failures.append(
            f"the lesion is cut out otherwise on {found.other_input} of {found.photos} photos, "
            f"limit {OTHER_INPUT_SHARE:.0%}"
        )
    return failures + _seen_failures(found)


def _int8_failures(found: NetworkCheck) -> list[str]:
    failures = _seen_failures(found)
    if found.accuracy is not None:
        failures += _loss_failures("accuracy", found.accuracy)
    failures += [
        f"recall of {name} falls by {100 * loss:.1f} points, limit {100 * LARGEST_RECALL_LOSS:g}"
        for name, loss in found.recall_loss.items()
        if loss > LARGEST_RECALL_LOSS
    ]
    return failures


def _seen_failures(found: NetworkCheck) -> list[str]:
    failures = []
    if found.agreement < LEAST_AGREEMENT:
        failures.append(
            f"the first answer is the same on {found.agreement:.1%}, at least "
            f"{LEAST_AGREEMENT:.0%} wanted"
        )
    if not found.mean_probability_difference <= LARGEST_MEAN_DIFFERENCE:
        failures.append(
            f"probabilities differ by {found.mean_probability_difference:.4f} on average, limit "
            f"{LARGEST_MEAN_DIFFERENCE:g}"
        )
    return failures


def _loss_failures(what: str, loss: Loss) -> list[str]:
    bound = loss.loss if loss.bound is None else loss.bound
    if bound <= LARGEST_LOSS:
        return []
    return [
        f"{what} may fall by {100 * bound:.1f} points (upper 95 % bound), limit "
        f"{100 * LARGEST_LOSS:g}"
    ]


def check_segmenter(
    name: str,
    engine: str,
    size: int,
    figures: Mapping[str, NDArray[np.float64]],
    groups: pd.Series,
) -> SegmenterCheck:
    """A segmenter's row.

    Args:
        figures: by photo (N,): `difference` and `beyond` of its logits, `jaccard` of both masks,
            and `run` and `network`, the Jaccard of either with the mask that people drew, NaN
            where there is none.
    """
    drawn = np.isfinite(figures["run"])
    truth = paired_loss(figures["run"][drawn], figures["network"][drawn], groups[drawn])
    found = SegmenterCheck(
        network=name,
        engine=engine,
        bytes=size,
        photos=len(groups),
        largest_logit_difference=float(figures["difference"].max()),
        beyond_limit=float(figures["beyond"].mean()),
        mean_jaccard=float(figures["jaccard"].mean()),
        smallest_jaccard=float(figures["jaccard"].min()),
        jaccard=truth,
        failures=(),
    )
    return found.model_copy(update={"failures": tuple(_mask_failures(found))})


def _mask_failures(found: SegmenterCheck) -> list[str]:
    failures = []
    if not np.isfinite(found.largest_logit_difference):
        # An outline of what is no number is empty, which many outlines of the run may be too.
        failures.append("a logit is not a number")
    if found.network == "fp32" and not found.beyond_limit <= MASK_SHARE:
        failures.append(
            f"{found.beyond_limit:.1%} of the pixels have a logit that differs by more than "
            f"{LOGIT_LIMIT:g}, limit {MASK_SHARE:.0%}"
        )
    least = MASK_JACCARD if found.network == "fp32" else INT8_MASK_JACCARD
    if not found.mean_jaccard >= least:
        failures.append(
            f"the masks have a mean Jaccard of {found.mean_jaccard:.4f} with the run's, at least "
            f"{least:g} wanted"
        )
    if found.jaccard is not None:
        failures += _loss_failures("the mean Jaccard", found.jaccard)
    return failures
