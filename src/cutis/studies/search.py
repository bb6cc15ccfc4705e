"""A search for better values of a recipe's settings, over the space written in the recipe.

Trials are drawn at random (Bergstra and Bengio 2012) or by TPE (Bergstra et al. 2011), both from
Optuna, and each is trained into a run folder of its own. The objective is the recipe's monitored
figure on validation; the test part is not read. The study lives in `search.db`, and the same call
goes on where a stop left it. See docs/verbs/search.md.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import tomlkit

from cutis import __version__
from cutis.data.catalog import Catalog
from cutis.data.splits import Split, load_split
from cutis.errors import InputError, RecipeError
from cutis.recipes import Recipe, load_recipe
from cutis.recipes.search_space import SamplerName, Search
from cutis.storage import commit_files, refuse_other_content, sha256_file
from cutis.studies.search_page import write_page
from cutis.studies.search_queue import Trials, one_by_one
from cutis.studies.search_record import SearchResult, Terms, TrialRecord
from cutis.studies.search_study import DATABASE, Study, opened_study
from cutis.studies.search_trials import Bench
from cutis.training.lesion_masks import open_segmenter, weights_sha256
from cutis.training.train import start_of

RECORD = "search.json"
BEST = "best.toml"


def search(
    recipe: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "default",
    weights: str = "imagenet",
    segmenter: Path | None = None,
    trials: int | None = None,
    sampler: SamplerName | None = None,
    seed: int = 0,
    timeout: float | None = None,
    overrides: Sequence[str] = (),
    run: Callable[[Trials], None] = one_by_one,
) -> SearchResult:
    """Trains points of the recipe's space until there are `trials` of them, or goes on with it.

    `out` gets `best.toml` (a recipe), `search.json`, `page.html`, the study, and a folder a trial;
    only the best trial keeps its weights.

    Args:
        segmenter: the segmentation run that draws the masks of `input.lesion`, where the recipe
            or the space has them; trials on whole photos go without.
        seed: of the draws. With random draws the trials are the same however often the search was
            interrupted.
        timeout: minutes after which no trial begins.
        run: trains the trials that it is given.

    Raises InputError or RecipeError for a recipe without a space or with a setting of the space
    among `overrides`, for one that does not fit the data, for an `out` that holds another search
    or something else, and where no trial at all came to its end.
    """
    _check_options(trials, seed, timeout)
    plan = load_recipe(recipe, overrides)
    space = _space(plan, trials, sampler, overrides)
    catalog = Catalog.open(data)
    parts = load_split(catalog, split)
    start_of(plan, catalog, parts, weights)  # what fits nowhere is refused before any trial
    masker = open_segmenter(_masked(plan, space), segmenter)
    refuse_other_content(out, DATABASE)
    out.mkdir(parents=True, exist_ok=True)
    masked_by = None if masker is None else weights_sha256(masker)
    terms = _terms(plan, space, seed, catalog, parts, weights, masked_by)
    bench = Bench(recipe, tuple(overrides), plan, space, catalog, parts, out, weights, segmenter)
    lower = plan.monitor == "validation_loss"
    deadline = None if timeout is None else time.monotonic() + 60 * timeout
    with opened_study(out / DATABASE, terms, space.pruning, lower_is_better=lower) as study:
        trials_left = Trials(
            bench, study, deadline, lambda: _note(bench, _result(bench, study, terms))
        )
        with trials_left.shown():
            run(trials_left)
        result = _result(bench, study, terms)
        _note(bench, result)
    _refuse_nothing(result)
    write_page(result, space, out)
    return result


def _check_options(trials: int | None, seed: int, timeout: float | None) -> None:
    if trials is not None and trials < 1:
        raise InputError(f"{trials} trials are not possible", expected="1 or more")
    if seed < 0:
        raise InputError(f"{seed} is not possible as a seed", expected="0 or more")
    if timeout is not None and not timeout > 0:
        raise InputError(f"{timeout} minutes are not possible", expected="more than 0")


def _space(
    plan: Recipe, trials: int | None, sampler: SamplerName | None, overrides: Sequence[str]
) -> Search:
    if plan.search is None:
        raise RecipeError(
            f"the recipe '{plan.name}' says nothing about a search",
            expected="a section [search] with [search.space]",
            fix="see docs/verbs/search.md, or try the recipe mobilenetv2-head-search",
        )
    fixed = {setting.partition("=")[0] for setting in overrides} & set(plan.search.space)
    if fixed:
        raise RecipeError(
            f"the search draws {', '.join(sorted(fixed))}, so no setting can give it a value",
            fix="leave the setting away, or take the parameter out of [search.space]",
        )
    given = {"trials": trials, "sampler": sampler}
    return plan.search.model_copy(update={k: v for k, v in given.items() if v is not None})


def _masked(plan: Recipe, space: Search) -> str:
    """The first `input.lesion` of the recipe and the space that needs a segmenter, else none."""
    values = [plan.input.lesion]
    for key, parameter in space.space.items():
        if key == "input.lesion":
            values += parameter.choices or ()
        elif key == "input":
            values += [table.get("lesion", "none") for table in parameter.choices or ()]
    return next((value for value in values if value != "none"), "none")


def _terms(
    plan: Recipe,
    space: Search,
    seed: int,
    catalog: Catalog,
    parts: Split,
    weights: str,
    segmenter_sha256: str | None,
) -> Terms:
    text = plan.model_copy(update={"search": space}).model_dump_json(
        exclude={"search": {"trials", "sampler"}}
    )
    return Terms(
        recipe=plan.name,
        recipe_sha256=hashlib.sha256(text.encode()).hexdigest(),
        sampler=space.sampler,
        seed=seed,
        catalog_sha256=catalog.sha256,
        split_name=parts.name,
        split_sha256=parts.info.sha256,
        weights=sha256_file(Path(weights)) if Path(weights).is_file() else weights,
        segmenter_sha256=segmenter_sha256,
    )


def _result(bench: Bench, study: Study, terms: Terms) -> SearchResult:
    return SearchResult(
        cutis_version=__version__,
        terms=terms,
        monitor=bench.plan.monitor,
        lower_is_better=bench.plan.monitor == "validation_loss",
        unsafe=bench.parts.info.unsafe,
        wanted=bench.space.trials,
        trials=tuple(study.records()),
        importance=study.importance(),
    )


def _note(bench: Bench, result: SearchResult) -> None:
    """Writes what is known after a trial, and frees the disk of what was not the best."""
    best = next(iter(result.ranked()), None)
    texts = {RECORD: result.model_dump_json(indent=1) + "\n"}
    if best is not None:
        texts[BEST] = _best_recipe(bench, result, best)
    commit_files(bench.out, {name: partial(_write, text) for name, text in texts.items()})
    bench.clear_up(best, result.trained())


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _best_recipe(bench: Bench, result: SearchResult, best: TrialRecord) -> str:
    recipe = bench.recipe_of(best)
    tree = recipe.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"search"})
    terms = result.terms
    ended = ", ".join(f"{count} {outcome}" for outcome, count in result.counts().items())
    name = Path(bench.weights).name
    segmenter = bench.segmenter_for(recipe)
    masked = f" --segmenter {segmenter.name}" if segmenter is not None else ""
    note = (
        f"# The best of a search: trial {best.number:04d} over the recipe '{terms.recipe}'.\n#\n"
        f"# Trials:    {len(result.trained())} ({ended}), sampler {terms.sampler}, seed "
        f"{terms.seed}.\n"
        f"# Figure:    {result.monitor} {best.figure:.6g}. It was chosen on validation\n"
        "#            as the best of these trials and is therefore optimistic; the test part was\n"
        "#            not read.\n"
        f"# Data:      catalog {terms.catalog_sha256[:12]}, split {terms.split_name} "
        f"{terms.split_sha256[:12]}{' UNSAFE' if result.unsafe else ''}.\n"
        f"# Command:   cutis train {BEST} --data CATALOG --out RUN --weights {name}{masked}\n"
    )
    return note + tomlkit.dumps(tree)


def _refuse_nothing(result: SearchResult) -> None:
    if result.ranked():
        return
    reasons = [trial.reason for trial in result.trials if trial.reason]
    ended = ", ".join(f"{count} {outcome}" for outcome, count in result.counts().items())
    raise RecipeError(
        f"no trial of the search came to its end: {ended or 'none began'}",
        where=f"[search.space] of the recipe '{result.terms.recipe}'",
        expected="a point of the space that can be trained; the last reason was: " + reasons[-1]
        if reasons
        else None,
        fix="correct the space" if reasons else "give a longer --timeout",
    )
