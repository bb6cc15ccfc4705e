"""From a bundle and a clinic's catalog to a recalibrated bundle, or to the reason why not."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from cutis import __version__
from cutis.data.catalog import Catalog
from cutis.errors import CheckFailedError, InputError
from cutis.metrics.recalibration import Photos
from cutis.records import ModelInfo
from cutis.runtime import Predictor, predict_photos
from cutis.runtime.bundle import INFO_FILE, MODEL_FILES, BundleInfo, read_info
from cutis.runtime.engines import installed_engines, runs
from cutis.storage import refuse_other_content, staged_folder
from cutis.studies.recalibration.cases import FOLDS, Cases, find_cases, require_enough
from cutis.studies.recalibration.record import NetworkStudy, RecalibrationStudy
from cutis.studies.recalibration.study import Network, kept_share, study_network
from cutis.studies.recalibration.writing import write_recalibrated


def recalibrate(bundle: Path, data: Path, out: Path) -> RecalibrationStudy:
    """Fits temperature and prior of a bundle to the cases of a catalog, and writes a new bundle.

    Every network of the bundle is fitted on its own, since each has logits of its own. One that no
    engine of this installation runs, that has no policy or that gets worse stays as exported; the
    one that runs unless told must get better.

    Args:
        bundle: as exported; it stays as it is.
        data: the catalog. That the model has not seen its photos is the caller's to know, but for
            the sources that it was trained on, which are left out.
        out: the new bundle, with `recalibration.json` and `recalibration.html`.

    Raises InputError for fewer than 50 cases, cases of one diagnosis, a bundle that is recalibrated
    already or has no policy, and an `out` that is the bundle or holds something else;
    CheckFailedError, with nothing written, where calibration gets no better in cross-validation,
    or where that has a price: see `NetworkStudy.failures`.
    """
    refuse_other_content(out, INFO_FILE)
    info = read_info(bundle)
    names = _networks(bundle, info, out)
    predictors = {name: Predictor.load(bundle, model=name, engine=e) for name, e in names.items()}
    model = next(iter(predictors.values())).model_info
    catalog = Catalog.open(data)
    cases = find_cases(catalog, model)
    made: list[NetworkStudy] = []
    kept, readable = _left_out(info, names), cases.rows
    for name, predictor in predictors.items():
        readable, table = answers(predictor, catalog, cases)
        require_enough(readable, catalog, cases.seen)
        photos = photos_of(model, readable, table)
        study = study_network(
            Network.of(predictor),
            photos,
            feedback=bool(cases.feedback),
            kept=kept_share(predictor, photos, table),
        )
        if study.failures and made:
            kept[name] = "; ".join(study.failures)
        elif study.failures:
            raise _no_better(study, catalog)
        else:
            made.append(study)
    record = RecalibrationStudy(
        cutis_version=__version__,
        bundle_files=info.files,
        catalog_sha256=catalog.sha256,
        sources=cases.sources,
        feedback=cases.feedback,
        counts=cases.counts(readable),
        folds=FOLDS,
        level=info.policies[made[0].network].level,
        networks=tuple(made),
        as_exported=kept,
    )
    with staged_folder(out, INFO_FILE) as folder:
        write_recalibrated(bundle, info, record, cases.hashes(catalog), folder)
    return record


def _networks(bundle: Path, info: BundleInfo, out: Path) -> dict[str, str]:
    """The networks to recalibrate, the default first, with the engine that runs each."""
    if out.resolve() == bundle.resolve():
        raise InputError(
            "the recalibrated bundle would replace the one as exported",
            where=out,
            fix="choose another --out: recalibrating again starts from the bundle as exported",
        )
    if info.recalibrations:
        raise InputError(
            "the bundle has been recalibrated already",
            where=bundle,
            expected="a bundle as exported",
            fix="recalibrate the bundle that this one was made from",
        )
    held = [name for name, file in MODEL_FILES.items() if file in info.files]
    default = info.default_model
    if default is not None and default not in info.policies:
        raise InputError(
            "the bundle does not say when it cannot tell: it has no thresholds to keep",
            where=bundle,
            expected="a bundle whose export had 39 validation cases or more",
            fix="train on more photos and export again; without thresholds the app warns by "
            "probabilities, and a recalibration would move its warnings",
        )
    found = {
        name: next((engine for engine in installed_engines() if runs(engine, name)), None)
        for name in sorted(held, key=lambda name: name != default)
        if name in info.policies
    }
    usable = {name: engine for name, engine in found.items() if engine is not None}
    if default not in usable:
        # a bundle without a classifier, or whose default network needs another engine
        Predictor.load(bundle)
        raise InputError(
            f"no engine that is installed runs the network '{default}'",
            where=bundle,
            fix="pip install 'cutis[litert]'",
        )
    return usable


def _left_out(info: BundleInfo, names: dict[str, str]) -> dict[str, str]:
    """The networks that stay as exported, and why."""
    held = [name for name, file in MODEL_FILES.items() if file in info.files]
    return {
        name: "no engine that is installed runs it" if name in info.policies else "no thresholds"
        for name in held
        if name not in names
    }


def answers(
    predictor: Predictor, catalog: Catalog, cases: Cases, limit: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the readable photos, the first `limit` of all, and what the network says."""
    rows = cases.rows.head(len(cases.rows) if limit is None else limit)
    paths = [catalog.locate(stored) for stored in rows["path"]]
    made = []
    with tqdm(total=len(paths), desc=predictor.model, unit="photo", disable=None) as progress:
        for table in predict_photos(predictor, paths, quality=False):
            made.append(table)
            progress.update(len(table))
    said = pd.concat(made, ignore_index=True)
    read = said["error"].isna()
    return rows[read].reset_index(drop=True), said[read].reset_index(drop=True)


def photos_of(model: ModelInfo, rows: pd.DataFrame, table: pd.DataFrame) -> Photos:
    """What `answers` gives, as arrays."""
    names = model.diagnoses
    return Photos(
        logits=table[[f"logit_{name}" for name in names]].to_numpy(np.float64),
        truth=np.array([names.index(name) for name in rows["truth"]], np.intp),
        group=np.unique(rows["group"], return_inverse=True)[1],
        fold=rows["fold"].to_numpy(np.intp),
    )


def _no_better(study: NetworkStudy, catalog: Catalog) -> CheckFailedError:
    values = [
        f"{words} {getattr(study.before, name).value:.3f} before, "
        f"{getattr(study.after, name).value:.3f} after"
        for name, words in (
            ("log_loss", "log loss"),
            ("brier", "Brier score"),
            ("calibration_error", "ECE"),
        )
    ]
    return CheckFailedError(
        f"there is no recalibration to rely on ({'; '.join(study.failures)}); nothing was written",
        where=f"{catalog.folder}: {', '.join(values)}, in cross-validation",
        expected="a lower log loss on cases that nothing was fitted to, at no cost",
        fix="keep the bundle as it is; more cases may change this",
    )
