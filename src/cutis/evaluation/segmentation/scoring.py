"""Scores pairs of masks one at a time, so that memory does not grow with the photos' size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from cutis.errors import InputError
from cutis.evaluation.segmentation.examples import Example, Examples
from cutis.metrics.bootstrap import Floats
from cutis.metrics.scores import ratio
from cutis.metrics.segmentation import (
    JACCARD_THRESHOLD,
    Mask,
    MaskScores,
    PixelCounts,
    score_masks,
)

Pair = tuple[Mask, Mask] | InputError
"""Predicted and true mask of a photo, or why the photo has none."""

WHOLE = 0.95
"""A prediction over more of the photo than this found no lesion but everything."""

ABOUT = ("image_id", "path", "group", "source", "diagnosis")


@dataclass(frozen=True)
class ScoredMasks:
    """N photos with their scores.

    `photos` has the columns ABOUT. `problems` are photos without a pair: image_id and why.
    """

    photos: pd.DataFrame
    scores: MaskScores
    group_index: NDArray[np.intp]
    grouped: bool
    problems: tuple[tuple[str, str], ...]
    worst: tuple[Example, ...]  # their rows count `photos`
    random: tuple[Example, ...]

    @property
    def groups(self) -> int:
        return int(np.unique(self.group_index).size)

    @property
    def true_share(self) -> Floats:
        """(N,) the lesion's share of the photo."""
        return self._share(self.scores.counts.missed)

    @property
    def predicted_share(self) -> Floats:
        """(N,) the share of the photo that was called lesion."""
        return self._share(self.scores.counts.extra)

    @property
    def jaccard(self) -> Floats:
        """(N,)."""
        return self.scores.by_image()["jaccard"]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(N,) Jaccard below the challenge's threshold."""
        return self.jaccard < JACCARD_THRESHOLD

    def subset(self, chosen: NDArray[np.bool_]) -> "ScoredMasks":
        """The photos that `chosen` (N,) names, without examples and problems."""
        return replace(
            self,
            photos=self.photos[chosen].reset_index(drop=True),
            scores=_subset(self.scores, chosen),
            group_index=np.unique(self.group_index[chosen], return_inverse=True)[1],
            problems=(),
            worst=(),
            random=(),
        )

    def table(self) -> pd.DataFrame:
        """The content of scores.parquet: a row a photo with every score, areas and pixels."""
        counts = self.scores.counts
        return self.photos.assign(
            **self.scores.by_image(),
            hd95=self.scores.hd95,
            failed=self.failed,
            true_share=self.true_share,
            predicted_share=self.predicted_share,
            pixels_hit=counts.hits.astype(np.int64),
            pixels_extra=counts.extra.astype(np.int64),
            pixels_missed=counts.missed.astype(np.int64),
            pixels_outside=counts.outside.astype(np.int64),
        )

    def _share(self, more: Floats) -> Floats:
        counts = self.scores.counts
        pixels = counts.hits + counts.extra + counts.missed + counts.outside
        return ratio(counts.hits + more, pixels)


def score_pairs(rows: pd.DataFrame, pairs: Iterable[Pair]) -> ScoredMasks:
    """Scores a pair for each row, with a progress bar.

    Args:
        rows: `image_id` and `path`, and where known `group`, `source`, `diagnosis`.
        pairs: in the rows' order, taken one at a time; predicted and true mask of a photo have its
            height and width.

    Raises InputError for a pair whose masks differ in size, and where no photo has a pair.
    """
    examples = Examples(len(rows))
    names = rows["image_id"].astype(str).tolist()
    judged: list[int] = []
    problems: list[tuple[str, str]] = []

    def usable() -> Iterator[tuple[Mask, Mask]]:
        watched = tqdm(pairs, "segmenting", total=len(rows), unit="photo", disable=None)
        for row, (name, pair) in enumerate(zip(names, watched, strict=True)):
            if isinstance(pair, InputError):
                problems.append((name, pair.problem))
                continue
            predicted, truth = pair
            _check(name, predicted, truth)
            examples.offer(row, predicted, truth)
            judged.append(row)
            yield predicted, truth

    scores = score_masks(usable())
    if not judged:
        raise InputError(
            "no photo can be judged" + (f": {problems[0][1]}" if problems else ""),
            where=problems[0][0] if problems else None,
            expected="photos with a mask that can be read",
        )
    photos = rows.iloc[judged].reindex(columns=list(ABOUT)).reset_index(drop=True)
    grouped = bool(photos["group"].notna().all())
    groups = photos["group"].astype(str) if grouped else pd.Series(range(len(photos)))
    places = {row: place for place, row in enumerate(judged)}
    return ScoredMasks(
        photos=photos,
        scores=scores,
        group_index=np.unique(groups.to_numpy(), return_inverse=True)[1],
        grouped=grouped,
        problems=tuple(problems),
        worst=_placed(examples.worst(), places),
        random=_placed(examples.random(), places),
    )


def _check(name: str, predicted: Mask, truth: Mask) -> None:
    if predicted.shape != truth.shape:
        raise InputError(
            "the predicted and the true mask differ in size",
            where=name,
            expected=f"{truth.shape[1]} by {truth.shape[0]} pixels, as the true mask has; the "
            f"predicted one has {predicted.shape[1]} by {predicted.shape[0]}",
            fix="bring both to the size of the photo first",
        )


def _placed(examples: list[Example], places: dict[int, int]) -> tuple[Example, ...]:
    return tuple(replace(example, row=places[example.row]) for example in examples)


def _subset(scores: MaskScores, chosen: NDArray[np.bool_]) -> MaskScores:
    counts = scores.counts
    return MaskScores(
        PixelCounts(
            counts.hits[chosen], counts.extra[chosen], counts.missed[chosen], counts.outside[chosen]
        ),
        scores.hd95[chosen],
        scores.relative_hd95[chosen],
    )
