"""From finished runs to one page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cutis import __version__
from cutis.errors import InputError
from cutis.metrics.bootstrap import Resampling
from cutis.storage import staged_folder
from cutis.studies.comparison.epochs import with_epoch_tests
from cutis.studies.comparison.judging import MARKER, Judged, judge, kept_predictions
from cutis.studies.comparison.page import render
from cutis.studies.comparison.pairs import pairs_of, unpaired
from cutis.studies.comparison.pictures import draw_all
from cutis.studies.comparison.record import (
    Arm,
    Comparison,
    Entry,
    EntryRecord,
    Published,
    PublishedRecord,
    Spread,
)
from cutis.studies.comparison.scenes import open_entries
from cutis.studies.comparison.words import verdict

PAGE = "page.html"


def compare(
    entries: Sequence[Entry],
    out: Path,
    *,
    title: str,
    data: Path | None = None,
    published: Sequence[Published] = (),
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Judges runs side by side and writes page.html, comparison.json, predictions and figures.

    Every evaluation of a test part is counted in its split. Predictions that an older comparison
    in the same place holds, of the same weights and photos, are taken over and not counted again.

    Args:
        out: a new or empty folder, or an older comparison, which is replaced.
        data: the catalog of all runs; by default each run's own, where it lay at training.
        published: figures of others, shown beside ours.
        notes: what a reader has to know about the runs, sentences by heading.

    Raises InputError, before anything is predicted, for runs that cannot be judged; see
    `scenes.open_entries`.
    """
    resampling = Resampling()
    with staged_folder(out, MARKER) as folder:
        opened = open_entries(entries, data)
        _refuse_mixed_arms([(one.entry, one.run.info.diagnoses) for one in opened])
        kept = kept_predictions(out)
        judged = [
            judge(one, number, kept, resampling)
            for number, one in enumerate(
                tqdm(opened, desc="judging", unit="run", disable=None), start=1
            )
        ]
        comparison = _compared(judged, title, published, notes or {}, resampling)
        for one in judged:
            one.predictions.to_parquet(folder / one.record.predictions, index=False)
        (folder / MARKER).write_text(comparison.model_dump_json(indent=1) + "\n", encoding="utf-8")
        drawn = draw_all(comparison, folder)
        (folder / PAGE).write_text(render(comparison, drawn, judged), encoding="utf-8")
    return comparison


def _refuse_mixed_arms(entries: Sequence[tuple[Entry, tuple[str, ...]]]) -> None:
    first: dict[str, tuple[Entry, tuple[str, ...]]] = {}
    for entry, diagnoses in entries:
        other, known = first.setdefault(entry.arm, (entry, diagnoses))
        if (diagnoses, entry.part) != (known, other.part):
            raise InputError(
                f"'{other.name}' and '{entry.name}' cannot be one arm",
                expected="the same diagnoses and the same part in all entries of an arm",
                fix="give them arms of their own",
            )


def _compared(
    judged: Sequence[Judged],
    title: str,
    published: Sequence[Published],
    notes: Mapping[str, Sequence[str]],
    resampling: Resampling,
) -> Comparison:
    records = with_epoch_tests([one.record for one in judged], resampling)
    arms = _arms(records)
    pairs = pairs_of(judged, resampling)
    given = tuple(PublishedRecord(name=p.name, figures=dict(p.figures)) for p in published)
    return Comparison(
        cutis_version=__version__,
        title=title,
        verdict=verdict(given, arms, {record.name: record for record in records}, pairs),
        notes={heading: tuple(texts) for heading, texts in notes.items()},
        unsafe=any(record.unsafe for record in records),
        published=given,
        arms=arms,
        entries=records,
        pairs=pairs,
        unpaired=unpaired(judged),
        resamples=resampling.resamples,
        threads=torch.get_num_threads(),
    )


def _arms(records: Sequence[EntryRecord]) -> tuple[Arm, ...]:
    by_arm: dict[str, list[EntryRecord]] = {}
    for record in records:
        by_arm.setdefault(record.arm, []).append(record)
    return tuple(
        Arm(
            name=name,
            unsafe=any(record.unsafe for record in held),
            entries=tuple(record.name for record in held),
            figures=_spreads(held, lambda r: {k: f.value for k, f in r.figures.items()}),
            train_figures=_spreads(held, lambda record: record.train_figures),
        )
        for name, held in by_arm.items()
    )


def _spreads(
    records: Sequence[EntryRecord],
    figures_of: Callable[[EntryRecord], Mapping[str, float | None]],
) -> dict[str, Spread]:
    columns = [figures_of(record) for record in records]
    return {name: _spread([column[name] for column in columns]) for name in columns[0]}


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    return Spread(
        mean=float(np.mean(known)) if known else None,
        deviation=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        low=min(known, default=None),
        high=max(known, default=None),
        entries=len(known),
    )
