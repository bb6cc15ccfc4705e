"""`cutis predict`: what a bundle says of photos."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.options import Cluster, Engine
from cutis.records import NOTICE

if TYPE_CHECKING:
    import pandas as pd

    from cutis.runtime import PredictionSummary

_MOST = 3  # answers shown of a bundle that has no sets
_NO_REASSURANCE = "This is no sign that the spot is harmless."


def predict(
    photos: Annotated[
        list[str],
        Argument(
            metavar="PHOTO|FOLDER…",
            help="Photos, folders of them and catalogs; with --cluster also URLs such as "
            "s3://bucket/folder.",
            show_default=False,
        ),
    ],
    model: Annotated[
        Path | None,
        Option(
            metavar="BUNDLE",
            help="The bundle that answers; by default the model that comes with "
            "Cutis, whose weights are for non-commercial use.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(metavar="FILE.csv|.parquet", help="Write a table; give the same again to go on."),
    ] = None,
    engine: Engine = "auto",
    quality: Annotated[
        bool, Option(help="Let the photo's quality decide too; without it work is faster.")
    ] = True,
    cluster: Cluster = None,
) -> "pd.DataFrame | PredictionSummary":
    """Answer photos with a bundle, or say why it cannot tell; needs no torch."""
    import pandas as pd

    from cutis.data.remote import refuse_urls
    from cutis.runtime import Predictor, find_photos, predict_photos, predict_to_file

    if cluster is not None:
        from cutis.scale.predicting import predict_on_cluster

        places = [str(photo) for photo in photos]
        return predict_on_cluster(
            places, cluster, bundle=model, out=out, engine=engine, quality=quality
        )
    refuse_urls(photos)
    found = find_photos([Path(photo) for photo in photos])
    predictor = Predictor.load(model, engine=engine)
    if out is not None:
        return predict_to_file(predictor, found, out, quality=quality)
    return pd.concat(predict_photos(predictor, found, quality=quality), ignore_index=True)


def show(result: "pd.DataFrame | PredictionSummary") -> int:
    """Prints what is said of each photo, or where the table is."""
    from cutis.runtime import PredictionSummary

    if isinstance(result, PredictionSummary):
        print(f"{result.out}: {result.photos} photos, {result.unreadable} unreadable")
        if result.verdicts:
            print(f"verdicts: {_counted(result.verdicts)}")
        if result.fallbacks:
            print(
                f"photos taken whole, since their mask was not used: {_counted(result.fallbacks)}"
            )
    else:
        for cells in result.to_dict("records"):
            row = {str(name): cell for name, cell in cells.items()}
            print(row["path"], *_said(row), sep="\n  ")
    print(NOTICE)
    return 0


def _counted(values: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in values.items())


def _said(row: Mapping[str, object]) -> list[str]:
    """The lines below a photo's name."""
    from cutis.metrics.answer_policy import REASON_TEXTS, Verdict

    error = row["error"]
    if "verdict" not in row:
        return [f"unreadable: {error}"] if isinstance(error, str) else [_in_words(row, _first(row))]
    reasons = _words(row["reasons"], ",")
    possible = _words(row["prediction_set"], ";")
    lines = [": ".join(filter(None, [str(row["verdict"]), ", ".join(reasons)]))]
    if possible:
        lines.append(f"possible: {_in_words(row, possible)}")
    if isinstance(error, str):
        lines.append(f"error: {error}")
    lines += [REASON_TEXTS[reason] for reason in reasons]
    if row["verdict"] == Verdict.CANNOT_TELL:
        # The reasons are those of the refusal alone; this one is said all the same.
        lines += [REASON_TEXTS["malignant_possible"]] if _malignant(possible) else []
        lines.append(_NO_REASSURANCE)
    return lines


def _words(cell: object, between: str) -> list[str]:
    return cell.split(between) if isinstance(cell, str) else []


def _first(row: Mapping[str, object]) -> list[str]:
    names = [name[len("logit_") :] for name in row if name.startswith("logit_")]
    return sorted(names, key=lambda name: -_share(row, name))[:_MOST]


def _in_words(row: Mapping[str, object], names: Sequence[str]) -> str:
    from cutis.evaluation.names import display_name

    return ", ".join(f"{display_name(name)} {_share(row, name):.2f}" for name in names)


def _share(row: Mapping[str, object], name: str) -> float:
    share = row[name]
    return float(share) if isinstance(share, int | float) else 0.0


def _malignant(names: Sequence[str]) -> bool:
    from cutis.evaluation.names import malignancy
    from cutis.taxonomy import Malignancy

    return any(malignancy(name) != Malignancy.BENIGN for name in names)
