"""The record of a search, as it stands in `search.json`."""

from collections import Counter
from typing import Any, Literal

from cutis.records import FORMAT_VERSION, Record

Outcome = Literal["complete", "pruned", "failed", "invalid", "repeated"]
"""Failed: its training broke off. Invalid: its settings contradict each other or the data.
Repeated: the same point was drawn before. The last two were not trained and do not count."""

TRAINED: tuple[Outcome, ...] = ("complete", "pruned", "failed")


class Terms(Record):
    """What must be the same when a search goes on."""

    recipe: str
    recipe_sha256: str  # with the settings of the command line, without the number of trials
    sampler: str
    seed: int  # of the draws
    catalog_sha256: str
    split_name: str
    split_sha256: str
    weights: str  # imagenet, none, or the SHA-256 of the file
    segmenter_sha256: str | None = None  # of the weights that draw the masks of input.lesion


class TrialRecord(Record):
    """One point of the space."""

    number: int  # its run is in trials/NNNN
    outcome: Outcome
    values: dict[str, Any]  # by setting; a setting whose condition did not hold is absent
    figure: float | None  # of the epoch that became the model; of a pruned trial, until then
    epochs: int
    seconds: float  # of training
    reason: str  # why it failed or is invalid, else empty


class SearchResult(Record):
    """A search: every trial, and which settings mattered."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    terms: Terms
    monitor: str  # the validation figure that was the objective
    lower_is_better: bool
    unsafe: bool  # the split lets photos of one lesion stand on both sides
    wanted: int  # trials
    trials: tuple[TrialRecord, ...]
    importance: dict[str, float]  # PED-ANOVA, adds up to 1; empty with few complete trials

    def ranked(self) -> list[TrialRecord]:
        """The complete trials, the best first, and of equal ones the earlier."""
        sign = 1.0 if self.lower_is_better else -1.0
        complete = [trial for trial in self.trials if trial.outcome == "complete"]
        return sorted(complete, key=lambda trial: (sign * (trial.figure or 0.0), trial.number))

    def judged(self) -> list[TrialRecord]:
        """The trials that have a figure to be compared: complete and pruned ones."""
        return [trial for trial in self.trials if trial.outcome in ("complete", "pruned")]

    def trained(self) -> list[TrialRecord]:
        """The trials that count: those for which a training began."""
        return [trial for trial in self.trials if trial.outcome in TRAINED]

    def counts(self) -> dict[Outcome, int]:
        """How many trials ended how."""
        return dict(Counter(trial.outcome for trial in self.trials))
