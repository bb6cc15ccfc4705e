"""The record of a study of abstention, as it stands in `abstention.json`."""

from cutis.records import FORMAT_VERSION, Record


class Figure(Record):
    """A value and its 95 % interval over resampled groups; null where undefined."""

    value: float | None
    low: float | None
    high: float | None


class Resplits(Record):
    """Prediction sets over random splits of the held-out groups: calibrated on one side, judged on
    the other. Means over the splits; every group counts once, but in `photo_coverage`.
    """

    splits: int
    calibration_share: float
    coverage: float
    coverage_between: tuple[float, float]  # what 95 % of the splits lie between
    photo_coverage: float
    set_size: float
    empty: float  # share of sets without a diagnosis
    by_diagnosis: dict[str, float | None]


class VerdictShare(Record):
    """One verdict: how often it is given, and what stands behind it."""

    verdict: str
    photos: int
    share: Figure
    accuracy: Figure  # of the most probable diagnosis
    malignant: Figure  # the share of all photos of malignant diagnoses that get it


class Judged(Record):
    """The bundle's own policy on photos that it was not calibrated on; each photo counts once,
    but in `coverage`, where each group does, as the promise is made.
    """

    photos: int
    groups: int
    coverage: Figure
    set_size: Figure
    empty: Figure
    kept: Figure  # share that is not unlike the training photos, by group
    by_diagnosis: dict[str, Figure]  # coverage
    verdicts: tuple[VerdictShare, ...]
    reasons: dict[str, int]  # photos by reason


class Selective(Record):
    """Accuracy where only the photos with the highest probability of an answer are answered."""

    accuracy_at: dict[str, Figure]  # by the share answered
    aurc: Figure  # area under the risk


class Detection(Record):
    """Photos of something else, told from the held-out photos; AUROC, and shares of these."""

    kind: str
    photos: int
    unreadable: int
    distance: float | None  # AUROC; None: the bundle does not measure it
    energy: float
    probability: float  # of the highest probability, the usual score to compare with
    unlike_training: float | None  # share above the bundle's limit; None without a policy
    cannot_tell: float | None  # share refused, for whatever reason
    answered: float | None  # share that gets a plain answer


class Abstention(Record):
    """How well a bundle knows when not to answer."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    network: str
    bundle_files: dict[str, str]  # SHA-256 by name
    catalog_sha256: str
    split_name: str | None  # the bundle's own split; None: another catalog, of which all photos
    test_uses: int | None  # of the split's test part, with this one
    unsafe: bool  # the model's split lets photos of one lesion stand on both sides
    level: float  # the probability that a set is to hold the truth
    quality: bool  # photo quality was measured and decides
    photos: int  # held out, of diagnoses that the model knows
    groups: int
    unreadable: int
    recalibrated_on: int = 0  # left out: photos that the bundle was fitted to, and their groups
    resplits: Resplits | None  # None: too few groups
    judged: Judged | None  # None: the bundle has no policy for this network
    selective: Selective
    detections: tuple[Detection, ...]
