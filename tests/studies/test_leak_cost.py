"""The study as a whole, on drawn photos."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.errors import InputError, RecipeError
from cutis.studies import engines
from cutis.studies.engines import HEAD, NEAREST
from cutis.studies.leak_cost import leak_cost
from cutis.studies.leak_cost_record import Inflation, LeakCost
from cutis.training.loop import History


def measured(catalog: Catalog, recipe: Path, **options: object) -> LeakCost:
    return leak_cost(recipe, catalog.folder, weights="none", **options)  # type: ignore[arg-type]


def row(cost: LeakCost, classifier: str, photos: str, score: str = "accuracy") -> Inflation:
    (found,) = (
        i
        for i in cost.inflations
        if (i.classifier, i.test_photos, i.score) == (classifier, photos, score)
    )
    return found


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """120 photos of 60 lesions, two equal ones each; looks say nothing about the diagnosis."""
    folder = tmp_path_factory.mktemp("twins")
    rng = np.random.default_rng(0)
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    (folder / "twins" / "HAM10000_images_part_1").mkdir(parents=True)
    for lesion in range(60):
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(pixels).resize((48, 36), Image.Resampling.BICUBIC)
        for twin in range(2):
            name = f"ISIC_{2 * lesion + twin:07d}"
            photo.save(folder / "twins" / "HAM10000_images_part_1" / f"{name}.jpg", quality=95)
            lines.append(f"HAM_{lesion:07d},{name},{'mel' if lesion % 2 else 'nv'},histo,40,male,")
    (folder / "twins" / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    return import_sources([folder / "twins"], folder / "catalog").catalog


def test_a_look_up_finds_identical_siblings(twins: Catalog, recipe: Path) -> None:
    cost = measured(twins, recipe, seeds=3)
    found = row(cost, NEAREST, "with siblings")
    assert found.with_siblings == 1.0
    assert found.inflation is not None
    assert found.inflation > 0.25
    assert found.low is not None
    assert found.low > 0.1
    assert found.groups <= found.photos <= sum(t.test_with_siblings for t in cost.trials)


def test_counts_are_those_of_the_trials(drawn: Catalog, recipe: Path) -> None:
    cost = measured(drawn, recipe, seeds=2)
    assert [trial.seed for trial in cost.trials] == [0, 1]
    assert cost.diagnoses == ("melanocytic_nevus", "melanoma")
    for trial in cost.trials:
        assert sum(trial.training_by_diagnosis.values()) == trial.training
        assert trial.test + trial.siblings + trial.validation + trial.training == 90
    assert len(row(cost, HEAD, "all", "auroc_macro").by_seed) == 2
    assert LeakCost.model_validate_json(cost.model_dump_json()) == cost


def test_same_seed_same_record_and_features_are_computed_once(
    drawn: Catalog, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(drawn, recipe, seeds=2)
    monkeypatch.setattr(
        "cutis.studies.features.photo_batches", lambda *_: pytest.fail("decoded again")
    )
    assert measured(drawn, recipe, seeds=2) == first
    other = measured(drawn, recipe, seeds=2, overrides=["seed=0", "model.dropout=0.5"])
    assert other.inflations == first.inflations  # a linear head has L2 instead of dropout


def test_other_pixels_are_other_features(drawn: Catalog, recipe: Path) -> None:
    cache = drawn.folder / ".cache"
    measured(drawn, recipe, seeds=1)
    before = len(list(cache.glob("features-*.npy")))
    measured(drawn, recipe, seeds=1, overrides=["input.size=40"])
    assert len(list(cache.glob("features-*.npy"))) == before + 1


def test_full_training_goes_on_where_it_stopped(
    drawn: Catalog, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(engines.Trainer):
        """Ends after its first epoch."""

        def fit(self) -> History:
            def stop(history: History) -> None:
                raise KeyboardInterrupt

            self.after_epoch = stop
            return super().fit()

    epochs = ["stage.1.epochs=2"]
    with monkeypatch.context() as patch:
        patch.setattr(engines, "Trainer", Stopped)
        with pytest.raises(KeyboardInterrupt):
            measured(drawn, recipe, seeds=1, full=True, overrides=epochs)
    kept = drawn.folder / ".cache" / "leak-cost"
    assert [file.suffix for file in kept.iterdir()] == [".pt"]
    cost = measured(drawn, recipe, seeds=1, full=True, overrides=epochs)
    assert [file.suffix for file in kept.iterdir()] == [".npy", ".npy"]
    monkeypatch.setattr(engines.Trainer, "fit", lambda self: pytest.fail("trained again"))
    assert measured(drawn, recipe, seeds=1, full=True, overrides=epochs) == cost
    assert {i.classifier for i in cost.inflations} == {engines.RECIPE}


def test_folder_holds_record_page_and_figure(
    drawn: Catalog, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "leak"
    arguments = ["leak-cost", str(recipe), "--data", str(drawn.folder), "--weights", "none"]
    assert run([*arguments, "--seeds", "1", "--out", str(out), "seed=7"]) == 0
    printed = capsys.readouterr().out
    assert "Siblings of the test photos in training change" in printed
    record = json.loads((out / "leak-cost.json").read_text())
    assert record["trials"][0]["seed"] == 7
    names = {"leak-cost.json", "page.html", "inflation.png", "inflation.svg"}
    assert {file.name for file in out.iterdir()} == names
    page = (out / "page.html").read_text()
    assert page.count(f">{NEAREST}<") == 9  # three scores on three kinds of test photos
    assert "http" not in page.replace("http://www.w3.org", "")


def test_out_that_holds_something_else_is_refused_before_any_work(
    drawn: Catalog, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(Catalog, "open", lambda folder: pytest.fail("worked before the check"))
    with pytest.raises(InputError, match="already holds something else"):
        measured(drawn, recipe, out=tmp_path)


def test_catalog_without_siblings(
    tmp_path: Path, recipe: Path, draw_folder: Callable[[Path], Path]
) -> None:
    catalog = import_sources([draw_folder(tmp_path / "clinic")], tmp_path / "catalog").catalog
    with pytest.raises(InputError, match="no two photos of the catalog belong together"):
        measured(catalog, recipe)


def test_no_seed_is_refused(drawn: Catalog, recipe: Path) -> None:
    with pytest.raises(InputError, match="0 seeds are not possible"):
        measured(drawn, recipe, seeds=0)


def test_diagnosis_without_a_training_photo(drawn: Catalog, recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"no training photo without a sibling.*dermatofibroma"):
        measured(drawn, recipe, overrides=["view=ham7"])
