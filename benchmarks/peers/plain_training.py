"""System 4 as a plain PyTorch loop, float32: FOLDER AB|C SEED EPOCHS-A EPOCHS-B EPOCHS-C.

Written as the notebook is: the whole network computes every batch, batch by batch, with PyTorch's
defaults. Only the architecture comes from Cutis. Prints JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from cutis.models.backbone import follow_trainable_flags
from cutis.models.mobilenet_v2 import MobileNetV2

BATCH = 16
LAST = 30  # Keras layers


class Photos(Dataset):
    """Decoded photos in memory, one at a time as a float tensor in [0, 1]."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.pixels = pixels
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, float]:
        photo = torch.from_numpy(self.pixels[number]).permute(2, 0, 1)
        return photo.float() / 255, float(self.labels[number])


def augmented(photos: Tensor) -> Tensor:
    """Both flips, rotation by up to half a turn, zoom 0.2, shift 0.1: one warp for each photo."""
    count = len(photos)
    angle = (torch.rand(count) * 2 - 1) * torch.pi
    zoom = 1 + (torch.rand(count) * 2 - 1) * 0.2
    flips = torch.randint(0, 2, (2, count)) * 2 - 1
    shift = (torch.rand(2, count) * 2 - 1) * 0.2  # in half sides
    rows = [
        torch.stack([flips[0] * zoom * angle.cos(), -zoom * angle.sin(), shift[0]], 1),
        torch.stack([zoom * angle.sin(), flips[1] * zoom * angle.cos(), shift[1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(photos.shape), align_corners=False)
    return functional.grid_sample(photos, grid, padding_mode="reflection", align_corners=False)


def network(folder: Path) -> tuple[MobileNetV2, nn.Module]:
    """The base with the start weights, and the whole classifier."""
    base = MobileNetV2()
    base.load_state_dict(load_file(folder / "backbone.safetensors"))
    for module in base.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.001  # Keras's
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(base.channels, 128), nn.ReLU(),
        nn.Dropout(0.3), nn.Linear(128, 1),
    )  # fmt: skip
    for layer in (head[2], head[5]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return base, nn.Sequential(base, head)


def fit(
    model: nn.Module,
    train: DataLoader,
    validation: DataLoader,
    epochs: int,
    rate: float,
    change: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Trains, validates after every epoch, and times both."""
    started = time.perf_counter()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate, eps=1e-7)
    for _ in range(epochs):
        model.train()
        follow_trainable_flags(model)
        for photos, labels in train:
            logits = model(photos if change is None else change(photos)).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(logits, labels.float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            right = [(model(x).squeeze(1) > 0) == (y > 0.5) for x, y in validation]
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "photos_per_second": len(train.dataset) * epochs / seconds,
        "validation_accuracy": torch.cat(right).float().mean().item(),
    }


def main() -> None:
    """Trains the configuration and prints the figures."""
    folder, configuration = Path(sys.argv[1]), sys.argv[2]
    seed, a, b, c = map(int, sys.argv[3:7])
    pixels, labels = np.load(folder / "pixels.npy"), np.load(folder / "labels.npy")
    chosen, judged = np.load(folder / "train.npy"), np.load(folder / "validation.npy")
    torch.manual_seed(seed)
    order = np.random.default_rng(seed).permutation(chosen)  # once, as the notebook does
    train = DataLoader(Photos(pixels[order], labels[order]), BATCH)
    validation = DataLoader(Photos(pixels[judged], labels[judged]), BATCH)
    base, model = network(folder)
    layers = len(base.keras_layers())
    figures = {}
    if configuration == "AB":
        base.train_from(layers)
        figures["A"] = fit(model, train, validation, a, 1e-3)
        base.train_from(layers - LAST)
        figures["B"] = fit(model, train, validation, b, 1e-5)
    else:
        base.train_from(layers - LAST)
        figures["C"] = fit(model, train, validation, c, 1e-5, augmented)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
