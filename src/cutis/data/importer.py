"""Import: from folders of photos to a catalog."""

import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cutis import __version__, taxonomy
from cutis.data.catalog import (
    CATALOG_FILE,
    Catalog,
    CatalogOptions,
    SourceInfo,
    write_catalog,
)
from cutis.data.conflicts import Rule, check_trusted, parse_policy
from cutis.data.flags import UNREADABLE
from cutis.data.labels import Labels, map_labels
from cutis.data.links import link_photos
from cutis.data.merge import LEFT_OUT
from cutis.data.scan import Measure, Scan, ScanBlocks, Scores, scan_in_threads, scan_photos
from cutis.data.sources import SourceTable, read_source
from cutis.data.sources.base import counted
from cutis.errors import InputError
from cutis.records import CATALOG_SCHEMA, QUALITY_COLUMNS
from cutis.storage import clear_write_errors, finish_commit

_OWN_FILES = {CATALOG_FILE, ".cache", "photos", "splits"}


@dataclass(frozen=True)
class ImportSummary:
    """What an import did; `changed` is False when the catalog already held all of it."""

    catalog: Catalog
    changed: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class QualityMeter:
    """How the quality of a photo is measured, and which flags its scores raise.

    `measure` gives the scores of QUALITY_COLUMNS, named without the prefix; see
    `cutis.metrics.quality`.
    """

    measure: Measure
    flags: Callable[[Scores], Sequence[str]]


@dataclass(frozen=True)
class _Source:
    name: str
    table: SourceTable
    labels: Labels
    columns: Mapping[str, str]

    def info(self) -> SourceInfo:
        return SourceInfo(
            name=self.name,
            format=self.table.format,
            root=str(self.table.root),
            licence=self.table.licence,
            citation=self.table.citation,
            photos=len(self.table.rows),
            columns=dict(self.columns),
            label_map=dict(self.labels.mapped),
        )


def import_sources(
    sources: Sequence[Path],
    into: Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    map_file: Path | None = None,
    view: str | None = None,
    copy: bool = False,
    conflicts: str | None = None,
    quality: QualityMeter | None = None,
    scan_blocks: ScanBlocks = scan_in_threads,
) -> ImportSummary:
    """Reads collections of photos into a catalog, new or existing.

    Args:
        sources: folders, or tables for the format "table"; each becomes a source that is named
            after its folder, feedback after its archive. A source that the catalog already holds is
            replaced.
        into: the catalog's folder.
        format: a reader's name; None recognises the layout of each source.
        columns: for the format "table", meaning -> column (see docs/readers.md).
        map_file: a table from source labels to diagnoses that goes before the taxonomy.
        view: reduces the diagnoses that splits and training see; None keeps the catalog's.
        copy: photos and masks are copied into the catalog instead of staying where they are.
        conflicts: the policy by which splits and training see one row a photograph (see
            docs/verbs/catalog.md); None keeps the catalog's, which is "keep" with one source and
            "drop" with several.
        quality: measures all photos of the catalog while they are decoded; None leaves their
            scores null.
        scan_blocks: what decodes the photos.

    Nothing is written before all labels are known. Importing again changes no file when nothing
    has changed; after an interruption the old catalog stands and the photos already read are not
    read again. Raises InputError for unknown labels (all at once), clashing source names, a
    source in which nothing matches and an `into` that holds something else.
    """
    if not sources:
        raise InputError("there is nothing to import", expected="one source or more")
    old = _open_target(into)
    read = _read_sources(sources, format, columns or {}, map_file)
    _check_names(read, old)
    infos = {info.name: info for info in (old.info.sources if old else ())}
    infos |= {source.name: source.info() for source in read}
    options = _options(old, view, copy, _policy(old, conflicts, infos))
    rows = [_source_rows(source) for source in read]
    if copy:
        rows = [_copy_photos(table, into) for table in rows]
    replaced = {source.name for source in read}
    kept = [] if old is None else [old.photos[~old.photos["source"].isin(replaced)]]
    photos = pd.concat([*kept, *rows], ignore_index=True).sort_values("image_id", ignore_index=True)
    places = [into / path for path in photos["path"]]
    measure = None if quality is None else quality.measure
    scans = scan_photos(places, into, measure, scan_blocks)
    photos = _with_scans(photos, scans, quality)
    warnings = [f"{s.name}: {note}" for s in read for note in (*s.table.warnings, *s.labels.notes)]
    broken = [
        f"{image_id} ({scan.problem})"
        for image_id, scan in zip(photos["image_id"], scans, strict=True)
        if scan.problem
    ]
    note = counted(broken, "photos cannot be read and are set aside")
    catalog = write_catalog(
        into,
        photos,
        _links(old, photos, scans),
        sources=[infos[name] for name in sorted(infos)],
        options=options,
    )
    changed = old is None or old.info != catalog.info
    notes = [*warnings, note, _merge_note(catalog)]
    return ImportSummary(catalog, changed, tuple(note for note in notes if note))


def source_name(source: Path) -> str:
    """A source's name: that of its folder (or file), in lower case, words joined by hyphens."""
    path = source.resolve()
    text = unicodedata.normalize("NFC", path.name if path.is_dir() else path.stem).lower()
    return re.sub(r"[^\w]+", "-", text).strip("-_") or "source"


def _open_target(into: Path) -> Catalog | None:
    if not into.exists():
        return None
    if not into.is_dir():
        raise InputError(
            "the catalog must be a folder", where=into, fix="choose another --into folder"
        )
    finish_commit(into)
    if (into / CATALOG_FILE).is_file():
        return Catalog.open(into)
    if any(path.name not in _OWN_FILES for path in into.iterdir()):
        raise InputError(
            "the folder holds other files and is not a catalog",
            where=into,
            expected="a catalog, an empty folder or one that does not exist yet",
            fix="choose another --into folder",
        )
    return None


def _options(old: Catalog | None, view: str | None, copy: bool, conflicts: str) -> CatalogOptions:
    before = old.info.options if old is not None else CatalogOptions()
    if view is not None:
        taxonomy.view(view)
        if view.endswith(".toml"):
            view = str(Path(view).resolve())
    return CatalogOptions(
        view=view or before.view, copied=copy or before.copied, conflicts=conflicts
    )


def _policy(old: Catalog | None, chosen: str | None, sources: Mapping[str, SourceInfo]) -> str:
    """The policy asked for, or the catalog's; a second source ends the "keep" of a single one."""
    before = old.info.options.conflicts if old is not None else str(Rule.KEEP)
    single = old is None or len(old.info.sources) == 1
    if chosen is None and before == Rule.KEEP and single and len(sources) > 1:
        chosen = Rule.DROP
    policy = parse_policy(chosen or before)
    check_trusted(policy, sources)
    return str(policy)


def _merge_note(catalog: Catalog) -> str:
    """What merging makes of the rows; empty where nothing is merged."""
    policy = catalog.info.options.conflicts
    if policy == Rule.KEEP:
        return ""
    merged = catalog.merged()
    left_out = int((merged.disagreements["decision"] == LEFT_OUT).sum())
    appearances = int(merged.photos["appearances"].map(len).sum())
    return (
        f"{appearances} readable photos are appearances of {len(merged.photos)} photographs; "
        f"{left_out} of these have contradicting diagnoses and are left out "
        f"(--conflicts {policy}; 'cutis catalog conflicts {catalog.folder}' lists them)"
    )


def _read_sources(
    sources: Sequence[Path],
    format: str | None,
    columns: Mapping[str, str],
    map_file: Path | None,
) -> list[_Source]:
    extra = taxonomy.load_label_map(map_file) if map_file is not None else {}
    tables = [read_source(source, format, columns) for source in sources]
    labels = map_labels(tables, extra)
    return [
        _Source(table.name or source_name(path), table, label, columns)
        for path, table, label in zip(sources, tables, labels, strict=True)
    ]


def _check_names(read: Sequence[_Source], old: Catalog | None) -> None:
    roots: dict[str, str] = {}
    if old is not None:
        # A source whose folder is gone has moved: the new place replaces it.
        roots = {info.name: info.root for info in old.info.sources if Path(info.root).exists()}
    for source in read:
        if source.table.name is not None:  # a later handover of the same archive replaces it
            roots.pop(source.name, None)
    for source in read:
        root = str(source.table.root)
        if roots.setdefault(source.name, root) != root:
            raise InputError(
                f"two sources are called '{source.name}'",
                where=f"{roots[source.name]} and {root}",
                expected="folders with different names, since a source is named after its folder",
                fix="rename one of the folders, or import it into a catalog of its own",
            )


def _source_rows(source: _Source) -> pd.DataFrame:
    rows = source.table.rows
    labels = dict(source.labels.mapped)
    return rows.drop(columns="name").assign(
        image_id=source.name + "/" + rows["name"].astype(str),
        source=source.name,
        diagnosis=rows["source_label"].map(labels).astype(object),
    )


def _with_scans(
    photos: pd.DataFrame, scans: Sequence[Scan], quality: QualityMeter | None
) -> pd.DataFrame:
    scores = [scan.quality or {} for scan in scans]
    known = pd.DataFrame(
        {
            "sha256": [scan.sha256 for scan in scans],
            "pixels_sha256": [scan.pixels_sha256 for scan in scans],
            "width": pd.array([scan.width for scan in scans], dtype="Int32"),
            "height": pd.array([scan.height for scan in scans], dtype="Int32"),
            "flags": [_flags(scan, quality) for scan in scans],
        }
        | {
            name: pd.array([row.get(name.removeprefix("quality_")) for row in scores], "Float32")
            for name in QUALITY_COLUMNS
        },
        index=photos.index,
    )
    columns: list[str] = CATALOG_SCHEMA.names
    return photos.drop(columns=known.columns, errors="ignore").join(known)[columns]


def _flags(scan: Scan, quality: QualityMeter | None) -> tuple[str, ...]:
    if scan.problem:
        return (UNREADABLE,)
    return tuple(quality.flags(scan.quality)) if quality and scan.quality else ()


def _links(old: Catalog | None, photos: pd.DataFrame, scans: Sequence[Scan]) -> pd.DataFrame:
    """The links of the catalog; those of the old one where this version made them of the same."""
    if old is not None and old.info.cutis_version == __version__:
        basis = ["image_id", "sha256", "pixels_sha256", "source", "lesion_id", "patient_id"]
        same = [_comparable(rows[basis]) for rows in (old.photos, photos)]
        if same[0].equals(same[1]):
            return old.links
    return link_photos(photos, scans)


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    plain = rows.astype(object)
    return plain.where(plain.notna(), None).reset_index(drop=True)


def _copy_photos(rows: pd.DataFrame, into: Path) -> pd.DataFrame:
    """Copies photos and masks to `photos/` of the catalog; the paths become relative to it."""

    moved = rows.copy()
    with clear_write_errors(into):
        for column, ending in (("path", ""), ("mask", "_segmentation")):
            relative = []
            for image_id, stored in zip(rows["image_id"], rows[column], strict=True):
                suffix = Path(stored).suffix.lower() if stored else ""
                relative.append(f"photos/{image_id}{ending}{suffix}" if stored else None)
                if stored:
                    _copy_file(Path(stored), into / str(relative[-1]))
            moved[column] = np.array(relative, dtype=object)
    return moved


def _copy_file(origin: Path, target: Path) -> None:
    status = origin.stat()
    if target.is_file():
        have = target.stat()
        if (have.st_size, have.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    try:
        shutil.copy2(origin, partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
