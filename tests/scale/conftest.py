"""Ray clusters to test on.

`local_cluster` is the address of one node with two processors, for tests in this process:
`with connected(local_cluster)`. `two_nodes` is a head and a second node with one processor each, in
network namespaces of their own that a cable of two ends joins. Their driver must run beside the
head, so it is a process: `two_nodes.run("predict", photos, "--cluster", two_nodes.address)`
runs a command line of Cutis and waits, `two_nodes.start(…)` does not wait; `python` and
`start_python` do so with a script. While it runs, `kill_worker`, `kill_second` and `cut` do their
harm; the next test finds both nodes whole again. `head_alone` is the same cluster for a test that
starts the second node in a way of its own: `head_alone.start_second(VARIABLE="value")`. All
processes die at the end, and no others. `bucket` is a bucket of S3's own protocol that this process
and `local_cluster` reach.
"""

import os
import re
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .buckets import Bucket
from .nodes import (
    ENVIRONMENT,
    HEAD_OPTIONS,
    NO_LOGS,
    RAY,
    STORE,
    TwoNodes,
    afterwards,
    short_folder,
)  # fmt: skip

# Read when Ray is imported. A cluster that has a token anyway gets it below; without this line Ray
# would write one into the home folder.
os.environ["RAY_AUTH_MODE"] = "disabled"

pytest.importorskip("ray")

MARK = "CUTIS_TEST_CLUSTER"


@pytest.fixture(scope="session")
def _two_nodes() -> Iterator[TwoNodes]:
    with short_folder() as folder:
        yield from _started(TwoNodes(folder))


def _started(nodes: TwoNodes) -> Iterator[TwoNodes]:
    """The head."""
    with afterwards(nodes.clearing):
        try:
            nodes.set_up()
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("network namespaces are not allowed here")
        nodes.start_head()
        yield nodes


@pytest.fixture
def two_nodes(_two_nodes: TwoNodes) -> TwoNodes:
    """A cluster of two nodes, both whole."""
    _two_nodes.make_whole()
    return _two_nodes


@pytest.fixture
def head_alone(_two_nodes: TwoNodes) -> TwoNodes:
    """The cluster without its second node, which the test starts in a way of its own."""
    _two_nodes.kill_second()
    return _two_nodes


@pytest.fixture
def own_head() -> Iterator[TwoNodes]:
    """A cluster for one test, a head alone that it may kill."""
    with short_folder() as folder:
        yield from _started(TwoNodes(folder, name=f"ch{os.getpid()}"))


_DENYING = """
from fsspec.implementations.local import LocalFileSystem

class Denying(LocalFileSystem):
    protocol = "denying"

    def unstrip_protocol(self, name):
        return "denying://" + name

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("denying://")

    def cat_file(self, path, **_):
        raise PermissionError(13, "Access Denied", path)
"""


@pytest.fixture(scope="session")
def storages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Python with a storage that lists photos and gives none."""
    folder = tmp_path_factory.mktemp("storages")
    (folder / "denying.py").write_text(_DENYING)
    package = folder / "denying-1.dist-info"
    package.mkdir()
    (package / "entry_points.txt").write_text("[fsspec.specs]\ndenying = denying:Denying\n")
    (package / "METADATA").write_text("Name: denying\nVersion: 1\n")
    return folder


@pytest.fixture
def denying(storages: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The protocol of that storage, which `local_cluster` and this process know."""
    import fsspec

    monkeypatch.syspath_prepend(str(storages))
    fsspec.register_implementation("denying", "denying.Denying", clobber=True)
    return "denying"


@pytest.fixture(scope="session")
def s3_environment() -> dict[str, str]:
    """Where S3 is, for `local_cluster` whether or not it is there."""
    port = 20_000 + os.getpid() % 10_000  # above Ray's workers, below what most systems give away
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture(scope="session")
def _s3(s3_environment: dict[str, str]) -> Iterator[str]:
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    from werkzeug.serving import make_server

    url = s3_environment["AWS_ENDPOINT_URL"]
    # Made here and not by moto, which would wait for ever for a port that is taken.
    server = make_server(
        "127.0.0.1",
        int(url.rpartition(":")[2]),
        moto.DomainDispatcherApplication(moto.create_backend_app),
        threaded=True,
        request_handler=moto.MotoRequestHandler,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(
    _s3: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """An empty bucket."""
    import s3fs

    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    storage = s3fs.S3FileSystem()
    made = Bucket(f"bucket-{secrets.token_hex(4)}", storage, _s3)
    storage.mkdir(made.name)
    yield made
    made.allow()


@pytest.fixture(scope="session")
def local_cluster(storages: Path, s3_environment: dict[str, str]) -> Iterator[str]:
    """The address of a cluster of one node with two processors."""
    mark = secrets.token_hex(8)
    with short_folder() as folder:
        port = _free_port()
        command = [*RAY, "start", "--head", f"--port={port}", "--num-cpus=2", STORE,
                   NO_LOGS, f"--temp-dir={folder}", *HEAD_OPTIONS,
                   "--disable-usage-stats"]  # fmt: skip
        own = {MARK: mark, "PYTHONPATH": str(storages), **s3_environment}
        environment = {**os.environ, **ENVIRONMENT, **own}
        find = f"grep -ls {MARK}={mark} /proc/[0-9]*/environ"
        clearing = f"{find} | cut -d/ -f3 | xargs -r kill -9; rm -rf {folder}"
        with afterwards(clearing):
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True, timeout=60
            )
            node = re.search(r"Local node IP: ([\d.]+)", done.stdout + done.stderr)
            assert node is not None
            yield f"{node[1]}:{port}"


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port
