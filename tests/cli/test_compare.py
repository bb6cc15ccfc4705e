"""`cutis compare` through the command line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

QUICK = ("stage.1.epochs=1", "input.size=32")


@pytest.fixture(scope="module")
def runs(trained: Any, cutis: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The run of the whole way, another seed of it, and one with another rate."""
    folder = tmp_path_factory.mktemp("runs")
    for name, change in (("seed-1", "seed=1"), ("slow", "stage.1.learning_rate=1e-5")):
        done = cutis("train", "demo", "--data", trained.catalog, "--out", folder / name,
                     "--weights", "none", *QUICK, change)  # fmt: skip
        assert done.code == 0
    return [trained.run, folder / "seed-1", folder / "slow"]


def test_runs_that_differ_in_the_seed_are_an_arm(
    runs: list[Path], cutis: Any, tmp_path: Path
) -> None:
    published = tmp_path / "paper.toml"
    published.write_text("[paper]\naccuracy = 0.92\nseconds = 666\n")
    done = cutis("compare", *runs, "--out", tmp_path / "page", "--part", "validation",
                 "--published", published)  # fmt: skip
    assert (done.code, done.err) == (0, "")
    record = json.loads((tmp_path / "page" / "comparison.json").read_text())
    assert [arm["entries"] for arm in record["arms"]] == [["run", "seed-1"], ["slow"]]
    assert [arm["name"] for arm in record["arms"]] == ["demo", "demo (slow)"]
    assert {(p["first"], p["second"]) for p in record["pairs"]} == {
        ("run", "slow"), ("seed-1", "slow")
    }  # fmt: skip
    assert {entry["part"] for entry in record["entries"]} == {"validation"}
    assert record["published"][0]["figures"] == {"accuracy": 0.92, "seconds": 666}
    out = " ".join(done.out.split())
    assert record["verdict"][0] in out
    assert re.search(r"demo \d\.\d{3} \(2 seeds, 0\.\d{3} to 0\.\d{3}\)", record["verdict"][0])


def test_a_single_run(runs: list[Path], cutis: Any, tmp_path: Path) -> None:
    done = cutis("compare", runs[0], "--out", tmp_path / "page", "--part", "validation")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "page" / "page.html").is_file()


def test_the_same_run_twice_and_a_folder_that_is_no_run(
    runs: list[Path], cutis: Any, tmp_path: Path
) -> None:
    twice = cutis("compare", runs[0], runs[0], "--out", tmp_path / "page")
    assert (twice.code, "this run stands twice" in twice.err) == (2, True)
    none = cutis("compare", runs[0], tmp_path, "--out", tmp_path / "page")
    assert (none.code, "this folder is not a run" in none.err) == (2, True)
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("text", ["accuracy = 0.92\n", "[paper]\naccuracy = 'high'\n", "[paper\n"])
def test_published_figures_that_cannot_be_read(
    text: str, runs: list[Path], cutis: Any, tmp_path: Path
) -> None:
    published = tmp_path / "paper.toml"
    published.write_text(text)
    done = cutis("compare", runs[0], "--out", tmp_path / "page", "--published", published)
    assert (done.code, "the published figures cannot be read" in done.err) == (2, True)
    assert not (tmp_path / "page").exists()
