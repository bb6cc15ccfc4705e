"""Pictures that are not skin, drawn by a program: what a model should refuse to answer."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 225, 300

Generator = np.random.Generator
Picture = NDArray[np.uint8]

_WORDS = ("invoice", "Monday", "42", "total", "room 7", "call back", "milk", "page", "exit", "Nr.")


def drawn_pictures(kind: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` JPEG files of one of KINDS; the same seed gives the same pictures."""
    for number in range(count):
        rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
        picture = KINDS[kind](rng)
        yield cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _object(rng: Generator) -> Picture:
    """A thing, some shapes or some words before a plain wall, as a camera softens and grains it."""
    picture = np.full((HEIGHT, WIDTH, 3), _colour(rng), np.uint8)
    things = (_shapes, _text, _chair, _table, _house, _lamp)
    things[rng.integers(len(things))](picture, rng)
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.2)).astype(np.float32)
    return _picture(soft + rng.normal(0, 4, soft.shape))


def _texture(rng: Generator) -> Picture:
    """Noise, a gradient, stripes or a checkerboard in two colours."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 60)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    grain = int(rng.integers(1, 20))
    noise = rng.random((HEIGHT // grain + 1, WIDTH // grain + 1), np.float32)
    mixes = (
        lambda: cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC),
        lambda: (along - along.min()) / np.ptp(along),
        lambda: along / period % 2 < 1,
        lambda: (along / period % 2 < 1) ^ (across / period % 2 < 1),
    )
    mix = np.asarray(mixes[rng.integers(len(mixes))](), np.float32)[..., None]
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    return _picture(first + mix * (second - first))


KINDS: dict[str, Callable[[Generator], Picture]] = {
    "drawn objects": _object,
    "textures": _texture,
}
"""What can be drawn, each (HEIGHT, WIDTH, 3)."""


def _colour(rng: Generator) -> tuple[int, int, int]:
    """Anything between grey and bright: walls and wood are as muted as skin."""
    bright = rng.uniform(0, 256, 3)
    muted = bright.mean() + rng.random() * (bright - bright.mean())
    blue, green, red = muted.astype(int).tolist()
    return blue, green, red


def _picture(values: NDArray[np.floating]) -> Picture:
    return np.asarray(values.clip(0, 255), np.uint8)


def _point(rng: Generator) -> tuple[int, int]:
    return int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))


def _shapes(picture: Picture, rng: Generator) -> None:
    for _ in range(rng.integers(2, 12)):
        form, filled = rng.integers(3), -1 if rng.random() < 0.7 else int(rng.integers(2, 8))
        if form == 0:
            cv2.circle(picture, _point(rng), int(rng.integers(8, 60)), _colour(rng), filled)
        elif form == 1:
            cv2.rectangle(picture, _point(rng), _point(rng), _colour(rng), filled)
        else:
            corners = np.array([_point(rng) for _ in range(rng.integers(3, 6))], np.int32)
            cv2.fillPoly(picture, [corners], _colour(rng))


def _text(picture: Picture, rng: Generator) -> None:
    colour, size = _colour(rng), rng.uniform(0.4, 1.4)
    for line in np.arange(20, HEIGHT, 32 * size):
        words = " ".join(rng.choice(_WORDS, 6))
        place = int(rng.integers(0, 20)), int(line)
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 2)


def _lines(picture: Picture, rng: Generator, strokes: list[tuple[int, int, int, int]]) -> None:
    """Strokes (x, y, x, y) in percent of a box of random place and size, in one colour."""
    side = rng.uniform(0.5, 0.95) * HEIGHT
    left, top = rng.uniform(0, WIDTH - side), rng.uniform(0, HEIGHT - side)
    colour, thick = _colour(rng), int(rng.integers(2, 10))
    for x, y, to_x, to_y in strokes:
        start = int(left + x * side / 100), int(top + y * side / 100)
        end = int(left + to_x * side / 100), int(top + to_y * side / 100)
        cv2.line(picture, start, end, colour, thick)


def _chair(picture: Picture, rng: Generator) -> None:
    _lines(picture, rng, [(20, 0, 20, 100), (20, 50, 80, 50), (80, 50, 80, 100), (20, 10, 30, 10),
                          (30, 10, 30, 50), (40, 60, 40, 95), (20, 75, 80, 75)])  # fmt: skip


def _table(picture: Picture, rng: Generator) -> None:
    _lines(picture, rng, [(0, 30, 100, 30), (0, 36, 100, 36), (10, 36, 10, 100), (90, 36, 90, 100),
                          (25, 36, 25, 80), (75, 36, 75, 80), (40, 10, 60, 30)])  # fmt: skip


def _house(picture: Picture, rng: Generator) -> None:
    _lines(picture, rng, [(10, 45, 50, 5), (50, 5, 90, 45), (10, 45, 90, 45), (10, 45, 10, 100),
                          (90, 45, 90, 100), (10, 100, 90, 100), (40, 100, 40, 65),
                          (40, 65, 60, 65), (60, 65, 60, 100)])  # fmt: skip


def _lamp(picture: Picture, rng: Generator) -> None:
    _lines(picture, rng, [(50, 40, 50, 95), (30, 95, 70, 95), (35, 5, 65, 5), (35, 5, 20, 40),
                          (65, 5, 80, 40), (20, 40, 80, 40), (60, 40, 60, 55)])  # fmt: skip
