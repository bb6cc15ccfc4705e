"""`cutis prune`: smaller networks out of a run, by cutting channels and fine-tuning the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table
from cutis.errors import InputError

if TYPE_CHECKING:
    from cutis.studies.pruning_record import Pruning
    from cutis.training.run import Run


def prune(
    run: Annotated[Path, Argument(metavar="RUN", show_default=False)],
    out: Annotated[
        Path,
        Option(
            metavar="FOLDER",
            help="The smaller run, or of several shares a run each and a "
            "page; give the same again to go on after a stop.",
        ),
    ],
    multiply_adds: Annotated[
        str,
        Option(metavar="SHARE[,SHARE…]", help="Of the run's multiply-adds, at most, e.g. 0.5."),
    ],
    settings: Annotated[
        list[str] | None,
        Argument(
            metavar="KEY=VALUE…",
            help="Values of the fine-tuning to change, e.g. stage.1.epochs=3.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        Option(metavar="CATALOG", help="The run's catalog, where it has moved since training."),
    ] = None,
    importance: Annotated[
        Literal["taylor", "magnitude"],
        Option(help="What is cut first: that of which the loss depends least, or small weights."),
    ] = "taylor",
) -> "Run | Pruning":
    """Cut channels from a classifier until it needs fewer multiply-adds, and fine-tune it."""
    shares = _parsed(multiply_adds)
    with needs_training():
        from cutis.export.onnx import write_onnx
        from cutis.export.pruned_run import prune_run, refuse_impossible
        from cutis.studies.pruning import pruning_curve
        from cutis.training.run import load_run

    refuse_impossible(load_run(run), shares)

    def pruned(share: float, folder: Path) -> "Run":
        return prune_run(
            run, folder, share, data=data, importance=importance, overrides=settings or []
        )

    if len(shares) == 1:
        return pruned(shares[0], out)
    return pruning_curve(
        run, out, shares, prune=pruned, write_onnx=write_onnx, importance=importance, data=data
    )


def _parsed(shares: str) -> list[float]:
    try:
        return [float(share) for share in shares.split(",")]
    except ValueError as error:
        raise InputError(
            f"'{shares}' are no shares of the multiply-adds",
            expected="a share such as 0.5, or several such as 0.75,0.5,0.3",
        ) from error


def show(made: "Run | Pruning") -> int:
    """Prints the run as `cutis train` does, or the networks of several shares."""
    from cutis.cli import train
    from cutis.training.run import Run

    if isinstance(made, Run):
        return train.show(made)
    from cutis.studies.pruning_page import change_text, headline, name_of

    print_table(
        ["share", "ms a photo", "accuracy", "balanced accuracy", "change, points"],
        [
            [name_of(network), f"{network.cost.milliseconds:.2f}", f"{network.accuracy:.3f}",
             f"{network.balanced_accuracy:.3f}", change_text(network)]
            for network in made.networks
        ],
    )  # fmt: skip
    print(headline(made))
    if made.unsafe:
        print("UNSAFE: the split lets photos of one lesion stand on both sides")
    return 0
