"""The options of a split, before anything is dealt."""

import re
from collections.abc import Sequence

from cutis.data.catalog import Catalog
from cutis.errors import InputError, nearest


def check_options(
    catalog: Catalog,
    name: str,
    shares: Sequence[float],
    folds: int | None,
    hold_out: str | None,
) -> None:
    """Raises InputError for options that contradict each other or do not fit the catalog."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"'{name}' cannot name a split", expected="letters, digits, '-', '_', '.'")
    if len(shares) != 3 or min(shares) < 0 or shares[0] <= 0 or abs(sum(shares) - 100) > 1e-6:
        raise InputError(
            f"the shares {'/'.join(f'{share:g}' for share in shares)} are not possible",
            expected="percent of train, validation and test that add up to 100, such as 70/15/15",
        )
    if folds is not None and folds < 2:
        raise InputError(f"{folds} folds are not possible", expected="2 folds or more")
    if folds is not None and hold_out is not None:
        raise InputError(
            "folds and a held-out source exclude each other", fix="give one of the two options"
        )
    sources = [source.name for source in catalog.info.sources]
    if hold_out is not None and (hold_out not in sources or len(sources) == 1):
        raise InputError(
            f"the source '{hold_out}' cannot be held out",
            where=catalog.folder,
            expected="one of several sources; the catalog has " + ", ".join(sources),
            fix=nearest(hold_out, sources) or None,
        )
