"""Import: from collections of photos to a catalog."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

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
from cutis.data.copying import copy_photos
from cutis.data.flags import UNREADABLE
from cutis.data.labels import Labels, map_labels
from cutis.data.links import link_photos
from cutis.data.merge import LEFT_OUT
from cutis.data.remote import Place, RemoteSource, State, is_url, renamed_errors
from cutis.data.scan import (
    Measure,
    Scan,
    ScanBlocks,
    Scores,
    fingerprints,
    scan_in_threads,
    scan_photos,
)
from cutis.data.sources import SourceTable, read_source
from cutis.data.sources.base import counted
from cutis.errors import InputError
from cutis.records import CATALOG_SCHEMA, QUALITY_COLUMNS
from cutis.storage import finish_commit

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
    remote: RemoteSource | None

    @property
    def root(self) -> str:
        root = str(self.table.root)
        return root if self.remote is None else self.remote.renamed(root)

    def info(self) -> SourceInfo:
        return SourceInfo(
            name=self.name,
            format=self.table.format,
            root=self.root,
            licence=self.table.licence,
            citation=self.table.citation,
            photos=len(self.table.rows),
            columns=dict(self.columns),
            label_map=dict(self.labels.mapped),
        )


def import_sources(
    sources: Sequence[Path | RemoteSource],
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
        sources: folders, or tables for the format "table", or either in a storage; each becomes a
            source that is named after its folder, feedback after its archive. A source that the
            catalog already holds is replaced.
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
        scan_blocks: what decodes the photos; those of a storage need one that reads URLs.

    Nothing is written before all labels are known. Importing again changes no file when nothing
    has changed; after an interruption the old catalog stands and the photos already read are not
    read again. Raises InputError for unknown labels (all at once), clashing source names, a
    source in which nothing matches and an `into` where no catalog can be, see `check_target`.
    """
    if not sources:
        raise InputError("there is nothing to import", expected="one source or more")
    old = Catalog.open(into) if check_target(into) else None
    read = _read_sources(sources, format, columns or {}, map_file)
    _check_names(read, old)
    infos = {info.name: info for info in (old.info.sources if old else ())}
    infos |= {source.name: source.info() for source in read}
    options = _options(old, view, copy, _policy(old, conflicts, infos))
    rows = [_source_rows(source) for source in read]
    lost: list[str] = []
    if copy:
        copied = [copy_photos(table, into, s.remote) for table, s in zip(rows, read, strict=True)]
        rows = [table for table, _ in copied]
        lost = [image_id for _, gone in copied for image_id in gone]
    replaced = {source.name for source in read}
    kept = [] if old is None else [old.photos[~old.photos["source"].isin(replaced)]]
    photos = pd.concat([*kept, *rows], ignore_index=True).sort_values("image_id", ignore_index=True)
    places: list[Place] = [path if is_url(path) else into / path for path in photos["path"]]
    measure = None if quality is None else quality.measure
    scans = scan_photos(places, into, measure, scan_blocks, _states(read))
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
        _links(old, photos, places, into),
        sources=[infos[name] for name in sorted(infos)],
        options=options,
    )
    changed = old is None or old.info != catalog.info
    gone = counted(lost, "masks have gone from the storage meanwhile and are left out")
    notes = [*warnings, note, gone, _merge_note(catalog)]
    return ImportSummary(catalog, changed, tuple(note for note in notes if note))


def source_name(source: Path) -> str:
    """A source's name: that of its folder (or file), in lower case, words joined by hyphens."""
    path = source.resolve()
    text = unicodedata.normalize("NFC", path.name if path.is_dir() else path.stem).lower()
    return re.sub(r"[^\w]+", "-", text).strip("-_") or "source"


def check_target(into: Path) -> bool:
    """Whether the folder holds a catalog; raises InputError where none can be made."""
    if not into.drive and into.parts and into.parts[0].endswith(":"):
        # A URL of which Path has made a path.
        raise InputError(
            "a catalog lies in a folder, not in a storage",
            where=into,
            fix="choose a folder of this computer as --into",
        )
    if not into.exists():
        return False
    if not into.is_dir():
        raise InputError(
            "the catalog must be a folder", where=into, fix="choose another --into folder"
        )
    finish_commit(into)
    if (into / CATALOG_FILE).is_file():
        return True
    if any(path.name not in _OWN_FILES for path in into.iterdir()):
        raise InputError(
            "the folder holds other files and is not a catalog",
            where=into,
            expected="a catalog, an empty folder or one that does not exist yet",
            fix="choose another --into folder",
        )
    return False


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
    sources: Sequence[Path | RemoteSource],
    format: str | None,
    columns: Mapping[str, str],
    map_file: Path | None,
) -> list[_Source]:
    extra = taxonomy.load_label_map(map_file) if map_file is not None else {}
    remote = [source if isinstance(source, RemoteSource) else None for source in sources]
    paths = [source.stand_in if isinstance(source, RemoteSource) else source for source in sources]
    with renamed_errors([source for source in remote if source is not None]):
        tables = [read_source(path, format, columns) for path in paths]
        labels = map_labels(tables, extra)
    return [
        _Source(
            name=table.name or source_name(path),
            table=table if far is None else _located(table, far),
            labels=label,
            columns=columns,
            remote=far,
        )
        for path, table, label, far in zip(paths, tables, labels, remote, strict=True)
    ]


def _located(table: SourceTable, remote: RemoteSource) -> SourceTable:
    """What a reader made of a stand-in, with the URLs of photos and of the masks that are there."""
    places = {
        column: table.rows[column].map(remote.locate, na_action="ignore")
        for column in ("path", "mask")
    }
    return replace(table, rows=table.rows.assign(**places))


def _states(read: Sequence[_Source]) -> dict[str, State]:
    return {
        url: state
        for source in read
        if source.remote is not None
        for url, state in source.remote.states.items()
    }


def _check_names(read: Sequence[_Source], old: Catalog | None) -> None:
    roots: dict[str, str] = {}
    if old is not None:
        # A source whose folder is gone has moved: the new place replaces it.
        roots = {
            info.name: info.root
            for info in old.info.sources
            if is_url(info.root) or Path(info.root).exists()
        }
    for source in read:
        if source.table.name is not None:  # a later handover of the same archive replaces it
            roots.pop(source.name, None)
    for source in read:
        if roots.setdefault(source.name, source.root) != source.root:
            fix = "rename one of the folders, or import it into a catalog of its own"
            if is_url(roots[source.name]):
                # Nobody asks a storage whether it is still there.
                fix += "; a bucket that has moved needs a new catalog too"
            raise InputError(
                f"two sources are called '{source.name}'",
                where=f"{roots[source.name]} and {source.root}",
                expected="folders with different names, since a source is named after its folder",
                fix=fix,
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


def _links(
    old: Catalog | None, photos: pd.DataFrame, places: Sequence[Place], into: Path
) -> pd.DataFrame:
    """The links of the catalog; those of the old one where this version made them of the same."""
    if old is not None and old.info.cutis_version == __version__:
        basis = ["image_id", "sha256", "pixels_sha256", "source", "lesion_id", "patient_id"]
        same = [_comparable(rows[basis]) for rows in (old.photos, photos)]
        if same[0].equals(same[1]):
            return old.links
    readable = list(compress(places, photos["pixels_sha256"].notna()))
    with fingerprints(readable, into) as marks:
        return link_photos(photos, marks)


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    plain = rows.astype(object)
    return plain.where(plain.notna(), None).reset_index(drop=True)
