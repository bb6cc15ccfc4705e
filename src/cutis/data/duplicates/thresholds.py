"""Every number that decides what is proposed and what is confirmed, in one place.

`docs/duplicates.md` gives the measurements behind them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Limits of the search for copies; lengths are shares of the photo's side."""

    smallest_side: int = 32
    """Pixels; smaller photos carry too little detail to confirm and get exact links only."""
    least_detail: float = 0.10
    """Mean square of the local contrast image; below it (uniform, black) only exact links."""

    # Proposing
    crop_side: float = 0.85
    upright_margin_of_whole: float = 0.25
    upright_margin_of_crop: float = 0.18
    neighbours_of_whole: int = 16
    neighbours_of_crop: int = 8
    least_similarity: float = 0.62
    """Cosine of the hash vectors from the index, below which a neighbour is not looked at."""
    proposals: int = 6
    """A photo brings at most this many candidates to the alignment, the most similar ones ..."""
    sure_similarity: float = 0.90
    """... or, where they have at least this cosine ..."""
    sure_proposals: int = 16
    """... this many, since there may be many copies of one photo ..."""
    least_checked_similarity: float = 0.62
    """... and none below this one."""

    # Confirming
    coarse_score: float = 0.64
    """Correlation of the 32-pixel images after a few alignment steps; below it a pair is out."""
    same_score: float = 0.40
    """Median correlation of the fine detail of the blocks, for a link."""
    most_displacement: float = 0.0021
    """Median uneven movement of the blocks, for a link: a fifth of a thumbnail's pixel. Skin
    stretches between two photos of a lesion, so they never fit everywhere at once; copies do."""
    least_overlap: float = 0.60
    largest_scale: float = 1.30
    largest_shear: float = 0.12


THRESHOLDS = Thresholds()
