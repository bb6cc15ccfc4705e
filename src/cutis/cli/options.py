"""Arguments and options that several verbs take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cutis.errors import InputError

Recipe = Annotated[
    str, Argument(metavar="RECIPE", help="Name of a recipe or a TOML file.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    Argument(
        metavar="KEY=VALUE…",
        help="Values of the recipe to change, e.g. input.size=160.",
        show_default=False,
    ),
]
Data = Annotated[Path, Option(metavar="CATALOG", help="The catalog to train on.")]
Engine = Annotated[
    str,
    Option(
        metavar="auto|onnxruntime|openvino|litert",
        help="What runs a bundle's networks; auto measures once which is the fastest here.",
    ),
]
Cluster = Annotated[
    str | None,
    Option(
        metavar="HOST:PORT|local",
        help="A Ray cluster that does the work; local starts one on this computer.",
        show_default=False,
    ),
]
Split = Annotated[str, Option(metavar="NAME", help="Split of the catalog.")]
Weights = Annotated[
    str, Option(metavar="imagenet|FILE|none", help="Where the backbone starts from.")
]
Segmenter = Annotated[
    Path | None,
    Option(
        metavar="RUN",
        help="The segmentation run that draws the masks of input.lesion.",
        show_default=False,
    ),
]


def refuse_without_cluster(given: Mapping[str, object]) -> None:
    """Raises InputError for an option that says something about a cluster where none is given."""
    for option, value in given.items():
        if value is not None:
            raise InputError(
                f"{option} is for a cluster", fix="give --cluster ADDRESS or local too"
            )
