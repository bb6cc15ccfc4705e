"""The record of a recalibration, as it stands in `recalibration.json` of the bundle."""

from cutis.metrics.recalibration import SHARPEST, CurvePoint, Way
from cutis.records import FORMAT_VERSION, Record
from cutis.studies.abstention_record import Figure

LEAST_WRONG = 5
"""With fewer cases answered wrongly nobody can say how often that happens."""


class Judged(Record):
    """Probabilities of the clinic's cases; every case counts once, whatever its photos."""

    log_loss: Figure
    brier: Figure
    calibration_error: Figure
    accuracy: Figure  # of the most probable diagnosis
    found: dict[str, Figure]  # sensitivity of the most probable diagnosis, by diagnosis
    not_benign_found: Figure  # of the cases not known to be benign: the most probable one is not
    reliability: tuple[CurvePoint, ...]  # of the most probable diagnosis
    not_benign: tuple[CurvePoint, ...]  # of all diagnoses together that are not known to be benign


class Sets(Record):
    """Prediction sets of the clinic's cases, judged on size alone, without a photo's quality."""

    coverage: Figure  # share that holds the truth
    size: Figure
    no_answer: Figure  # share that is empty or too large
    missed: Figure  # of the cases not known to be benign: answered with benign diagnoses alone


class NetworkStudy(Record):
    """One network before and after; all "after" by cross-validation, on cases not fitted to."""

    network: str
    engine: str
    way: str  # what was fitted, a value of metrics.recalibration.Way
    temperature: float  # the fitted one
    exported_temperature: float
    offsets: tuple[float, ...]  # in the order of the diagnoses
    no_prior: str  # why none could be fitted; empty where one could
    wrong: int  # cases of which a photo is answered wrongly as exported
    before: Judged
    after: Judged
    # After - before, of log_loss, brier, calibration_error and not_benign_found, and of what the
    # sets have missed.
    difference: dict[str, Figure]
    thresholds: tuple[float, ...]
    exported_thresholds: tuple[float, ...]
    sets_checked: bool  # there were enough cases for thresholds of their own
    sets_before: Sets
    sets_after: Sets
    kept: Figure | None  # share of cases not unlike the training photos; None: not measured

    @property
    def finds_as_many(self) -> bool:
        """Whether the cases show that no fewer of the not benign ones are found than before.

        No interval excuses a loss here: few cases would excuse every one.
        """
        change = self.difference["not_benign_found"].value
        return change is not None and change >= 0

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it must not be taken, in words: the log loss is the score that was fitted, the others
        may vary by chance.
        """
        worse = []
        if self.wrong < LEAST_WRONG:
            worse.append(
                f"only {self.wrong} of the cases are answered wrongly, so nothing says how sure "
                "the model may be"
            )
        if self.temperature <= SHARPEST * self.exported_temperature * (1 + 1e-6):
            worse.append("the cases are so easy that the temperature falls to its lower limit")
        gain = self.difference["log_loss"].high
        if self.way == Way.NOTHING or gain is None or gain >= 0:
            worse.append("the log loss does not fall by more than chance")
        for name, words in _MUST_NOT_RISE.items():
            loss = self.difference[name].low
            if loss is not None and loss > 0:
                worse.append(f"{words} rises")
        return tuple(worse)


_MUST_NOT_RISE = {
    "brier": "the Brier score",
    "calibration_error": "the ECE",
    "missed": "the share of not benign cases that are answered with benign diagnoses alone",
}


class Counts(Record):
    """Which of the catalog's photos were used."""

    photos: int
    cases: int  # groups of photos of one patient or lesion
    diagnoses: dict[str, int]  # photos by diagnosis of the model
    seen: int  # left out: photos of sources that the model was trained on, and of their groups
    other_diagnoses: int  # left out: of diagnoses that the model does not know
    unreadable: int


class RecalibrationStudy(Record):
    """`recalibration.json`."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    bundle_files: dict[str, str]  # SHA-256 by name, of the bundle as exported
    catalog_sha256: str
    sources: tuple[str, ...]
    feedback: tuple[str, ...]  # those of the sources that came from the app
    counts: Counts
    folds: int
    level: float  # the probability that a set is to hold the truth
    networks: tuple[NetworkStudy, ...]  # the one that runs unless told first
    as_exported: dict[str, str]  # networks that were not recalibrated, and why
