"""The segmenter finds what its network marks, at each photo's own size, and serves the model."""

import json
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

from cutis.errors import InputError
from cutis.lesion import load_lesion
from cutis.metrics.segmentation import score_masks
from cutis.preprocessing import SharedPhoto
from cutis.records import ModelInfo, SegmenterInfo
from cutis.runtime import Predictor, Segmenter, predict_photos, predict_to_file
from cutis.runtime.bundle import SEGMENTER_FILES, _seal, read_info, write_info
from cutis.runtime.network import Network

from .conftest import DIAGNOSES, darkness_network, record_files, with_disk


def save(rgb: np.ndarray, path: Path) -> Path:
    Image.fromarray(rgb).save(path)
    return path


@pytest.mark.parametrize(("height", "width"), [(64, 64), (90, 200), (210, 100)])
def test_the_mask_is_the_disk_at_the_photos_size(
    segmenter_bundle: Path, tmp_path: Path, height: int, width: int
) -> None:
    rgb = with_disk(height, width)
    segmenter = Segmenter.load(segmenter_bundle)
    found = segmenter.segment(save(rgb, tmp_path / "photo.png"))
    disk = rgb[..., 0] < 100
    assert found.mask.shape == (height, width)
    assert score_masks([(found.mask, disk)]).by_image()["jaccard"][0] > 0.93
    assert (found.mask == segmenter.mask(rgb)).all()
    assert (found.rgb == rgb).all()
    assert found.fallback is None


def test_probabilities_are_the_sigmoid_of_the_logits(segmenter_bundle: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    probabilities = Segmenter.load(segmenter_bundle, threads=2).probabilities(pixels)
    logits = -5 * (pixels / 127.5 - 1).sum(axis=3)
    assert (probabilities.shape, probabilities.dtype) == ((7, 64, 64), np.float32)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_another_engine_marks_the_same(segmenter_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    photo = save(with_disk(90, 120), tmp_path / "photo.png")
    usual, other = (Segmenter.load(segmenter_bundle, engine=e) for e in ("onnxruntime", "openvino"))
    assert (other.network.engine, other.sha256) == ("openvino", usual.sha256)
    assert (other.segment(photo).mask == usual.segment(photo).mask).all()


@pytest.mark.parametrize(
    ("passed", "tried"),
    [
        ((), []),
        (("fp32/openvino",), []),  # a classifier's
        (("segmenter-int8/openvino",), []),  # another file's
        (("segmenter-fp32/openvino",), ["onnxruntime", "openvino"]),
    ],
)
def test_auto_compares_what_marks_the_same(
    segmenter_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    passed: tuple[str, ...],
    tried: list[str],
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = set()
    monkeypatch.setattr(Network, "try_out", lambda self: found.add(self.engine))
    info = read_info(segmenter_bundle).model_copy(update={"passed": passed})
    write_info(segmenter_bundle, info)
    segmenter = Segmenter.load(segmenter_bundle, engine="auto")
    assert sorted(found) == tried
    assert segmenter.network.engine in (tried or ["onnxruntime"])


def test_engines_that_do_not_segment(segmenter_bundle: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'openvino'"):
        Segmenter.load(segmenter_bundle, engine="open-vino")
    with pytest.raises(InputError, match="0 threads"):
        Segmenter.load(segmenter_bundle, threads=0)


def test_the_default_segmenter_runs_unless_another_is_named(
    segmenter_bundle: Path, segmenter_info: SegmenterInfo
) -> None:
    quantised = darkness_network()
    quantised.doc_string = "another file"
    onnx.save(quantised, segmenter_bundle / SEGMENTER_FILES["int8"])
    record_files(segmenter_bundle, None, segmenter_info)
    fp32 = Segmenter.load(segmenter_bundle).sha256
    info = read_info(segmenter_bundle).model_copy(update={"default_segmenter": "int8"})
    write_info(segmenter_bundle, info)
    assert Segmenter.load(segmenter_bundle).sha256 != fp32
    assert Segmenter.load(segmenter_bundle, network="fp32").sha256 == fp32


def test_the_segmenter_in_the_box(segmenter_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutis.runtime.segmenter.box_bundle", lambda: segmenter_bundle)
    assert Segmenter.load().sha256 == Segmenter.load(segmenter_bundle).sha256


def test_the_threshold_of_the_record_makes_the_mask(
    segmenter_bundle: Path, segmenter_info: SegmenterInfo, tmp_path: Path
) -> None:
    grey = np.full((40, 40, 3), 128, np.uint8)  # probability just below one half
    photo = save(grey, tmp_path / "grey.png")
    for threshold, expected, reason in ((0.5, False, "empty"), (0.4, True, "whole image")):
        changed = segmenter_info.model_copy(update={"threshold": threshold})
        record_files(segmenter_bundle, None, changed)
        segmenter = Segmenter.load(segmenter_bundle)
        assert (segmenter.mask(grey) == expected).all()
        found = segmenter.segment(photo)
        assert (found.mask == expected).all()
        assert found.fallback == reason


def test_a_photo_without_lesion_says_why_it_would_be_taken_whole(
    segmenter_bundle: Path, tmp_path: Path
) -> None:
    photo = save(np.full((50, 60, 3), 255, np.uint8), tmp_path / "white.png")
    found = Segmenter.load(segmenter_bundle).segment(photo)
    assert not found.mask.any()
    assert found.fallback == "empty"


def test_each_verb_names_the_other(bundle: Path, segmenter_bundle: Path) -> None:
    with pytest.raises(InputError, match="holds no classifier, only a segmenter") as caught:
        Predictor.load(segmenter_bundle)
    assert "cutis segment" in str(caught.value)
    assert caught.value.where == str(segmenter_bundle)
    with pytest.raises(InputError, match="holds no segmenter") as caught:
        Segmenter.load(bundle)
    assert "cutis predict" in str(caught.value)


def test_a_bundle_from_before_segmenters_loads(bundle: Path) -> None:
    path = bundle / "bundle.json"
    content = json.loads(path.read_text())
    del content["sha256"], content["segmenter"]
    del content["model"]["segmenter_sha256"], content["model"]["preprocessing"]["lesion"]
    path.write_text(json.dumps({"sha256": _seal(content), **content}))
    assert Predictor.load(bundle).model_info.diagnoses == DIAGNOSES


def test_a_changed_segmenter_is_refused(lesion_bundle: Path) -> None:
    path = lesion_bundle / SEGMENTER_FILES["fp32"]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for load in (Segmenter.load, Predictor.load):
        with pytest.raises(
            InputError, match=f"{SEGMENTER_FILES['fp32']} of the bundle was changed"
        ):
            load(lesion_bundle)


def test_a_model_that_needs_a_segmenter_does_not_run_without(
    lesion_bundle: Path, model_info: ModelInfo
) -> None:
    settings = model_info.preprocessing.model_copy(update={"lesion": "crop"})
    info = model_info.model_copy(update={"preprocessing": settings})
    (lesion_bundle / SEGMENTER_FILES["fp32"]).unlink()
    record_files(lesion_bundle, info)
    with pytest.raises(InputError, match="looks at the lesion, and the bundle holds no segmenter"):
        Predictor.load(lesion_bundle)


def test_the_model_sees_the_lesion_that_the_segmenter_found(
    lesion_bundle: Path, tmp_path: Path
) -> None:
    photos = [
        save(with_disk(60, 80), tmp_path / "lesion.png"),
        save(np.full((50, 60, 3), 255, np.uint8), tmp_path / "white.png"),
        tmp_path / "gone.png",
    ]
    predictor = Predictor.load(lesion_bundle, threads=2)
    table = pd.concat(predict_photos(predictor, photos), ignore_index=True)
    assert list(table.columns[-2:]) == ["lesion_fallback", "error"]
    assert table["lesion_fallback"].isna().tolist() == [True, False, True]
    assert table["lesion_fallback"][1] == "empty"
    assert table["error"][2] == "the photo is missing"
    seen, reason = predictor.read(photos[0])
    assert reason is None
    assert (seen[0] == 0).all()  # outside the disk all is black
    logits = table.loc[0, [f"logit_{name}" for name in DIAGNOSES]].to_numpy(np.float32)
    np.testing.assert_allclose(logits, predictor.logits(seen[None])[0], rtol=1e-5)


@pytest.mark.parametrize(("lesion", "planes"), [("crop", 3), ("channel", 4)])
def test_other_uses_of_the_lesion(
    lesion_bundle: Path,
    model_info: ModelInfo,
    segmenter_info: SegmenterInfo,
    tmp_path: Path,
    lesion: str,
    planes: int,
) -> None:
    settings = model_info.preprocessing.model_copy(update={"lesion": lesion})
    info = model_info.model_copy(update={"preprocessing": settings})
    record_files(lesion_bundle, info, segmenter_info)
    photo = save(with_disk(60, 80, radius=0.1), tmp_path / "photo.png")
    predictor = Predictor.load(lesion_bundle)
    seen, _ = predictor.read(photo)
    assert seen.shape == (32, 32, planes)
    segmenter = Segmenter.load(lesion_bundle)
    own = segmenter.probabilities(_seen_by(segmenter, photo))[0]
    expected, _ = load_lesion(photo, settings, own, segmenter.info.threshold)
    assert (seen == expected).all()


def _seen_by(segmenter: Segmenter, photo: Path) -> np.ndarray:
    size = segmenter.info.preprocessing.size
    image = Image.open(photo).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)[None]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_counts_what_was_taken_whole(
    lesion_bundle: Path, tmp_path: Path, suffix: str
) -> None:
    whites = [tmp_path / f"white-{number}.png" for number in range(3)]
    for path in whites:
        save(np.full((50, 60, 3), 255, np.uint8), path)
    photos = [*whites, save(with_disk(60, 80), tmp_path / "lesion.png")]
    out = tmp_path / f"out{suffix}"
    summary = predict_to_file(Predictor.load(lesion_bundle), photos, out)
    assert summary.fallbacks == {"empty": 3}
    table = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert table["lesion_fallback"].tolist()[:3] == ["empty"] * 3
    assert table["lesion_fallback"].isna()[3]


def test_rows_of_another_segmenter_are_not_taken_over(
    lesion_bundle: Path,
    segmenter_info: SegmenterInfo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grey = np.full((50, 60, 3), 120, np.uint8)
    photos = [save(grey, tmp_path / f"grey-{number}.png") for number in range(2)]
    out = tmp_path / "out.csv"
    look = Predictor.lesion

    def stopped(self: Predictor, photo: SharedPhoto) -> np.ndarray | None:
        if photo.photo == photos[1]:
            raise KeyboardInterrupt
        return look(self, photo)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "lesion", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(Predictor.load(lesion_bundle), photos, out, part_rows=1)
    info = read_info(lesion_bundle).model
    other = segmenter_info.model_copy(update={"threshold": 0.95})
    record_files(lesion_bundle, info, other)
    summary = predict_to_file(Predictor.load(lesion_bundle), photos, out, part_rows=1)
    assert (summary.resumed, summary.fallbacks) == (0, {"empty": 2})


def test_a_model_on_whole_photos_has_no_such_column(bundle: Path, photos: list[Path]) -> None:
    table = next(predict_photos(Predictor.load(bundle), photos))
    assert "lesion_fallback" not in table
