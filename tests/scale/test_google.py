"""Google's storage, by the part of its JSON API that reading takes."""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from cutis.data.importer import import_sources
from cutis.data.remote import Place
from cutis.data.scan import Measure, Scan, scan_photo
from cutis.errors import InputError
from cutis.scale.stand_in import stand_in
from cutis.scale.storage import find_places, read_photo

pytestmark = pytest.mark.skipif(find_spec("gcsfs") is None, reason="gcsfs is not installed")

URL = "gs://clinic/archive"


@dataclass
class Google:
    """What the server has, and whether it lets anybody in."""

    objects: dict[str, bytes] = field(default_factory=dict)
    denies: bool = False

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        """Status and body for a path below the bucket."""
        if self.denies:
            return 403, json.dumps({"error": {"code": 403, "message": "no access"}}).encode()
        _, _, name = path.partition("/o")
        name = unquote(name.lstrip("/"))
        if not name:
            prefix = query.get("prefix", [""])[0]
            listed = [self._about(known) for known in self.objects if known.startswith(prefix)]
            return 200, json.dumps({"items": listed}).encode()
        if name not in self.objects:
            return 404, json.dumps({"error": {"code": 404, "message": "not found"}}).encode()
        if "/download/" in path:
            return 200, self.objects[name]
        return 200, json.dumps(self._about(name)).encode()

    def _about(self, name: str) -> dict[str, str]:
        size, time = str(len(self.objects[name])), "2026-01-02T03:04:05.678Z"
        return {"name": name, "bucket": "clinic", "size": size, "updated": time, "generation": "1"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    google: Google


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        status, body = self.server.google.answer(asked.path, parse_qs(asked.query))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.google = Google()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    # Before the import: it would ask Google what kind of bucket this is.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import fsspec
    import gcsfs

    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    gcsfs.GCSFileSystem.clear_instance_cache()  # each knows the server that it was made with
    yield server.google
    server.shutdown()
    server.server_close()


@pytest.fixture
def archive(google: Google, tmp_path: Path) -> Path:
    """A folder of two diagnoses, which the server has too."""
    folder = tmp_path / "archive"
    for number in range(6):
        place = folder / ("nevus" if number % 2 else "melanoma") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        clouds = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(clouds).resize((64, 48), Image.Resampling.BICUBIC).save(place)
    for file in folder.rglob("*.png"):
        google.objects[f"archive/{file.relative_to(folder).as_posix()}"] = file.read_bytes()
    return folder


def scan_here(places: Sequence[Place], measure: Measure | None) -> Iterator[list[Scan]]:
    """In place of the nodes."""
    for place in places:
        yield [scan_photo(read_photo(place) if isinstance(place, str) else place, measure)]


def test_its_photos_are_found_and_read(google: Google, archive: Path) -> None:
    found = find_places([URL])
    assert found == [f"gs://clinic/{name}" for name in sorted(google.objects)]
    assert read_photo(found[0]) == google.objects["archive/melanoma/0.png"]
    assert isinstance(read_photo(f"{URL}/gone.png"), Path)


def test_its_catalog_is_that_of_the_folder(archive: Path, tmp_path: Path) -> None:
    here = import_sources([archive], tmp_path / "here").catalog
    with stand_in(URL) as remote:
        there = import_sources([remote], tmp_path / "there", scan_blocks=scan_here).catalog
    assert there.sha256 == here.sha256
    assert there.photos["path"].tolist() == find_places([URL])
    with stand_in(URL) as remote:  # nothing has changed, and nothing is read
        assert not import_sources([remote], tmp_path / "there", scan_blocks=none_left).changed


def none_left(places: Sequence[Place], measure: Measure | None) -> Iterator[list[Scan]]:
    """Where all photos are known."""
    assert not places
    yield from ()


def test_that_it_denies_is_said(google: Google, archive: Path) -> None:
    google.denies = True
    with pytest.raises(InputError, match="the storage denies access") as caught:
        find_places([URL])
    assert caught.value.where == URL
