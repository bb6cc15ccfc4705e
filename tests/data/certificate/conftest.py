"""A sound split of photographs whose fine detail tells them apart, for tests that spoil it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cutis.data.certificate import (
    AuditCertificate,
    examine,
    read_subject,
)

SIZE = (160, 120)
LABELS = ("nevus", "melanoma")


def photo(seed: int) -> Image.Image:
    """Skin with a dark lesion, dots and hairs."""
    rng = np.random.default_rng(seed)
    width, height = SIZE
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    noise = [
        cv2.resize(rng.standard_normal((cells, cells)), SIZE, interpolation=cv2.INTER_CUBIC)
        for cells in (6, 40, 12)
    ]
    reach = np.hypot(x - rng.uniform(-0.2, 0.2), y - rng.uniform(-0.2, 0.2))
    lesion = 1 / (1 + np.exp(14 * (reach + 0.15 * noise[0] - 0.5)))
    light = 190 - 90 * lesion + 12 * noise[1] * (0.5 + lesion) + 5 * noise[2]
    colour = light[..., None] * np.array([1.0, 0.8, 0.72])
    for _ in range(6):
        start, stop = rng.uniform(0, 1, (2, 2)) * SIZE
        ends = [tuple(int(value) for value in end) for end in (start, stop)]
        cv2.line(colour, ends[0], ends[1], (50, 40, 35), 2)
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs in train/ and six in test/, under two labels, nothing shared."""
    folder = tmp_path_factory.mktemp("sound")
    for number in range(18):
        part = "train" if number < 12 else "test"
        place = folder / part / LABELS[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        photo(number).save(place / f"p{number:02d}.png")
    return folder


@pytest.fixture
def split(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound split that a test may spoil."""
    return Path(shutil.copytree(sound, tmp_path / "split"))


def audited(*places: Path, **options: object) -> AuditCertificate:
    return examine(read_subject(places, **options)).certificate  # type: ignore[arg-type]


def failed(certificate: AuditCertificate) -> dict[str, int]:
    return {check.name: check.found for check in certificate.checks if check.passed is False}


def seen(certificate: AuditCertificate) -> dict[str, int]:
    return {check.name: check.found for check in certificate.remarks if check.passed is False}


def same_file(split: Path) -> None:
    shutil.copy(split / "train/nevus/p00.png", split / "test/nevus/copy.png")


def write_table(split: Path, *, header: str, lines: Sequence[str], name: str = "mine.csv") -> Path:
    text = "\ufeff" + "\r\n".join([header, *lines]) + "\r\n"
    path = split / name
    path.write_bytes(text.encode())
    return path


def table_lines(split: Path) -> list[str]:
    return [
        f"{place.relative_to(split).as_posix()},{place.parts[-3]},{place.parts[-2]},{place.stem}"
        for place in sorted(split.rglob("*.png"))
    ]
