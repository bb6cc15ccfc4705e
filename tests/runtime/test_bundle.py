"""A bundle is loaded as it was exported, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.errors import InputError
from cutis.runtime import Predictor
from cutis.runtime.bundle import _seal, read_info


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def rewrite(path: Path, key: str, value: object) -> None:
    content = json.loads(path.read_text())
    content[key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("model", "file"), [("fp32", "model.onnx"), ("int8", "model-int8.onnx")])
def test_a_changed_byte_of_a_network_is_refused(bundle: Path, model: str, file: str) -> None:
    flip_last_byte(bundle / file)
    with pytest.raises(InputError, match=f"{file} of the bundle was changed") as caught:
        Predictor.load(bundle, model=model)
    assert caught.value.where == str(bundle / file)
    assert "export the run again" in str(caught.value)


def test_a_changed_value_of_the_record_is_refused(bundle: Path) -> None:
    path = bundle / "bundle.json"
    path.write_text(path.read_text().replace('"temperature": 2.0', '"temperature": 1.0'))
    with pytest.raises(InputError, match=r"bundle\.json of the bundle was changed"):
        Predictor.load(bundle)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"null", b"{}"])
def test_a_damaged_record_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "bundle.json").write_bytes(content)
    with pytest.raises(InputError, match=r"bundle\.json of the bundle was changed"):
        Predictor.load(bundle)


def test_layout_of_the_record_does_not_matter(bundle: Path) -> None:
    before = read_info(bundle)
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_info(bundle) == before


def test_a_later_version_says_so_even_with_unknown_keys(bundle: Path) -> None:
    rewrite(bundle / "bundle.json", "format_version", 2)
    rewrite(bundle / "bundle.json", "unheard_of", True)
    with pytest.raises(InputError, match="format version 2, made by a later Cutis") as caught:
        Predictor.load(bundle)
    assert "update Cutis" in str(caught.value)


def test_a_record_without_a_key_names_the_key(bundle: Path) -> None:
    path = bundle / "bundle.json"
    content = json.loads(path.read_text())
    del content["sha256"], content["model"]["licence"]
    path.write_text(json.dumps({**content, "sha256": _seal(content)}))
    with pytest.raises(InputError, match=r"not valid at 'model\.licence': Field required"):
        Predictor.load(bundle)


def test_a_missing_network_is_named(bundle: Path) -> None:
    (bundle / "model-int8.onnx").unlink()
    with pytest.raises(InputError, match="a file of the bundle is missing") as caught:
        Predictor.load(bundle)
    assert caught.value.where == str(bundle / "model-int8.onnx")


def test_another_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this folder is not a bundle"):
        Predictor.load(tmp_path)
    with pytest.raises(InputError, match="there is no such bundle"):
        Predictor.load(tmp_path / "nowhere")


def test_a_bundle_without_networks_is_refused(bundle: Path, record: Callable[[Path], None]) -> None:
    for path in bundle.glob("*.onnx"):
        path.unlink()
    record(bundle)
    with pytest.raises(InputError, match="the bundle holds no model 'int8'"):
        Predictor.load(bundle)


def test_a_network_that_cannot_run_is_refused(bundle: Path, record: Callable[[Path], None]) -> None:
    (bundle / "model-int8.onnx").write_bytes(b"no network")
    record(bundle)
    with pytest.raises(InputError, match="cannot run this network"):
        Predictor.load(bundle)
