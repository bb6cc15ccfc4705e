"""`cutis prune` on the command line: an ordinary run comes out, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from cutis.cli.prune import show
from cutis.studies.pruning_record import Change, Cost, Network, Pruning

SETTINGS = ("stage.1.epochs=1", "input.size=32", "model.backbone=mobilenet_v2_035")


@pytest.fixture(scope="module")
def small(drawn: Any, cutis: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of MobileNetV2."""
    out: Path = tmp_path_factory.mktemp("small") / "run"
    done = cutis("train", "demo", *SETTINGS, "--data", drawn.catalog, "--out", out,
                 "--weights", "none")  # fmt: skip
    assert done.code == 0, done.err
    return out


def test_the_pruned_run_is_evaluated_and_exported_like_any_other(
    cutis: Any, small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "half"
    done = cutis("prune", small, "--out", out, "--multiply-adds", "0.5", "stage.1.epochs=1")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{out}: 1 epochs in ")
    report = cutis("evaluate", out, "--part", "validation", "--out", tmp_path / "report")
    assert report.code == 0, report.err
    bundle = cutis("export", out, "--out", tmp_path / "bundle", "--networks", "fp32")
    assert bundle.code == 0, bundle.err
    assert (tmp_path / "bundle" / "model.onnx").is_file()


def test_networks_of_several_shares_are_printed_as_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    networks = tuple(
        Network(
            share=share,
            folder="run",
            epochs=1,
            cost=Cost(multiply_adds=madds, parameters=1, onnx_bytes=1, milliseconds=madds / 1e7),
            accuracy=0.7,
            balanced_accuracy=0.6,
            change=share and Change(value=-0.012, low=-0.03, high=0.01),
        )
        for share, madds in ((None, 55_000_000), (0.5, 27_000_000))
    )
    made = Pruning(
        cutis_version="0", run_sha256="0", recipe="r", architecture="a", size=32,
        importance="taylor", unsafe=True, photos=9, groups=9, resamples=9, engine="e",
        networks=networks,
    )  # fmt: skip
    assert show(made) == 0
    out = capsys.readouterr().out
    assert re.search(r"run +5\.50 +0\.700 +0\.600 +–", out)
    assert re.search(r"0\.5 +2\.70 +0\.700 +0\.600 +-1\.2 \(-3\.0 to \+1\.0\)", out)
    assert "At 0.49 of the multiply-adds a photo takes 2.70 ms in place of 5.50" in out
    assert "UNSAFE" in out


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ("half", "'half' are no shares"),
        ("0.5,", "'0.5,' are no shares"),
        ("0.5,1.5", "1.5 of the multiply-adds is not possible"),
        ("50", "50 of the multiply-adds is not possible"),
        ("0.5,0.001", "cannot be cut to 0.001"),
    ],
)
def test_impossible_shares_are_refused_before_any_training(
    refused: Any, small: Path, tmp_path: Path, shares: str, said: str
) -> None:
    assert said in refused("prune", small, "--out", tmp_path / "x", "--multiply-adds", shares)
    assert not (tmp_path / "x").exists()


def test_what_is_no_run_of_mobilenet_is_refused(
    refused: Any, trained: Any, small: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "x", "--multiply-adds", "0.5")
    assert "there is no such run" in refused("prune", tmp_path / "nothing", *out)
    assert "not a run" in refused("prune", trained.catalog, *out)
    assert "'small_cnn' cannot be pruned" in refused("prune", trained.run, *out)
    assert "holds a run of another recipe" in refused("prune", small, "--out", small,
                                                      "--multiply-adds", "0.5")  # fmt: skip
    assert not (tmp_path / "x").exists()
