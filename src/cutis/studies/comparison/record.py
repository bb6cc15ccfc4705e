"""What a comparison takes, and its record as it stands in `comparison.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from cutis.records import FORMAT_VERSION, ModelInfo, Part, Record


@dataclass(frozen=True)
class Entry:
    """A finished run to be judged. Entries of one arm differ in their seed only."""

    name: str
    run: Path
    arm: str
    part: Part = Part.TEST
    data: Path | None = None  # the catalog, where it is not that of all entries


@dataclass(frozen=True)
class Published:
    """Figures of others, shown beside ours: `accuracy`, `f1_macro`, `train_accuracy` …"""

    name: str
    figures: Mapping[str, float]


class Figure(Record):
    """A value with its 95 % interval; null with a reason where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class Confusion(Record):
    """Photos by truth (rows) and answer (columns)."""

    diagnoses: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class EpochTestRecord(Record):
    """The published t-test on the epochs of two stages, which does not hold.

    `honest` names two entries, the run cut off after either stage, whose pair says what holds.
    """

    first_stage: str
    second_stage: str
    score: str
    pairs: int  # the first epochs of either stage
    t: float | None
    p_value: float | None
    gain: Figure  # second less first; the interval is the published bootstrap over epochs
    honest: tuple[str, str] | None


class Cost(Record):
    """What a run costs; all but the training with the segmenter inside it, where it has one."""

    parameters: int
    megabytes: float  # of model.safetensors, 10^6 bytes
    seconds: float  # of training, the sum over the epochs, on the machine that trained
    epochs: int
    milliseconds: float  # a photo on the CPU of this machine, without decoding


class Copied(Record):
    """Judged photos, and those of them that stand in training as the very same file."""

    judged: int
    copied: int


class Copies(Record):
    """What became of judged photos that stand in training, and of the others."""

    by_diagnosis: dict[str, Copied] = Field(default_factory=dict)
    accuracy: float | None = None  # null: there are none
    accuracy_of_others: float | None = None


class EntryRecord(Record):
    """One run as it was judged."""

    name: str
    arm: str
    part: Part
    run: str  # the folder's name
    model: ModelInfo
    weights_sha256: str
    recipe_text: str
    photos_sha256: str  # of the judged photos' ids and truths: equal means judged on the same
    photos: int
    groups: int
    test_uses: int | None  # how often this test part has been evaluated; null for other parts
    predictions: str  # file in this folder
    figures: dict[str, Figure]
    train_figures: dict[str, float | None]  # on the training part, or a sample of it
    train_photos: int
    train_format: str  # the number format in which they were predicted
    confusion: Confusion
    train_confusion: Confusion
    class_counts: dict[str, dict[str, int]]  # photos by part and diagnosis
    copies: Copies = Copies()
    cost: Cost
    history: tuple[dict[str, float | int | str], ...]  # a row an epoch
    epoch_tests: tuple[EpochTestRecord, ...] = ()

    @property
    def unsafe(self) -> bool:
        """Whether the split let photos of one lesion stand on both sides."""
        return self.model.provenance.unsafe


class Spread(Record):
    """A figure over the entries of an arm; the deviation is null for a single entry."""

    mean: float | None
    deviation: float | None  # standard deviation, n - 1
    low: float | None  # the smallest
    high: float | None
    entries: int  # those in which it is defined


class Arm(Record):
    """Entries that differ in their seed only."""

    name: str
    unsafe: bool
    entries: tuple[str, ...]
    figures: dict[str, Spread]
    train_figures: dict[str, Spread]


class Pair(Record):
    """Two entries on the same photos; every difference is second less first."""

    first: str
    second: str
    photos: int
    groups: int
    only_first: int  # photos on which only the first was right
    only_second: int
    mcnemar_exact: float
    mcnemar_mid_p: float
    mcnemar_holm: float  # mid-p, corrected for the number of pairs
    differences: dict[str, Figure]  # paired bootstrap over groups
    area: Figure | None  # difference of the areas under the ROC curve, two diagnoses only
    delong_p: float | None
    delong_holm: float | None
    kappa: Figure  # agreement of the two answers


class PublishedRecord(Record):
    """Figures of others."""

    name: str
    figures: dict[str, float]


class Comparison(Record):
    """Everything that the page shows."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    title: str
    verdict: tuple[str, ...]
    notes: dict[str, tuple[str, ...]]  # by heading
    unsafe: bool  # one entry at least
    published: tuple[PublishedRecord, ...]
    arms: tuple[Arm, ...]
    entries: tuple[EntryRecord, ...]
    pairs: tuple[Pair, ...]
    unpaired: tuple[str, ...]  # why entries were not tested against each other
    resamples: int
    threads: int  # of the timing

    def entry(self, name: str) -> EntryRecord:
        """The entry of a name; KeyError where there is none."""
        return {entry.name: entry for entry in self.entries}[name]
