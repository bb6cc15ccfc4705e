"""Which photos of a catalog a bundle may be recalibrated on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cutis.data.catalog import Catalog
from cutis.data.feedback_rule import feedback_sources
from cutis.data.partition import deal, group_names, in_groups_of
from cutis.errors import InputError
from cutis.evaluation.names import resolve
from cutis.records import ModelInfo
from cutis.studies.recalibration.record import Counts

LEAST_CASES = 50
FOLDS = 10


@dataclass(frozen=True)
class Cases:
    """The photos: `path`, `truth`, `group`, `fold` and `source`; and what was left out."""

    rows: pd.DataFrame
    seen: int
    other_diagnoses: int
    sources: tuple[str, ...]
    feedback: tuple[str, ...]

    def hashes(self, catalog: Catalog) -> list[str]:
        """SHA-256 of the files, and of the pixels, of the photos and of all their copies."""
        photos = catalog.photos[catalog.photos["image_id"].isin(self.rows["appearances"].explode())]
        return sorted({*photos["sha256"], *photos["pixels_sha256"].dropna()})

    def counts(self, readable: pd.DataFrame) -> Counts:
        """What the readable ones of the rows come to."""
        return Counts(
            photos=len(readable),
            cases=int(readable["group"].nunique()),
            diagnoses={str(k): int(n) for k, n in readable["truth"].value_counts().items()},
            seen=self.seen,
            other_diagnoses=self.other_diagnoses,
            unreadable=len(self.rows) - len(readable),
        )


def find_cases(catalog: Catalog, info: ModelInfo) -> Cases:
    """The photos of the model's diagnoses that it was not trained on, as far as a bundle can tell.

    A bundle knows the hash of its catalog and the names of its sources, not its photos: photos of
    these sources are left out, and all that belong together with one.

    Raises InputError for the model's own catalog, and as `require_enough`.
    """
    made = info.provenance
    if catalog.sha256 == made.catalog_sha256:
        raise InputError(
            "the model was trained on this very catalog",
            where=catalog.folder,
            expected="photos that it has not seen",
            fix="import the clinic's own photos into a catalog, and give that one",
        )
    groups = group_names(list(catalog.photos["image_id"]), catalog.links)
    known = catalog.photos[catalog.photos["source"].isin(made.sources)]
    rows = catalog.usable(info.view)
    rows = rows.assign(group=groups[rows["image_id"]].to_numpy())
    seen = in_groups_of(rows, known, catalog.links)
    rows = rows[~seen]
    truth = rows["diagnosis"].map(lambda name: resolve(name, info.diagnoses))
    own = truth.isin(info.diagnoses)
    rows = rows.assign(truth=truth)[own].reset_index(drop=True)
    left_out = int(seen.sum())
    require_enough(rows, catalog, left_out)
    fold = deal(rows.assign(diagnosis=rows["truth"]), np.ones(FOLDS).tolist(), seed=0)
    sources = tuple(sorted(set(rows["source"])))
    deciding = {image_id.partition("/")[0] for image_id in rows["deciding"].explode()}
    return Cases(
        rows=rows.assign(fold=fold),
        seen=left_out,
        other_diagnoses=int((~own).sum()),
        sources=sources,
        feedback=tuple(n for n in feedback_sources(catalog.info.sources) if n in deciding),
    )


def require_enough(rows: pd.DataFrame, catalog: Catalog, seen: int) -> None:
    """Raises InputError for fewer than LEAST_CASES cases, and for a single diagnosis."""
    cases = rows["group"].nunique()
    besides = f"; {seen} photos are of sources that the model was trained on" if seen else ""
    if cases < LEAST_CASES:
        raise InputError(
            f"{cases} cases are too few to recalibrate on{besides}",
            where=catalog.folder,
            expected=f"{LEAST_CASES} cases or more of the model's diagnoses; photos of one patient "
            "or lesion are one case",
            fix="confirm more cases, and go on with the bundle as it is until then",
        )
    if rows["truth"].nunique() < 2:
        raise InputError(
            f"all {cases} cases are of one diagnosis, {rows['truth'].iloc[0]}",
            where=catalog.folder,
            expected="cases of two of the model's diagnoses or more",
            fix="confirm cases of other diagnoses too",
        )
