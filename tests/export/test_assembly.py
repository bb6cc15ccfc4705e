"""What stays in a bundle after the comparison, and what runs unless told."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cutis.errors import CheckFailedError
from cutis.export import ClassifierPart, SegmenterPart
from cutis.export.assembly import Assembly
from cutis.export.parity import NetworkCheck, SegmenterCheck
from cutis.records import SegmenterInfo
from cutis.runtime.bundle import MODEL_FILES, SEGMENTER_FILES, BundleInfo, read_info

WRONG = ("accuracy may fall",)


def check(name: str, *, fails: bool = False) -> NetworkCheck:
    network, engine = name.split("/")
    return NetworkCheck(
        network=network,
        engine=engine,
        bytes=5,
        photos=100,
        largest_logit_difference=0,
        other_input=0,
        agreement=1,
        mean_probability_difference=0,
        largest_probability_difference=0,
        held_out_agreement=None,
        accuracy=None,
        held_out_accuracy=None,
        recall_loss={},
        flipped={},
        failures=WRONG if fails else (),
    )


def outline(name: str, *, fails: bool = False) -> SegmenterCheck:
    network, engine = name.split("/")
    return SegmenterCheck(
        network=network,
        engine=engine,
        bytes=5,
        photos=100,
        largest_logit_difference=0,
        beyond_limit=0,
        mean_jaccard=1,
        smallest_jaccard=1,
        jaccard=None,
        failures=WRONG if fails else (),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*MODEL_FILES.values(), *SEGMENTER_FILES.values()):
        (tmp_path / name).write_text(name)
    return tmp_path


def taken(
    folder: Path,
    part: ClassifierPart,
    asked: Sequence[str],
    *failing: str,
    allow: bool = False,
) -> tuple[BundleInfo, set[str], dict[str, tuple[str, ...]]]:
    """The record, the classifiers left and the refused, where some pairs fail."""
    bundle = Assembly(folder, part, None, asked, allow=allow)
    pairs = ("fp32/onnxruntime", "fp32/openvino", "int8/onnxruntime", "int8/openvino")
    checks = [check(name, fails=name in failing) for name in (*pairs, "tflite/litert")]
    bundle.take(checks, MODEL_FILES)
    bundle.drop_unasked()
    assert read_info(folder) == bundle.record
    left = {name for name, file in MODEL_FILES.items() if (folder / file).is_file()}
    assert {MODEL_FILES[name] for name in left} <= bundle.record.files.keys()
    return bundle.record, left, bundle.refused


ALL = ("fp32", "int8", "tflite")


def test_where_all_pass_int8_runs(folder: Path, part: ClassifierPart) -> None:
    record, left, refused = taken(folder, part, ALL)
    assert record.default_model == "int8"
    assert left == set(ALL)
    assert len(record.passed) == 5
    assert (refused, record.allowed) == ({}, {})


@pytest.mark.parametrize(
    ("asked", "failing", "default", "left"),
    [
        (ALL, ["int8/onnxruntime"], "fp32", {"fp32", "tflite"}),
        (ALL, ["fp32/onnxruntime"], "int8", {"int8", "tflite"}),
        (ALL, ["fp32/onnxruntime", "int8/onnxruntime"], "tflite", {"tflite"}),
        (ALL, ["tflite/litert"], "int8", {"fp32", "int8"}),
    ],
)
def test_a_file_that_fails_on_its_first_engine_goes(
    folder: Path,
    part: ClassifierPart,
    asked: Sequence[str],
    failing: list[str],
    default: str,
    left: set[str],
) -> None:
    record, held, refused = taken(folder, part, asked, *failing)
    assert (record.default_model, held) == (default, left)
    gone = {name.split("/")[0] for name in failing}
    assert refused == {MODEL_FILES[name]: WRONG for name in gone}
    assert not [name for name in record.passed if name.split("/")[0] in gone]
    assert record.allowed == {}


def test_a_pair_that_fails_on_another_engine_does_not_run_there(
    folder: Path, part: ClassifierPart
) -> None:
    record, left, refused = taken(folder, part, ALL, "int8/openvino")
    assert (record.default_model, left, refused) == ("int8", set(ALL), {})
    assert "int8/onnxruntime" in record.passed
    assert "int8/openvino" not in record.passed
    assert record.allowed == {}


def test_allow_says_what_fails_and_on_which_engine(folder: Path, part: ClassifierPart) -> None:
    record, left, refused = taken(folder, part, ALL, "int8/onnxruntime", allow=True)
    assert (record.default_model, left, refused) == ("fp32", set(ALL), {})
    assert record.allowed == {"int8/onnxruntime": WRONG}
    assert "int8/openvino" in record.passed
    assert "int8/onnxruntime" not in record.passed


def test_what_was_not_asked_for_goes_without_a_word(folder: Path, part: ClassifierPart) -> None:
    record, left, refused = taken(folder, part, ["int8"], "fp32/onnxruntime")
    assert (record.default_model, left - {"tflite"}, refused) == ("int8", {"int8"}, {})
    assert record.passed == ("int8/onnxruntime", "int8/openvino")


@pytest.mark.parametrize("allow", [False, True])
def test_nothing_left_is_an_error_unless_allowed(
    folder: Path, part: ClassifierPart, allow: bool
) -> None:
    if allow:
        record, _, _ = taken(folder, part, ["int8"], "int8/onnxruntime", allow=True)
        assert record.default_model == "int8"
        return
    with pytest.raises(CheckFailedError, match="no exported network answers as") as caught:
        taken(folder, part, ["int8"], "int8/onnxruntime")
    assert "model-int8.onnx: accuracy may fall" in caught.value.problem
    assert caught.value.exit_code == 1


def test_segmenters_are_taken_likewise(
    folder: Path, part: ClassifierPart, segmenter_info: SegmenterInfo
) -> None:
    finder = SegmenterPart(part.module, segmenter_info)
    bundle = Assembly(folder, part, finder, ["fp32", "int8"], allow=False)
    assert (bundle.record.default_model, bundle.record.default_segmenter) == ("fp32", "fp32")
    outlines = [outline("fp32/onnxruntime"), outline("int8/onnxruntime", fails=True)]
    bundle.take(outlines, SEGMENTER_FILES)
    bundle.take([check("fp32/onnxruntime"), check("int8/onnxruntime")], MODEL_FILES)
    record = bundle.record
    assert (record.default_model, record.default_segmenter) == ("int8", "fp32")
    assert record.passed == ("segmenter-fp32/onnxruntime", "fp32/onnxruntime", "int8/onnxruntime")
    assert bundle.refused == {"segmenter-int8.onnx": WRONG}
    assert not (folder / "segmenter-int8.onnx").exists()
