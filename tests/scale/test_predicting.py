"""The table of a cluster is the table of one computer, also after losses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.cli import run
from cutis.cli.predict import predict
from cutis.errors import InputError, MissingDependencyError
from cutis.scale.storage import find_places

from .nodes import TwoNodes, finish, wait_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of its own parts

PHOTOS = 330  # of five blocks, the last of them short


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of different colours, one of them unreadable."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for n in range(PHOTOS):
        pixels = rng.integers(0, 256, (1, 1, 3)) + rng.integers(-30, 30, (40, 50, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(folder / f"{n:03}.png")
    (folder / "100.png").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path) -> bytes:
    """The table that one computer makes."""
    out = photos.parent / "expected.csv"
    predict([str(photos)], out=out, quality=False)
    return out.read_bytes()


def test_it_is_the_table_of_one_computer(
    local_cluster: str, photos: Path, expected: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    summary = predict([str(photos)], out=out, quality=False, cluster=local_cluster)
    assert out.read_bytes() == expected
    assert (summary.photos, summary.unreadable) == (PHOTOS, 1)  # type: ignore[union-attr]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_without_a_file_and_from_a_storage_it_is_the_same(
    local_cluster: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    names = ["004.png", "100.png", "001.png"]
    found = predict([*names[:2], f"file://{photos}/001.png"], cluster=local_cluster)
    assert isinstance(found, pd.DataFrame)
    here = predict(names)
    assert isinstance(here, pd.DataFrame)
    found["path"] = found["path"].str.replace(f"file://{photos}/", "")
    pd.testing.assert_frame_equal(found, here)


# Says when the first block is there.
_WITH_HARM = """
import sys
from pathlib import Path
from cutis.cli.predict import predict
from cutis.scale import blocks, predicting
blocks.BLOCK = 10
whole = predicting.map_blocks
def watched(*given):
    for number, made in enumerate(whole(*given)):
        yield made
        if number == 0:
            Path(sys.argv[3]).touch()
predicting.map_blocks = watched
predict([sys.argv[1]], out=Path(sys.argv[2]), quality=False, cluster=sys.argv[4])
"""


@pytest.mark.parametrize("harm", ["kill_worker", "kill_second"])
def test_what_is_killed_leaves_one_row_a_photo(
    two_nodes: TwoNodes, photos: Path, expected: bytes, tmp_path: Path, harm: str
) -> None:
    out, begun = tmp_path / "out.csv", tmp_path / "begun"
    process = two_nodes.start_python(_WITH_HARM, photos, out, begun, two_nodes.address)
    wait_for(lambda: begun.exists() or process.poll() is not None)
    getattr(two_nodes, harm)()
    done = finish(process)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == expected


def test_a_full_disk_of_a_node_is_named(head_alone: TwoNodes, photos: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    head_alone.start_second(full=full, TMPDIR=str(full))
    out = tmp_path / "out.csv"
    done = head_alone.run("predict", photos, "--out", out, "--cluster", head_alone.address)
    assert done.returncode == 2
    assert done.stderr.split("\n")[:2] == [
        "error: the disk of a node is full",
        "  where: 10.211.0.2",
    ]
    assert not out.exists()


def test_a_node_that_sees_no_photos_is_named(
    head_alone: TwoNodes, photos: Path, tmp_path: Path
) -> None:
    head_alone.start_second(full=photos)
    out = tmp_path / "out.csv"
    done = head_alone.run("predict", photos, "--out", out, "--cluster", head_alone.address)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the node 10.211.0.2 does not see the photo"), done.stderr
    assert not out.exists()


def test_urls_need_a_cluster() -> None:
    with pytest.raises(InputError, match="read with --cluster alone"):
        predict(["s3://bucket/photos"])


def test_places_are_photos_of_all_kinds(photos: Path, tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in ("b/2.png", "a.JPG", "b-c.png", "notes.txt", ".hidden/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    below = [f"file://{tmp_path}/{name}" for name in ("a.JPG", "b/2.png", "b-c.png")]
    one = photos / "000.png"
    found = find_places([f"file://{tmp_path}", str(one), f"file://{tmp_path}/notes.txt", str(one)])
    assert found == [*below, str(one), f"file://{tmp_path}/notes.txt"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///nowhere", "the storage holds no photo there"),
        ("s4://bucket", "the storage fails .*s4"),
        ("abfs://bucket@account.dfs.core.windows.net", "a library for this storage is not"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(InputError, match=words) as caught:
        find_places([url])
    assert caught.value.where == url


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingDependencyError, match=r"cutis\[cluster\]"):
        find_places(["file:///nowhere"])


def test_a_storage_that_denies_is_one_clear_error(
    local_cluster: str, denying: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["predict", f"{denying}://{photos}", "--cluster", local_cluster])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("error: the storage denies access ([Errno 13] Access Denied")
    assert "where: denying:///" in err
    assert err.count("error") == 1


_IMPORTED = """
import sys
from cutis.cli import run
code = run(sys.argv[1:])
print([name for name in sys.modules if name.split(".")[0] in ("ray", "fsspec")], code)
"""


@pytest.mark.parametrize("verb", ["predict", "import"])
def test_without_the_flag_nothing_of_ray_is_imported(
    photos: Path, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "source" / "nevus").mkdir(parents=True)
    photo = tmp_path / "source" / "nevus" / "000.png"
    photo.write_bytes((photos / "000.png").read_bytes())
    options = {
        "predict": [photo],
        "import": [tmp_path / "source", "--into", tmp_path / "catalog"],
    }
    words = [verb, *map(str, options[verb])]
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[] 0", done
