"""`cutis demo`: the whole way of the data, on drawn photos, in a few minutes."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from cutis.cli.tables import print_table
from cutis.errors import CheckFailedError, InputError


@dataclass(frozen=True)
class Demonstration:
    """What the demo made."""

    folder: Path
    figures: dict[str, tuple[float, float, float]]  # value, low, high
    seconds: float


def demo(
    out: Annotated[Path, Option(metavar="FOLDER", help="Where everything goes.")] = Path(
        "cutis-demo"
    ),
    photos: Annotated[int, Option(help="How many photos are drawn.")] = 1400,
) -> Demonstration:
    """Draw photos, then import, split, audit, train, evaluate, export and predict."""
    started = time.monotonic()
    if (out / "photos").exists() or (out / "catalog").exists():
        raise InputError(
            "the folder of an earlier demo is in the way",
            where=out,
            fix="delete it, or choose another --out",
        )
    catalog, run, report, bundle = (out / n for n in ("catalog", "run", "report", "bundle"))
    for arguments in (
        ["draw", out / "photos", "--photos", photos],
        ["import", out / "photos", "--into", catalog],
        ["split", catalog],
        ["audit", catalog, "--json", out / "certificate.json"],
        ["train", "demo", "--data", catalog, "--out", run, "--weights", "none"],
        ["evaluate", run, "--out", report],
        ["export", run, "--out", bundle],
        [
            "predict",
            out / "photos" / "HAM10000_images_part_1",
            "--model",
            bundle,
            "--out",
            out / "predictions.csv",
        ],
    ):
        _step([str(argument) for argument in arguments])
    return Demonstration(out, _figures(report), time.monotonic() - started)


def show(demonstration: Demonstration) -> int:
    """Prints the table of figures and where things are."""
    out = demonstration.folder
    print_table(
        ["on drawn photos never trained on", "value", "95 % interval"],
        [[name, f"{value:.3f}", f"{low:.3f} to {high:.3f}"]
         for name, (value, low, high) in demonstration.figures.items()],
    )  # fmt: skip
    print(f"report  {out / 'report' / 'report.html'}")
    print(f"bundle  {out / 'bundle'}")
    print(f"{demonstration.seconds:.0f} s. Drawn photos say nothing about real skin.")
    return 0


def _step(arguments: list[str]) -> None:
    from cutis.cli import run

    print(f"\n$ cutis {shlex.join(arguments)}", flush=True)
    code = run(arguments)
    if code:
        raise CheckFailedError(f"the demo stopped: 'cutis {arguments[0]}' ended with code {code}")


def _figures(report: Path) -> dict[str, tuple[float, float, float]]:
    import json

    scores = json.loads((report / "metrics.json").read_text(encoding="utf-8"))["scores"]
    chosen = ("balanced_accuracy", "accuracy", "f1_macro", "auroc_macro")
    return {
        name.replace("_", " "): (scores[name]["value"], scores[name]["low"], scores[name]["high"])
        for name in chosen
    }
