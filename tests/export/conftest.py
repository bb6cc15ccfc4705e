"""A small network with MobileNetV2's kinds of layers, exported once."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.export import ClassifierPart, ExportSummary, export_parts
from cutis.records import ModelInfo, Preprocessing, Provenance

DIAGNOSES = ("melanoma", "melanocytic_nevus", "dermatofibroma")
SIZE = 32


class SmallNetwork(nn.Module):
    """Convolution, depthwise convolution, shortcut, pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.answer = nn.Linear(16, len(DIAGNOSES))

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.stem(pixels)
        features = features + self.depthwise(features)
        logits: Tensor = self.answer(features.mean(dim=(2, 3)))
        return logits


def some_photos(count: int, seed: int) -> NDArray[np.uint8]:
    """Plain colours with noise, so that the answers differ between photos."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 256, (count, 1, 1, 3))
    noise = rng.integers(-30, 30, (count, SIZE, SIZE, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = SmallNetwork().train()
    with torch.no_grad():
        for _ in range(20):  # running statistics that are not those of the initialisation
            network(torch.randn(16, 3, SIZE, SIZE))
        network.answer.weight.mul_(10)
    return network.eval()


@pytest.fixture(scope="session")
def info() -> ModelInfo:
    provenance = Provenance(
        recipe="small",
        catalog_sha256="0" * 64,
        split_name="default",
        split_sha256="1" * 64,
        unsafe=False,
        seed=7,
        train_counts={"melanoma": 11, "melanocytic_nevus": 60, "dermatofibroma": 5},
        train_groups=40,
        sources=("made",),
        licences=("CC0", "CC BY-NC 4.0"),
    )
    return ModelInfo(
        cutis_version="0",
        architecture="small",
        diagnoses=DIAGNOSES,
        preprocessing=Preprocessing(size=SIZE),
        temperature=1.5,
        provenance=provenance,
        licence="CC BY-NC 4.0",
    )


@pytest.fixture(scope="session")
def calibration() -> NDArray[np.uint8]:
    return some_photos(24, seed=1)


@pytest.fixture(scope="session")
def check() -> NDArray[np.uint8]:
    return some_photos(30, seed=2)


@pytest.fixture(scope="session")
def exported(
    network: nn.Module,
    info: ModelInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    tmp_path_factory: pytest.TempPathFactory,
) -> ExportSummary:
    out = tmp_path_factory.mktemp("export") / "bundle"
    return export_parts(out, classifier=ClassifierPart(network, info, calibration, check))
