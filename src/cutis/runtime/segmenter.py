"""A bundle that finds the lesion."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cutis.errors import InputError
from cutis.lesion import Mask, Pixels, mask_at_size, usable_probabilities
from cutis.preprocessing import decode, load, resize
from cutis.records import SegmenterInfo
from cutis.runtime.ahead import map_ahead
from cutis.runtime.bundle import SEGMENTER_FILE, BundleInfo, read_info, read_network
from cutis.runtime.network import Network


class Segmentation(NamedTuple):
    """A photo and the lesion found on it."""

    rgb: Pixels  # (height, width, 3), upright, at full size
    mask: Mask  # (height, width), true on the lesion
    fallback: str | None  # why a classifier would take the whole photo, else None


class Segmenter:
    """The segmenter of a verified bundle, ready to run.

    Attributes:
        info: what it is; its `threshold` makes a mask of probabilities.
        sha256: names it: a hash over its record and its network.
        network: the network itself.
    """

    def __init__(self, info: SegmenterInfo, network: Network, sha256: str) -> None:
        self.info = info
        self.network = network
        self.sha256 = sha256

    @classmethod
    def load(cls, bundle: Path, *, threads: int | None = None) -> "Segmenter":
        """Loads a bundle's segmenter after checking it against the recorded hash.

        Args:
            threads: photos worked on at a time; None for as many as there are cores.

        Raises InputError for a folder that is no bundle, a bundle of a later format or without a
        segmenter, and a missing or changed file.
        """
        return cls.of(bundle, read_info(bundle), threads=threads)

    @classmethod
    def of(cls, bundle: Path, info: BundleInfo, *, threads: int | None = None) -> "Segmenter":
        """As `load`, for a bundle whose record has been read."""
        if info.segmenter is None:
            raise InputError(
                "the bundle holds no segmenter",
                where=bundle,
                expected=f"a bundle with {SEGMENTER_FILE}",
                fix="use `cutis predict` with this bundle, or pack a segmenter: `cutis export RUN "
                "--out BUNDLE --segmenter SEGMENTATION-RUN`",
            )
        data = read_network(bundle, info, SEGMENTER_FILE)
        network = Network(data, info.segmenter.preprocessing, threads=threads)
        named = hashlib.sha256(info.segmenter.model_dump_json().encode() + data)
        return cls(info.segmenter, network, named.hexdigest())

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of lesion, (batch, size, size), for (batch, size, size, 3) uint8 from `load`."""
        probabilities: NDArray[np.float32] = expit(self.network.logits(pixels)[:, 0])
        return probabilities

    def mask(self, rgb: Pixels) -> Mask:
        """The lesion of a decoded photo (height, width, 3), at its size (height, width).

        `segment` reads a file as training does, at a smaller scale where JPEG has one, so the two
        may differ by a few pixels.
        """
        settings = self.info.preprocessing
        pixels = resize(rgb, settings.size, settings.fit)
        return self._at_size_of(rgb, self.probabilities(pixels[None])[0])

    def segment(self, photo: Path | bytes) -> Segmentation:
        """The lesion of a photo; raises PhotoError for one that cannot be read."""
        rgb = decode(photo)
        probabilities = self.probabilities(load(photo, self.info.preprocessing)[None])[0]
        _, fallback = usable_probabilities(probabilities, self.info.threshold)
        return Segmentation(rgb, self._at_size_of(rgb, probabilities), fallback)

    def _at_size_of(self, rgb: Pixels, probabilities: NDArray[np.float32]) -> Mask:
        height, width = rgb.shape[:2]
        return mask_at_size(probabilities, height, width, self.info.threshold)


def segment_photos(segmenter: Segmenter, photos: Iterable[Path]) -> Iterator[Segmentation]:
    """`Segmenter.segment` of many photos, in order, in threads and bounded memory."""
    with closing(map_ahead(segmenter.segment, photos, segmenter.network.threads)) as found:
        yield from found
