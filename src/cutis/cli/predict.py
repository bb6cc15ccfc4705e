"""`cutis predict`: what a bundle says of photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.tables import print_table
from cutis.records import NOTICE

if TYPE_CHECKING:
    import pandas as pd

    from cutis.runtime import PredictionSummary


def predict(
    photos: Annotated[
        list[Path],
        Argument(metavar="PHOTO|FOLDER…", help="Photos and folders of them.", show_default=False),
    ],
    model: Annotated[Path, Option(metavar="BUNDLE", help="The bundle that answers.")],
    out: Annotated[
        Path | None,
        Option(metavar="FILE.csv|.parquet", help="Write a table; give the same again to go on."),
    ] = None,
) -> "pd.DataFrame | PredictionSummary":
    """Answer photos with a bundle, without torch."""
    import pandas as pd

    from cutis.runtime import Predictor, find_photos, predict_photos, predict_to_file

    predictor = Predictor.load(model)
    found = find_photos(photos)
    if out is not None:
        return predict_to_file(predictor, found, out)
    return pd.concat(predict_photos(predictor, found), ignore_index=True)


def show(result: "pd.DataFrame | PredictionSummary") -> int:
    """Prints the first answers of each photo, or where the table is."""
    from cutis.runtime import PredictionSummary

    if isinstance(result, PredictionSummary):
        print(f"{result.out}: {result.photos} photos, {result.unreadable} unreadable")
        if result.fallbacks:
            reasons = ", ".join(f"{count} {reason}" for reason, count in result.fallbacks.items())
            print(f"photos taken whole, since their mask was not used: {reasons}")
    else:
        print_table(["photo", "first answers"], [_answers(row) for _, row in result.iterrows()])
    print(NOTICE)
    return 0


def _answers(row: "pd.Series") -> list[str]:
    if isinstance(row["error"], str):
        return [row["path"], f"unreadable: {row['error']}"]
    diagnoses = [name[len("logit_") :] for name in row.index if name.startswith("logit_")]
    first = row[diagnoses].astype(float).nlargest(3)
    return [row["path"], ", ".join(f"{name} {share:.2f}" for name, share in first.items())]
