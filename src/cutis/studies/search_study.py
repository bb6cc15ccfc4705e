"""The Optuna study of a search: its file, its draws, and what it says about the settings."""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from cutis.errors import InputError
from cutis.recipes.search_space import Pruning
from cutis.studies.search_record import Terms, TrialRecord

DATABASE = "search.db"
RECORD = "record"
"""The attribute of a trial that holds its record."""

NEEDED_FOR_IMPORTANCE = 12
"""Trials, complete or pruned; with fewer, the best quarter is too small a sample."""

_NAME = "search"
_TERMS = "terms"


@contextmanager
def opened_study(
    path: Path, terms: Terms, pruning: Pruning | None, *, lower_is_better: bool
) -> Iterator["Study"]:
    """Opens the study in a file, or begins it.

    Raises InputError where the file holds a search on other terms, or no study.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        storage = RDBStorage(URL.create("sqlite", database=str(path)).render_as_string())
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            pruner=_pruner(pruning),
            direction="minimize" if lower_is_better else "maximize",
            load_if_exists=True,
        )
        _check_terms(study, terms, path.parent)
        yield Study(study, storage, terms)
    except (DatabaseError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"the study of the search cannot be used: {reason}",
            where=path,
            fix="free disk space where it is full; else delete the folder and search anew",
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


class Study:
    """The trials of a search, in a file."""

    def __init__(self, study: optuna.Study, storage: RDBStorage, terms: Terms) -> None:
        self._study = study
        self._storage = storage
        self._terms = terms

    def next_trial(self, in_hand: Collection[int] = ()) -> optuna.Trial:
        """A new trial, or one that an interruption left running and nobody has in hand.

        The draws depend on the seed, the number of the trial and, with TPE, on the trials before
        it, so that an interruption changes nothing.
        """
        trials = self._study.get_trials(deepcopy=False)
        running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
        left = [number for number in running if number not in in_hand]
        number = left[0] if left else len(trials)
        sequence = np.random.SeedSequence((self._terms.seed, number))
        self._study.sampler = _sampler(self._terms.sampler, int(sequence.generate_state(1)[0]))
        if not left:
            return self._study.ask()
        study_id = self._storage.get_study_id_from_name(_NAME)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
        return optuna.Trial(self._study, trial_id)

    def records(self) -> list[TrialRecord]:
        """The trials that have ended."""
        trials = self._study.get_trials(deepcopy=False)
        return [
            TrialRecord.model_validate(trial.user_attrs[RECORD])
            for trial in trials
            if trial.state.is_finished()
        ]

    def importance(self) -> dict[str, float]:
        """The share of each setting in reaching the best quarter, the largest first.

        PED-ANOVA (arXiv:2304.10255), with conditional settings as in arXiv:2601.20800. A pruned
        trial counts with its figure until then. Empty with too few trials.
        """
        judged = [
            create_trial(params=trial.params, distributions=trial.distributions, value=figure)
            for trial in self._study.get_trials(deepcopy=False)
            if (figure := _figure(trial)) is not None
        ]
        if len(judged) < NEEDED_FOR_IMPORTANCE:
            return {}
        study = optuna.create_study(direction=self._study.direction)
        study.add_trials(judged)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
        with warnings.catch_warnings():
            # that a setting was drawn in few trials only; the table shows in which
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}


def _figure(trial: FrozenTrial) -> float | None:
    """The figure of a trial that ended well or was pruned."""
    if not trial.state.is_finished():
        return None
    record = TrialRecord.model_validate(trial.user_attrs[RECORD])
    return record.figure if record.outcome in ("complete", "pruned") else None


def _sampler(name: str, seed: int) -> BaseSampler:
    if name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, multivariate=True)


def _pruner(pruning: Pruning | None) -> BasePruner:
    if pruning is None:
        return NopPruner()
    return SuccessiveHalvingPruner(min_resource=pruning.min_epochs, reduction_factor=pruning.factor)


def _check_terms(study: optuna.Study, terms: Terms, folder: Path) -> None:
    new = terms.model_dump()
    old = study.user_attrs.get(_TERMS, new)
    if old == new:
        study.set_user_attr(_TERMS, new)
        return
    raise InputError(
        "the output folder holds another search; it differs in "
        + ", ".join(key.removesuffix("_sha256") for key in new if old.get(key) != new[key]),
        where=folder,
        fix="choose another --out, or delete the folder",
    )
