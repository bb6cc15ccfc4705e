"""From an archive's feedback to a recalibrated bundle, and every reason against one."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cutis.cli import run
from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.sources.feedback import COLUMNS
from cutis.errors import CheckFailedError, InputError
from cutis.metrics import softmax
from cutis.metrics.answer_policy import AnswerPolicy
from cutis.metrics.recalibration import Photos
from cutis.records import NOTICE, ModelInfo, Preprocessing, Provenance
from cutis.runtime import Predictor, answer_photo
from cutis.runtime.bundle import (
    FEATURES_FILE,
    MODEL_FILES,
    BundleDiagnosis,
    BundleInfo,
    read_info,
    write_info,
)
from cutis.storage import sha256_file
from cutis.studies.abstention import abstention
from cutis.studies.recalibration import recalibrate
from cutis.studies.recalibration.promises import clinic_policy
from cutis.studies.recalibration.study import (
    MAY_FIND_FEWER,
    OF_FEEDBACK,
    Network,
    implied_shares,
    study_network,
)
from cutis.taxonomy import diagnosis

NAMES = ("melanocytic_nevus", "melanoma", "dermatofibroma")
PHOTOS, CASES = 130, 100
COLUMNS_OF_OWN = {name: name for name in ("image", "diagnosis", "lesion_id")}
SHARES = (-0.5, 1.6, -3.0)  # what a clinic's prior adds to the logits
POLICY = AnswerPolicy(
    set_thresholds=(0.4, 0.3, 0.2), pooled=(False, False, True), highest_distance=40.0
)
CARD = """# linear

- output: logits; probabilities are their softmax at temperature 1

## Limits

- none
"""


def network() -> bytes:
    """Logits and features from the mean of each channel."""
    floats = TensorProto.FLOAT
    weights = np.array([[2, -1, 0], [1, -2, 1], [0, -1, 1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("pixels", floats, ["batch", 3, "height", "width"])],
        [
            helper.make_tensor_value_info("logits", floats, ["batch", 3]),
            helper.make_tensor_value_info("features", floats, ["batch", 3]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return made.SerializeToString()


Bundle = Callable[..., Path]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    def write(
        policies: dict[str, AnswerPolicy] | None = None,
        networks: Sequence[str] = ("fp32",),
        **made: object,
    ) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir()
        for name in networks:
            (folder / MODEL_FILES[name]).write_bytes(network())
        (folder / "MODEL_CARD.md").write_text(CARD)
        np.savez(folder / FEATURES_FILE, means=np.zeros((1, 3)), directions=np.zeros((3, 0)),
                 variances=np.zeros(0), rest=np.array(0.1))  # fmt: skip
        provenance = {
            "recipe": "linear", "catalog_sha256": "0" * 64, "split_name": "default",
            "split_sha256": "1" * 64, "unsafe": False, "seed": 0, "train_counts": {},
            "train_groups": 1, "sources": ("drawn",), "licences": ("CC0",),
        }  # fmt: skip
        info = ModelInfo(
            cutis_version="0",
            architecture="linear",
            diagnoses=NAMES,
            preprocessing=Preprocessing(size=32),
            provenance=Provenance.model_validate(provenance | made),
            licence="CC0",
        )
        described = tuple(
            BundleDiagnosis(id=name, name={"en": name}, malignancy=diagnosis(name).malignancy,
                            urgency=None)
            for name in NAMES
        )  # fmt: skip
        files = {file.name: sha256_file(file) for file in folder.iterdir()}
        policies = dict.fromkeys(networks, POLICY) if policies is None else policies
        write_info(folder, BundleInfo(cutis_version="0", model=info, diagnoses=described,
                                      default_model=networks[0], policies=policies, files=files,
                                      notice=NOTICE))  # fmt: skip
        return folder

    return write


def jpeg_of(seed: int) -> bytes:
    """Clouds of a colour."""
    rng = np.random.default_rng(seed)
    clouds = rng.normal(rng.uniform(60, 220, 3), 25, (6, 8, 3)).clip(0, 255)
    file = io.BytesIO()
    picture = Image.fromarray(clouds.astype(np.uint8))
    picture.resize((48, 36), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Clouds of a colour each."""
    return [jpeg_of(seed) for seed in range(PHOTOS)]


@pytest.fixture(scope="session")
def logits(pictures: list[bytes]) -> np.ndarray:
    from cutis.preprocessing import load
    from cutis.runtime.network import Network

    settings = Preprocessing(size=32)
    ready = Network(network(), settings, threads=1)
    return ready.logits(np.stack([load(picture, settings) for picture in pictures]))


def handed_over(
    folder: Path, pictures: list[bytes], truth: np.ndarray, photos: int = PHOTOS
) -> Path:
    """Feedback in which the first photos are of one case each and the last of cases before."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for number in range(photos):
        sha256 = hashlib.sha256(pictures[number]).hexdigest()
        (folder / "photos" / f"{sha256}.jpg").write_bytes(pictures[number])
        case = number % CASES
        row = dict.fromkeys(COLUMNS, "")
        row |= {"image": f"{sha256}.jpg", "case": f"{case:016x}", "confirmed_by": "histology",
                "diagnosis": NAMES[truth[case]]}  # fmt: skip
        rows.append(row)
    with (folder / "feedback.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    note = {"format": "cutis-feedback", "version": 1, "clinic": "aa",
            "sha256": sha256_file(folder / "feedback.csv")}  # fmt: skip
    (folder / "feedback.json").write_text(json.dumps(note))
    return folder


def collected(
    folder: Path, pictures: list[bytes], truth: np.ndarray, photos: Sequence[int] = range(PHOTOS)
) -> Path:
    """The same photos as a clinic's own table, of cases that nobody chose."""
    folder.mkdir(parents=True)
    lines = ["image,diagnosis,lesion_id"]
    for number in photos:
        (folder / f"{number:03d}.jpg").write_bytes(pictures[number])
        lines.append(f"{number:03d}.jpg,{NAMES[truth[number % CASES]]},{number % CASES}")
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    return folder / "own.csv"


def truths(
    logits: np.ndarray, temperature: float, offsets: Sequence[float], seed: int = 1
) -> np.ndarray:
    """Drawn from the probabilities of a clinic with this temperature and prior."""
    steps = np.cumsum(softmax(logits / temperature + np.array(offsets)), axis=1)
    return (np.random.default_rng(seed).random((len(logits), 1)) > steps).sum(axis=1)


@pytest.fixture(scope="session")
def drawn(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[bytes], logits: np.ndarray
) -> Path:
    """A catalog of a clinic with other shares of the diagnoses."""
    folder = tmp_path_factory.mktemp("clinic")
    truth = truths(logits, 1.6, SHARES)
    table = collected(folder / "own", pictures, truth)
    return import_sources([table], folder / "catalog", columns=COLUMNS_OF_OWN).catalog.folder


@pytest.fixture
def clinic(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "catalog")
    return tmp_path / "catalog"


def test_a_bundle_is_fitted_and_its_sets_keep_their_promise(
    bundle: Bundle, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, out = bundle(), tmp_path / "fitted"
    assert run(["recalibrate", str(old), str(clinic), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Log loss" in said
    assert "feedback" not in said
    record = json.loads((out / "recalibration.json").read_text())
    (study,) = record["networks"]
    assert study["way"] == "temperature and prior"
    assert study["difference"]["log_loss"]["high"] < 0
    assert record["counts"]["cases"] == CASES
    assert record["counts"]["photos"] == PHOTOS
    info = read_info(out)
    entry = info.recalibrations["fp32"]
    assert (entry.temperature, entry.cases) == (study["temperature"], CASES)
    assert entry.sets_checked
    thresholds = info.policies["fp32"].set_thresholds
    assert all(np.array(thresholds) < POLICY.set_thresholds)
    assert info.policies["fp32"].highest_distance == POLICY.highest_distance
    assert info.model == read_info(old).model
    assert (out / "model.onnx").read_bytes() == (old / "model.onnx").read_bytes()
    page = (out / "recalibration.html").read_text()
    assert "Calibration before and after" in page
    assert "feedback" not in page
    assert "<script" not in page
    card = (out / "MODEL_CARD.md").read_text()
    assert "their softmax as exported, at temperature 1" in card
    assert card.index("## Recalibration") < card.index("## Limits")
    assert not read_info(old).recalibrations


def test_what_is_shown_changes_and_no_diagnosis_leaves_a_set(
    bundle: Bundle, clinic: Path, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    old = Predictor.load(bundle(), threads=1)
    recalibrate(tmp_path / "bundle", clinic, tmp_path / "fitted")
    new = Predictor.load(tmp_path / "fitted", threads=1)
    fitted = new.recalibration
    assert fitted is not None
    expected = softmax(logits / fitted.temperature + np.array(fitted.offsets))
    assert new.probabilities(logits) == pytest.approx(expected, abs=1e-6)
    changed = 0
    for picture in pictures[:60]:
        before, after = (answer_photo(p, picture, quality=False) for p in (old, new))
        assert set(before.prediction_set) <= set(after.prediction_set)
        if after.prediction_set:
            assert next(iter(after.probabilities)) in after.prediction_set
        assert before.malignant_possible <= after.malignant_possible
        changed += next(iter(before.probabilities)) != next(iter(after.probabilities))
    assert changed > 3
    # From probabilities alone, as the app pools them, sets come out the same.
    exported = softmax(logits.astype(np.float64))
    shown = new.probabilities(logits).astype(np.float64)
    scores = new.set_scores(shown)
    untouched = scores < 1
    assert scores[untouched] == pytest.approx(exported[untouched], rel=1e-4)
    assert np.isnan(new.set_scores(np.full((1, 3), np.nan))).all()


def test_sets_cover_a_clinic_that_the_old_ones_did_not(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    narrow = POLICY.model_copy(update={"set_thresholds": (0.8, 0.8, 0.8)})
    (study,) = recalibrate(bundle({"fp32": narrow}), clinic, tmp_path / "fitted").networks
    assert study.sets_before.coverage.value is not None
    assert study.sets_after.coverage.value is not None
    assert study.sets_before.coverage.value < 0.8
    assert study.sets_after.coverage.value > 0.92
    assert study.sets_checked
    assert study.kept is not None


def test_a_threshold_never_rises_and_falls_only_for_what_cases_show() -> None:
    rng = np.random.default_rng(0)
    exported = softmax(rng.normal(size=(200, 3)) * 2)
    truth = rng.integers(0, 2, 200)  # nobody shows the third
    photos = Photos(np.log(exported), truth, np.arange(200), np.arange(200) % 10)
    old = POLICY.model_copy(update={"set_thresholds": (1e-6, 0.9, 0.9)})
    made, enough = clinic_policy(old, exported, photos)
    thresholds = np.array(made.set_thresholds)
    assert enough
    assert thresholds[[0, 2]] == pytest.approx([1e-6, 0.9], rel=1e-4)
    assert thresholds[1] < 0.2
    # Room for float32: what stood in a set by its threshold must not fall out of it.
    assert (thresholds < np.array(old.set_thresholds) * (1 - 1e-6)).all()


def test_too_few_cases_for_the_level_leave_the_sets_unchecked(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    strict = POLICY.model_copy(update={"level": 0.995})
    study = recalibrate(bundle({"fp32": strict}), clinic, tmp_path / "fitted")
    assert not study.networks[0].sets_checked
    assert study.networks[0].thresholds == pytest.approx(POLICY.set_thresholds, rel=1e-4)
    assert "is not checked" in (tmp_path / "fitted" / "MODEL_CARD.md").read_text()


def test_calibration_that_gets_no_better_is_a_failed_check(
    bundle: Bundle, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    table = collected(tmp_path / "own", pictures, truths(logits, 1.0, (0, 0, 0)))
    catalog = import_sources([table], tmp_path / "catalog", columns=COLUMNS_OF_OWN).catalog.folder
    with pytest.raises(CheckFailedError, match=r"rely on.*more than chance(.|\n)*log loss"):
        recalibrate(bundle(), catalog, tmp_path / "fitted")
    assert not (tmp_path / "fitted").exists()
    assert run(["recalibrate", str(tmp_path / "bundle"), str(catalog),
                "--out", str(tmp_path / "fitted")]) == 1  # fmt: skip


def test_fewer_than_fifty_cases_are_refused(
    bundle: Bundle, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    truth = truths(logits, 1.6, SHARES)
    for photos, refused in ((49, True), (50, False)):
        table = collected(tmp_path / f"own-{photos}", pictures, truth, range(photos))
        catalog = import_sources(
            [table], tmp_path / f"catalog-{photos}", columns=COLUMNS_OF_OWN
        ).catalog.folder
        if refused:
            with pytest.raises(InputError, match=r"49 cases are too few(.|\n)*50 cases or more"):
                recalibrate(bundle(), catalog, tmp_path / "fitted")
        else:
            assert recalibrate(tmp_path / "bundle", catalog, tmp_path / "fitted").counts.cases == 50


def test_one_diagnosis_is_refused(bundle: Bundle, tmp_path: Path, pictures: list[bytes]) -> None:
    feedback = handed_over(tmp_path / "feedback", pictures, np.zeros(PHOTOS, int))
    catalog = import_sources([feedback], tmp_path / "catalog").catalog.folder
    with pytest.raises(InputError, match="all 100 cases are of one diagnosis, melanocytic_nevus"):
        recalibrate(bundle(), catalog, tmp_path / "fitted")


def test_photos_that_trained_the_model_are_left_out(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    folder = bundle(sources=("own",))
    with pytest.raises(InputError, match=r"0 cases are too few.*130 photos are of sources"):
        recalibrate(folder, clinic, tmp_path / "fitted")
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="trained on this very catalog"):
        recalibrate(bundle(catalog_sha256=Catalog.open(clinic).sha256), clinic, tmp_path / "fitted")


def test_bundles_that_cannot_be_recalibrated(bundle: Bundle, clinic: Path, tmp_path: Path) -> None:
    folder = bundle()
    with pytest.raises(InputError, match="would replace the one as exported"):
        recalibrate(folder, clinic, folder)
    recalibrate(folder, clinic, tmp_path / "fitted")
    with pytest.raises(InputError, match="recalibrated already"):
        recalibrate(tmp_path / "fitted", clinic, tmp_path / "again")
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="does not say when it cannot tell"):
        recalibrate(bundle({}), clinic, tmp_path / "again")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(InputError, match="already holds something else"):
        recalibrate(folder, clinic, tmp_path / "mine")


def test_a_network_without_thresholds_stays_as_exported(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    folder = bundle({"int8": POLICY}, ("int8", "fp32"))
    study = recalibrate(folder, clinic, tmp_path / "fitted")
    assert [one.network for one in study.networks] == ["int8"]
    assert study.as_exported == {"fp32": "no thresholds"}
    info = read_info(tmp_path / "fitted")
    assert set(info.recalibrations) == {"int8"}
    plain = Predictor.load(tmp_path / "fitted", model="fp32")
    assert plain.recalibration is None
    assert "`fp32` stays as exported" in (tmp_path / "fitted" / "MODEL_CARD.md").read_text()


def test_figures_on_the_very_cases_are_refused(
    bundle: Bundle, clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    with pytest.raises(InputError, match="recalibrated on these 130 photos"):
        abstention(clinic, model=tmp_path / "fitted")
    code = run(["evaluate", str(tmp_path / "fitted"), "--data", str(clinic), "--part", "all",
                "--out", str(tmp_path / "report")])  # fmt: skip
    assert code == 2
    assert "recalibrated on these 130 photos" in capsys.readouterr().err


def test_the_cases_of_a_recalibration_are_known_in_every_catalog(
    bundle: Bundle, clinic: Path, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    # Feedback with a new photo of the first case, and photos of which some are copies.
    again = [*pictures[: PHOTOS - 1], jpeg_of(999)]
    truth = truths(logits, 1.6, SHARES)
    later = handed_over(tmp_path / "later", again, truth)
    new = collected(tmp_path / "new", [jpeg_of(k) for k in range(200, 330)], truth, range(20))
    import_sources([later], tmp_path / "other")
    catalog = import_sources([new], tmp_path / "other", columns=COLUMNS_OF_OWN).catalog
    out = tmp_path / "report"
    assert run(["evaluate", str(tmp_path / "fitted"), "--data", str(catalog.folder), "--part",
                "all", "--out", str(out)]) == 0  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["photos"], metrics["left_out"]) == (20, PHOTOS)
    study = abstention(catalog.folder, model=tmp_path / "fitted", quality=False)
    assert (study.photos, study.recalibrated_on) == (20, PHOTOS)


def test_a_bundle_names_no_photo_that_it_was_fitted_to(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    rows = Catalog.open(clinic).photos
    said = "".join(file.read_text(errors="ignore") for file in (tmp_path / "fitted").iterdir())
    for column in ("sha256", "pixels_sha256", "image_id"):
        assert not any(name in said for name in rows[column])
    codes = (tmp_path / "fitted" / "recalibrated-on.txt").read_text().split()
    assert len(codes) == 2 * PHOTOS
    assert "recalibrated-on.txt" in read_info(tmp_path / "fitted").files
    plain = Predictor.load(tmp_path / "bundle")
    assert not plain.was_fitted_to(rows).any()


def test_a_report_judges_the_probabilities_that_are_shown(
    bundle: Bundle, clinic: Path, tmp_path: Path, pictures: list[bytes], logits: np.ndarray
) -> None:
    recalibrate(bundle(), clinic, tmp_path / "fitted")
    truth = truths(logits, 1.6, SHARES)
    # Nobody knows that these are the photos it was fitted to.
    (tmp_path / "fitted" / "recalibrated-on.txt").write_text("")
    info = read_info(tmp_path / "fitted")
    empty = {"recalibrated-on.txt": hashlib.sha256(b"").hexdigest()}
    write_info(tmp_path / "fitted", info.model_copy(update={"files": info.files | empty}))
    later = collected(tmp_path / "later", pictures, truth, range(90))
    catalog = import_sources([later], tmp_path / "other", columns=COLUMNS_OF_OWN).catalog.folder
    assert run(["evaluate", str(tmp_path / "fitted"), "--data", str(catalog), "--part", "all",
                "--out", str(tmp_path / "report")]) == 0  # fmt: skip
    predictor = Predictor.load(tmp_path / "fitted")
    shown = predictor.probabilities(logits[:90]).astype(np.float64)
    loss = -np.log(shown[np.arange(90), truth[:90]]).mean()
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["calibration"]["before"]["log_loss"]["value"] == pytest.approx(loss, rel=1e-4)


def test_no_prior_is_fitted_to_feedback(
    bundle: Bundle,
    tmp_path: Path,
    pictures: list[bytes],
    logits: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    feedback = handed_over(tmp_path / "feedback", pictures, truths(logits, 3.5, SHARES))
    catalog = import_sources([feedback], tmp_path / "catalog").catalog.folder
    out = tmp_path / "fitted"
    assert run(["recalibrate", str(bundle()), str(catalog), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "are feedback: harder" in said
    assert OF_FEEDBACK in said
    (study,) = json.loads((out / "recalibration.json").read_text())["networks"]
    assert (study["way"], study["no_prior"]) == ("temperature", OF_FEEDBACK)
    assert not any(study["offsets"])
    for file in ("recalibration.html", "MODEL_CARD.md"):
        text = (out / file).read_text()
        assert "feedback like these, which the clinic&#39;s patients are not" in text.replace(
            "'", "&#39;"
        )
        assert "further cases like this clinic" not in text
    assert "feedback from the app" in (out / "recalibration.html").read_text()


def cases_of(logits: np.ndarray, truth: np.ndarray) -> Photos:
    number = np.arange(len(truth))
    return Photos(np.asarray(logits, np.float64), truth, number, number % 10)


def test_a_prior_that_costs_warnings_gives_way_to_temperature(bundle: Bundle) -> None:
    network = Network.of(Predictor.load(bundle()))
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(600, 3)) * 3
    study = study_network(
        network, cases_of(logits, truths(logits, 2.5, (2.0, -1.5, 0.0))),
        feedback=False,
    )  # fmt: skip
    assert (study.way, study.no_prior) == ("temperature", MAY_FIND_FEWER)
    assert study.finds_as_many
    assert study.failures == ()
    assert study.before.not_benign_found == study.after.not_benign_found
    # Few cases do not excuse it, nor do cases that show nothing that is not benign.
    few = truths(logits[:60], 2.5, (2.0, -1.5, 0.0))
    calm = np.where(few == 1, 0, few)
    for truth in (few, calm):
        study = study_network(network, cases_of(logits[:60], truth), feedback=False)
        assert study.no_prior == MAY_FIND_FEWER
        assert not any(study.offsets)
    # Another prior, which finds more of them, is fitted.
    study = study_network(
        network, cases_of(logits, truths(logits, 2.5, (-1.5, 2.0, 0.0))),
        feedback=False,
    )  # fmt: skip
    assert (study.way, study.no_prior) == ("temperature and prior", "")
    assert study.failures == ()
    assert study.after.not_benign_found.value > study.before.not_benign_found.value  # type: ignore[operator]


def test_easy_cases_make_no_bundle_certain(bundle: Bundle) -> None:
    network = Network.of(Predictor.load(bundle()))
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    logits = np.eye(3)[truth] * 4 + rng.normal(size=(60, 3)) * 0.3
    right = study_network(network, cases_of(logits, truth), feedback=False)
    assert right.wrong == 0
    assert right.difference["log_loss"].high is not None
    assert right.difference["log_loss"].high < 0
    assert right.temperature >= 0.5 * (1 - 1e-6)
    assert "only 0 of the cases are answered wrongly" in right.failures[0]
    assert "falls to its lower limit" in right.failures[1]
    # With some mistakes, but still too easy, the second reason remains.
    many = np.tile(np.eye(3)[truth] * 0.9, (4, 1))
    logits = many + rng.normal(size=(240, 3)) * 0.3
    some = study_network(network, cases_of(logits, np.tile(truth, 4)),
                         feedback=False)  # fmt: skip
    assert some.wrong >= 5
    assert some.failures == (right.failures[1],)


def test_sets_that_miss_more_are_a_failure(bundle: Bundle) -> None:
    network = Network.of(Predictor.load(bundle()))
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(400, 3)) * 2
    study = study_network(
        network, cases_of(logits, truths(logits, 3.0, (-1.0, 1.0, 0.0))),
        feedback=False,
    )  # fmt: skip
    assert study.failures == ()
    missed = study.difference["missed"].model_copy(update={"value": 0.1, "low": 0.01, "high": 0.2})
    worse = study.model_copy(update={"difference": study.difference | {"missed": missed}})
    assert "answered with benign diagnoses alone rises" in worse.failures[0]


def test_several_photos_of_a_sharpened_bundle_keep_their_exported_probabilities(
    bundle: Bundle, clinic: Path, tmp_path: Path
) -> None:
    from cutis.app.judging import pool

    recalibrate(bundle(), clinic, tmp_path / "fitted")
    predictor = Predictor.load(tmp_path / "fitted")
    assert predictor.recalibration is not None
    sharp = {"temperature": 0.5, "offsets": (0.0, -6.0, -2.0)}
    predictor.recalibration = predictor.recalibration.model_copy(update=sharp)
    logits = np.array([[18.0, 0.0, -8.0]] * 3, np.float32)
    shown = predictor.probabilities(logits).astype(np.float64)
    exported = softmax(logits.astype(np.float64))
    assert predictor.exported(shown) == pytest.approx(exported, rel=1e-3)
    assert pool(predictor.exported(shown)) == pytest.approx(exported[0], rel=1e-3)


def test_the_prior_of_a_model_is_what_training_left_in_the_logits(bundle: Bundle) -> None:
    model = read_info(bundle(train_counts={"melanocytic_nevus": 97, "melanoma": 1})).model
    assert model is not None
    assert implied_shares(model) == pytest.approx(np.array([98, 2, 1]) / 101)
    balanced = model.model_copy(update={"log_prior": (-0.1, -3.0, -4.0)})
    assert implied_shares(balanced) == pytest.approx([1 / 3] * 3)


def test_photos_of_a_case_stay_in_one_fold(clinic: Path, bundle: Bundle) -> None:
    from cutis.studies.recalibration.cases import FOLDS, find_cases

    model = read_info(bundle()).model
    assert model is not None
    rows: pd.DataFrame = find_cases(Catalog.open(clinic), model).rows
    assert rows["fold"].nunique() == FOLDS
    assert (rows.groupby("group")["fold"].nunique() == 1).all()
    assert rows["group"].nunique() == CASES
