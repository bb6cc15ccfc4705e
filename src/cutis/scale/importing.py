"""`import` on a cluster: photos are decoded there, and the catalog is made here as always."""

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from cutis.data.remote import Place, is_url
from cutis.data.scan import Measure, Scan, ScanBlocks, scan_photo
from cutis.errors import InputError
from cutis.scale.blocks import Work, map_blocks, refuse_unread
from cutis.scale.cluster import Cluster, connected
from cutis.scale.storage import fetch_ahead, read_photo

_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("pixels_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fingerprint", pa.binary()),
        ("problem", pa.string()),
        ("quality", pa.string()),  # JSON
    ]
)


@contextmanager
def scanning_on(address: str) -> Iterator[ScanBlocks]:
    """What `import_sources` takes as `scan_blocks`, for photos that all nodes see, and URLs.

    The address is as `cutis.scale.cluster.connected` takes it, which raises as this does. Scanning
    raises InputError for a photo that this computer sees and a node does not, and for a storage
    that fails or denies.
    """
    with connected(address) as cluster:
        yield partial(_scan_blocks, cluster)


def _scan_blocks(
    cluster: Cluster, places: Sequence[Place], measure: Measure | None
) -> Generator[list[Scan], None, None]:
    photos = [place if isinstance(place, str) else str(place.absolute()) for place in places]
    done = 0
    for table, node in map_blocks(cluster, photos, _OpenWork(measure)):
        scans = [_scan(row) for row in table.to_pylist()]
        block = photos[done : done + len(scans)]
        refuse_unread(block, [scan.problem for scan in scans], node, _reads)
        done += len(scans)
        yield scans


def _reads(photo: str) -> bool:
    """Whether this computer reads a photo."""
    try:
        found = read_photo(photo) if is_url(photo) else Path(photo)
    except InputError:
        return False
    return scan_photo(found).problem is None


@dataclass(frozen=True)
class _OpenWork:
    """Nothing is to be loaded; the measure goes along."""

    measure: Measure | None

    def __call__(self) -> Work:
        return self._work

    def _work(self, photos: list[str]) -> pa.Table:
        scans = [
            asdict(scan_photo(photo, self.measure))
            for some in fetch_ahead(photos, Path())
            for photo in some.values()
        ]
        for scan in scans:
            scan["quality"] = None if scan["quality"] is None else json.dumps(scan["quality"])
        return pa.Table.from_pylist(scans, _SCHEMA)


def _scan(row: dict[str, Any]) -> Scan:
    quality = None if row["quality"] is None else json.loads(row["quality"])
    return Scan(**row | {"quality": quality})
