"""Which photos of a catalog serve for what in an export."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cutis.errors import InputError
from cutis.records import Part

CALIBRATION_PHOTOS = 512
"""Training photos on which the ranges of int8 networks are measured."""
FINE_TUNING_PHOTOS = 4096
"""Training photos, at most, on which a network's weights are adapted to int8."""
CHOICE_PHOTOS = 512
"""Validation photos, at most, on which it is chosen how the ranges are found."""

COLUMNS = ("image_id", "path", "group", "part", "diagnosis", "mask")
"""Of the photos given to an export: `path` and `mask` are Paths, `diagnosis` is one of the model's;
the last two may be null."""


@dataclass(frozen=True)
class ExportPhotos:
    """The photos of an export; `compared` has COLUMNS, the others are files."""

    calibration: list[Path]
    fine_tuning: list[Path]
    choice: list[Path]
    compared: pd.DataFrame  # all but those of calibration

    def without_fine_tuning(self) -> "ExportPhotos":
        """The same without comparing the photos of fine-tuning."""
        used = self.compared["path"].isin(self.fine_tuning)
        return replace(self, compared=self.compared[~used].reset_index(drop=True))


def divide(rows: pd.DataFrame, seed: int) -> ExportPhotos:
    """Draws the photos that serve for calibration; all others are compared with the run.

    Of few training photos half calibrates, so that some are compared.

    Args:
        rows: with COLUMNS, the photos of a split; photos of no part are left out.

    Raises InputError without training or validation photos.
    """
    rows = rows[rows["part"].notna()].reset_index(drop=True)
    training = rows[rows["part"] == Part.TRAIN.value]
    validation = rows[rows["part"] == Part.VALIDATION.value]
    for part, held in (("training", training), ("validation", validation)):
        if held.empty:
            raise InputError(
                f"there are no {part} photos",
                expected="training photos to calibrate int8 networks on, and validation photos "
                "to choose by",
                fix="give the catalog, with the split, that the run was trained on",
            )
    count = min(CALIBRATION_PHOTOS, max(len(training) // 2, 1))
    drawn = training.sample(count, random_state=seed)
    # An over-sampled catalog has a photo in many rows.
    calibrating = rows["path"].isin(drawn["path"])
    rest = training[~calibrating[training.index]]
    return ExportPhotos(
        calibration=list(drawn["path"]),
        fine_tuning=list(_some(rest, FINE_TUNING_PHOTOS, seed)["path"]),
        choice=list(_some(validation, CHOICE_PHOTOS, seed)["path"]),
        compared=rows[~calibrating].reset_index(drop=True),
    )


def _some(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    return rows.sample(min(count, len(rows)), random_state=seed)
