"""Over-sampling before the split: the derived catalog, what an audit says, and the two ways."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import save_file

from cutis.cli import run
from cutis.data.batches import different_photos
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.models.backbone import count_parameters
from cutis.recipes.paper import Way
from cutis.records import LinkKind, Part
from cutis.storage import sha256_file
from cutis.studies import reproduce as study
from cutis.studies.comparison.copies import copies_in_training, together
from cutis.studies.comparison.record import Comparison, Copied, Entry
from cutis.studies.comparison.scenes import open_entries
from cutis.studies.over_sampled import over_sample
from cutis.studies.reproduce import carry_out
from cutis.studies.reproduce_plan import Plan, plan_reproduction
from cutis.training.run import catalog_of, load_run
from cutis.training.segmentation import load_segmenter_run
from cutis.training.train import train

NUMBER = 45  # between the melanomas and the nevi of the drawn catalog

RECIPE = f"""
name = "copied"
batch_norm_momentum = 0.5
[input]
size = 32
[model]
backbone = "small_cnn"
[[stage]]
epochs = 1
batch_size = 16
imbalance = "over_sampling"
[paper]
system = "copied"
reference = "r"
data = "d"
shares = [60, 20, 20]
over_sampled = {NUMBER}
[paper.published]
accuracy = 0.99
"""


SEGMENTER = """
name = "tiny"
task = "segmentation"
[input]
size = 32
[model]
architecture = "unet"
filters = 4
[[stage]]
epochs = 1
batch_size = 16
"""


@pytest.fixture
def catalog(drawn: Catalog, tmp_path: Path) -> Catalog:
    """A catalog of the test's own: what is made of the drawn one is nobody else's."""
    shutil.copytree(drawn.folder, tmp_path / "catalog")
    return Catalog.open(tmp_path / "catalog")


@pytest.fixture
def copied_recipe(tmp_path: Path) -> Path:
    file = tmp_path / "copied.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def segmenter(catalog: Catalog, tmp_path: Path) -> Path:
    """A segmenter that knows most photos, but not all of a group."""
    file = tmp_path / "segmenter.toml"
    file.write_text(SEGMENTER)
    make_split(catalog, unsafe_by_image=True)
    return train(file, catalog.folder, tmp_path / "segmenter", weights="none").folder


@pytest.fixture
def planned(catalog: Catalog, copied_recipe: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Plans a reproduction of the paper that over-sampled."""

    def plan(*overrides: str, **options: object) -> Plan:
        given: dict[str, object] = {"out": tmp_path / "rep", "weights": "none"} | options
        return plan_reproduction(
            str(copied_recipe), catalog.folder, overrides=overrides, **given  # type: ignore[arg-type]
        )  # fmt: skip

    return plan


def interrupted(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def originals(catalog: Catalog) -> "pd.Series[str]":
    return catalog.photos["image_id"].str.partition("#")[0]


def test_every_diagnosis_gets_as_many_photos(catalog: Catalog, tmp_path: Path) -> None:
    before = catalog.usable()["diagnosis"].value_counts()
    assert before["melanoma"] < NUMBER < before["melanocytic_nevus"]
    made = over_sample(catalog, tmp_path / "made", photos=NUMBER, view=None, seed=0)
    counts = made.usable()["diagnosis"].value_counts().to_dict()
    assert counts == {"melanoma": NUMBER, "melanocytic_nevus": NUMBER}
    taken = originals(made)[made.photos["diagnosis"] == "melanoma"]
    assert set(taken) == set(
        catalog.photos.loc[catalog.photos["diagnosis"] == "melanoma", "image_id"]
    )
    drawn = originals(made)[made.photos["diagnosis"] == "melanocytic_nevus"]
    assert drawn.is_unique
    assert made.info.sources[0].photos == 2 * NUMBER


def test_a_copy_is_its_photo_under_another_name(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=200, view=None, seed=0)
    known = catalog.photos.set_index("image_id")
    copies = made.photos[made.photos["image_id"].str.contains("#")]
    assert len(copies) > 200
    for _, row in copies.iterrows():
        photo = known.loc[row["image_id"].partition("#")[0]]
        assert row["sha256"] == photo["sha256"]
        assert made.locate(row["path"]).samefile(catalog.locate(photo["path"]))
    numbers = Counter(originals(made))
    for name, times in numbers.items():
        wanted = {name, *(f"{name}#{number}" for number in range(2, times + 1))}
        assert wanted <= set(made.photos["image_id"])


def test_photos_inside_the_catalog_are_found(
    draw_folder: Callable[[Path], Path], tmp_path: Path
) -> None:
    photos = draw_folder(tmp_path / "clinic")
    catalog = import_sources([photos], tmp_path / "catalog", copy=True).catalog
    made = over_sample(catalog, tmp_path / "made", photos=15, view=None, seed=0)
    assert not Path(catalog.photos["path"].iloc[0]).is_absolute()
    assert all(made.locate(path).is_file() for path in made.photos["path"])


def test_the_seed_draws(catalog: Catalog, tmp_path: Path) -> None:
    made = [
        over_sample(catalog, tmp_path / str(number), photos=NUMBER, view=None, seed=seed)
        for number, seed in enumerate((0, 0, 1))
    ]
    assert made[0].sha256 == made[1].sha256 != made[2].sha256


def test_balanced_is_as_many_as_the_most_frequent(catalog: Catalog, tmp_path: Path) -> None:
    most = int(catalog.usable()["diagnosis"].value_counts().max())
    made = over_sample(catalog, tmp_path / "made", photos="balanced", view=None, seed=0)
    assert set(made.usable()["diagnosis"].value_counts()) == {most}


def test_what_belongs_together_still_does(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=NUMBER, view=None, seed=0)
    groups = make_split(catalog).table.set_index("image_id")["group"]
    derived = make_split(made).table.set_index("image_id")["group"]
    origin = originals(made)
    old = origin.map(groups).to_numpy()
    new = derived[made.photos["image_id"]].to_numpy()
    assert len(set(old)) < len(set(origin)) <= len(origin)
    assert len(set(zip(old, new, strict=True))) == len(set(old)) == len(set(new))
    kinds = made.links["kind"].value_counts()
    assert kinds[LinkKind.IDENTICAL_BYTES] == len(origin) - origin.nunique()
    assert kinds[LinkKind.SAME_LESION] > 0


def test_a_view_is_applied_to_the_copies(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=20, view="benign-malignant", seed=0)
    assert made.info.options.view == "benign-malignant"
    assert set(made.usable()["diagnosis"].value_counts()) == {20}
    assert set(made.photos["diagnosis"]) <= set(catalog.photos["diagnosis"])


def test_merged_photographs_are_drawn_once(catalog: Catalog, tmp_path: Path) -> None:
    info = json.loads((catalog.folder / "catalog.json").read_text())
    info["options"]["conflicts"] = "majority"
    (catalog.folder / "catalog.json").write_text(json.dumps(info))
    merged = Catalog.open(catalog.folder)
    made = over_sample(merged, tmp_path / "made", photos=20, view=None, seed=0)
    assert set(made.usable()["diagnosis"].value_counts()) == {20}
    assert made.info.options.conflicts == "keep"


def test_an_audit_finds_the_copies(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=200, view=None, seed=0)
    make_split(made, name="by-image", unsafe_by_image=True)
    assert run(["audit", str(made.folder), "--split", "by-image"]) == 1
    assert "identical files across parts" in capsys.readouterr().out
    make_split(made, name="whole")
    assert run(["audit", str(made.folder), "--split", "whole"]) == 0


def test_a_folder_with_other_copies_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    made = over_sample(catalog, tmp_path / "made", photos=20, view=None, seed=0)
    before = (made.folder / "catalog.parquet").stat().st_mtime_ns
    over_sample(catalog, tmp_path / "made", photos=20, view=None, seed=0)
    with pytest.raises(InputError, match="holds another catalog"):
        over_sample(catalog, tmp_path / "made", photos=21, view=None, seed=0)
    assert (made.folder / "catalog.parquet").stat().st_mtime_ns == before


def test_copies_are_counted_by_diagnosis() -> None:
    judged = pd.DataFrame({"sha256": ["a", "b", "c", "a"], "diagnosis": ["x", "x", "y", "x"]})
    train = pd.DataFrame({"sha256": ["a", "a", "d"], "diagnosis": ["x", "x", "y"]})
    found = copies_in_training(judged, train)
    assert found == {"x": Copied(judged=3, copied=2), "y": Copied(judged=1, copied=0)}
    assert together(found) == Copied(judged=4, copied=2)


def test_a_photo_is_decoded_once_for_each_of_its_diagnoses() -> None:
    rows = pd.DataFrame({"sha256": ["a", "b", "a", "a"], "diagnosis": ["x", "x", "x", "y"]})
    different, place = different_photos(rows)
    assert different["sha256"].tolist() == ["a", "b", "a"]
    assert different["diagnosis"].tolist() == ["x", "x", "y"]
    assert place.tolist() == [0, 1, 0, 2]


def test_both_ways_to_one_page(
    copied_recipe: Path,
    catalog: Catalog,
    segmenter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "rep"
    arguments = ["reproduce", str(copied_recipe), "--data", str(catalog.folder)]
    settings = ["--weights", "none", "--segmenter", str(segmenter)]
    settings += ["paper.over_sampled=70", "input.lesion=mask"]
    assert run([*arguments, "--out", str(out), *settings]) == 0
    printed = capsys.readouterr().out
    runs = {way: load_run(out / "runs" / "copied" / f"{way}-seed-0") for way in Way}
    assert {way: one.info.provenance.unsafe for way, one in runs.items()} == {
        Way.PUBLISHED: True, Way.LEAK_FREE: False,
    }  # fmt: skip
    imbalance = {
        way: f'imbalance = "{kind}"' in (one.folder / "recipe.toml").read_text()
        for (way, one), kind in zip(runs.items(), ("none", "over_sampling"), strict=True)
    }
    assert all(imbalance.values())
    record = json.loads((out / "reproduction.json").read_text())
    published, clean = (record["copies"][way] for way in Way)
    assert published["melanoma"]["copied"] > 0
    assert {one["copied"] for one in clean.values()} == {0}
    copied, judged = (sum(one[key] for one in published.values()) for key in ("copied", "judged"))
    assert f"{copied} of {judged} judged photos stand in training" in record["conclusions"][1]
    known = record["known_to_segmenter"]
    assert known["leak-free"] == _of_known_groups(catalog, segmenter, "leak-free-copied") > 0
    held = sum(one["judged"] for one in clean.values())
    said = f"Of the {held} photos judged leak-free, the segmenter was trained or chosen on "
    assert record["conclusions"][-1].startswith(f"{said}{known['leak-free']} or on others")
    assert known["published"] > 0
    assert "photos judged as published, the segmenter" in record["conclusions"][-2]
    assert record["segmenter_sha256"] == sha256_file(segmenter / "model.safetensors")
    assert "Judged photos that stand in training as the very same file" in printed
    assert f"{copied} of {judged}" in printed
    page = (out / "comparison" / "page.html").read_text()
    assert f"{copied} of {judged}" in page
    assert f"0 of {sum(one['judged'] for one in clean.values())}" in page
    assert "Accuracy on the others" in page
    assert all((one.folder / "segmenter" / "model.safetensors").is_file() for one in runs.values())
    assert "copied, as published, lesion = mask by unet: " in page
    assert f"{said}{known['leak-free']} or" in page
    _costs_with_the_segmenter(out, runs[Way.LEAK_FREE].folder)
    _judged_although_unsafe(runs[Way.PUBLISHED].folder, tmp_path / "report", capsys)
    moved = catalog.folder.rename(tmp_path / "moved")
    (opened,) = open_entries([Entry("x", runs[Way.LEAK_FREE].folder, "x", data=moved)], None)
    assert opened.scene.catalog.folder == moved
    (cached,) = (out / "over-sampled" / ".cache").glob("pixels-*.npy")
    photos = len(catalog.usable())
    assert cached.stat().st_size < (photos + 1) * 32 * 32 * 3 < 0.8 * 140 * 32 * 32 * 3


def _of_known_groups(catalog: Catalog, segmenter: Path, split: str) -> int:
    """Test photos whose group the segmenter has seen, counted one by one."""
    seen = set((segmenter / "trained-on.txt").read_text().split())
    rows = load_split(catalog, split).table.merge(catalog.photos, on="image_id")
    groups = set(rows.loc[rows["sha256"].isin(seen), "group"])
    usable = set(catalog.usable()["image_id"])
    tested = rows[(rows["part"] == "test") & rows["image_id"].isin(usable)]
    by_photo, by_group = tested["sha256"].isin(seen).sum(), tested["group"].isin(groups).sum()
    assert by_group > by_photo
    return int(by_group)


def _costs_with_the_segmenter(out: Path, folder: Path) -> None:
    comparison = Comparison.model_validate_json((out / "comparison/comparison.json").read_bytes())
    cost = comparison.entries[-1].cost
    files = [folder / "model.safetensors", folder / "segmenter" / "model.safetensors"]
    assert cost.megabytes == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    models = load_run(folder).model(), load_segmenter_run(folder / "segmenter").model()
    assert cost.parameters == sum(map(count_parameters, models))


def _judged_although_unsafe(folder: Path, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test part holds copies of training photos, and the report says how many."""
    assert run(["evaluate", str(folder), "--out", str(report)]) == 0
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["unsafe"]
    seen = set((folder / "trained-on.txt").read_text().split())
    copies = Catalog.open(catalog_of(folder))
    tested = part_rows(copies, load_split(copies, "published-copied"), Part.TEST)
    assert metrics["seen_by_model"] == tested["sha256"].isin(seen).sum() > 0
    page = (report / "report.html").read_text()
    assert "Judged although the model was trained or chosen on them" in page
    said = capsys.readouterr().out
    assert f"the model knows {metrics['seen_by_model']} of these photos" in said
    assert f"the run's segmenter knows {metrics['known_to_segmenter']} of these photos" in said


def test_a_stopped_reproduction_goes_on(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def stop_before_the_second(*arguments: object, **options: object) -> object:
        asked.append(Path(str(arguments[2])))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(study, "compare", interrupted)
    monkeypatch.setattr(study, "train", stop_before_the_second)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            carry_out(planned())
    first, second = asked[0], asked[1]
    assert asked == [first, second, first, second]
    started = (first / "log.txt").read_text().count(" on ")
    assert started == 1
    assert (second / "model.safetensors").is_file()


def test_a_plan_that_nobody_carried_out_is_made_again(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    planned()
    assert planned().dealt[Way.PUBLISHED].copies
    shutil.rmtree(tmp_path / "rep" / "over-sampled")
    assert planned().dealt[Way.PUBLISHED].copies


def test_other_copies_in_the_same_place(planned: Callable[..., Plan]) -> None:
    planned()
    with pytest.raises(InputError, match="holds another catalog"):
        planned("paper.over_sampled=46")


def test_leak_free_alone_makes_no_copies(planned: Callable[..., Plan], tmp_path: Path) -> None:
    plan = planned(only=Way.LEAK_FREE)
    assert not (tmp_path / "rep").exists()
    assert plan.dealt[Way.LEAK_FREE].catalog is plan.catalog


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("view=ham7",), "no usable photo shows"),
        (("input.lesion=mask",), "no segmenter is given"),
        (("model.backbone=lesion",), "there is no backbone 'lesion'"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_copy(
    planned: Callable[..., Plan], tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        planned(*more)
    assert not (tmp_path / "rep").exists()


def test_another_segmenter_in_the_same_place(
    planned: Callable[..., Plan], segmenter: Path, tmp_path: Path
) -> None:
    planned("input.lesion=mask", segmenter=segmenter)
    other = tmp_path / "other"
    shutil.copytree(segmenter, other)
    planned("input.lesion=mask", segmenter=other)
    weights = load_segmenter_run(other).model().state_dict()
    save_file({name: value + 1 for name, value in weights.items()}, other / "model.safetensors")
    record = tmp_path / "rep" / "reproduction.json"
    before = record.read_bytes()
    with pytest.raises(InputError, match="a reproduction with another segmenter"):
        planned("input.lesion=mask", segmenter=other)
    with pytest.raises(InputError, match="a reproduction with another segmenter"):
        planned()
    assert record.read_bytes() == before


def test_a_segmenter_that_is_none(planned: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="a segmenter is given, but the recipe does not use"):
        planned(segmenter=tmp_path)
    with pytest.raises(InputError):
        planned("input.lesion=mask", segmenter=tmp_path)
