"""Published systems run both ways on drawn photos, and what is refused before any training."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import Split, load_split, split_names
from cutis.errors import InputError, RecipeError
from cutis.recipes.paper import Way
from cutis.records import Part
from cutis.studies import reproduce as study
from cutis.studies.comparison.record import Comparison, Copied, Spread
from cutis.studies.reproduce import carry_out, notes_of
from cutis.studies.reproduce_plan import Plan, plan_reproduction, system_names
from cutis.studies.reproduction import FIGURE_NAMES, Row, conclusions_of
from cutis.training.run import load_run

QUICK = ("model.backbone=small_cnn", "input.size=32", "stage.1.epochs=1")


@pytest.fixture
def planned(drawn: Catalog, tmp_path: Path) -> Callable[..., Plan]:
    """Plans a reproduction of configuration A, or of another name, on drawn photos."""

    def plan(name: str = "melanoma-2025-a", *more: str, **options: object) -> Plan:
        given: dict[str, object] = {"out": tmp_path / "rep", "weights": "none"} | options
        return plan_reproduction(name, drawn.folder, overrides=[*QUICK, *more], **given)  # type: ignore[arg-type]

    return plan


def test_both_ways_to_one_page(
    drawn: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rep"
    arguments = ["reproduce", "melanoma-2025-a", "--data", str(drawn.folder), "--out", str(out)]
    assert run([*arguments, "--weights", "none", *QUICK]) == 0
    printed = capsys.readouterr()
    assert "melanoma-2025-a: 2 trainings" in printed.err
    assert "training 2 of 2: melanoma-2025-a, leak-free, seed 0" in printed.err
    assert "0.880" in printed.out
    assert f"page: {out / 'comparison' / 'page.html'}" in printed.out

    runs = {way: load_run(out / "runs" / "melanoma-2025-a" / f"{way}-seed-0") for way in Way}
    assert {way: run.info.provenance.unsafe for way, run in runs.items()} == {
        Way.PUBLISHED: True, Way.LEAK_FREE: False,
    }  # fmt: skip
    record = json.loads((out / "reproduction.json").read_text())
    rows = {row["figure"]: row for row in record["rows"]}
    assert set(rows) == set(FIGURE_NAMES)
    comparison = Comparison.model_validate_json((out / "comparison/comparison.json").read_bytes())
    published, clean = (arm.figures["accuracy"] for arm in comparison.arms)
    assert rows["accuracy"]["published"] == 0.8805
    assert rows["accuracy"]["as_published"] == published.model_dump()
    assert rows["accuracy"]["leak_free"] == clean.model_dump()
    assert published.mean is not None
    assert clean.mean is not None
    points = round(100 * (clean.mean - published.mean), 1) + 0.0
    assert f"leak-free ({points:+.1f} points)." in record["conclusions"][0]
    page = (out / "comparison" / "page.html").read_text()
    assert "by image, UNSAFE, seed 42" in page
    assert "padding of strided convolutions" in page


def photos_of(split: Split) -> dict[Part, int]:
    return {Part(name): sum(counts.values()) for name, counts in split.info.counts.items()}


def test_splits_are_the_papers_and_a_clean_one(planned: Callable[..., Plan]) -> None:
    plan = planned()
    published, clean = (plan.dealt[way].split for way in Way)
    assert (published.name, clean.name) == ("published-melanoma-2025", "leak-free-melanoma-2025")
    assert published.info.shares == clean.info.shares == (70, 15, 15)
    assert published.info.seed == clean.info.seed == 42
    assert (published.info.unsafe, clean.info.unsafe) == (True, False)
    assert plan.dealt[Way.PUBLISHED].siblings > 0.3
    assert plan.dealt[Way.LEAK_FREE].siblings == 0
    assert plan.dealt[Way.LEAK_FREE].photos == photos_of(clean)


def test_a_paper_without_a_test_part_gets_one(planned: Callable[..., Plan]) -> None:
    plan = planned("sattarzadeh-2025", "view=benign-malignant", "stage.2.trainable=all")
    published, clean = (plan.dealt[way].split for way in Way)
    assert (published.info.shares, clean.info.shares) == ((80, 20, 0), (80, 10, 10))
    assert {t.way: t.part for t in plan.trainings} == {
        Way.PUBLISHED: Part.VALIDATION, Way.LEAK_FREE: Part.TEST,
    }  # fmt: skip


def test_a_stopped_reproduction_goes_on(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def stop_before_the_second(*arguments: object, **options: object) -> object:
        asked.append(str(arguments[2]))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    train: Callable[..., object] = study.train
    plan = planned()
    with monkeypatch.context() as patch:
        patch.setattr(study, "train", stop_before_the_second)
        with pytest.raises(KeyboardInterrupt):
            carry_out(plan)
    weights = plan.out / plan.trainings[0].folder / "model.safetensors"
    before = weights.stat().st_mtime_ns
    more = planned(seeds=[0, 1], only=Way.PUBLISHED)
    record = carry_out(more)
    assert weights.stat().st_mtime_ns == before
    assert record.seeds == (0, 1)
    assert record.rows[0].as_published is not None
    assert record.rows[0].as_published.entries == 2
    assert record.rows[0].leak_free is None
    assert record.conclusions == ()


def test_a_paper_that_tests_stages_is_run_cut_off_after_each(
    planned: Callable[..., Plan],
) -> None:
    stages = [f"stage.{n}.{key}" for n in (2, 3) for key in ("epochs=1", "trainable=all")]
    plan = planned("azeem-2025", "view=benign-malignant", *stages)
    names = ["azeem-2025-stage-1", "azeem-2025-stage-2", "azeem-2025"]
    assert [followed.recipe.name for followed in plan.recipes] == names
    assert [len(followed.recipe.stage) for followed in plan.recipes] == [1, 2, 3]
    assert plan.recipes[1].recipe.stage == plan.recipes[2].recipe.stage[:2]
    assert not plan.recipes[0].paper.published


def test_what_earlier_runs_stand_on_is_not_replaced(planned: Callable[..., Plan]) -> None:
    plan = planned()
    before = plan.dealt[Way.PUBLISHED].split.info.sha256
    with pytest.raises(InputError, match="another split 'published-melanoma-2025'"):
        planned("melanoma-2025-a", "paper.seed=7")
    assert load_split(plan.catalog, "published-melanoma-2025").info.sha256 == before
    record = '{"cutis_version": "0", "name": "melanoma-2025", "recipes": [], "catalog_sha256": "",'
    plan.out.mkdir()
    rest = '"weights": "none", "settings": [], "seeds": [0], "siblings": {}}'
    (plan.out / "reproduction.json").write_text(record + rest)
    with pytest.raises(InputError, match="holds a reproduction of 'melanoma-2025'"):
        planned()


def test_a_system_is_all_its_recipes(planned: Callable[..., Plan]) -> None:
    plan = planned("melanoma-2025", "model.backbone=mobilenet_v2_035", seeds=3)
    assert [f.recipe.name for f in plan.recipes] == system_names()["melanoma-2025"]
    assert len(plan.trainings) == 3 * 2 * 3
    assert len({training.folder for training in plan.trainings}) == 18
    assert "3 trainings" not in str(plan)
    assert "18 trainings" in str(plan)


def test_photos_without_siblings_cannot_show_the_leak(
    draw_folder: Callable[[Path], Path], tmp_path: Path
) -> None:
    catalog = import_sources([draw_folder(tmp_path / "clinic")], tmp_path / "catalog").catalog
    plan = plan_reproduction(
        "melanoma-2025-a", catalog.folder, out=tmp_path / "rep", weights="none", overrides=QUICK
    )
    siblings = {way: dealt.siblings for way, dealt in plan.dealt.items()}
    assert siblings == {Way.PUBLISHED: 0, Way.LEAK_FREE: 0}
    assert (
        "these photos cannot show the leak"
        in conclusions_of((row(0.8, 0.7),), siblings, "test")[-1]
    )


def row(as_published: float, leak_free: float | None, figure: str = "accuracy") -> Row:
    spreads = [
        None if mean is None else Spread(mean=mean, deviation=None, low=mean, high=mean, entries=1)
        for mean in (as_published, leak_free)
    ]
    return Row(recipe="x", figure=figure, published=None,
               as_published=spreads[0], leak_free=spreads[1])  # fmt: skip


def test_conclusions() -> None:
    leaky = {Way.PUBLISHED: 0.36, Way.LEAK_FREE: 0.0}
    first, last = conclusions_of((row(0.847, 0.838),), leaky, "test")
    assert first == "x: accuracy is 0.847 as published and 0.838 leak-free (-0.9 points)."
    assert last.startswith("As published, 36% of the judged photos")
    assert "(+0.0 points)" in conclusions_of((row(0.84, 0.8399),), leaky, "test")[0]
    assert conclusions_of((row(0.8, None),), leaky, "test") == ()
    assert "chose the epoch" in conclusions_of((row(0.8, 0.7),), leaky, "validation")[-1]


def test_with_copies_the_conclusion_is_on_balanced_accuracy() -> None:
    both = (row(0.9, 0.8), row(0.92, 0.7, "balanced_accuracy"))
    copies = {
        Way.PUBLISHED: {"melanoma": Copied(judged=10, copied=8)},
        Way.LEAK_FREE: {"melanoma": Copied(judged=7, copied=0)},
    }
    leaky = {Way.PUBLISHED: 0.9, Way.LEAK_FREE: 0.0}
    first, last = conclusions_of(both, leaky, "test", copies)
    assert first.startswith("x: balanced accuracy is 0.920 as published and 0.700 leak-free (-22")
    assert "8 of 10 judged photos stand in training" in last
    assert "balanced accuracy (macro recall) alone" in last
    assert "macro F1" not in last


def test_notes_say_everything_once(planned: Callable[..., Plan]) -> None:
    notes = [note for texts in notes_of(planned("melanoma-2025-a")).values() for note in texts]
    text = "\n".join(notes)
    assert text.count("13,879") == 1
    assert "Changed against the recipes: model.backbone=small_cnn" in text
    assert "1 of 3 seeds" in text
    assert "B is the best of the three" in text
    assert len(notes) == len(set(notes))
    assert "of 3 seeds" not in "\n".join(notes_of(planned(seeds=3))["Here"])


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("melanoma-2025-d", (), "did you mean 'melanoma-2025-"),
        ("cutis-small", (), "the recipe 'Cutis small'|'cutis-small' follows no paper"),
        ("sattarzadeh-2025", (), "no usable photo shows acne_and_rosacea, actinic_keratosis_bowen"),
        ("sattarzadeh-2025", (), "view=benign-malignant"),
        ("melanoma-2025-a", ("view=ham7",), "a sigmoid head answers two diagnoses"),
        ("melanoma-2025-a", ("stage.1.trainable=last 99",), "Keras layers"),
        ("melanoma-2025-a", ("stage.2.epochs=1",), "not a number from 1 to 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(
    planned: Callable[..., Plan], tmp_path: Path, name: str, more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        planned(name, *more)
    assert not (tmp_path / "rep").exists()


@pytest.mark.parametrize(
    ("seeds", "message"),
    [([0, 1, 0], "seeds repeat: 0"), (0, "not possible"), ([], "not possible"), ([-1], "from 0")],
)
def test_impossible_seeds(planned: Callable[..., Plan], seeds: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        planned(seeds=seeds)


@pytest.mark.parametrize(("seeds", "said"), [("1,1", "--seeds 1"), ("two", "'two' are no seeds")])
def test_seeds_of_the_command_line(
    drawn: Catalog, capsys: pytest.CaptureFixture[str], seeds: str, said: str
) -> None:
    data = str(drawn.folder)
    assert run(["reproduce", "melanoma-2025", "--data", data, "--seeds", seeds]) == 2
    assert said in capsys.readouterr().err


def test_out_that_holds_something_else(planned: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        planned(out=tmp_path)


def interrupted(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_another_reproduction_in_the_same_place(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carry_out(planned(only=Way.LEAK_FREE))
    with pytest.raises(InputError, match="a run of another recipe"):
        carry_out(planned("melanoma-2025-a", "model.dropout=0.5", only=Way.LEAK_FREE))


def test_own_recipe_file_with_a_paper(drawn: Catalog, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\n[model]\nbackbone = "small_cnn"\n[[stage]]\nepochs = 1\n[paper]\n'
        'system = "ours"\nreference = "r"\ndata = "d"\nshares = [60, 20, 20]\nseed = 3\n'
    )
    plan = plan_reproduction(str(own), drawn.folder, weights="none", only=Way.LEAK_FREE)
    assert plan.out == Path("reproduce-own")
    assert "leak-free-ours" in split_names(drawn)
    assert load_split(drawn, "leak-free-ours").info.seed == 3
