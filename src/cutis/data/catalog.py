"""The catalog: a folder that says which photos there are, what they show and which belong together.

`catalog.parquet` holds one row an appearance of a photo, `links.parquet` the pairs that must not be
split, `catalog.json` sources, licences, counts, options and hashes. See docs/reference/catalog.md.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from cutis import __version__, taxonomy
from cutis.data.conflicts import Rule, parse_policy
from cutis.data.flags import UNREADABLE, count_flags, flagged
from cutis.data.merge import Merged, merge
from cutis.data.remote import is_url
from cutis.errors import InputError
from cutis.records import CATALOG_SCHEMA, FORMAT_VERSION, LINK_SCHEMA, Record
from cutis.storage import commit_files, finish_commit, sha256_file

CATALOG_FILE = "catalog.json"

_TABLES = ("catalog.parquet", "links.parquet")
_PLACES = ["path", "mask"]


class SourceInfo(Record):
    """One imported collection."""

    name: str
    format: str
    root: str  # where it lay when it was imported: a path or a URL
    licence: str | None
    citation: str | None
    photos: int
    columns: dict[str, str]  # of the format "table": meaning -> column
    label_map: dict[str, str]  # source label -> diagnosis, as every label was read


class CatalogCounts(Record):
    """What the catalog holds, in numbers."""

    photos: int
    unreadable: int
    undiagnosed: int
    lesions: int
    diagnoses: dict[str, int]
    links: dict[str, int]  # by LinkKind
    flags: dict[str, int] = Field(default_factory=dict)  # photos by flag


class CatalogOptions(Record):
    """Choices made at import."""

    view: str | None = None  # a view of the taxonomy that reduces the diagnoses
    copied: bool = False  # photos lie inside the catalog
    conflicts: str = "keep"  # the policy by which appearances of one photograph are merged


class CatalogInfo(Record):
    """`catalog.json`."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    sources: tuple[SourceInfo, ...]
    counts: CatalogCounts
    options: CatalogOptions
    sha256: str  # of rows, links, view and policy; see `content_hash`
    files: dict[str, str]  # SHA-256 of the two tables' bytes


@dataclass(frozen=True)
class Catalog:
    """An opened catalog; `photos` has the columns of CATALOG_SCHEMA, `links` of LINK_SCHEMA."""

    folder: Path
    photos: pd.DataFrame
    links: pd.DataFrame
    info: CatalogInfo

    @classmethod
    def open(cls, folder: Path) -> "Catalog":
        """Opens a catalog and checks it against its hashes.

        Raises InputError when the folder is missing, is not a catalog, was written by a later
        version of Cutis, or holds a table that has changed since it was written.
        """
        _require_folder(folder)
        finish_commit(folder)
        info = read_info(folder)
        for name in _TABLES:
            _check_file(folder / name, info.files.get(name))
        photos = _frame(_read_table(folder / _TABLES[0], CATALOG_SCHEMA))
        links = _frame(_read_table(folder / _TABLES[1], LINK_SCHEMA))
        return cls(folder, photos, links, info)

    @property
    def sha256(self) -> str:
        """The content hash; it does not depend on where the photos lie."""
        return self.info.sha256

    def locate(self, stored: str) -> Path:
        """The real place of a photo or mask, from what the column `path` or `mask` holds.

        Raises InputError for a URL: what lies in a storage has no place on this computer.
        """
        if is_url(stored):
            raise InputError(
                "the photo lies in a storage, from where only import and predict read it",
                where=stored,
                expected="photos in a folder",
                fix="import it with --copy; 'cutis predict' also reads it with --cluster",
            )
        return self.folder / stored

    def usable(self, view: str | None = None) -> pd.DataFrame:
        """The rows that splits, training and evaluation work on, ordered by image_id.

        Those have a readable photo and a diagnosis; see `merged` for the column `appearances`.
        A view, the catalog's own where none is given, turns `diagnosis` into the view's class;
        photos for which it has no place are left out.
        """
        rows = self.merged(view).photos
        return rows[rows["diagnosis"].notna()].reset_index(drop=True)

    def merged(self, view: str | None = None) -> Merged:
        """The readable photos with the appearances of each photograph merged, as the catalog's
        option `conflicts` says, and the photographs on which its sources disagree.
        """
        return merge(
            self.photos[~flagged(self.photos, [UNREADABLE])],
            self.links,
            parse_policy(self.info.options.conflicts),
            view=view or self.info.options.view,
            order=[source.name for source in self.info.sources],
        )


def write_catalog(
    folder: Path,
    photos: pd.DataFrame,
    links: pd.DataFrame,
    *,
    sources: Iterable[SourceInfo],
    options: CatalogOptions,
    replace: bool = True,
) -> Catalog:
    """Writes a catalog in one step: after a crash the old one stands, or the new one does.

    Where the folder already holds the same catalog, no file is touched. Raises InputError for one
    that holds another, unless that may be replaced.
    """
    photo_table = pa.Table.from_pandas(
        photos.sort_values("image_id"), CATALOG_SCHEMA, preserve_index=False
    )
    link_table = pa.Table.from_pandas(
        links.sort_values(["image_id_a", "image_id_b", "kind"]), LINK_SCHEMA, preserve_index=False
    )
    classes = None if options.view is None else _classes(photos["diagnosis"], options.view)
    info = CatalogInfo(
        cutis_version=__version__,
        sources=tuple(sources),
        counts=_counts(photos, links),
        options=options,
        sha256=content_hash(photo_table, link_table, classes, options.conflicts),
        files={},
    )
    if _holds_already(folder, photo_table, link_table, info):
        return Catalog.open(folder)
    if not replace and (folder / CATALOG_FILE).is_file():
        raise InputError(
            "the folder holds another catalog, which earlier runs may stand on",
            where=folder,
            expected="a new folder, or the same photos, links and settings as before",
            fix="choose another --out, or delete that folder",
        )

    def write_info(target: Path) -> None:
        hashes = {name: sha256_file(target.with_name(name)) for name in _TABLES}
        complete = info.model_copy(update={"files": hashes})
        target.write_text(complete.model_dump_json(indent=1) + "\n", encoding="utf-8")

    commit_files(
        folder,
        {
            "catalog.parquet": lambda target: pq.write_table(photo_table, target),
            "links.parquet": lambda target: pq.write_table(link_table, target),
            CATALOG_FILE: write_info,
        },
    )
    return Catalog.open(folder)


def content_hash(
    photos: pa.Table,
    links: pa.Table,
    classes: Mapping[str, str | None] | None,
    conflicts: str = Rule.KEEP,
) -> str:
    """SHA-256 over the rows as JSON lines, photos first, then links, then what the view makes of
    the diagnoses and, where photos are merged, the policy.

    Where a photo and its mask lie is left out; whether there is a mask is not.
    """
    digest = hashlib.sha256()
    has_mask = pa.array(photos["mask"].is_valid())
    for table in (photos.drop_columns(_PLACES).append_column("mask", has_mask), links):
        for batch in table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    choices = {"classes": classes} | ({} if conflicts == Rule.KEEP else {"conflicts": conflicts})
    digest.update(json.dumps(choices, sort_keys=True).encode())
    return digest.hexdigest()


def read_info(folder: Path) -> CatalogInfo:
    """Reads `catalog.json`; InputError when it is absent, damaged or of a later version."""
    path = folder / CATALOG_FILE
    if not path.is_file():
        raise InputError(
            "this folder is not a catalog",
            where=folder,
            expected=f"a folder with {CATALOG_FILE}",
            fix=f"make one: cutis import PHOTOS --into {folder}",
        )
    try:
        content = json.loads(path.read_bytes())
        version = int(content["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if version > FORMAT_VERSION:
        raise InputError(
            "the catalog was written by a later version of Cutis",
            where=path,
            expected=f"format version {FORMAT_VERSION} or earlier, found {version}",
            fix="update Cutis, or import the photos again with this version",
        )
    try:
        return CatalogInfo.model_validate(content)
    except ValidationError as error:
        raise _damaged(path) from error


def _holds_already(folder: Path, photos: pa.Table, links: pa.Table, info: CatalogInfo) -> bool:
    if not (folder / CATALOG_FILE).is_file():
        return False
    there = read_info(folder)
    return (
        there.model_copy(update={"files": {}, "cutis_version": info.cutis_version}) == info
        and _read_table(folder / _TABLES[0], CATALOG_SCHEMA).equals(photos)
        and _read_table(folder / _TABLES[1], LINK_SCHEMA).equals(links)
    )


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    return pq.read_table(path, schema=schema)


def _classes(diagnoses: "pd.Series[str]", view: str) -> dict[str, str | None]:
    chosen = taxonomy.view(view)
    return {name: chosen.class_of(name) for name in sorted(diagnoses.dropna().unique())}


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(
            "the catalog does not exist",
            where=folder,
            expected="a folder that 'cutis import' has made",
            fix=f"check the path, or make it: cutis import PHOTOS --into {folder}",
        )


def _check_file(path: Path, sha256: str | None) -> None:
    if sha256 is None or not path.is_file() or sha256_file(path) != sha256:
        raise _damaged(path)


def _damaged(path: Path) -> InputError:
    return InputError(
        "the catalog has been changed or damaged since it was written",
        where=path,
        expected=f"the bytes whose SHA-256 stands in {CATALOG_FILE}",
        fix="restore the file, or import the sources into a new catalog",
    )


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    if "flags" in frame:
        frame["flags"] = [tuple(flags) if flags is not None else () for flags in frame["flags"]]
    return frame


def _counts(photos: pd.DataFrame, links: pd.DataFrame) -> CatalogCounts:
    lesions = photos.loc[photos["lesion_id"].notna(), ["source", "lesion_id"]]
    flags = count_flags(photos)
    return CatalogCounts(
        photos=len(photos),
        unreadable=flags.get(UNREADABLE, 0),
        undiagnosed=int(photos["diagnosis"].isna().sum()),
        lesions=len(lesions.drop_duplicates()),
        diagnoses={str(k): int(v) for k, v in photos["diagnosis"].value_counts().items()},
        links={str(k): int(v) for k, v in links["kind"].value_counts().sort_index().items()},
        flags=flags,
    )
