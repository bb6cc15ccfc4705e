"""A wait for Ray ends when its head is lost, and gives what the work gives or raises."""

import socket
import threading
from pathlib import Path

import pytest

from cutis.errors import InputError
from cutis.scale import waiting
from cutis.scale.waiting import waited

from .nodes import TwoNodes, finish, wait_for


def test_it_gives_what_the_work_gives_and_raises() -> None:
    assert waited(lambda: 7, "local") == 7
    with pytest.raises(ZeroDivisionError):
        waited(lambda: 1 // 0, "local")


def test_a_lost_head_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_EVERY", 0.1)
    for_ever = threading.Event()
    head = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{head.getsockname()[1]}"

    try:
        with pytest.raises(InputError, match="the head of the cluster does not answer") as caught:
            waited(for_ever.wait, address, head.close)
    finally:
        for_ever.set()
    assert caught.value.where == address


@pytest.mark.parametrize(("limit", "patience"), [(None, 5), ("30", 3)])
def test_a_head_is_lost_when_it_is_silent_again_and_again(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, patience: int
) -> None:
    monkeypatch.setattr(waiting, "_EVERY", 0.0)
    if limit is not None:
        monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", limit)
    answers = [*[False] * (patience - 1), True, *[False] * (patience + 3)]
    monkeypatch.setattr(waiting, "answers", lambda _: answers.pop(0))
    for_ever = threading.Event()
    try:
        with pytest.raises(InputError, match="the head of the cluster does not answer"):
            waited(for_ever.wait, "10.0.0.5:6379")
    finally:
        for_ever.set()
    assert len(answers) == 3


# Makes a file when a trial is under way, and ends with a code of its own.
LOST = """
import sys, time
from pathlib import Path
from cutis import cli
from cutis.errors import CutisError
from cutis.scale import cluster, waiting
from cutis.scale.searching import training_on

waiting._EVERY, cluster._LEAVE_SECONDS = 0.3, 1.0
begun = Path(sys.argv[2])

class Job:
    data, out = Path("/"), Path("/a/b")
    def anywhere(self):
        return self
    def tried(self, watch):
        begun.touch()
        time.sleep(1000)

class Trials:
    left = [(0, Job())]
    def next(self):
        return self.left.pop() if self.left else None

def work(arguments):
    try:
        with training_on(arguments[0], 1) as run:
            run(Trials())
    except CutisError as error:
        print(error)
    return 7

cli.run = work
cli.main()
"""


def test_a_search_without_its_head_ends_and_so_does_its_process(
    own_head: TwoNodes, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    process = own_head.start_python(LOST, own_head.address, begun)
    wait_for(lambda: begun.exists() or process.poll() is not None)
    own_head.kill_head()
    done = finish(process)
    assert done.stdout.startswith("the head of the cluster does not answer any more"), done
    assert (done.returncode, done.stderr) == (7, "")
