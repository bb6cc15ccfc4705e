"""A search whose trials look at the lesion."""

from pathlib import Path

import pytest

from cutis.errors import InputError, RecipeError
from cutis.recipes import Recipe
from cutis.training import job

from .conftest import searched, written


def test_every_trial_gets_the_segmenter(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, masked = written(tmp_path), ["input.lesion=mask"]
    with pytest.raises(RecipeError, match="no segmenter is given"):
        searched(recipe, catalog, tmp_path / "out", overrides=masked)
    given = []

    def note(*places: object, segmenter: Path, **options: object) -> None:
        given.append(segmenter)
        raise RecipeError("that will do")

    for place in ("search", "search_trials"):
        monkeypatch.setattr(f"cutis.studies.{place}.open_segmenter", lambda *_: "opened")
    monkeypatch.setattr("cutis.studies.search.weights_sha256", lambda segmenter: "5e6")
    monkeypatch.setattr(job, "train", note)
    with pytest.raises(InputError, match="that will do"):
        searched(recipe, catalog, tmp_path / "out", overrides=masked, segmenter=tmp_path / "masks")
    assert given == [tmp_path / "masks"] * 3
    # the masks of another segmenter would make another search
    monkeypatch.setattr("cutis.studies.search.weights_sha256", lambda segmenter: "0dd")
    with pytest.raises(InputError, match="another"):
        searched(recipe, catalog, tmp_path / "out", overrides=masked, segmenter=tmp_path / "masks")


@pytest.mark.parametrize(
    "space",
    [
        '"input.lesion" = { choices = ["none", "mask"] }',
        '"input" = { choices = [{ size = 32 }, { size = 32, lesion = "mask" }] }',
    ],
)
def test_a_trial_on_whole_photos_goes_without_the_segmenter(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    recipe, masks = written(tmp_path, space), tmp_path / "masks"
    with pytest.raises(RecipeError, match="'mask' needs masks, and no segmenter is given"):
        searched(recipe, catalog, tmp_path / "out")
    given = {}

    def note(plan: Recipe, *places: object, segmenter: Path | None, **options: object) -> None:
        given[plan.input.lesion] = segmenter
        raise RecipeError("that will do")

    def loaded(folder: Path) -> str:
        assert folder == masks
        return "opened"

    monkeypatch.setattr("cutis.training.segmentation.load_segmenter_run", loaded)
    monkeypatch.setattr("cutis.studies.search.weights_sha256", lambda segmenter: "5e6")
    monkeypatch.setattr("cutis.studies.search_queue._BARREN", 9)
    monkeypatch.setattr(job, "train", note)
    with pytest.raises(InputError, match="that will do"):
        searched(recipe, catalog, tmp_path / "out", segmenter=masks)
    assert given == {"none": None, "mask": masks}
