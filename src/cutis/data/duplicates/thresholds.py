"""Every number that decides what is proposed and what is confirmed, in one place.

`docs/duplicates.md` gives the measurements behind them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Limits of the search for photos that show the same photograph.

    A crop that keeps `crop_side` of width and height is looked for at three positions along each
    axis, so that no position is further than a quarter of the margin from one of them.
    """

    smallest_side: int = 32
    """Pixels; smaller photos carry too little detail to confirm and get exact links only."""
    least_detail: float = 0.10
    """Mean square of the local contrast image; below it (uniform, black) only exact links."""

    crop_side: float = 0.85
    orientation_margin_whole: float = 0.05
    orientation_margin_crop: float = 0.12
    neighbours_whole: int = 16
    neighbours_crop: int = 4
    proposals: int = 8
    """A photo brings at most this many candidates to the alignment check ..."""
    sure_similarity: float = 0.90
    """... and beside them all whose descriptors have at least this cosine ..."""
    least_similarity: float = 0.60
    """... and none below this one."""

    coarse_score: float = 0.60
    """Correlation of the 32-pixel images after five alignment steps; below it the pair is dropped."""
    same_score: float = 0.80
    """Median correlation of the blocks of the aligned 96-pixel images that makes a link."""
    least_overlap: float = 0.60
    largest_scale: float = 1.30
    largest_shear: float = 0.12


THRESHOLDS = Thresholds()
