"""URLs and the stand-ins of what they name."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import infer_storage_options

from cutis.cli.import_photos import import_photos
from cutis.cli.predict import predict
from cutis.data.sources import read_source
from cutis.errors import InputError
from cutis.scale import importing, predicting
from cutis.scale import stand_in as stand_in_module
from cutis.scale.stand_in import stand_in
from cutis.scale.storage import Listing, find_places, list_collection, read_photo

from .layouts import HEAD, PHOTOS, classes, draw, ham, import_url, scan_urls, url_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return ham(tmp_path / "ham-tiny")


def test_the_stand_in_takes_no_room_and_does_not_stay(source: Path) -> None:
    (source / "large.bin").write_bytes(os.urandom(2**20))
    with stand_in(url_of(source)) as remote:
        stands = {p.relative_to(remote.folder): p for p in remote.folder.rglob("*") if p.is_file()}
        for place, file in stands.items():
            assert file.stat().st_size == (source / place).stat().st_size
            is_read = place.suffix in (".csv", ".toml")
            assert (file.read_bytes() == (source / place).read_bytes()) == is_read
        large = stands[Path("large.bin")].stat()
        assert large.st_blocks * 512 < large.st_size
        assert len(stands) == 2 * PHOTOS + 3  # no clutter
        assert read_source(remote.stand_in).format == "ham10000"
    assert not remote.folder.parent.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image_id,dx\n", "no reader recognises this source"),
        (f"{HEAD}H,X,nv,histo,50,male,back\n", "no row of the metadata has its photo"),
        (f"{HEAD}H,0,zzz,histo,50,male,back\n", "1 label is not known"),
    ],
)
def test_what_is_wrong_with_a_collection_names_the_url(
    tmp_path: Path, content: str, words: str
) -> None:
    draw(tmp_path / "bad" / "0.png", 0)
    (tmp_path / "bad" / "table.csv").write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        import_url(url_of(tmp_path / "bad"), tmp_path / "catalog")
    assert caught.value.where == url_of(tmp_path / "bad")
    assert "cutis-import-" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["nevus/../1.png"], "nevus/../1.png"),
        (["nevus//1.png"], "nevus//1.png"),
        (["nevus/1.png", "nevus/1.png/2.png"], "nevus/1.png/2.png"),
        (["1.png", "1.png/2/3.png"], "1.png/2/3.png"),
        (["nevus/1/2.png", "nevus/1"], "nevus/1"),
        ([f"{'x' * 300}.png"], f"{'x' * 300}.png"),
        (["nevus/\0.png"], "nevus/\0.png"),
    ],
)
def test_names_that_no_folder_holds_are_said(
    monkeypatch: pytest.MonkeyPatch, names: list[str], where: str
) -> None:
    listing = Listing("s3://bucket/photos", None, dict.fromkeys(names, (10, 0)))
    monkeypatch.setattr(stand_in_module, "list_collection", lambda url: listing)
    with (
        pytest.raises(InputError, match="a name that no folder can hold") as caught,
        stand_in(listing.url),
    ):
        pass
    assert caught.value.where == f"{listing.url}/{where}"


@pytest.mark.parametrize("url", ["s3://bucket/photos/..", "s3://"])
def test_a_url_without_a_name_stays_in_its_folder(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    listing = Listing(url, None, {"large.bin": (10, 0)})
    monkeypatch.setattr(stand_in_module, "list_collection", lambda url: listing)
    with stand_in(url) as remote:
        assert remote.folder.name == "source"
        assert remote.folder.parent.name.startswith("cutis-import-")


class Hosted(MemoryFileSystem):  # type: ignore[misc]
    """A storage whose own names lack the host."""

    protocol = "hosted"
    hosts: ClassVar[dict[str, dict[str, object]]] = {}
    cachable = False

    def __init__(self, host: str, **options: object) -> None:
        super().__init__(**options)
        self.store = self.hosts[host]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        place: str = infer_storage_options(path)["path"] if "://" in path else path
        return place.rstrip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {key: infer_storage_options(path)[key] for key in ("host",)}


def test_urls_keep_their_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fsspec.register_implementation("hosted", Hosted, clobber=True)
    for host, seed in (("one", 1), ("two", 2)):
        monkeypatch.setitem(Hosted.hosts, host, {})
        photo = draw(tmp_path / f"{host}.png", seed)
        Hosted(host).pipe("/photos/nevus/1.png", photo.read_bytes())
    url = "hosted://two/photos"
    photo = f"{url}/nevus/1.png"
    assert find_places([f"{url}/"]) == [photo]
    assert read_photo(photo) == (tmp_path / "two.png").read_bytes()
    with stand_in(url) as remote:
        assert (remote.url, list(remote.states)) == (url, [photo])


@pytest.mark.parametrize("look", [lambda url: find_places([url]), list_collection])
@pytest.mark.parametrize(
    ("url", "where", "words"),
    [
        ("zip://photos::s3://bucket/a.zip", "zip://photos::s3://bucket/a.zip", "within storages"),
        ("ftp://me:secret@clinic/photos", "ftp://…", "must hold no password"),
    ],
)
def test_urls_that_cannot_stand_in_a_table_are_refused(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[str], object], url: str, where: str, words: str
) -> None:
    monkeypatch.setattr("ftplib.FTP.connect", lambda *given, **options: "")
    monkeypatch.setattr("ftplib.FTP.login", lambda *given, **options: "")
    with pytest.raises(InputError, match=words) as caught:
        look(url)
    assert caught.value.where == where
    assert "secret" not in str(caught.value)


def test_that_a_url_says_credential_is_no_denial(
    monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    def fail(*_: object) -> None:
        raise OSError(f"timed out: {url}")

    url = f"{url_of(source)}/Credential-Forbidden.png"
    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    with pytest.raises(InputError, match="the storage fails"):
        read_photo(url)


def test_the_cluster_starts_last(source: Path, tmp_path: Path) -> None:
    done: list[str] = []

    @contextmanager
    def start(address: str) -> Iterator[object]:
        done.append(address)
        yield scan_urls

    (tmp_path / "file").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cutis.scale.importing.scanning_on", start)
        with pytest.raises(InputError, match="the source does not exist"):
            import_photos(["file:///nowhere"], tmp_path / "catalog", cluster="local")
        patch.setattr(stand_in_module, "list_collection", done.append)
        with pytest.raises(InputError, match="the catalog must be a folder"):
            import_photos([url_of(source)], tmp_path / "file", cluster="local")
    assert done == []


def test_urls_need_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="read with --cluster alone"):
        import_photos(["s3://bucket/ham10000"], tmp_path / "catalog", copy=True)
    assert not (tmp_path / "catalog").exists()


def test_a_node_that_sees_another_storage_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(_: str, photos: list[str], work: object) -> Iterator[tuple[pa.Table, str]]:
        """In place of a node."""
        for photo in photos:
            if isinstance(work, importing._OpenWork):
                yield work()([f"{photo}.gone"]), "10.0.0.2"
            else:
                yield pa.table({"error": ["the photo is missing"]}), "10.0.0.2"

    monkeypatch.setattr("ray.put", lambda files: files)
    for verb in (importing, predicting):
        monkeypatch.setattr(verb, "connected", nullcontext)
        monkeypatch.setattr(verb, "map_blocks", blind)
    url = url_of(source / "part_0")
    (source / "part_0" / "0.png").write_text("no photo")  # here neither
    with pytest.raises(InputError, match=r"the node 10\.0\.0\.2 does not see") as caught:
        predict([url], cluster="local")
    assert caught.value.where == f"{url}/ISIC_0000000.jpg"
    url = url_of(classes(tmp_path / "classes"))
    with pytest.raises(InputError, match=r"the node 10\.0\.0\.2 does not see") as caught:
        import_photos([url], tmp_path / "catalog", cluster="local")
    assert caught.value.where == f"{url}/train/melanoma/0.png"
