"""A bundle is complete, tells the truth about itself, and appears whole or not at all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

from cutis.errors import InputError, PhotoError
from cutis.export import ClassifierPart, ExportSummary, export_parts
from cutis.export.assembly import _describe
from cutis.export.parity import LOGIT_LIMIT, Parity
from cutis.export.photos import divide
from cutis.metrics.answer_policy import Verdict
from cutis.records import FORMAT_VERSION, NOTICE, ModelInfo
from cutis.runtime import Predictor
from cutis.runtime.answers import answer_photo
from cutis.runtime.bundle import BundleInfo, read_info, write_info
from cutis.runtime.engines import installed_engines
from cutis.storage import sha256_file

from .conftest import DIAGNOSES, Given, held

PAPERS = ["MODEL_CARD.md", "features.npz", "parity.html", "parity.json"]


@pytest.fixture
def recorded(exported: ExportSummary) -> BundleInfo:
    return read_info(exported.folder)


def test_every_file_stands_in_the_record(exported: ExportSummary, recorded: BundleInfo) -> None:
    expected = sorted([*PAPERS, "model-int8.onnx", "model.onnx"])
    assert held(exported.folder) == {*expected, "bundle.json"}
    assert sorted(recorded.files) == expected
    for name, digest in recorded.files.items():
        assert sha256_file(exported.folder / name) == digest
        assert exported.sizes[name] == (exported.folder / name).stat().st_size


def test_the_record_carries_model_notice_and_version(recorded: BundleInfo, info: ModelInfo) -> None:
    assert recorded.model == info
    assert recorded.notice == NOTICE
    assert recorded.format_version == FORMAT_VERSION


def test_diagnoses_have_names_and_grades(recorded: BundleInfo, info: ModelInfo) -> None:
    assert tuple(d.id for d in recorded.diagnoses) == info.diagnoses
    melanoma = recorded.diagnoses[0]
    assert melanoma.name == {"en": "Melanoma", "fa": "ملانوم"}
    assert (melanoma.malignancy, melanoma.urgency) == ("malignant", "weeks")


def test_a_class_of_a_view_gets_the_views_names() -> None:
    benign = _describe("benign")
    assert benign.name == {"en": "Benign", "fa": "خوش‌خیم"}
    assert (benign.malignancy, benign.urgency) == ("benign", None)
    assert _describe("own_class").name == {"en": "Own class"}


def test_parity_is_written_as_it_was_found(exported: ExportSummary) -> None:
    written = (exported.folder / "parity.json").read_text(encoding="utf-8")
    assert Parity.model_validate_json(written) == exported.parity
    assert exported.refused == {}
    checks = exported.parity.networks
    engines = [name for name in ("onnxruntime", "openvino") if name in installed_engines()]
    assert [check.name for check in checks] == [
        f"{network}/{engine}" for network in ("fp32", "int8") for engine in engines
    ]
    assert {check.photos for check in checks} == {120}
    assert exported.parity.calibration_photos == 20
    assert exported.parity.methods.keys() == {"model-int8.onnx"}
    for check in checks:
        file = {"fp32": "model.onnx", "int8": "model-int8.onnx"}[check.network]
        assert check.bytes == exported.sizes[file]
        assert check.failures == ()
        assert check.cost is None  # it was not asked for
    assert 0 < checks[0].largest_logit_difference <= LOGIT_LIMIT
    assert 0 < checks[-1].mean_probability_difference <= 0.01
    assert checks[0].accuracy is not None
    assert checks[0].accuracy.run > 0.8  # else the figures say nothing


def test_what_passed_is_recorded_and_int8_runs(
    exported: ExportSummary, recorded: BundleInfo
) -> None:
    assert recorded.passed == tuple(check.name for check in exported.parity.networks)
    assert len(recorded.passed) >= 2
    assert recorded.allowed == {}
    assert (recorded.default_model, recorded.default_segmenter) == ("int8", None)
    assert Predictor.load(exported.folder).model == "int8"


def test_each_network_has_a_policy_of_its_own(
    exported: ExportSummary, recorded: BundleInfo, photos: pd.DataFrame
) -> None:
    assert set(recorded.policies) == {"fp32", "int8"}
    assert recorded.policies["fp32"] != recorded.policies["int8"]
    validation = photos[photos["part"] == "validation"]
    truth = np.array([DIAGNOSES.index(name) for name in validation["diagnosis"]])
    for name, policy in recorded.policies.items():
        assert policy.highest_energy is None
        assert policy.highest_distance is not None
        predictor = Predictor.load(exported.folder, model=name)
        assert predictor.space is not None
        pixels = np.stack([predictor.read(path)[0] for path in validation["path"]])
        outputs = predictor.outputs(pixels)
        assert outputs.features is not None
        distance = predictor.space.distance(outputs.features)
        # by 40 groups of two the largest of all distances is the limit
        assert policy.highest_distance == pytest.approx(distance.max(), rel=1e-4)
        own = predictor.probabilities(outputs.logits)[np.arange(80), truth]
        thresholds = np.array(policy.set_thresholds)[truth]
        assert 0.95 <= (own >= thresholds - 1e-6).mean() < 1
        # of one threshold for all, some photo's probability is the threshold
        assert np.abs(own[:, None] - np.array(policy.set_thresholds)).min() < 1e-6


def test_the_feature_space_is_that_of_compared_training_photos(
    exported: ExportSummary, info: ModelInfo, photos: pd.DataFrame
) -> None:
    compared = divide(photos, info.provenance.seed).compared
    training = compared[compared["part"] == "train"]
    predictor = Predictor.load(exported.folder, model="fp32")
    features = predictor.outputs(
        np.stack([predictor.read(path)[0] for path in training["path"]])
    ).features
    assert features is not None
    assert predictor.space is not None
    means = [features[training["diagnosis"] == name].mean(axis=0) for name in DIAGNOSES]
    np.testing.assert_allclose(predictor.space.means, means, rtol=1e-3, atol=1e-4)


def test_a_bundle_says_when_it_cannot_tell(
    exported: ExportSummary, photos: pd.DataFrame, tmp_path: Path
) -> None:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    predictor = Predictor.load(exported.folder)
    answer = answer_photo(predictor, tmp_path / "noise.png", quality=False)
    assert answer.verdict == Verdict.CANNOT_TELL
    assert "unlike_training" in answer.reasons
    known = [answer_photo(predictor, path, quality=False) for path in photos["path"][120:]]
    assert sum("unlike_training" in one.reasons for one in known) <= 1


def test_without_39_groups_there_is_no_policy(
    part: ClassifierPart,
    photos: pd.DataFrame,
    files: dict[str, bytes],
    given: Given,
    tmp_path: Path,
) -> None:
    given(files)
    fewer = photos[~photos["group"].isin(["lesion-20", "lesion-21"])]  # 38 are left
    export_parts(tmp_path / "bundle", fewer, classifier=part, networks=["fp32"], measure=False)
    assert read_info(tmp_path / "bundle").policies == {}
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "it answers every photo" in card
    just = photos[photos["group"] != "lesion-20"]
    export_parts(tmp_path / "bundle", just, classifier=part, networks=["fp32"], measure=False)
    assert set(read_info(tmp_path / "bundle").policies) == {"fp32"}


def test_without_features_the_energy_is_limited(
    network: nn.Module, info: ModelInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    part = ClassifierPart(network, info)
    export_parts(tmp_path / "b", photos, classifier=part, networks=["fp32"], measure=False)
    assert "features.npz" not in held(tmp_path / "b")
    policy = read_info(tmp_path / "b").policies["fp32"]
    assert policy.highest_distance is None
    assert policy.highest_energy is not None
    assert answer_photo(Predictor.load(tmp_path / "b"), photos["path"][0]).verdict is not None


def test_int8_alone_leaves_the_fp32_file_out(
    part: ClassifierPart,
    photos: pd.DataFrame,
    files: dict[str, bytes],
    given: Given,
    exported: ExportSummary,
    tmp_path: Path,
) -> None:
    given(files)
    out = tmp_path / "bundle"
    summary = export_parts(out, photos, classifier=part, networks=["int8"], measure=False)
    assert held(out) == {*PAPERS, "model-int8.onnx", "bundle.json"}
    assert (out / "features.npz").read_bytes() == (exported.folder / "features.npz").read_bytes()
    recorded = read_info(out)
    assert recorded.default_model == "int8"
    assert set(recorded.policies) == {"int8"}
    assert {name.split("/")[0] for name in recorded.passed} == {"int8"}
    # fp32 was compared all the same: it is the middle between run and int8
    assert {check.network for check in summary.parity.networks} == {"fp32", "int8"}
    assert summary.refused == {}
    assert Predictor.load(out).model == "int8"


def test_fp32_alone_needs_no_int8(
    part: ClassifierPart,
    photos: pd.DataFrame,
    files: dict[str, bytes],
    given: Given,
    tmp_path: Path,
) -> None:
    given(files)
    out = tmp_path / "bundle"
    summary = export_parts(out, photos, classifier=part, networks=["fp32"], measure=False)
    assert held(out) == {*PAPERS, "model.onnx", "bundle.json"}
    assert read_info(out).default_model == "fp32"
    assert {check.network for check in summary.parity.networks} == {"fp32"}


@pytest.mark.parametrize(("lost", "said"), [("train", "training"), ("validation", "validation")])
def test_an_export_without_photos_is_refused(
    part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path, lost: str, said: str
) -> None:
    with pytest.raises(InputError, match=f"there are no {said} photos") as caught:
        export_parts(tmp_path / "bundle", photos[photos["part"] != lost], classifier=part)
    assert "with the split, that the run was trained on" in str(caught.value.fix)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        (["int4"], "there is no kind of network 'int4'"),
        (["fp32", "int_8"], "there is no kind of network 'int_8'"),
        ([""], "there is no kind of network ''"),
        ([], "no network is named"),
    ],
)
def test_an_unknown_network_is_refused(
    part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path, networks: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        export_parts(tmp_path / "bundle", photos, classifier=part, networks=networks)
    assert caught.value.expected == "one or more of fp32, int8, tflite"
    assert not list(tmp_path.iterdir())


def test_an_unreadable_photo_is_named(
    part: ClassifierPart,
    photos: pd.DataFrame,
    files: dict[str, bytes],
    given: Given,
    tmp_path: Path,
) -> None:
    given(files)
    bad = tmp_path / "bad.jpg"
    spoiled = photos.assign(path=[*photos["path"][:-1], bad])
    with pytest.raises(PhotoError, match="1 of 140 photos are not on disk"):
        export_parts(tmp_path / "b", spoiled, classifier=part, measure=False)
    bad.write_text("a text")
    with pytest.raises(PhotoError, match="not a photo") as caught:
        export_parts(tmp_path / "b", spoiled, classifier=part, measure=False)
    assert caught.value.where == str(bad)
    assert list(tmp_path.iterdir()) == [bad]


def test_a_folder_with_other_content_is_left_alone(
    part: ClassifierPart, photos: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        export_parts(tmp_path, photos, classifier=part)
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_an_old_bundle_is_replaced(
    part: ClassifierPart,
    photos: pd.DataFrame,
    files: dict[str, bytes],
    given: Given,
    tmp_path: Path,
) -> None:
    given(files)
    (tmp_path / "bundle.json").write_text("old")
    (tmp_path / "model-int8.tflite").write_text("old")
    export_parts(tmp_path, photos, classifier=part, networks=["fp32"], measure=False)
    assert held(tmp_path) == {*PAPERS, "model.onnx", "bundle.json"}


def test_a_bundle_of_a_later_version_is_refused(
    exported: ExportSummary, recorded: BundleInfo, tmp_path: Path
) -> None:
    write_info(tmp_path, recorded.model_copy(update={"format_version": FORMAT_VERSION + 1}))
    with pytest.raises(InputError, match="made by a later Cutis") as caught:
        Predictor.load(tmp_path)
    assert "update Cutis" in str(caught.value.fix)
