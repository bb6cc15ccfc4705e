"""The photos on which a model is judged, and the rule that it has not seen them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cutis.errors import InputError, nearest
from cutis.records import ModelInfo, Part, Provenance, SegmenterInfo

if TYPE_CHECKING:
    import pandas as pd

    from cutis.data.catalog import Catalog
    from cutis.data.splits import Split
    from cutis.evaluation.context import ReportContext

ALL = "all"


@dataclass(frozen=True)
class Judged:
    """The rows that are judged, and what the run knows of the part that they are from."""

    rows: "pd.DataFrame"
    left_out: int = 0  # photos of another catalog that the run knows, with their groups
    seen_by_model: int = 0  # photos of an unsafe split that the model was trained or chosen on
    known_to_segmenter: int = 0  # photos whose group the run's own segmenter knows


@dataclass(frozen=True)
class Scene:
    """A catalog, and the split whose part is judged."""

    catalog: "Catalog"
    split: "Split | None"  # None: all photos of the catalog
    view: str | None
    own: bool  # the catalog that the model was trained on

    def rows(self, part: str) -> "pd.DataFrame":
        """The usable rows of a part, with their `group`."""
        from cutis.data.partition import group_names
        from cutis.data.splits import part_rows

        if self.split is None:
            rows = self.catalog.usable(self.view)
            groups = group_names(list(self.catalog.photos["image_id"]), self.catalog.links)
            return rows.assign(group=groups[rows["image_id"]].to_numpy())
        return part_rows(self.catalog, self.split, Part(part), view=self.view)

    def judged(self, part: str, run: Path | None) -> Judged:
        """The rows of the part that is judged, and how many of its photos the run knows.

        Of another catalog than the run's own, photos that it or its segmenter was trained or
        chosen on are left out, and so are all of their groups. Of its own catalog, what a split
        by image lets the model know and what the segmenter knows is judged and counted. Raises
        InputError where nothing is left to judge, and for photos of its own catalog's test part
        that the model has seen although the split is safe.
        """
        rows = self.rows(part)
        if rows.empty:
            raise InputError(
                f"the part '{part}' holds no photo",
                where=self.catalog.folder,
                fix="choose another --part or --split",
            )
        if run is None:
            return Judged(rows)
        if not self.own:
            left = self.unknown(rows, run)
            if left.empty:
                _refuse(run, rows, rows["image_id"].notna())
            return Judged(left, left_out=len(rows) - len(left))
        return Judged(
            rows,
            seen_by_model=self._seen_by_model(rows, run) if part == Part.TEST else 0,
            known_to_segmenter=self._known_to_segmenter(rows, run),
        )

    def unknown(self, rows: "pd.DataFrame", run: Path) -> "pd.DataFrame":
        """The rows without groups of which the run, or its segmenter, has seen a photo."""
        from cutis.training.lesion_masks import SEGMENTER
        from cutis.training.run import in_seen_groups, trained_on

        seen = in_seen_groups(rows, self.catalog, trained_on(run) | trained_on(run / SEGMENTER))
        return rows[~seen].reset_index(drop=True)

    def _seen_by_model(self, rows: "pd.DataFrame", run: Path) -> int:
        from cutis.training.run import seen_rows, trained_on

        seen = seen_rows(rows, trained_on(run))
        if self.split is None or not self.split.info.unsafe:
            _refuse(run, rows, seen)
        return int(seen.sum())

    def _known_to_segmenter(self, rows: "pd.DataFrame", run: Path) -> int:
        from cutis.training.lesion_masks import SEGMENTER
        from cutis.training.run import in_seen_groups, trained_on

        return int(in_seen_groups(rows, self.catalog, trained_on(run / SEGMENTER)).sum())

    def context(
        self,
        model: ModelInfo | SegmenterInfo | None,
        run: Path | None,
        source: Path,
        part: str,
        *,
        masked: bool = False,
    ) -> "ReportContext":
        """What a report says beside the figures; it counts an evaluation of the test part.

        The photos of the training part, with `masked` those that have a mask, are counted where
        this may be what trained: not for a model of another catalog.
        """
        import pandas as pd

        from cutis.evaluation.context import ReportContext

        trained = None
        if self.split is not None and (self.own or model is None):
            rows = self.rows(Part.TRAIN)
            trained = _counts(rows[rows["mask"].notna()] if masked else rows)
        history = run / "history.csv" if run else None
        return ReportContext(
            model=model,
            split_name=self.split.name if self.split else None,
            part=part,
            test_uses=self._count_test_use(part, source),
            unsafe=self.split.info.unsafe if self.split else False,
            history=pd.read_csv(history) if history and history.is_file() else None,
            recipe_text=(run / "recipe.toml").read_text("utf-8") if run else None,
            counts=trained,
            locate=self.catalog.locate,
        )

    def _count_test_use(self, part: str, source: Path) -> int | None:
        """Counts this evaluation where it is of the test part; how many there were with it."""
        from cutis.data.splits import record_test_use

        if self.split is None or part != Part.TEST:
            return None
        return record_test_use(self.catalog, self.split, str(source))


def open_scene(
    data: Path, split: str | None, part: str, made: Provenance | None, view: str | None
) -> Scene:
    """Opens catalog and split for a model of the given provenance (None: a table).

    Raises InputError for an unknown part, and for photos of the model's own catalog that no split
    keeps apart from those it was trained on.
    """
    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split

    catalog = Catalog.open(data)
    known = [*Part, ALL]
    if part not in known:
        raise InputError(
            f"there is no part '{part}'",
            expected="one of " + ", ".join(known),
            fix=nearest(part, known) or None,
        )
    own = made is not None and catalog.sha256 == made.catalog_sha256
    name = split or (made.split_name if made and own else "default")
    chosen = None if part == ALL else load_split(catalog, name)
    if made and own and (chosen is None or chosen.info.sha256 != made.split_sha256):
        problem = (
            "all photos of this catalog hold those that the model was trained on"
            if chosen is None
            else "the model was trained on another split of this very catalog, so these photos may "
            "have been trained on"
        )
        raise InputError(
            problem,
            where=data,
            expected=f"the split '{made.split_name}' "
            f"({made.split_sha256[:12]}…) and one of its parts",
            fix=f"give --split {made.split_name}, or evaluate on another catalog",
        )
    return Scene(catalog, chosen, view, own)


def catalog_of_model(run: Path | None) -> Path:
    """Where the run's own catalog lies; InputError for a bundle, which has none."""
    if run is None:
        raise InputError("a bundle is evaluated on photos", fix="give --data CATALOG")
    from cutis.training.run import catalog_of

    return catalog_of(run)


def _counts(rows: "pd.DataFrame") -> dict[str, dict[str, int]]:
    """Photos by source, then by diagnosis."""
    return {
        str(source): {str(d): int(n) for d, n in found["diagnosis"].value_counts().items()}
        for source, found in rows.groupby("source")
    }


def _refuse(run: Path, rows: "pd.DataFrame", known: "pd.Series") -> None:
    if known.any():
        raise InputError(
            f"the run was trained or chosen on {int(known.sum())} of these {len(rows)} photos, or "
            f"on others of their groups, first {rows.loc[known, 'image_id'].iloc[0]}",
            where=run,
            expected="photos that the run has not seen",
            fix="evaluate on the split that it was trained with, or on a catalog with other photos",
        )
