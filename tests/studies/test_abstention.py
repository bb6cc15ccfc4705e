"""A study of abstention on drawn photos: which photos are judged, by what, and what comes out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.splits import load_split, make_split, part_rows
from cutis.data.splits import test_uses as uses_of
from cutis.data.synthetic import SyntheticSpec, generate
from cutis.errors import InputError
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.records import NOTICE, ModelInfo, Part, Preprocessing, Provenance
from cutis.runtime import Predictor, predict_photos
from cutis.runtime.bundle import FEATURES_FILE, MODEL_FILES, BundleDiagnosis, BundleInfo, write_info
from cutis.storage import sha256_file
from cutis.studies.abstention import OTHER_DIAGNOSES, abstention
from cutis.studies.abstention_scores import HeldOut, resplits, selective
from cutis.studies.not_skin import HEIGHT, KINDS, WIDTH, drawn_pictures
from cutis.taxonomy import diagnosis

KNOWN = ("melanocytic_nevus", "melanoma")
SPEC = SyntheticSpec(
    photos=200,
    width=44,
    height=33,
    clinical_share=0.0,
    several_photos_share=0.4,
    identical_share=0.0,
    near_share=0.0,
    wrong_label_share=0.0,
    corrupt_share=0.0,
    diagnosis_shares=(("nv", 0.6), ("mel", 0.3), ("df", 0.1)),
)
POLICY = AnswerPolicy(
    set_thresholds=(0.4, 0.3), pooled=(False, False), largest_set=2, highest_distance=40.0
)
VIEW = """note = "without dermatofibroma"
excluded = ["dermatofibroma"]
[[classes]]
id = "melanocytic_nevus"
[[classes]]
id = "melanoma"
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog of three diagnoses with a split by lesion."""
    folder = tmp_path_factory.mktemp("abstention")
    generate(folder / "photos", SPEC)
    catalog = import_sources([folder / "photos"], folder / "catalog").catalog
    make_split(catalog, shares=(40, 30, 30))
    (folder / "two.toml").write_text(VIEW)
    return catalog


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutis.studies.abstention._DRAWN", 30)


@pytest.fixture
def catalog(drawn: Catalog, tmp_path: Path) -> Catalog:
    shutil.copytree(drawn.folder, tmp_path / "catalog")
    return Catalog.open(tmp_path / "catalog")


Bundle = Callable[..., Path]


@pytest.fixture
def bundle(catalog: Catalog, drawn: Catalog, tmp_path: Path) -> Bundle:
    """Writes a bundle of a linear network on the mean colour, trained on the catalog's split."""

    def write(policies: dict[str, AnswerPolicy], **made: str) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir()
        onnx.save(linear_network(), folder / MODEL_FILES["fp32"])
        np.savez(folder / FEATURES_FILE, means=np.zeros((1, 3)), directions=np.zeros((3, 0)),
                 variances=np.zeros(0), rest=np.array(0.1))  # fmt: skip
        provenance = Provenance(
            recipe="linear",
            split_name="default",
            unsafe=False,
            seed=0,
            train_counts={},
            train_groups=1,
            sources=("drawn",),
            licences=("CC0",),
            **{"catalog_sha256": catalog.sha256,
               "split_sha256": load_split(catalog).info.sha256, **made},
        )  # fmt: skip
        info = ModelInfo(
            cutis_version="0",
            architecture="linear",
            diagnoses=KNOWN,
            view=str(drawn.folder.parent / "two.toml"),
            preprocessing=Preprocessing(size=32),
            provenance=provenance,
            licence="CC0",
        )
        described = tuple(
            BundleDiagnosis(id=name, name={"en": name}, malignancy=diagnosis(name).malignancy,
                            urgency=None)
            for name in KNOWN
        )  # fmt: skip
        files = {file.name: sha256_file(file) for file in folder.iterdir()}
        write_info(folder, BundleInfo(cutis_version="0", model=info, diagnoses=described,
                                      default_model="fp32", policies=policies, files=files,
                                      notice=NOTICE))  # fmt: skip
        return folder

    return write


def linear_network() -> onnx.ModelProto:
    """Darker photos are melanomas; the features are the mean of each channel."""
    floats = TensorProto.FLOAT
    weights = np.array([[1, -1], [1, -1], [1, -1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, "height", "width"])],
        [
            helper.make_tensor_value_info("logits", floats, ["batch", 2]),
            helper.make_tensor_value_info("features", floats, ["batch", 3]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_of_its_own_catalog_the_held_out_photos_are_judged(
    catalog: Catalog, bundle: Bundle, tmp_path: Path
) -> None:
    model = bundle({"fp32": POLICY})
    study = abstention(catalog.folder, model=model, out=tmp_path / "out", quality=False)
    split = load_split(catalog)
    view = str(Predictor.load(model).model_info.view)
    rows = {p: part_rows(catalog, split, p, view=view) for p in (Part.VALIDATION, Part.TEST)}
    held = pd.concat(rows.values())
    assert (study.photos, study.groups) == (len(held), held["group"].nunique())
    assert (study.split_name, study.test_uses, uses_of(catalog, split)) == ("default", 1, 1)
    test = rows[Part.TEST]
    assert study.judged is not None
    assert (study.judged.photos, study.judged.groups) == (len(test), test["group"].nunique())
    answers = pd.concat(predict_photos(Predictor.load(model), map(catalog.locate, test["path"]),
                                       quality=False))  # fmt: skip
    hit = [truth in str(held).split(";") for truth, held in
           zip(test["diagnosis"], answers["prediction_set"], strict=True)]  # fmt: skip
    weight = 1 / test.groupby("group")["group"].transform("size")
    assert study.judged.coverage.value == pytest.approx(np.average(hit, weights=weight))
    given = answers["verdict"].value_counts()
    for row in study.judged.verdicts:
        assert row.photos == given.get(row.verdict, 0)
        assert row.share.value == pytest.approx(row.photos / len(test))
    malignant = [row.malignant.value or 0 for row in study.judged.verdicts]
    assert sum(malignant) == pytest.approx(1)
    assert study.judged.reasons["malignant_possible"] > 0


def test_what_is_not_skin_and_what_was_not_learned_is_refused_and_told(
    catalog: Catalog, bundle: Bundle, draw_folder: Callable[[Path], Path], tmp_path: Path
) -> None:
    others = draw_folder(tmp_path / "others")
    (others / "torn.jpg").write_bytes(b"no photo")
    study = abstention(
        catalog.folder, model=bundle({"fp32": POLICY}), others=[others], quality=False
    )
    found = {row.kind: row for row in study.detections}
    assert {*KINDS, str(others), OTHER_DIAGNOSES} <= set(found)
    assert (found[str(others)].photos, found[str(others)].unreadable) == (20, 1)
    split = load_split(catalog)
    rows = [part_rows(catalog, split, part) for part in (Part.VALIDATION, Part.TEST)]
    unknown = sum(int((part["diagnosis"] == "dermatofibroma").sum()) for part in rows)
    assert found[OTHER_DIAGNOSES].photos == unknown > 0
    drawn = found["textures"]
    assert drawn.distance is not None
    assert 0 <= drawn.distance <= 1
    assert drawn.unlike_training is not None
    assert drawn.cannot_tell is not None
    assert drawn.answered is not None
    assert 0 < drawn.unlike_training <= drawn.cannot_tell <= 1 - drawn.answered
    assert 0 <= drawn.energy <= 1
    assert 0 <= drawn.probability <= 1


def test_of_another_catalog_all_photos_are_judged_and_no_use_is_counted(
    catalog: Catalog, bundle: Bundle
) -> None:
    model = bundle({"fp32": POLICY}, catalog_sha256="0" * 64)
    study = abstention(catalog.folder, model=model, quality=False)
    known = catalog.photos["diagnosis"].isin(KNOWN)
    assert study.judged is not None
    assert study.photos == study.judged.photos == known.sum()
    assert (study.split_name, study.test_uses) == (None, None)
    assert uses_of(catalog, load_split(catalog)) == 0
    assert study.resplits is not None
    assert 0.93 < study.resplits.coverage < 1


def test_a_bundle_without_a_policy_is_studied_too(
    catalog: Catalog, bundle: Bundle, tmp_path: Path
) -> None:
    study = abstention(catalog.folder, model=bundle({}), out=tmp_path / "out", quality=False)
    assert study.judged is None
    assert {row.distance for row in study.detections} == {None}
    assert {row.cannot_tell for row in study.detections} == {None}
    assert "The bundle has no policy" in (tmp_path / "out" / "page.html").read_text("utf-8")


def test_the_page_the_record_and_what_is_printed_agree(
    catalog: Catalog, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    model = bundle({"fp32": POLICY})
    words = ["abstention", "--data", catalog.folder, "--model", model, "--out", out, "--no-quality"]
    assert run([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert {file.name for file in out.iterdir()} == {
        "abstention.json", "abstention.png", "abstention.svg", "page.html"
    }  # fmt: skip
    record = json.loads((out / "abstention.json").read_text())
    page = (out / "page.html").read_text("utf-8")
    shown = f"{100 * record['judged']['coverage']['value']:.1f} ("
    assert shown in page
    assert shown in said
    assert f"{record['photos']} photos of {record['groups']} groups" in page
    assert "<script" not in page


def test_a_split_that_was_made_anew_is_refused(catalog: Catalog, bundle: Bundle) -> None:
    model = bundle({"fp32": POLICY})
    make_split(catalog, shares=(40, 30, 30), seed=1)
    with pytest.raises(InputError, match="has been made anew since the model was trained"):
        abstention(catalog.folder, model=model)
    assert uses_of(catalog, load_split(catalog)) == 0


def test_a_folder_without_photos_is_refused_before_the_test_part_is_used(
    catalog: Catalog, bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="there is no such photo or folder"):
        abstention(catalog.folder, model=bundle({"fp32": POLICY}), others=[tmp_path / "none"])
    assert uses_of(catalog, load_split(catalog)) == 0


def held_out(probabilities: np.ndarray, truth: list[int], group: list[int]) -> HeldOut:
    names = ("melanoma", "melanocytic_nevus")
    return HeldOut(pd.DataFrame(), names, probabilities, np.array(truth), np.array(group))


def test_accuracy_by_the_share_answered_by_hand() -> None:
    sure = np.linspace(0.99, 0.6, 20)
    wrong = [9, 18, 19]  # the tenth surest, and the two least sure
    truth = [int(n in wrong) for n in range(20)]
    found = selective(held_out(np.stack([sure, 1 - sure], axis=1), truth, list(range(20))))
    values = {share: figure.value for share, figure in found.accuracy_at.items()}
    expected = {"1": 17 / 20, "0.95": 17 / 19, "0.9": 17 / 18, "0.8": 15 / 16, "0.7": 13 / 14}
    assert values == pytest.approx(expected)
    risks = [0] * 9 + [1 / n for n in range(10, 19)] + [2 / 19, 3 / 20]
    assert found.aurc.value == pytest.approx(np.mean(risks))


def test_re_splits_take_enough_groups() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(60)
    probabilities = np.stack([first, 1 - first], axis=1)
    truth = (rng.random(60) > first).astype(int).tolist()
    assert resplits(held_out(probabilities[:48], truth[:48], list(range(48)))) is None
    found = resplits(held_out(probabilities, truth, list(range(60))))
    assert found is not None
    low, high = found.coverage_between
    assert low <= found.coverage <= high
    assert set(found.by_diagnosis) == {"melanoma", "melanocytic_nevus"}


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_pictures_are_photos_that_differ_and_come_again(kind: str) -> None:
    made = list(drawn_pictures(kind, 40))
    assert made == list(drawn_pictures(kind, 40))
    assert len(set(made)) == 40
    for content in made:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert picture.std(axis=(0, 1)).max() > 1
    assert made != list(drawn_pictures(kind, 40, seed=1))
