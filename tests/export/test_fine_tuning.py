"""What fine-tuning for int8 gives back, and that int8 loses less by it."""

import copy
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutis.errors import InputError
from cutis.export.fine_tuning import fine_tune_int8
from cutis.export.quantize import rounded_weights
from cutis.models.registry import build_classifier
from cutis.models.segmentation import build_segmenter
from cutis.preprocessing import normalise
from cutis.records import Preprocessing
from cutis.training.backend import Backend

SIZE = 32
SETTINGS = Preprocessing(size=SIZE)


def photos(count: int, seed: int, channels: int = 3) -> NDArray[np.uint8]:
    """Dark discs of different colours on pale skin; a fourth channel is the disc."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    drawn = rng.integers(170, 230, (count, SIZE, SIZE, channels), dtype=np.uint8)
    for photo in drawn:
        row, column = rng.uniform(SIZE / 3, SIZE * 2 / 3, 2)
        disc = np.hypot(rows - row, columns - column) < rng.uniform(SIZE / 8, SIZE / 3)
        photo[disc, :3] = (photo[disc, :3] * rng.uniform(0.1, 0.9, 3)).astype(np.uint8)
        photo[..., 3:] = 255 * disc[..., None]
    return drawn


def lived(module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing) -> nn.Module:
    """In evaluation mode, with running statistics that fit the weights."""
    inputs = torch.from_numpy(normalise(pixels, settings))
    module.train()
    with torch.no_grad():
        for _ in range(20):
            module(inputs)
    return module.eval()


def logits(
    module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing = SETTINGS
) -> Tensor:
    with torch.no_grad():
        found: Tensor = module(torch.from_numpy(normalise(pixels, settings)))
    return found


def layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            yield name, layer


def is_rounded(layer: nn.Module) -> bool:
    assert isinstance(layer.weight, Tensor)
    weights = layer.weight.detach().numpy()
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    return bool(np.allclose(rounded_weights(weights, axis), weights, rtol=1e-4, atol=1e-7))


CLASSIFIERS = [
    ("mobilenet_v2_035", {"hidden": (8,), "dropout": 0.5}),
    ("small_cnn", {"attention": "cbam", "channels": 4}),
    ("small_cnn", {"attention": "se"}),
    ("lesion_cnn", {}),
]


@pytest.mark.parametrize(("architecture", "options"), CLASSIFIERS)
def test_classifiers_answer_as_before(architecture: str, options: dict[str, object]) -> None:
    channels = 4 if "channels" in options else 3
    settings = Preprocessing(size=SIZE, lesion="channel" if channels == 4 else "none")
    torch.manual_seed(0)
    module = build_classifier(architecture, 2, size=SIZE, sigmoid=True, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for _, layer in layers(module.head):
            layer.weight.normal_(std=0.5)
    module = lived(module, photos(16, seed=0, channels=channels), settings)  # type: ignore[assignment]
    before = copy.deepcopy(module.state_dict())
    found = fine_tune_int8(
        module, photos(12, seed=1, channels=channels), settings, epochs=1, learning_rate=1e-6
    )
    assert type(found) is type(module)
    assert not found.training
    assert not is_rounded(found.get_submodule("head.answer"))
    hidden = [layer for name, layer in layers(found) if name != "head.answer"]
    assert all(is_rounded(layer) for layer in hidden)
    assert not any(is_rounded(layer) for _, layer in layers(module))
    check = photos(16, seed=2, channels=channels)
    expected = logits(module, check, settings)[:, 1]
    gap = (logits(found, check, settings)[:, 1] - expected).abs()
    assert 0 < gap.mean() < 0.15 * expected.std() + 0.001 * expected.abs().mean()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("architecture", "filters"), [("mobilenet_unet", 8), ("attention_unet_bn", 4), ("enet", None)]
)
def test_segmenters_answer_as_before(architecture: str, filters: int | None) -> None:
    torch.manual_seed(0)
    module = lived(build_segmenter(architecture, filters=filters), photos(8, seed=0), SETTINGS)
    found = fine_tune_int8(module, photos(8, seed=1), SETTINGS, epochs=1, learning_rate=1e-6)
    expected = logits(module, photos(4, seed=2))
    after = logits(found, photos(4, seed=2))
    assert after.shape == expected.shape == (4, 1, SIZE, SIZE)
    assert 0 < (after - expected).abs().mean() < 0.25 * expected.std()


def test_normalisation_is_folded() -> None:
    torch.manual_seed(0)
    module = lived(build_segmenter("mobilenet_unet"), photos(8, seed=0), SETTINGS)
    found = fine_tune_int8(module, photos(4, seed=1), SETTINGS, epochs=1)
    assert not [layer for layer in found.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


class _Odd(nn.Module):
    """Normalisation that cannot be folded: behind an activation in place, or used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(8)
        )
        self.twice = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.turned = nn.Sequential(nn.ConvTranspose2d(8, 6, 2, 2), nn.BatchNorm2d(6))
        self.answer = nn.Linear(6, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        values = self.turned(self.twice(self.twice(self.first(pixels))).relu())
        logits: Tensor = self.answer(values.mean(dim=(2, 3)))
        return logits


def test_what_cannot_be_folded_stays() -> None:
    torch.manual_seed(0)
    module = lived(_Odd(), photos(16, seed=0), SETTINGS)
    found = fine_tune_int8(module, photos(8, seed=1), SETTINGS, epochs=1, learning_rate=1e-6)
    kinds = {name: type(layer) for name, layer in found.named_modules()}
    assert kinds["first.2"] is kinds["twice.1"] is nn.BatchNorm2d
    assert kinds["turned.1"] is nn.Identity
    expected = logits(module, photos(16, seed=2))
    gap = (logits(found, photos(16, seed=2)) - expected).abs().mean()
    assert gap < 0.1 * expected.std()


class _Coarse(nn.Module):
    """In each channel one large weight, beside which the others are rounded to steps of 0.8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((3, 16, 16)))
        self.answer = nn.Linear(16, 3)
        with torch.no_grad():
            for layer in self.layers:
                layer.weight[:, 0, 0, 0] = 100

    def forward(self, pixels: Tensor) -> Tensor:
        for layer in self.layers:
            pixels = layer(pixels).relu() / 100
        logits: Tensor = self.answer(pixels.mean(dim=(2, 3)))
        return logits


def test_rounding_costs_less_afterwards() -> None:
    module, train, check = _Coarse().eval(), photos(96, seed=1), photos(64, seed=2)
    expected = logits(module, check)
    gaps = [
        (logits(found, check) - expected).square().mean().item()
        for found in (
            fine_tune_int8(module, train, SETTINGS, epochs=1, learning_rate=0.0),
            fine_tune_int8(module, train, SETTINGS, epochs=10, learning_rate=0.001),
        )
    ]
    assert gaps[1] < 0.7 * gaps[0]


def test_the_seed_decides() -> None:
    def answer(seed: int) -> NDArray[np.float32]:
        module = fine_tune_int8(
            _Coarse(), photos(24, seed=1), SETTINGS, epochs=1, learning_rate=0.01, batch_size=8,
            seed=seed,
        )  # fmt: skip
        weights: NDArray[np.float32] = module.answer.weight.detach().numpy()
        return weights

    np.testing.assert_array_equal(answer(1), answer(1))
    assert (answer(1) != answer(2)).any()


def test_photos_are_flipped_and_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[NDArray[np.uint8]] = []
    normalised = Backend.normalised

    def spy(self: Backend, pixels: NDArray[np.uint8]) -> Tensor:
        seen.extend(pixels)
        return normalised(self, pixels)

    monkeypatch.setattr(Backend, "normalised", spy)
    photo = photos(1, seed=1)[0]
    fine_tune_int8(_Coarse(), np.repeat(photo[None], 64, axis=0), SETTINGS, epochs=1)
    trained = seen[64:]  # the first pass measures, on the photos as they are
    assert len(trained) == 64
    expected = {np.rot90(p, k).tobytes() for p in (photo, photo[:, ::-1]) for k in range(4)}
    assert {p.tobytes() for p in trained} == expected


def test_no_photos() -> None:
    with pytest.raises(InputError, match="no photos for fine-tuning"):
        fine_tune_int8(_Coarse(), photos(0, seed=1), SETTINGS)


def test_a_loss_that_is_no_number() -> None:
    with pytest.raises(InputError, match=r"any more .learning rate 1e.20"):
        fine_tune_int8(_Coarse(), photos(96, seed=1), SETTINGS, learning_rate=1e20)
