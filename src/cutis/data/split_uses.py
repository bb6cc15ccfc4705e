"""How often the test part of a split has been evaluated: `uses.json` in the split's folder."""

import json
from datetime import UTC, datetime
from pathlib import Path

from cutis.data.catalog import Catalog
from cutis.data.split_records import Split
from cutis.storage import write_file


def record_test_use(catalog: Catalog, split: Split, what: str) -> int:
    """Notes that the test part was evaluated (`what`: run, bundle or table) and counts it.

    Returns how often this very split has been used, this time included.
    """
    path = _uses_file(catalog, split)
    uses = _read_uses(path)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    uses.append({"at": now, "what": what, "split_sha256": split.info.sha256})
    write_file(path, json.dumps(uses, indent=1) + "\n")
    return test_uses(catalog, split)


def test_uses(catalog: Catalog, split: Split) -> int:
    """How often the test part of this very split has been evaluated."""
    uses = _read_uses(_uses_file(catalog, split))
    return sum(use["split_sha256"] == split.info.sha256 for use in uses)


# pytest would collect the function where a test module imports it.
test_uses.__test__ = False  # type: ignore[attr-defined]


def _uses_file(catalog: Catalog, split: Split) -> Path:
    return catalog.folder / "splits" / split.name.partition(":")[0] / "uses.json"


def _read_uses(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    uses: list[dict[str, str]] = json.loads(path.read_bytes())
    return uses
