"""Wrong use and bad input end with exit code 2 and one message that says what to do."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cutis.data.catalog import Catalog
from cutis.data.split_records import SplitInfo, split_hash

QUICK = ("stage.1.epochs=1", "input.size=32")
SAFETENSORS = "model.safetensors"

Refused = Callable[..., str]


@pytest.fixture
def train(refused: Refused, drawn: Any, tmp_path: Path) -> Refused:
    """Trains in a way that must fail."""

    def check(*arguments: object, data: Path | None = None, weights: object = "none") -> str:
        return refused("train", "demo", *QUICK, *arguments, "--data", data or drawn.catalog,
                       "--out", tmp_path / "run", "--weights", weights)  # fmt: skip

    return check


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rewritten(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


# recipes and settings


def test_unknown_verb(refused: Refused) -> None:
    assert "No such command 'trian'" in refused("trian")


def test_missing_argument(refused: Refused) -> None:
    message = refused("train")
    assert "Missing" in message
    assert "cutis VERB --help" in message


def test_unknown_recipe(refused: Refused, drawn: Any, tmp_path: Path) -> None:
    message = refused("train", "demmo", "--data", drawn.catalog, "--out", tmp_path / "run")
    assert "there is no recipe 'demmo'" in message
    assert "did you mean 'demo'?" in message


def test_recipe_that_is_not_text(refused: Refused, drawn: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"name = '\xff\xfe'")
    message = refused("train", tmp_path / "mine.toml", "--data", drawn.catalog, "--out", "run")
    assert "the recipe is not text" in message


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("stage.1.lerning_rate=1", "unknown key 'stage.1.lerning_rate': did you mean 'learning_r"),
        ("inptu.size=32", "unknown key 'inptu': did you mean 'input'?"),
        ("stage.3.epochs=1", "'3' in the setting stage.3.epochs is not a number from 1 to 1"),
        ("stage.0.epochs=1", "expected: a stage from 1 to 1"),
        ("stage.1.epochs=few", "'stage.1.epochs': Input should be a valid integer"),
        ("stage.1.trainable=some", "expected 'head', 'all', 'last N' or 'from K'"),
        ("stage.1.learning_rate=nan", "'stage.1.learning_rate': Input should be greater than 0"),
        ("seed=-1", "'seed': Input should be greater than or equal to 0"),
        ("epochs", "'epochs' is not a setting"),
        ("name.of=x", "'name' in the setting name.of has no keys of its own"),
        ("model.backbone=mobilnet_v2", "there is no backbone 'mobilnet_v2'"),
        ("view=ham8", "ham7"),
    ],
)
def test_a_wrong_setting(train: Refused, tmp_path: Path, setting: str, said: str) -> None:
    assert said in train(setting)
    assert not (tmp_path / "run").exists()


def test_a_setting_below_what_is_no_section(train: Refused) -> None:
    assert "has no keys of its own" in train("stage.1=5", "stage.1.epochs=2")


def test_loss_that_is_not_a_number(train: Refused) -> None:
    message = train("stage.1.learning_rate=1e30", "stage.1.schedule.kind=constant")
    assert "the loss is not a number any more (stage 1, epoch 1, learning rate 1e+30)" in message
    assert "lower the stage's learning_rate" in message


def test_loss_that_is_not_a_number_only_on_validation(train: Refused) -> None:
    # one batch an epoch: its loss is still that of the first weights
    message = train("stage.1.learning_rate=1e30", "stage.1.schedule.kind=constant",
                    "stage.1.batch_size=500", "moving_average=0.0")  # fmt: skip
    assert "the loss is not a number any more" in message


# catalogs and splits


def without_validation_photos_of(diagnosis: str, catalog: Path) -> None:
    """Moves a diagnosis from validation to training by hand; the split's hash is made to fit."""
    opened = Catalog.open(catalog)
    folder = catalog / "splits" / "default"
    table = pd.read_parquet(folder / "split.parquet")
    shown = opened.usable().set_index("image_id")["diagnosis"]
    moved = (table["image_id"].map(shown) == diagnosis) & (table["part"] == "validation")
    assert moved.any()
    table.loc[moved, "part"] = "train"
    table["fold"] = table["fold"].astype("Int16")
    table.to_parquet(folder / "split.parquet", index=False)
    info = SplitInfo.model_validate_json((folder / "split.json").read_text())
    changed = info.model_copy(update={"sha256": split_hash(table, info.unsafe)})
    (folder / "split.json").write_text(changed.model_dump_json())


def test_diagnosis_missing_from_validation(train: Refused, own_catalog: Path) -> None:
    without_validation_photos_of("dermatofibroma", own_catalog)
    message = train(data=own_catalog)
    assert "no validation photo shows dermatofibroma" in message
    assert "expected: at least one validation photo of every diagnosis" in message


def test_missing_catalog(train: Refused, tmp_path: Path) -> None:
    message = train(data=tmp_path / "nowhere")
    assert "the catalog does not exist" in message
    assert "cutis import PHOTOS --into" in message


def test_folder_that_is_no_catalog(train: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "this folder is not a catalog" in train(data=tmp_path / "empty")


def test_catalog_of_a_later_version(train: Refused, own_catalog: Path) -> None:
    rewritten(own_catalog / "catalog.json", format_version=99)
    assert "written by a later version of Cutis" in train(data=own_catalog)


def test_split_that_is_not_there(train: Refused) -> None:
    message = train("--split", "defualt")
    assert "the catalog has no split 'defualt'" in message
    assert "did you mean 'default'?" in message


def test_split_with_a_negative_seed(refused: Refused, own_catalog: Path) -> None:
    assert "seed" in refused("split", own_catalog, "--seed", "-1")


def test_catalog_without_any_split(refused: Refused, own_catalog: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_catalog / "splits")
    message = refused("audit", own_catalog)
    assert "there is none yet" in message
    assert f"cutis split {own_catalog} --name default" in message


# weights


def test_missing_weights_file(train: Refused) -> None:
    message = train(weights="imagnet")
    assert "there is no such weights file" in message
    assert "did you mean 'imagenet'?" in message


def test_damaged_weights_file(train: Refused, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"not these")
    assert "the weights file cannot be read" in train(weights=tmp_path / "weights")


def test_weights_of_another_network(train: Refused, trained: Any) -> None:
    message = train(weights=trained.run / SAFETENSORS)
    assert "the weights do not fit the network" in message


def test_hub_that_cannot_be_reached(train: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    message = train("model.backbone=mobilenet_v2", weights="imagenet")
    assert "the pretrained weights could not be downloaded" in message
    assert "--weights none" in message


# places to write to


def test_train_into_a_folder_that_holds_something_else(train: Refused, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    assert "holds something else than a run" in train()
    assert names(tmp_path / "run") == ["thesis.txt"]


def test_train_into_a_file(train: Refused, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("precious")
    assert "holds something else than a run" in train()


def test_train_below_a_file(refused: Refused, drawn: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    message = refused("train", "demo", *QUICK, "--data", drawn.catalog, "--weights", "none",
                      "--out", tmp_path / "file" / "run")  # fmt: skip
    assert str(tmp_path / "file") in message


def test_train_into_the_run_of_another_recipe(refused: Refused, trained: Any, drawn: Any) -> None:
    before = (trained.run / "recipe.toml").read_bytes()
    message = refused("train", "demo", *QUICK, "seed=7", "--data", drawn.catalog,
                      "--out", trained.run, "--weights", "none")  # fmt: skip
    assert "a run of another recipe, catalog, split or start weights" in message
    assert (trained.run / "recipe.toml").read_bytes() == before


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_out_that_holds_something_else(
    refused: Refused, trained: Any, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    message = refused(verb, trained.run, "--out", tmp_path)
    assert "the output folder already holds something else" in message
    assert names(tmp_path) == ["thesis.txt"]


def denied(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("verb", ["train", "evaluate", "export"])
def test_out_that_may_not_be_written_to(
    refused: Refused, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    source: list[object] = [trained.run]
    if verb == "train":
        source = ["demo", *QUICK, "--data", trained.catalog, "--weights", "none"]
    monkeypatch.setattr("tempfile.mkdtemp", denied)
    message = refused(verb, *source, "--out", tmp_path / "out")
    assert "no permission to write here" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_out_below_a_folder_that_may_not_be_written_to(train: Refused, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "no permission to write here" in train()
    finally:
        tmp_path.chmod(0o700)


# full disks


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_at_the_checkpoint(
    train: Refused, cutis: Any, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        message = train()
    assert "the disk is full; nothing was changed" in message
    assert "run the same command again" in message
    assert names(tmp_path / "run") == ["catalog.txt", "log.txt", "recipe.toml", "trained-on.txt"]
    again = cutis("train", "demo", *QUICK, "--data", drawn.catalog, "--out", tmp_path / "run",
                  "--weights", "none")  # fmt: skip
    assert again.code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_full_disk_under_torch_itself(
    train: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.open

    def open_full(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        place = Path("/dev/full") if self.name == "checkpoint.pt" and "w" in mode else self
        return make(place, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", open_full)
    assert "the disk is full; nothing was changed" in train()
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_full_disk_at_the_report(
    refused: Refused, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    message = refused("evaluate", trained.run, "--part", "validation", "--out", tmp_path / "report")
    assert "the disk is full; nothing was changed" in message
    assert names(tmp_path) == []


def test_damaged_checkpoint(train: Refused, trained: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("recipe.toml", "catalog.txt"):
        shutil.copy(trained.run / name, tmp_path / "run" / name)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"PK cut short")
    message = train()
    assert "the checkpoint of the run is damaged" in message
    assert "delete this file" in message
