"""Who is in a drawn collection: lesions with their metadata, their photos, and what is planted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from cutis.data.synthetic.drawing import skin_tone
from cutis.data.synthetic.fields import Generator
from cutis.data.synthetic.spec import SyntheticSpec

Kind = Literal[
    "identical", "resized", "recompressed", "flipped", "cropped", "truncated", "text", "wrong_label"
]
NEAR: tuple[Kind, ...] = ("resized", "recompressed", "flipped", "cropped")
CORRUPT: tuple[Kind, ...] = ("truncated", "text")

_PLAN, _PLANT = 100, 101
_AGE = {
    "akiec": (66, 12),
    "bcc": (67, 14),
    "bkl": (64, 14),
    "df": (53, 13),
    "mel": (61, 15),
    "nv": (46, 15),
    "vasc": (51, 21),
}
_SITES = {
    "akiec": {"face": 34, "lower extremity": 20, "upper extremity": 19, "back": 9, "chest": 4},
    "bcc": {"back": 36, "face": 20, "lower extremity": 11, "upper extremity": 10, "chest": 9},
    "bkl": {"face": 29, "back": 19, "lower extremity": 16, "upper extremity": 10, "trunk": 7},
    "df": {"lower extremity": 71, "upper extremity": 21, "abdomen": 4, "back": 2},
    "mel": {"back": 29, "upper extremity": 19, "lower extremity": 17, "face": 9, "chest": 6},
    "nv": {"lower extremity": 22, "back": 21, "trunk": 19, "abdomen": 13, "upper extremity": 10},
    "vasc": {"trunk": 22, "abdomen": 19, "lower extremity": 19, "back": 15, "upper extremity": 8},
}
_CONFIRMED = {
    "bkl": {"histo": 70, "consensus": 24, "confocal": 6},
    "df": {"consensus": 52, "histo": 48},
    "nv": {"follow_up": 55, "histo": 37, "consensus": 8},
    "vasc": {"consensus": 53, "histo": 47},
}
# Ages, sites and confirmation follow the counts of HAM10000's published metadata (Tschandl et
# al. 2018); a malignant or precancerous lesion is there confirmed by histology throughout.


@dataclass(frozen=True)
class Row:
    """One image file: what the tables say of it and how it is drawn."""

    image_id: str
    lesion_id: str
    dx: str
    dx_type: str
    age: float | None
    sex: str
    site: str
    drawn: str
    seed: int
    view: int
    clinical: bool
    planted: Kind | None = None
    of: str = ""

    @property
    def tone(self) -> int:
        """Skin tone, 0 lightest to 6 darkest."""
        return skin_tone(self.seed)


def plan(spec: SyntheticSpec, prefix: str, first: int, digits: int) -> list[Row]:
    """All image files of a collection, named `prefix` and a number counted from `first`.

    Copies stand last, each with a lesion id of its own, as if nobody had noticed them.
    """

    def name(number: int) -> str:
        return f"{prefix}{first + number:0{digits}d}"

    rows = [
        replace(row, image_id=name(number))
        for number, row in enumerate(islice(_genuine(spec), spec.drawn))
    ]
    return [replace(row, image_id=name(number)) for number, row in enumerate(_plant(spec, rows))]


def _genuine(spec: SyntheticSpec) -> Iterator[Row]:
    """The photos of one lesion after the other, without end."""
    for index, dx in enumerate(_diagnoses(spec)):
        rng = np.random.default_rng([spec.seed, index, _PLAN])
        seed = int(rng.integers(2**62))
        kind = dx.partition("-")[0]
        mean, spread = _AGE[kind]
        age = float(np.clip(5 * round(rng.normal(mean, spread) / 5), 0, 85))
        sex = "male" if rng.random() < 0.54 else "female"
        row = Row(
            image_id="",
            lesion_id=_lesion_id(index),
            dx=dx,
            dx_type=_choose(rng, _CONFIRMED.get(kind, {"histo": 1})),
            age=age if rng.random() > 0.02 else None,
            sex=sex if rng.random() > 0.01 else "unknown",
            site=_choose(rng, _SITES[kind]) if rng.random() > 0.02 else "unknown",
            drawn=dx,
            seed=seed,
            view=0,
            clinical=False,
        )
        several = rng.random() < spec.several_photos_share
        count = 1 + several * int(rng.choice(3, p=(0.7, 0.2, 0.1)) + 1)
        for view in range(count):
            yield replace(row, view=view, clinical=bool(rng.random() < spec.clinical_share))


def _diagnoses(spec: SyntheticSpec) -> Iterator[str]:
    """Diagnoses in the order that keeps every share as near as can be after each lesion."""
    names = [dx for dx, _ in spec.diagnosis_shares]
    shares = np.array([share for _, share in spec.diagnosis_shares], float)
    shares /= shares.sum()
    given = np.zeros(len(names))
    while True:
        chosen = int(np.argmax(shares * (given.sum() + 1) - given))
        given[chosen] += 1
        yield names[chosen]


def _choose(rng: Generator, weights: dict[str, int]) -> str:
    share = np.array(list(weights.values()), float)
    return str(rng.choice(list(weights), p=share / share.sum()))


def _lesion_id(index: int) -> str:
    return f"HAM_9{index:06d}"


def _plant(spec: SyntheticSpec, rows: list[Row]) -> list[Row]:
    """Marks wrong labels and corrupt files among the rows and adds the copies behind them."""
    rng = np.random.default_rng([spec.seed, _PLANT])
    order = rng.permutation(len(rows))
    wrong = [int(i) for i in order[: spec.wrong_labels]]
    names = sorted({row.dx for row in rows})
    for place in wrong:
        row = rows[place]
        others = [dx for dx in names if dx != row.dx]
        if others:
            dx = others[int(rng.integers(len(others)))]
            rows[place] = replace(row, dx=dx, planted="wrong_label", of=row.dx)
    left = [int(i) for i in order[spec.wrong_labels :]]
    for number in range(spec.corrupt):
        place = left.pop()
        rows[place] = replace(rows[place], planted=CORRUPT[number % len(CORRUPT)])
    kinds: list[Kind] = ["identical"] * spec.identical
    kinds += [NEAR[number % len(NEAR)] for number in range(spec.near)]
    copies: list[Row] = []
    for kind in kinds:
        place = left.pop()
        lesion_id = _lesion_id(900_000 + len(copies))
        copies.append(
            replace(rows[place], lesion_id=lesion_id, planted=kind, of=rows[place].image_id)
        )
    return rows + copies
