"""Predictions of a run, made by PyTorch in float32 from the photos' bytes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cutis.data.batches import photo_batches
from cutis.metrics.calibration import softmax
from cutis.training.backend import Backend
from cutis.training.lesion_masks import lesion_batches, own_segmenter
from cutis.training.run import Run


@torch.inference_mode()
def run_logits(run: Run, photos: list[Path]) -> NDArray[np.float32]:
    """Logits (photos, diagnoses) of a finished run.

    A run with `input.lesion` segments the photos by its own copy of the segmenter. Raises
    PhotoError for a photo that cannot be read (a catalog's usable rows hold none), InputError
    where the segmenter is missing or another.
    """
    settings = run.info.preprocessing
    backend = Backend("float32", settings)
    segmenter = own_segmenter(run)
    model = run.model()
    backend.place(model)
    if segmenter is None:
        batches = photo_batches(photos, settings, "predicting")
    else:
        batches = lesion_batches(photos, settings, segmenter, "predicting")
    return np.concatenate([model(backend.normalised(pixels)).cpu().numpy() for pixels in batches])


def predict_run(
    run: Run, rows: pd.DataFrame, locate: Callable[[str], Path], *, prior: bool = False
) -> pd.DataFrame:
    """A predictions table for rows with `image_id` and `path`, in their order.

    With `prior` the log prior of training is added to the logits, so that the answers take the
    training frequencies of the diagnoses into account; the run's temperature was not fitted for
    that, so the probabilities are left uncalibrated (temperature 1).
    """
    logits = run_logits(run, [locate(stored) for stored in rows["path"]])
    temperature = run.info.temperature
    if prior and run.info.log_prior is not None:
        logits, temperature = logits + np.asarray(run.info.log_prior, np.float32), 1.0
    return predictions_table(run.info.diagnoses, logits, temperature, rows)


def predictions_table(
    diagnoses: Sequence[str], logits: NDArray[np.float32], temperature: float, rows: pd.DataFrame
) -> pd.DataFrame:
    """Logits (photos, diagnoses) and what softmax makes of them, with the rows' names and paths."""
    columns = [f"logit_{name}" for name in diagnoses] + list(diagnoses)
    values = np.concatenate([logits, softmax(logits.astype(np.float64), temperature)], axis=1)
    table = pd.DataFrame(values.astype(np.float32), columns=columns)
    table.insert(0, "image_id", rows["image_id"].to_numpy())
    table.insert(1, "path", rows["path"].to_numpy())
    return table
