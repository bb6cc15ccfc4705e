"""What cannot be compared is refused before any work."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cutis.data.catalog import Catalog
from cutis.data.splits import make_split
from cutis.errors import InputError
from cutis.studies.comparison import Entry, compare, judging

from .conftest import World


def refused(entries: list[Entry], out: Path, match: str, data: Path | None = None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "predict_run", lambda *a: pytest.fail("predicted before the check"))
        with pytest.raises(InputError, match=match):
            compare(entries, out, title="Refused", data=data)
    assert not list(out.parent.glob("*page*")), "something half-written stayed"


def test_nothing_to_compare(tmp_path: Path) -> None:
    refused([], tmp_path / "page", "there is nothing to compare")


def test_the_same_run_twice(world: World, tmp_path: Path) -> None:
    one = world.entry("both-0")
    refused([one, replace(one, name="again")], tmp_path / "page", "this run stands twice")


def test_two_entries_of_one_name(world: World, tmp_path: Path) -> None:
    entries = [world.entry("both-0"), replace(world.entry("both-1"), name="both-0")]
    refused(entries, tmp_path / "page", "two runs are called 'both-0'")


def test_a_run_that_has_not_ended(world: World, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(world.runs["both-0"] / "recipe.toml", begun)
    entries = [world.entry("both-0"), Entry("begun", begun, "begun")]
    refused(entries, tmp_path / "page", "the run has not ended")


@pytest.mark.usefixtures("undrawn")
def test_a_catalog_that_is_gone(world: World, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(world.runs["both-0"], run)
    (run / "catalog.txt").write_text(str(tmp_path / "gone"))
    refused([Entry("run", run, "run")], tmp_path / "page", r"is not where it was[\s\S]*--data")
    compare([Entry("run", run, "run")], tmp_path / "page", title="Found", data=world.catalog)
    assert (tmp_path / "page" / "page.html").is_file()


def test_another_catalog_and_another_split(world: World, tmp_path: Path) -> None:
    other = tmp_path / "catalog"
    shutil.copytree(world.catalog, other)
    make_split(Catalog.open(other), seed=5)
    entry = world.entry("both-0")
    refused([entry], tmp_path / "page", "the split 'default' has changed since", data=other)
    unknown = replace(entry, run=tmp_path / "run")
    shutil.copytree(world.runs["both-0"], unknown.run)
    model = unknown.run / "model.json"
    own = Catalog.open(world.catalog).sha256
    model.write_text(model.read_text().replace(own, "0" * 64))
    refused([unknown], tmp_path / "page", "trained on another catalog", data=world.catalog)


def test_an_output_folder_with_other_things(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused([world.entry("both-0")], tmp_path / "mine", "already holds something else")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
