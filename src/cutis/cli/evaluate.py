"""`cutis evaluate`: an honest report on a run, a bundle or anybody's predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table
from cutis.errors import InputError, nearest
from cutis.records import ModelInfo, Part
from cutis.storage import refuse_other_content

if TYPE_CHECKING:
    import pandas as pd

    from cutis.data.catalog import Catalog
    from cutis.data.splits import Split
    from cutis.evaluation import EvaluationContext, Report

ALL = "all"


class Answer(StrEnum):
    """Whether the training frequencies of the diagnoses are put back into the answers."""

    TRAINED = "as-trained"
    PRIOR = "prior"


@dataclass(frozen=True)
class _Judged:
    """What gives the predictions."""

    info: ModelInfo | None
    predict: "Callable[[pd.DataFrame, Catalog], pd.DataFrame] | None"  # None: a table
    run: Path | None = None


def evaluate(
    source: Annotated[
        Path,
        Argument(
            metavar="RUN|BUNDLE|PREDICTIONS",
            help="A run, a bundle, or a table of predictions (CSV or Parquet).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, Option(metavar="REPORT", help="Folder of the report.")],
    data: Annotated[
        Path | None,
        Option(
            metavar="CATALOG",
            help="The photos; by default the run's own catalog. A table with a truth column "
            "needs none.",
        ),
    ] = None,
    part: Annotated[
        str, Option(metavar="train|validation|test|all", help="Part of the split, or all photos.")
    ] = "test",
    split: Annotated[
        str | None,
        Option(metavar="NAME", help="Split of the catalog; default: the model's, else `default`."),
    ] = None,
    answer: Annotated[
        Answer, Option(help="`prior` puts the training frequencies of the diagnoses back.")
    ] = Answer.TRAINED,
) -> "Report":
    """Judge predictions on photos that were not trained on, with intervals."""
    from cutis.evaluation import EvaluationContext, evaluate_predictions, read_predictions
    from cutis.evaluation.evaluate import MARKER
    from cutis.evaluation.table import prepare_table

    refuse_other_content(out, MARKER)
    judged = _judged(source, answer)
    if data is None and source.is_file():
        return evaluate_predictions(
            read_predictions(source), None, out, context=EvaluationContext()
        )
    scene = _scene(data or _catalog_of(judged), split, part, judged)
    truth = scene.rows(part)
    if judged.run is not None and part in (Part.TEST, ALL):
        _refuse_trained_on(judged.run, truth)
    if truth.empty:
        raise InputError(
            f"the part '{part}' holds no photo",
            where=scene.catalog.folder,
            fix="choose another --part or --split",
        )
    if judged.predict is None:
        predictions = read_predictions(source)
        # a table that does not hold is refused before it costs a use of the test part
        prepare_table(predictions, truth, EvaluationContext())
    else:
        predictions = judged.predict(truth, scene.catalog)
    return evaluate_predictions(
        predictions, truth, out, context=scene.context(source, part, judged)
    )


def _refuse_trained_on(run: Path, truth: "pd.DataFrame") -> None:
    from cutis.training.run import trained_on

    known = truth["sha256"].isin(trained_on(run)) | truth["pixels_sha256"].isin(trained_on(run))
    if known.any():
        raise InputError(
            f"the run was trained or chosen on {int(known.sum())} of these {len(truth)} photos, "
            f"first {truth.loc[known, 'image_id'].iloc[0]}",
            where=run,
            expected="photos that the run has not seen",
            fix="evaluate on the split that it was trained with, or on a catalog without them",
        )


def _catalog_of(judged: _Judged) -> Path:
    if judged.run is None:
        raise InputError("a bundle is evaluated on photos", fix="give --data CATALOG")
    from cutis.training.run import catalog_of

    return catalog_of(judged.run)


def _judged(source: Path, answer: Answer) -> _Judged:
    prior = answer is Answer.PRIOR
    if (source / "bundle.json").is_file():
        return _bundle(source, prior)
    if source.is_dir():
        return _run(source, prior)
    if not source.is_file():
        raise InputError("there is no such run, bundle or table", where=source)
    if prior:
        raise InputError("--answer prior needs a run; a table is taken as it is", where=source)
    return _Judged(None, None)


def _bundle(source: Path, prior: bool) -> _Judged:
    import pandas as pd

    from cutis.runtime import Predictor, predict_photos

    if prior:
        raise InputError("--answer prior needs a run", where=source, fix="evaluate the run")
    predictor = Predictor.load(source)

    def predict(rows: "pd.DataFrame", catalog: "Catalog") -> "pd.DataFrame":
        paths = [catalog.locate(stored) for stored in rows["path"]]
        table = pd.concat(predict_photos(predictor, paths), ignore_index=True)
        return table.assign(image_id=rows["image_id"].to_numpy(), path=rows["path"].to_numpy())

    return _Judged(predictor.info.model, predict)


def _run(source: Path, prior: bool) -> _Judged:
    with needs_training():
        from cutis.training.inference import predict_run
        from cutis.training.run import load_run
    run = load_run(source)
    if prior and run.info.log_prior is None:
        raise InputError(
            "--answer prior does not apply to this run",
            where=source,
            expected="a run whose last stage has imbalance = 'logit_adjustment' and whose answers "
            "leave the training frequencies out",
        )

    def predict(rows: "pd.DataFrame", catalog: "Catalog") -> "pd.DataFrame":
        return predict_run(run, rows, catalog.locate, prior=prior)

    info = run.info.model_copy(update={"temperature": 1.0}) if prior else run.info
    return _Judged(info, predict, source)


@dataclass(frozen=True)
class _Scene:
    """The photos on which something is judged."""

    catalog: "Catalog"
    split: "Split | None"  # None: all photos of the catalog
    judged: _Judged
    view: str | None

    def rows(self, part: str) -> "pd.DataFrame":
        from cutis.data.partition import group_names
        from cutis.data.splits import part_rows

        if self.split is None:
            rows = self.catalog.usable(self.view)
            groups = group_names(list(self.catalog.photos["image_id"]), self.catalog.links)
            return rows.assign(group=groups[rows["image_id"]].to_numpy())
        return part_rows(self.catalog, self.split, Part(part), view=self.view)

    def context(self, source: Path, part: str, judged: _Judged) -> "EvaluationContext":
        import pandas as pd

        from cutis.data.splits import record_test_use
        from cutis.evaluation import EvaluationContext

        uses = validation = counts = None
        if self.split is not None:
            counts = _counts(self.rows(Part.TRAIN))
            if part != Part.VALIDATION and judged.predict is not None:
                truth = self.rows(Part.VALIDATION)
                if not truth.empty:
                    table = judged.predict(truth, self.catalog)
                    validation = table.assign(truth=truth["diagnosis"].to_numpy())
            if part == Part.TEST:
                uses = record_test_use(self.catalog, self.split, str(source))
        history = judged.run / "history.csv" if judged.run else None
        return EvaluationContext(
            model=judged.info,
            split_name=self.split.name if self.split else None,
            part=part,
            test_uses=uses,
            unsafe=self.split.info.unsafe if self.split else False,
            history=pd.read_csv(history) if history and history.is_file() else None,
            recipe_text=(judged.run / "recipe.toml").read_text("utf-8") if judged.run else None,
            counts=counts,
            locate=self.catalog.locate,
            validation=validation,
        )


def _scene(data: Path, split: str | None, part: str, judged: _Judged) -> _Scene:
    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split

    catalog = Catalog.open(data)
    known = [*Part, ALL]
    if part not in known:
        raise InputError(
            f"there is no part '{part}'",
            expected="one of " + ", ".join(known),
            fix=nearest(part, known) or None,
        )
    provenance = judged.info.provenance if judged.info else None
    own = provenance is not None and catalog.sha256 == provenance.catalog_sha256
    name = split or (provenance.split_name if provenance and own else "default")
    chosen = None if part == ALL else load_split(catalog, name)
    if provenance and own and (chosen is None or chosen.info.sha256 != provenance.split_sha256):
        problem = (
            "all photos of this catalog hold those that the model was trained on"
            if chosen is None
            else "the model was trained on another split of this very catalog, so these photos may "
            "have been trained on"
        )
        raise InputError(
            problem,
            where=data,
            expected=f"the split '{provenance.split_name}' "
            f"({provenance.split_sha256[:12]}…) and one of its parts",
            fix=f"give --split {provenance.split_name}, or evaluate on another catalog",
        )
    return _Scene(catalog, chosen, judged, _view_of(judged.info))


def _view_of(info: ModelInfo | None) -> str | None:
    return info.view if info else None


def _counts(rows: "pd.DataFrame") -> dict[str, dict[str, int]]:
    return {
        str(source): {str(d): int(n) for d, n in found["diagnosis"].value_counts().items()}
        for source, found in rows.groupby("source")
    }


def show(report: "Report") -> int:
    """Prints the headline figures with their intervals."""
    print_table(
        ["", "value", "95 % interval"],
        [[name, _figure(value), f"{_figure(low)} to {_figure(high)}"]
         for name, value, low, high in report.summary()],
    )  # fmt: skip
    print(report.folder / "report.html")
    return 0


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
