"""What a bundle says of photos: probabilities, and the verdict of its policy with what decided.

`metrics.answer_policy` holds the rule; here a photo is measured for it.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cutis.errors import PhotoError
from cutis.lesion import usable_probabilities
from cutis.metrics.answer_policy import Answers, Verdict, decide
from cutis.metrics.out_of_distribution import FeatureSpace, energy
from cutis.metrics.quality import SIDE, measure_quality, quality_flags
from cutis.preprocessing import Photo, SharedPhoto, decode
from cutis.records import Record

if TYPE_CHECKING:
    from cutis.runtime.predictor import Predictor


class PhotoAnswer(Record):
    """What a bundle says of one photo.

    Where the verdict is `cannot tell`, `malignant_possible` is no reassurance: the photo may show
    anything.
    """

    probabilities: dict[str, float]  # by diagnosis, most probable first; empty: unreadable
    verdict: Verdict | None = None  # None: the bundle holds no policy for the network that ran
    reasons: tuple[str, ...] = ()  # of the verdict, keys of REASON_TEXTS
    prediction_set: tuple[str, ...] = ()  # the possible diagnoses, most probable first
    malignant_possible: bool = False  # one of the set is not known to be benign
    distance: float | None = None  # to the training photos; None: the policy has no limit for it
    flags: tuple[str, ...] | None = None  # keys of FLAG_TEXTS; None: quality was not measured
    mask_found: bool = False  # a segmenter's mask of the lesion was used
    lesion_fallback: str | None = None  # why the whole photo was taken, one of lesion.REASONS
    error: str | None = None  # why the photo could not be read


class Measured(NamedTuple):
    """All of one photo that a verdict needs; without values where it could not be read."""

    logits: NDArray[np.float32]  # (diagnoses,), NaN
    distance: float = np.nan  # NaN too where the policy has no limit for it
    flags: tuple[str, ...] | None = None
    fallback: str | None = None
    error: str | None = None


class _Seen(NamedTuple):
    pixels: NDArray[np.uint8] | None
    flags: tuple[str, ...] | None = None
    fallback: str | None = None
    error: str | None = None


def answer_photo(
    predictor: "Predictor", photo: Path | bytes, *, quality: bool = True
) -> PhotoAnswer:
    """What the bundle says of one photo, a file or a file's bytes.

    Args:
        quality: measures the photo's quality for the policy, which costs some milliseconds.

    A photo that cannot be read gets the verdict `cannot tell: unreadable` and no probabilities.
    """
    measured = measure(predictor, [photo], quality=quality)
    (row,) = measured
    probabilities = predictor.probabilities(row.logits[None])[0]
    diagnoses = predictor.model_info.diagnoses
    order = np.argsort(-probabilities, kind="stable")
    readable = row.error is None
    answer = PhotoAnswer(
        probabilities={diagnoses[k]: float(probabilities[k]) for k in order} if readable else {},
        distance=None if np.isnan(row.distance) else row.distance,
        flags=row.flags,
        mask_found=readable and predictor.segmenter is not None and row.fallback is None,
        lesion_fallback=row.fallback,
        error=row.error,
    )
    said = judge(predictor, measured)
    if said is None:
        return answer
    judged = {
        "verdict": Verdict(said.verdicts[0]),
        "reasons": said.reasons(0),
        "prediction_set": ordered_sets(diagnoses, said, probabilities[None])[0],
        "malignant_possible": bool(said.malignant_in_set[0]),
    }
    return answer.model_copy(update=judged)


def measure(
    predictor: "Predictor", photos: Sequence[Path | bytes], *, quality: bool
) -> list[Measured]:
    """Reads some photos and runs the network on them together; PhotoErrors stand in the rows.

    Quality is measured only where the bundle has a policy that it serves.
    """
    policy = predictor.policy
    seen = [_see(predictor, photo, quality and policy is not None) for photo in photos]
    pixels = [photo.pixels for photo in seen if photo.pixels is not None]
    logits = np.full((len(seen), len(predictor.model_info.diagnoses)), np.nan, np.float32)
    distances = np.full(len(seen), np.nan)
    if pixels:
        readable = [photo.pixels is not None for photo in seen]
        outputs = predictor.outputs(np.stack(pixels))
        logits[readable] = outputs.logits
        limited = policy is not None and policy.highest_distance is not None
        if limited and predictor.space is not None and outputs.features is not None:
            distances[readable] = predictor.space.distance(outputs.features.astype(np.float64))
    return [
        Measured(row, float(distance), photo.flags, photo.fallback, photo.error)
        for row, distance, photo in zip(logits, distances, seen, strict=True)
    ]


def judge(predictor: "Predictor", measured: Sequence[Measured]) -> Answers | None:
    """The verdicts of the bundle's policy; None where it has none for the network that ran.

    A readable photo without the distance that the policy limits is unlike the training photos.
    """
    policy = predictor.policy
    if policy is None:
        return None
    logits = np.stack([row.logits for row in measured])
    limits = policy.highest_energy is not None, policy.highest_distance is not None
    return decide(
        policy,
        predictor.set_scores(predictor.probabilities(logits).astype(np.float64)),
        [diagnosis.malignancy for diagnosis in predictor.info.diagnoses],
        energies=energy(logits.astype(np.float64)) if limits[0] else None,
        distances=np.array([row.distance for row in measured]) if limits[1] else None,
        flags=[row.flags or () for row in measured],
    )


def ordered_sets(
    diagnoses: Sequence[str], answers: Answers, probabilities: NDArray[np.float32]
) -> list[tuple[str, ...]]:
    """The prediction set of each photo by name, most probable first; probabilities (N, K)."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        tuple(diagnoses[k] for k in row if held[k])
        for row, held in zip(order, answers.sets, strict=True)
    ]


def read_space(data: bytes) -> FeatureSpace:
    """The feature space in a bundle's `features.npz`; `export.policy.write_space` wrote it."""
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        means, directions, variances = (
            kept[name].astype(np.float32) for name in ("means", "directions", "variances")
        )
        return FeatureSpace(means, directions, variances, float(kept["rest"]))


def _see(predictor: "Predictor", photo: Path | bytes, quality: bool) -> _Seen:
    shared = SharedPhoto(photo)
    try:
        lesion = predictor.lesion(shared)
        pixels, fallback = predictor.view(shared, lesion)
        return _Seen(pixels, _flags(predictor, shared, lesion) if quality else None, fallback)
    except PhotoError as error:
        return _Seen(None, error=error.problem)


def _flags(
    predictor: "Predictor", photo: Photo, lesion: NDArray[np.float32] | None
) -> tuple[str, ...]:
    # Decoded at the scale that is measured: a fraction of the time of a large photo.
    scores = measure_quality(decode(photo, at_least=SIDE))
    if lesion is not None and predictor.segmenter is not None:
        threshold = predictor.segmenter.info.threshold
        usable, _ = usable_probabilities(lesion, threshold)
        if usable is not None:  # it knows the lesion better than a threshold on darkness
            scores = replace(scores, lesion_share=float((usable >= threshold).mean()))
    return quality_flags(scores)
