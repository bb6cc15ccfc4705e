"""One lesion from one seed: the streams of randomness behind its skin and each of its photos."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cutis.data.synthetic.camera import Photo, photograph
from cutis.data.synthetic.lesions import DRAWABLE, TONES, Lesion, paint
from cutis.errors import InputError, nearest

_SKIN, _FIRST_VIEW = 1, 2


def draw_lesion(
    dx: str,
    seed: int,
    *,
    view: int = 0,
    clinical: bool = False,
    tone: int | None = None,
    width: int = 300,
    height: int = 225,
) -> tuple[Photo, NDArray[np.bool_]]:
    """A photo (height, width, 3), uint8 RGB, and the lesion's mask (height, width).

    The same `dx`, `seed` and `tone` are the same lesion; `view` is another photo of it, in another
    pose, crop and light. Without `tone` (0 lightest to 6 darkest) the seed chooses one.
    """
    if dx not in DRAWABLE:
        raise InputError(
            f"no such diagnosis: '{dx}'",
            expected=", ".join(DRAWABLE),
            fix=nearest(dx, DRAWABLE) or None,
        )
    if tone is None:
        tone = skin_tone(seed)
    elif not 0 <= tone < TONES:
        raise InputError(f"no such skin tone: {tone}", expected=f"0 to {TONES - 1}")
    rng = np.random.default_rng([seed, _FIRST_VIEW + view])
    return photograph(_painted(dx, seed, tone), rng, width, height, clinical)


def skin_tone(seed: int) -> int:
    """The skin tone (0 to 6) of the lesion with this seed; each tone is as likely."""
    return int(np.random.default_rng([seed, 0]).integers(TONES))


@lru_cache(maxsize=1)
def _painted(dx: str, seed: int, tone: int) -> Lesion:
    return paint(dx, np.random.default_rng([seed, _SKIN]), tone)
