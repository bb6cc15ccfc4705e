"""`cutis compare`: runs side by side, and which of their differences hold."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cutis.cli.extras import needs_training
from cutis.cli.tables import print_table
from cutis.errors import InputError
from cutis.records import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutis.studies.comparison import Comparison, Entry, Published
    from cutis.training.run import Run


def compare(
    runs: Annotated[list[Path], Argument(metavar="RUN...", show_default=False)],
    out: Annotated[Path, Option(metavar="PAGE", help="Folder of the page.")],
    data: Annotated[
        Path | None,
        Option(
            metavar="CATALOG", help="The photos; by default each run's own.", show_default=False
        ),
    ] = None,
    part: Annotated[Part, Option(help="Part of the split on which the runs are judged.")] = (
        Part.TEST
    ),
    published: Annotated[
        Path | None,
        Option(
            metavar="FILE.toml",
            help="Figures of others, a table a column: [paper] accuracy = 0.92.",
            show_default=False,
        ),
    ] = None,
) -> "Comparison":
    """Judge runs side by side, with their spread over seeds and paired tests."""
    with needs_training():
        from cutis.studies.comparison import compare as judged_side_by_side
        from cutis.training.run import load_run
    entries = _entries([load_run(run) for run in runs], part)
    return judged_side_by_side(
        entries,
        out,
        title=f"Comparison of {len(entries)} runs" if len(entries) > 1 else entries[0].name,
        data=data,
        published=_published(published) if published else (),
    )


def _entries(runs: "Sequence[Run]", part: Part) -> "list[Entry]":
    """Entries named after their folders; runs whose recipes differ in the seed only are an arm."""
    from cutis.studies.comparison import Entry

    folders = [run.folder.resolve().name for run in runs]
    splits = {run.info.provenance.split_name for run in runs}
    arms: dict[str, str] = {}
    entries = []
    for run, folder in zip(runs, folders, strict=True):
        recipe = _without_seed(run)
        name = folder if folders.count(folder) == 1 else str(run.folder)
        if recipe not in arms:
            made = run.info.provenance
            split = len(splits) > 1 and made.split_name != "default"
            arm = made.recipe + (f", split {made.split_name}" if split else "")
            arms[recipe] = f"{arm} ({name})" if arm in arms.values() else arm
        entries.append(Entry(name, run.folder, arms[recipe], part))
    return entries


def _without_seed(run: "Run") -> str:
    """The recipe as run, with catalog, split and start weights in its head, but for the seed."""
    text = (run.folder / "recipe.toml").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("seed = "))


def _published(file: Path) -> "list[Published]":
    from cutis.studies.comparison import Published

    try:
        columns = tomllib.loads(file.read_text(encoding="utf-8"))
        return [
            Published(name, {key: float(value) for key, value in figures.items()})
            for name, figures in columns.items()
        ]
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"the published figures cannot be read: {error}",
            where=file,
            expected="TOML with a table for each column, such as [paper] and accuracy = 0.92",
        ) from error


def show(comparison: "Comparison") -> int:
    """Prints each arm's figures and the verdict."""
    from cutis.studies.comparison.words import spread_words

    names = ("accuracy", "balanced_accuracy", "f1_macro")
    print_table(
        ["", *(name.replace("_", " ") for name in names)],
        [
            [f"{arm.name} (UNSAFE)" if arm.unsafe else arm.name,
             *(spread_words(arm.figures[name]) for name in names)]
            for arm in comparison.arms
        ],
    )  # fmt: skip
    for sentence in comparison.verdict:
        print(sentence)
    for reason in comparison.unpaired:
        print(reason)
    return 0
