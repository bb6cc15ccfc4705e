"""What a drawn collection shall hold."""

from dataclasses import dataclass

from cutis.data.synthetic.lesions import DRAWABLE
from cutis.errors import InputError

SHARES = {
    "nv": 0.36,
    "mel": 0.15,
    "bkl": 0.14,
    "bcc": 0.12,
    "akiec": 0.09,
    "vasc": 0.07,
    "df": 0.07,
}
"""Share of lesions by diagnosis: HAM10000's order, with its rare diagnoses raised so that a
collection of a few hundred photos has every diagnosis in every part of a split."""


@dataclass(frozen=True)
class SyntheticSpec:
    """A drawn collection; the same spec gives the same bytes on the same library versions.

    `photos` counts image files, planted ones included. Lesions follow one after the other, each
    with a seed of its own: a longer collection begins with the lesions of a shorter one.
    Each planted kind with a share above zero has at least one photo.
    """

    photos: int = 1400
    seed: int = 0
    width: int = 300
    height: int = 225
    clinical_share: float = 0.2
    several_photos_share: float = 0.3
    """Share of lesions with two to four photos."""
    identical_share: float = 0.005
    near_share: float = 0.01
    wrong_label_share: float = 0.005
    corrupt_share: float = 0.003
    diagnosis_shares: tuple[tuple[str, float], ...] = tuple(SHARES.items())

    def __post_init__(self) -> None:
        for name in (
            "clinical_share",
            "several_photos_share",
            "identical_share",
            "near_share",
            "wrong_label_share",
            "corrupt_share",
        ):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise InputError(f"{name} is {share}", expected="a share between 0 and 1")
        if min(self.width, self.height) < 32:
            raise InputError(
                f"photos of {self.width}x{self.height} are too small to draw",
                expected="at least 32 pixels a side",
            )
        planted = self.identical + self.near + self.wrong_labels + self.corrupt
        if self.drawn < max(1, planted):
            raise InputError(
                f"{self.photos} photos cannot hold what shall be planted among them",
                expected="more genuine photos than planted ones",
                fix="raise photos or lower the shares of what is planted",
            )
        unknown = sorted({dx for dx, _ in self.diagnosis_shares} - set(DRAWABLE))
        if unknown or sum(share for _, share in self.diagnosis_shares) <= 0:
            raise InputError(
                f"diagnosis_shares holds {unknown or 'no positive share'}",
                expected="positive shares of " + ", ".join(DRAWABLE),
            )

    def _count(self, share: float) -> int:
        return max(1, round(share * self.photos)) if share > 0 else 0

    @property
    def identical(self) -> int:
        """Byte copies of other photos."""
        return self._count(self.identical_share)

    @property
    def near(self) -> int:
        """Resized, recompressed, flipped or cropped copies of other photos."""
        return self._count(self.near_share)

    @property
    def wrong_labels(self) -> int:
        """Photos whose recorded diagnosis is not the one that was drawn."""
        return self._count(self.wrong_label_share)

    @property
    def corrupt(self) -> int:
        """Files that no decoder can read."""
        return self._count(self.corrupt_share)

    @property
    def drawn(self) -> int:
        """Photos of lesions: all files but the planted copies."""
        return self.photos - self.identical - self.near
