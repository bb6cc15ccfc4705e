"""The run folder: what is written comes back, and what is wrong is named."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from cutis.errors import InputError
from cutis.models.registry import Classifier
from cutis.records import HeadInfo, ModelInfo, Part, Preprocessing, Provenance
from cutis.training.run import (
    catalog_of,
    classifier_for,
    history_csv,
    load_run,
    provenance_of,
    write_run,
)

INFO = ModelInfo(
    cutis_version="0.1.0",
    architecture="small_cnn",
    head=HeadInfo(hidden=(8,), dropout=0.5),
    diagnoses=("melanoma", "melanocytic_nevus", "dermatofibroma"),
    preprocessing=Preprocessing(size=32),
    provenance=Provenance(
        recipe="tiny",
        catalog_sha256="0" * 64,
        split_name="default",
        split_sha256="1" * 64,
        unsafe=False,
        seed=0,
        train_counts={"melanoma": 2},
        train_groups=2,
        sources=("drawn",),
        licences=(),
    ),
    licence="unknown",
)


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    return classifier_for(INFO)


def test_a_written_run_gives_the_same_answers(model: Classifier, tmp_path: Path) -> None:
    write_run(tmp_path, model, INFO)
    run = load_run(tmp_path)
    assert run.info == INFO
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(run.model()(pixels), model.eval()(pixels))


def test_every_source_that_gave_a_copy_is_named() -> None:
    def rows(*appearances: tuple[str, ...]) -> pd.DataFrame:
        kept = [ids[0].partition("/")[0] for ids in appearances]
        return pd.DataFrame({"appearances": appearances, "source": kept, "group": kept,
                             "diagnosis": "melanoma"})  # fmt: skip

    parts = {
        Part.TRAIN: rows(("ham/1", "copies/7"), ("ham/2",)),
        Part.VALIDATION: rows(("later/3",)),
        Part.TEST: rows(("judged/4",)),
    }
    sources = [SimpleNamespace(name=name, licence=name) for name in ("copies", "ham", "later")]
    catalog = SimpleNamespace(sha256="0" * 64, info=SimpleNamespace(sources=sources))
    split = SimpleNamespace(name="default", info=SimpleNamespace(sha256="1" * 64, unsafe=False))
    recipe = SimpleNamespace(name="tiny", seed=0)
    made = provenance_of(recipe, catalog, split, parts, ("melanoma",), ())  # type: ignore[arg-type]
    assert made.sources == ("copies", "ham", "later")
    assert made.licences == ("ham",)
    assert made.train_counts == {"melanoma": 2}


def test_weights_are_stored_as_float32_and_readable_for_all(
    model: Classifier, tmp_path: Path
) -> None:
    umask = os.umask(0o022)
    write_run(tmp_path, model.bfloat16(), INFO)
    os.umask(umask)
    kinds = {value.dtype for value in load_run(tmp_path).model().state_dict().values()}
    assert kinds <= {torch.float32, torch.int64}
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_equal_runs_are_equal_files(model: Classifier, tmp_path: Path) -> None:
    contents = set()
    for number in range(8):
        write_run(tmp_path / str(number), model, INFO)
        contents.add((tmp_path / str(number) / "model.safetensors").read_bytes())
    assert len(contents) == 1


def test_the_weights_file_describes_itself(model: Classifier, tmp_path: Path) -> None:
    from safetensors import safe_open

    write_run(tmp_path, model, INFO)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert ModelInfo.model_validate_json(file.metadata()["model.json"]) == INFO


def test_weights_of_another_shape(model: Classifier, tmp_path: Path) -> None:
    write_run(tmp_path, model, INFO)
    fewer = INFO.model_copy(update={"diagnoses": INFO.diagnoses[:2]})
    (tmp_path / "model.json").write_text(fewer.model_dump_json())
    with pytest.raises(InputError, match="do not fit its description"):
        load_run(tmp_path).model()


def test_an_interrupted_commit_is_completed(model: Classifier, tmp_path: Path) -> None:
    write_run(tmp_path, model, INFO)
    (tmp_path / ".commit").mkdir()
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).rename(tmp_path / ".commit" / name)
    assert load_run(tmp_path).info == INFO


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "this folder is not a run"),
        ({"recipe.toml": "name = 'x'"}, "the run has not ended"),
        ({"model.json": "{"}, "the model description is damaged"),
        ({"model.json": '{"format_version": null}'}, "the model description is damaged"),
        ({"model.json": '{"format_version": 2}'}, r"written by a later Cutis \(format 2, known 1"),
        ({"model.json": '{"format_version": 1, "colour": 3}'}, "the model description is damaged"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        load_run(tmp_path)


def test_a_key_that_nobody_knows_is_refused(model: Classifier, tmp_path: Path) -> None:
    write_run(tmp_path, model, INFO)
    tree = json.loads((tmp_path / "model.json").read_text()) | {"colour": 3}
    (tmp_path / "model.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match="damaged"):
        load_run(tmp_path)


def test_the_catalog_is_found_or_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give it by --data CATALOG"):
        catalog_of(tmp_path)
    (tmp_path / "catalog.txt").write_text(f"{tmp_path}\n")
    assert catalog_of(tmp_path) == tmp_path


def test_history_has_six_digits_and_a_row_an_epoch() -> None:
    rows: list[dict[str, float | int | str]] = [
        {"epoch": 1, "stage": "head", "train_loss": 1 / 3},
        {"epoch": 2, "stage": "all", "train_loss": 1e-9},
    ]
    assert history_csv(rows) == "epoch,stage,train_loss\n1,head,0.333333\n2,all,1e-09\n"
