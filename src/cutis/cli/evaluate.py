"""`cutis evaluate`: an honest report on a run, a bundle or anybody's predictions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.evaluate_masks import evaluate_segmenter, judged_segmenter
from cutis.cli.extras import needs_training
from cutis.cli.options import Engine
from cutis.cli.scene import Scene, catalog_of_model, open_scene
from cutis.cli.tables import print_table
from cutis.errors import InputError
from cutis.records import ModelInfo, Part
from cutis.storage import refuse_other_content

if TYPE_CHECKING:
    import pandas as pd

    from cutis.data.catalog import Catalog
    from cutis.evaluation import EvaluationContext, Report
    from cutis.evaluation.segmentation import SegmentationReport
    from cutis.runtime import Predictor


_ENGINE = "onnxruntime"  # not the fastest of this machine: reports are the same everywhere


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
    bundle: "Predictor | None" = None


def evaluate(
    source: Annotated[
        Path,
        Argument(
            metavar="RUN|BUNDLE|PREDICTIONS",
            help="A run or bundle, of a classifier or a segmenter, or a table of predictions (CSV "
            "or Parquet).",
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
    engine: Engine = _ENGINE,
) -> "Report | SegmentationReport":
    """Judge predictions or masks on photos that were not trained on, with intervals."""
    from cutis.evaluation import EvaluationContext, evaluate_predictions, read_predictions
    from cutis.evaluation.evaluate import MARKER
    from cutis.evaluation.table import prepare_table
    from cutis.studies.own_cases import without_own_cases

    refuse_other_content(out, MARKER)
    if engine != _ENGINE and not (source / "bundle.json").is_file():
        raise InputError(
            "--engine is for bundles; a run is computed by torch, a table is taken as it is",
            where=source,
        )
    segmenter = judged_segmenter(source, engine)
    if segmenter is not None:
        if answer is not Answer.TRAINED:
            raise InputError(
                "--answer prior needs a classifier; a segmenter has no diagnoses", where=source
            )
        return evaluate_segmenter(segmenter, source, out, data, split, part)
    judged = _judged(source, answer, engine)
    if data is None and source.is_file():
        return evaluate_predictions(
            read_predictions(source), None, out, context=EvaluationContext()
        )
    made = judged.info.provenance if judged.info else None
    view = judged.info.view if judged.info else None
    scene = open_scene(data or catalog_of_model(judged.run), split, part, made, view)
    photos = scene.judged(part, judged.run)
    truth = photos.rows
    if judged.bundle is not None:
        truth = without_own_cases(truth, scene.catalog, judged.bundle)
    if judged.predict is None:
        predictions = read_predictions(source)
        # a table that does not hold is refused before it costs a use of the test part
        prepare_table(predictions, truth, EvaluationContext())
    else:
        predictions = judged.predict(truth, scene.catalog)
    context = replace(
        _context(scene, source, part, judged),
        left_out=photos.left_out + len(photos.rows) - len(truth),
        seen_by_model=photos.seen_by_model,
        known_to_segmenter=photos.known_to_segmenter,
    )
    return evaluate_predictions(predictions, truth, out, context=context)


def _judged(source: Path, answer: Answer, engine: str) -> _Judged:
    prior = answer is Answer.PRIOR
    if (source / "bundle.json").is_file():
        return _bundle(source, prior, engine)
    if source.is_dir():
        return _run(source, prior)
    if not source.is_file():
        raise InputError("there is no such run, bundle or table", where=source)
    if prior:
        raise InputError("--answer prior needs a run; a table is taken as it is", where=source)
    return _Judged(None, None)


def _bundle(source: Path, prior: bool, engine: str) -> _Judged:
    import pandas as pd

    from cutis.runtime import Predictor, predict_photos

    if prior:
        raise InputError("--answer prior needs a run", where=source, fix="evaluate the run")
    predictor = Predictor.load(source, engine=engine)

    def predict(rows: "pd.DataFrame", catalog: "Catalog") -> "pd.DataFrame":
        paths = [catalog.locate(stored) for stored in rows["path"]]
        table = pd.concat(predict_photos(predictor, paths, quality=False), ignore_index=True)
        if predictor.recalibration is not None:  # the probabilities are not those of the logits
            table = table.drop(columns=[name for name in table if str(name).startswith("logit_")])
        return table.assign(image_id=rows["image_id"].to_numpy(), path=rows["path"].to_numpy())

    model = predictor.model_info
    if predictor.recalibration is not None:
        model = model.model_copy(update={"temperature": 1.0})
    return _Judged(model, predict, bundle=predictor)


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


def _context(scene: Scene, source: Path, part: str, judged: _Judged) -> "EvaluationContext":
    from cutis.evaluation import EvaluationContext
    from cutis.studies.own_cases import own_cases

    validation = None
    if scene.split is not None and part != Part.VALIDATION and judged.predict is not None:
        truth = scene.rows(Part.VALIDATION)
        if judged.run is not None and not scene.own:
            truth = scene.unknown(truth, judged.run)
        if judged.bundle is not None:
            truth = truth[~own_cases(truth, scene.catalog, judged.bundle)].reset_index(drop=True)
        if not truth.empty:
            table = judged.predict(truth, scene.catalog)
            validation = table.assign(truth=truth["diagnosis"].to_numpy())
    context = scene.context(judged.info, judged.run, source, part)
    return EvaluationContext(**vars(context), validation=validation)


def show(report: "Report | SegmentationReport") -> int:
    """Prints the headline figures with their intervals."""
    print_table(
        ["", "value", "95 % interval"],
        [[name, _figure(value), f"{_figure(low)} to {_figure(high)}"]
         for name, value, low, high in report.summary()],
    )  # fmt: skip
    for name, known in (("model", "seen_by_model"), ("run's segmenter", "known_to_segmenter")):
        if report.metrics[known]:
            print(f"the {name} knows {report.metrics[known]} of these photos: see the report")
    print(report.folder / "report.html")
    return 0


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
