"""The record of a leak-cost study, as it stands in `leak-cost.json`."""

from typing import Literal

from cutis.records import FORMAT_VERSION, Record

TestPhotos = Literal["all", "with siblings", "without siblings"]


class TrialCounts(Record):
    """The photos of one seed."""

    seed: int
    test: int
    test_with_siblings: int
    siblings: int  # of test photos, in the one training
    validation: int
    training: int  # in either training
    training_by_diagnosis: dict[str, int]  # in either training
    groups_with_siblings: int  # distinct groups in the one training
    groups_without_siblings: int


class Inflation(Record):
    """One score of one classifier: a mean over the seeds, and its interval.

    Null where undefined; a classifier without probabilities has no row for AUROC.
    """

    classifier: str
    test_photos: TestPhotos
    score: str
    with_siblings: float | None
    without_siblings: float | None
    inflation: float | None  # with minus without
    low: float | None  # of the inflation, 95 %
    high: float | None
    by_seed: tuple[float | None, ...]  # the inflation of each seed
    photos: int  # distinct, over all seeds
    groups: int  # likewise; what the interval resamples


class LeakCost(Record):
    """What siblings of the test photos in training add to each figure."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    recipe: str
    engine: Literal["frozen features", "full training"]
    weights: str  # imagenet, none, or the SHA-256 of the file
    catalog_sha256: str
    view: str | None
    diagnoses: tuple[str, ...]
    test_share: float
    validation_share: float
    resamples: int
    trials: tuple[TrialCounts, ...]
    inflations: tuple[Inflation, ...]
