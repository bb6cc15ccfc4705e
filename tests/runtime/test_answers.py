"""Verdicts of a bundle: of one photo, in tables, and over any number of photos."""

import io
import tracemalloc
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from PIL import Image

from cutis.metrics.answer_policy import AnswerPolicy, Verdict
from cutis.metrics.out_of_distribution import FeatureSpace
from cutis.metrics.quality import FLAG_TEXTS
from cutis.preprocessing import normalise
from cutis.records import QualityFlag
from cutis.runtime import (
    PhotoAnswer,
    Predictor,
    answer_photo,
    predict_photos,
    predict_to_file,
    table,
)
from cutis.runtime.answers import read_space
from cutis.runtime.bundle import FEATURES_FILE, MODEL_FILES, read_info, write_info
from cutis.runtime.stream import text_columns
from cutis.storage import sha256_file
from cutis.taxonomy import Malignancy, diagnosis

from .conftest import DIAGNOSES, WEIGHTS, linear_network, with_disk

SPACE = FeatureSpace(
    means=np.zeros((1, 3), np.float32),
    directions=np.zeros((3, 0), np.float32),
    variances=np.zeros(0, np.float32),
    rest=1.0,
)
"""The distance is the squared length of the mean normalised colour."""

POLICY = AnswerPolicy(
    set_thresholds=(0.2, 0.4, 0.3),
    pooled=(False, True, True),
    largest_set=2,
    highest_distance=6.0,
)
Policies = Mapping[str, AnswerPolicy]


def judging_bundle(folder: Path, policies: Policies, *, features: bool = True) -> Path:
    """Gives a bundle of the linear network its features as second output, a space and policies."""
    if features:
        for name, weights in WEIGHTS.items():
            network = linear_network(weights)
            features_info = helper.make_tensor_value_info(
                "features", TensorProto.FLOAT, ["batch", 3]
            )
            network.graph.output.append(features_info)
            onnx.save(network, folder / MODEL_FILES[name])
        np.savez(folder / FEATURES_FILE, **vars(SPACE))
    renew(folder, policies)
    return folder


def renew(folder: Path, policies: Policies) -> None:
    """Writes the record anew for the files as they are, with the diagnoses' malignancy."""
    info = read_info(folder)
    described = tuple(
        found.model_copy(update={"malignancy": diagnosis(found.id).malignancy})
        for found in info.diagnoses
    )
    files = {f.name: sha256_file(f) for f in folder.iterdir() if f.name != "bundle.json"}
    changed = {"diagnoses": described, "policies": policies, "files": files}
    write_info(folder, info.model_copy(update=changed))


@pytest.fixture
def judging(bundle: Path) -> Path:
    return judging_bundle(bundle, {"int8": POLICY})


@pytest.fixture
def predictor(judging: Path) -> Predictor:
    return Predictor.load(judging, threads=2)


def plain(colour: tuple[int, int, int]) -> bytes:
    """A PNG of one colour with some grain."""
    grain = np.random.default_rng(0).integers(-3, 4, (48, 64, 3))
    file = io.BytesIO()
    Image.fromarray((np.array(colour) + grain).clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def expected(predictor: Predictor, photo: Path | bytes) -> tuple[np.ndarray, float]:
    """Probabilities and distance by the definition of the tiny network."""
    pixels = predictor.read(photo)[0]
    features = normalise(pixels[None], predictor.model_info.preprocessing).mean(axis=(2, 3))
    logits = features @ WEIGHTS["int8"]
    return predictor.probabilities(logits)[0], float((features**2).sum())


GREY = (124, 116, 104)  # close to ImageNet's mean, so its features are close to zero


def test_one_photo_gets_all_that_decides(predictor: Predictor) -> None:
    found = answer_photo(predictor, plain(GREY))
    probabilities, distance = expected(predictor, plain(GREY))
    assert list(found.probabilities.values()) == sorted(probabilities.tolist(), reverse=True)
    assert found.probabilities["melanoma"] == pytest.approx(probabilities[0])
    assert found.distance == pytest.approx(distance, rel=1e-4)
    # all three near a third: in the sets of melanoma and dermatofibroma, below 0.4 of the nevus
    assert set(found.prediction_set) == {"melanoma", "dermatofibroma"}
    first, second = (found.probabilities[name] for name in found.prediction_set)
    assert first > second
    assert found.malignant_possible
    assert found.verdict is Verdict.CANNOT_TELL
    assert "low_contrast" in found.reasons
    assert found.flags is not None
    assert set(found.reasons) <= set(found.flags)
    assert (found.mask_found, found.lesion_fallback, found.error) == (False, None, None)


def test_without_quality_no_flag_decides(predictor: Predictor) -> None:
    found = answer_photo(predictor, plain(GREY), quality=False)
    assert found.flags is None
    assert found.verdict is Verdict.CAUTION
    assert found.reasons == ("malignant_possible", "several_diagnoses")


def test_what_is_far_from_the_training_photos_is_refused(predictor: Predictor) -> None:
    found = answer_photo(predictor, plain((250, 250, 250)), quality=False)
    assert found.distance is not None
    assert found.distance > POLICY.highest_distance  # type: ignore[operator]
    assert found.reasons == ("unlike_training",)
    near = POLICY.model_copy(update={"highest_distance": found.distance})
    predictor.policy = near
    assert answer_photo(predictor, plain((250, 250, 250)), quality=False).verdict != found.verdict


@pytest.mark.parametrize("content", [b"a text", b""])
def test_an_unreadable_photo_is_an_answer_too(predictor: Predictor, content: bytes) -> None:
    found = answer_photo(predictor, content)
    assert found.error == "this is not a photo"
    assert (found.verdict, found.reasons) == (Verdict.CANNOT_TELL, ("unreadable",))
    assert (found.probabilities, found.prediction_set, found.distance) == ({}, (), None)


def test_a_bundle_without_a_policy_for_the_network_gives_no_verdict(judging: Path) -> None:
    found = answer_photo(Predictor.load(judging, model="fp32"), plain(GREY))
    assert (found.verdict, found.flags, found.prediction_set) == (None, None, ())
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_a_policy_may_limit_the_energy_instead(bundle: Path) -> None:
    limited = POLICY.model_copy(update={"highest_distance": None, "highest_energy": -50.0})
    predictor = Predictor.load(judging_bundle(bundle, {"int8": limited}, features=False))
    found = answer_photo(predictor, plain(GREY), quality=False)
    assert found.reasons == ("unlike_training",)
    assert "distance" not in next(predict_photos(predictor, [bundle / "none.jpg"]))


def test_a_distance_that_cannot_be_measured_is_no_pass(bundle: Path) -> None:
    predictor = Predictor.load(judging_bundle(bundle, {"int8": POLICY}, features=False))
    assert answer_photo(predictor, plain(GREY), quality=False).reasons == ("unlike_training",)


@pytest.fixture
def lesion_predictor(lesion_bundle: Path) -> Predictor:
    return Predictor.load(judging_bundle(lesion_bundle, {"int8": POLICY}))


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_mask_says_how_small_the_lesion_is(lesion_predictor: Predictor) -> None:
    small, large = (png(with_disk(160, 160, radius=radius)) for radius in (0.055, 0.3))
    found = answer_photo(lesion_predictor, small)
    assert (found.mask_found, found.lesion_fallback) == (True, None)
    assert "lesion_small" in (found.flags or ())
    assert "lesion_small" not in (answer_photo(lesion_predictor, large).flags or ())
    # the same photo, and a segmenter to which twenty times as much is lesion
    lesion = lesion_predictor.lesion(small)
    assert lesion is not None
    lesion[8:-8, 8:-8] = 1
    lesion_predictor.lesion = lambda photo: lesion  # type: ignore[method-assign]
    assert "lesion_small" not in (answer_photo(lesion_predictor, small).flags or ())


def test_a_mask_that_is_not_used_is_said(lesion_predictor: Predictor) -> None:
    found = answer_photo(lesion_predictor, plain((240, 220, 215)))
    assert (found.mask_found, found.lesion_fallback) == (False, "empty")


def test_tables_say_what_single_answers_say(predictor: Predictor, photos: list[Path]) -> None:
    photos[4].write_text("no photo")
    found = pd.concat(predict_photos(predictor, photos, batch=5), ignore_index=True)
    logits = [f"logit_{name}" for name in DIAGNOSES]
    texts = ["verdict", "reasons", "prediction_set", "flags", "error"]
    assert list(found.columns) == ["path", *logits, *DIAGNOSES, "distance", *texts]
    assert found["verdict"].nunique() > 1
    for photo, row in zip(photos, found.to_dict("records"), strict=True):
        said = answer_photo(predictor, photo)
        assert row["verdict"] == said.verdict
        assert split(row["reasons"], ",") == said.reasons
        assert split(row["prediction_set"], ";") == said.prediction_set
        assert split(row["flags"], ",") == (said.flags or ())
        distance = np.nan if said.distance is None else said.distance
        assert row["distance"] == pytest.approx(distance, rel=1e-5, nan_ok=True)


def split(cell: object, between: str) -> tuple[str, ...]:
    return tuple(cell.split(between)) if isinstance(cell, str) else ()


def test_flags_are_left_out_of_tables_on_request(
    predictor: Predictor, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_measurement(rgb: np.ndarray) -> None:
        raise AssertionError

    monkeypatch.setattr("cutis.runtime.answers.measure_quality", no_measurement)
    found = next(predict_photos(predictor, photos, quality=False))
    assert "flags" not in found
    assert not found["reasons"].str.contains("|".join(FLAG_TEXTS)).any()
    # nor is it measured where no policy would ask for it
    assert "flags" not in text_columns(Predictor.load(predictor_folder(photos), model="fp32"))
    next(predict_photos(Predictor.load(predictor_folder(photos), model="fp32"), photos))


def predictor_folder(photos: list[Path]) -> Path:
    return photos[0].parents[1] / "bundle"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_hold_the_verdicts_and_count_them(
    predictor: Predictor, photos: list[Path], tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    summary = predict_to_file(predictor, photos, out, part_rows=10)
    found = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert summary.verdicts == dict(found["verdict"].value_counts())
    stream = pd.concat(predict_photos(predictor, photos), ignore_index=True)
    pd.testing.assert_frame_equal(found, stream, check_dtype=False, rtol=1e-5)


@pytest.mark.parametrize("change", ["nothing", "policy", "space", "quality", "model", "diagnoses"])
def test_work_is_taken_over_only_where_the_rows_would_be_the_same(
    judging: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    renew(judging, {"int8": POLICY, "fp32": POLICY})
    done = 0

    def interrupted(*given: object, **options: bool) -> Iterator[pd.DataFrame]:
        nonlocal done
        done += 1
        if done > 2:
            raise KeyboardInterrupt
        return predict_photos(*given, **options)  # type: ignore[arg-type]

    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr(table, "predict_photos", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(Predictor.load(judging), photos, out, part_rows=5)
    other = {"int8": POLICY, "fp32": POLICY}
    if change == "policy":
        other["int8"] = POLICY.model_copy(update={"largest_set": 1})
    if change == "space":
        np.savez(judging / FEATURES_FILE, **{**vars(SPACE), "rest": 2.0})
    renew(judging, other)
    if change == "diagnoses":
        info = read_info(judging)
        milder = info.diagnoses[0].model_copy(update={"malignancy": Malignancy.BENIGN})
        write_info(judging, info.model_copy(update={"diagnoses": (milder, *info.diagnoses[1:])}))
    again = Predictor.load(judging, model="fp32" if change == "model" else None)
    summary = predict_to_file(again, photos, out, part_rows=5, quality=change != "quality")
    assert summary.resumed == (10 if change == "nothing" else 0)


def test_memory_does_not_grow_with_the_photos(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    few, many = (list(islice(_names(photos, tmp_path / str(n)), n)) for n in (200, 2000))
    used = {}
    for names in (few, few, many):  # the first time fills caches
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        predict_to_file(predictor, names, tmp_path / "out.parquet", part_rows=100, quality=False)
        used[len(names)] = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 2000
    # The rows of 1,800 photos would take more than 1 MB.
    assert used[2000] - used[200] < 300_000


def _names(photos: list[Path], folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for number in range(10_000):
        link = folder / f"{number:05}.png"
        link.hardlink_to(photos[number % len(photos)])
        yield link


def test_the_space_survives_its_file(tmp_path: Path, judging: Path) -> None:
    found = read_space((judging / FEATURES_FILE).read_bytes())
    for name, value in vars(SPACE).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    assert found.directions.dtype == np.float32


def test_a_space_that_holds_code_is_not_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", means=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_space((tmp_path / "evil.npz").read_bytes())


def test_the_record_is_plain_json(predictor: Predictor) -> None:
    found = answer_photo(predictor, plain(GREY))
    assert PhotoAnswer.model_validate_json(found.model_dump_json()) == found
    assert QualityFlag.LOW_CONTRAST in found.reasons
