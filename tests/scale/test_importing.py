"""The catalog of a cluster is the catalog of one computer, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutis.cli.import_photos import import_photos
from cutis.data import scan
from cutis.errors import InputError

from .nodes import TwoNodes, finish, wait_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts

FILES = ("catalog.parquet", "links.parquet", "catalog.json")
PHOTOS = 300


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two diagnoses, with copies, a photo of other pixels and one that is none."""
    folder = tmp_path_factory.mktemp("source") / "photos"
    rng = np.random.default_rng(0)
    for n in range(PHOTOS):
        place = folder / ("nevus" if n % 3 else "melanoma") / f"{n:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(place)
    for n in (7, 100, 250):
        kept = folder / "nevus" / f"{n:03}.png"
        (folder / "nevus" / f"copy-{n}.png").write_bytes(kept.read_bytes())
        Image.open(kept).save(folder / "nevus" / f"again-{n}.jpg", quality=80)
    (folder / "nevus" / "broken.png").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path) -> dict[str, bytes]:
    """The files that one computer writes."""
    into = photos.parent / "expected"
    counts = import_photos([str(photos)], into).catalog.info.counts
    assert counts.unreadable == 1
    assert sum(counts.links.values()) >= 6
    return contents(into)


def contents(catalog: Path) -> dict[str, bytes]:
    return {name: (catalog / name).read_bytes() for name in FILES}


def test_it_is_the_catalog_of_one_computer(
    local_cluster: str, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    into = tmp_path / "catalog"
    assert import_photos([str(photos)], into, cluster=local_cluster).changed
    assert contents(into) == expected


def test_photos_copied_into_a_catalog_are_found_by_all_nodes(
    local_cluster: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for kept in sorted(photos.glob("*/*"))[::40]:
        place = Path("few", kept.parent.name, kept.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(kept.read_bytes())
    for into, cluster in (("here", None), ("there", local_cluster)):
        import_photos(["few"], Path(into), copy=True, cluster=cluster)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_what_was_read_is_not_read_again(
    local_cluster: str, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    into = tmp_path / "catalog"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_BATCH", 80)
        patch.setattr(scan, "_remember", stop_after(3))
        with pytest.raises(KeyboardInterrupt):
            import_photos([str(photos)], into, cluster=local_cluster)
    assert not (into / "catalog.json").exists()
    with pytest.MonkeyPatch.context() as patch:
        seen: list[int] = []
        whole = scan.scan_in_threads

        def counted(paths: list[Path], measure: scan.Measure | None) -> object:
            seen.append(len(paths))
            return whole(paths, measure)

        patch.setattr(scan, "scan_in_threads", counted)
        import_photos([str(photos)], into)
    assert seen == [PHOTOS + 7 - 2 * 80]
    assert contents(into) == expected


def stop_after(calls: int) -> object:
    """Remembers scans as always, until the interruption."""
    whole, done = scan._remember, 0

    def remember(*given: object) -> None:
        nonlocal done
        done += 1
        if done == calls:
            raise KeyboardInterrupt
        whole(*given)  # type: ignore[arg-type]

    return remember


# Says when the first block is there.
_WATCHED = """
import sys
from pathlib import Path
from cutis.cli.import_photos import import_photos
from cutis.scale import blocks, importing
blocks.BLOCK = 10
whole = importing.map_blocks
def watched(*given):
    for made in whole(*given):
        Path(sys.argv[3]).touch()
        yield made
importing.map_blocks = watched
import_photos([sys.argv[1]], Path(sys.argv[2]), cluster=sys.argv[4])
"""


def test_a_killed_node_costs_only_its_blocks(
    two_nodes: TwoNodes, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    into, begun = tmp_path / "catalog", tmp_path / "begun"
    process = two_nodes.start_python(_WATCHED, photos, into, begun, two_nodes.address)
    wait_for(lambda: begun.exists() or process.poll() is not None)
    two_nodes.kill_second()
    done = finish(process)
    assert done.returncode == 0, done.stderr
    assert contents(into) == expected


def test_a_wrong_address_changes_nothing(photos: Path, tmp_path: Path) -> None:
    into = tmp_path / "catalog"
    with pytest.raises(InputError, match="no cluster answers"):
        import_photos([str(photos)], into, copy=True, cluster="127.0.0.1:9")
    assert not into.exists()


@pytest.mark.real
def test_real_photos_make_the_same_catalog(
    local_cluster: str, real_data: Path, tmp_path: Path
) -> None:
    source = tmp_path / "ham10000"
    source.mkdir()
    whole = real_data / "ham10000"
    photos = sorted(whole.glob("**/*.jpg"))[::25]
    for file in [*whole.glob("*.csv"), *photos]:
        (source / file.name).symlink_to(file)
    import_photos([str(source)], tmp_path / "here")
    found = import_photos([str(source)], tmp_path / "there", cluster=local_cluster)
    assert found.catalog.info.counts.photos == len(photos) > 300
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
