"""Photo quality joined to the catalog: how `import` measures it and how `catalog show` explains it.

`cutis.data` and `cutis.metrics` do not know each other.
"""

from dataclasses import asdict

from cutis.data.importer import QualityMeter
from cutis.data.overview_page import FlagGuide
from cutis.metrics.quality import (
    FLAG_TEXTS,
    SCORE_OF,
    QualityScores,
    flag_limit,
    measure_quality,
    quality_flags,
)

METER = QualityMeter(
    measure=lambda rgb: asdict(measure_quality(rgb)),
    flags=lambda scores: quality_flags(QualityScores(**scores)),  # type: ignore[arg-type]
)


def flag_guides() -> dict[str, FlagGuide]:
    """What each flag means, in the order in which flags are shown."""
    guides = {}
    for flag, advice in FLAG_TEXTS.items():
        below, limit = flag_limit(flag)
        guides[flag] = FlagGuide(advice, SCORE_OF[flag], below, limit)
    return guides
