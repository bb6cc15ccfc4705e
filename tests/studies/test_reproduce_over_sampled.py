"""A paper that over-sampled before it split, reproduced both ways."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split, make_split, part_rows
from cutis.errors import InputError, RecipeError
from cutis.models.backbone import count_parameters
from cutis.recipes.paper import Way
from cutis.records import Part
from cutis.storage import sha256_file
from cutis.studies import reproduce as study
from cutis.studies.comparison.record import Comparison, Entry
from cutis.studies.comparison.scenes import open_entries
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
