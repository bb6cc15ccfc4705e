"""Made-up predictions and truth."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cutis.evaluation import evaluate_predictions
from cutis.metrics import Resampling, softmax
from cutis.records import ModelInfo, Preprocessing, Provenance

DIAGNOSES = ("basal_cell_carcinoma", "melanoma", "melanocytic_nevus", "benign_keratosis")


@dataclass(frozen=True)
class Made:
    """A predictions table, the truth of its photos, and the numbers behind both."""

    predictions: pd.DataFrame
    truth: pd.DataFrame
    logits: np.ndarray
    probabilities: np.ndarray
    truth_index: np.ndarray
    diagnoses: tuple[str, ...] = DIAGNOSES

    def joined(self) -> pd.DataFrame:
        """One table that carries its own truth and groups."""
        facts = self.truth.rename(columns={"diagnosis": "truth"})
        return self.predictions.merge(facts, on="image_id")


def make(photos: int = 120, seed: int = 0, prefix: str = "set/p") -> Made:
    """Photos of 4 diagnoses, three groups for every four photos."""
    rng = np.random.default_rng(seed)
    truth_index = np.concatenate([np.arange(4), rng.choice(4, photos - 4, p=[0.1, 0.2, 0.5, 0.2])])
    logits = rng.normal(size=(photos, 4))
    logits[np.arange(photos), truth_index] += 1.5
    probabilities = softmax(logits)
    names = [f"{prefix}{number:04d}" for number in range(photos)]
    table = pd.DataFrame({"image_id": names})
    for index, diagnosis in enumerate(DIAGNOSES):
        table[f"logit_{diagnosis}"] = logits[:, index]
        table[diagnosis] = probabilities[:, index]
    truth = pd.DataFrame(
        {
            "image_id": names,
            "path": [f"photos/{number % 3}.jpg" for number in range(photos)],
            "diagnosis": [DIAGNOSES[index] for index in truth_index],
            "group": [f"g{number * 3 // 4}" for number in range(photos)],
            "source": "set",
            "confirmed_by": np.where(rng.random(photos) < 0.5, "histology", "consensus"),
            "age": np.where(rng.random(photos) < 0.1, np.nan, rng.uniform(20, 85, photos)),
            "sex": rng.choice(["female", "male"], photos),
            "modality": "dermoscopic",
        }
    )
    return Made(table, truth, logits, probabilities, truth_index)


@pytest.fixture(scope="session")
def made() -> Made:
    """Tests change copies only."""
    return make()


@pytest.fixture
def another() -> Made:
    """Photos of another part, e.g. for validation."""
    return make(seed=1, prefix="set/v")


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Two photos and a damaged one, as photos/0.jpg to photos/2.jpg."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        picture = Image.new("RGB", (64, 48), (200, 120 + 40 * number, 100))
        picture.save(tmp_path / "photos" / f"{number}.jpg")
    (tmp_path / "photos" / "2.jpg").write_bytes(b"no photo")
    return tmp_path


@pytest.fixture
def model() -> ModelInfo:
    return ModelInfo(
        cutis_version="0.1.0",
        architecture="mobilenet_v2",
        diagnoses=DIAGNOSES,
        preprocessing=Preprocessing(),
        provenance=Provenance(
            recipe="plain",
            catalog_sha256="ca" * 32,
            split_name="default",
            split_sha256="5b" * 32,
            unsafe=False,
            seed=7,
            train_counts={"melanoma": 40, "melanocytic_nevus": 100},
            train_groups=90,
            sources=("set",),
            licences=("CC0",),
        ),
        licence="CC0",
    )


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn to files, which takes most of a report's time."""
    monkeypatch.setattr("cutis.evaluation.style.save", lambda *_: b"<svg/>")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory, made: Made) -> Path:
    """A report that is made once."""
    out: Path = tmp_path_factory.mktemp("written") / "report"
    evaluate_predictions(made.predictions, made.truth, out, resampling=Resampling(resamples=40))
    return out


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of the report, to be changed at will."""
    return Path(shutil.copytree(written, tmp_path / "report"))
