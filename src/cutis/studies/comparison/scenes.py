"""Runs with the catalog, split and photos that they were trained and are judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cutis.data.catalog import Catalog
from cutis.data.splits import Split, load_split, part_rows
from cutis.errors import InputError
from cutis.records import Part, Provenance
from cutis.studies.comparison.record import Entry
from cutis.training.run import Run, catalog_of, load_run


@dataclass(frozen=True, eq=False)
class Scene:
    """A split of a catalog under a view."""

    catalog: Catalog
    split: Split
    rows: Mapping[Part, pd.DataFrame]


@dataclass(frozen=True)
class Opened:
    """An entry with its run and scene; runs of one split share the scene."""

    entry: Entry
    run: Run
    scene: Scene

    @property
    def judged_rows(self) -> pd.DataFrame:
        """The photos that it is judged on."""
        return self.scene.rows[self.entry.part]


def open_entries(entries: Sequence[Entry], data: Path | None) -> list[Opened]:
    """Opens every run, before any of them is judged.

    Raises InputError for no entry or one that stands twice, a run that has not ended, a catalog
    or split that is gone or has changed since the training, and a part without a photo.
    """
    if not entries:
        raise InputError("there is nothing to compare", expected="one run or more")
    _refuse_twice(entries)
    catalogs: dict[Path, Catalog] = {}
    scenes: dict[tuple[Path, str, str | None], Scene] = {}
    opened = []
    for entry in entries:
        run = load_run(entry.run)
        made = run.info.provenance
        folder = (entry.data or data or catalog_of(entry.run)).resolve()
        if folder not in catalogs:
            catalogs[folder] = Catalog.open(folder)
        key = (folder, made.split_name, run.info.view)
        if key not in scenes:
            scenes[key] = _scene(catalogs[folder], made.split_name, run.info.view)
        _refuse_another(scenes[key], made, entry)
        opened.append(Opened(entry, run, scenes[key]))
    return opened


def _scene(catalog: Catalog, split_name: str, view: str | None) -> Scene:
    split = load_split(catalog, split_name)
    return Scene(
        catalog, split, {part: part_rows(catalog, split, part, view=view) for part in Part}
    )


def _refuse_twice(entries: Sequence[Entry]) -> None:
    places = [(entry.run.resolve(), entry.part) for entry in entries]
    names = [entry.name for entry in entries]
    for number, entry in enumerate(entries):
        if places[number] in places[:number]:
            raise InputError("this run stands twice", where=entry.run, fix="name each run once")
        if entry.name in names[:number]:
            raise InputError(f"two runs are called '{entry.name}'", expected="a name for each")


def _refuse_another(scene: Scene, made: Provenance, entry: Entry) -> None:
    catalog, split = scene.catalog, scene.split
    if catalog.sha256 != made.catalog_sha256:
        raise InputError(
            "the run was trained on another catalog, or the catalog has changed since",
            where=catalog.folder,
            expected=f"the content hash {made.catalog_sha256[:12]}…, not {catalog.sha256[:12]}…",
            fix=f"give the catalog of {entry.run} with --data, or compare runs of one catalog",
        )
    if split.info.sha256 != made.split_sha256:
        raise InputError(
            f"the split '{split.name}' has changed since {entry.run} was trained",
            where=catalog.folder,
            expected=f"the hash {made.split_sha256[:12]}…, not {split.info.sha256[:12]}…",
            fix="train again on the split as it is now",
        )
    if scene.rows[entry.part].empty:
        raise InputError(
            f"the part '{entry.part}' of the split '{split.name}' holds no photo",
            where=catalog.folder,
            fix="choose another --part",
        )
