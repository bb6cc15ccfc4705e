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
from cutis.preprocessing import SharedPhoto, decode, load, resize
from cutis.records import SegmenterInfo
from cutis.runtime.ahead import map_ahead
from cutis.runtime.box import box_bundle
from cutis.runtime.bundle import SEGMENTER_FILES, BundleInfo, read_file, read_info
from cutis.runtime.engines import installed_engines
from cutis.runtime.fastest import AUTO, Pair, fastest
from cutis.runtime.network import Network, wanted_threads

OF_SEGMENTER = "segmenter-"
"""In `BundleInfo.passed` before the names of segmenters: "segmenter-int8/openvino"."""


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
    def load(
        cls,
        bundle: Path | None = None,
        *,
        network: str | None = None,
        engine: str = "onnxruntime",
        threads: int | None = None,
    ) -> "Segmenter":
        """Loads a bundle's segmenter after checking it against the recorded hash.

        Args:
            bundle: None takes the model that comes with Cutis.
            network: "fp32" or "int8", where the bundle holds it; else, and for None, its default.
            engine: "onnxruntime", "openvino", or "auto" for the faster of them on this machine.
            threads: photos worked on at a time; None for as many as there are cores.

        Raises InputError for a folder that is no bundle, a bundle of a later format or without a
        segmenter, a missing or changed file, and an engine that is unknown, not installed or
        cannot run the segmenter.
        """
        bundle = box_bundle() if bundle is None else bundle
        return cls.of(bundle, read_info(bundle), network=network, engine=engine, threads=threads)

    @classmethod
    def of(
        cls,
        bundle: Path,
        info: BundleInfo,
        *,
        network: str | None = None,
        engine: str = "onnxruntime",
        threads: int | None = None,
    ) -> "Segmenter":
        """As `load`, for a bundle whose record has been read.

        Args:
            network: "fp32" or "int8", where the bundle holds it; else, and for None, its default.
        """
        if info.segmenter is None:
            raise InputError(
                "the bundle holds no segmenter",
                where=bundle,
                expected="a bundle with " + " or ".join(SEGMENTER_FILES.values()),
                fix="use `cutis predict` with this bundle, or pack a segmenter: `cutis export RUN "
                "--out BUNDLE --segmenter SEGMENTATION-RUN`",
            )
        record = info.segmenter
        name = info.default_segmenter or "fp32"
        if network is not None and SEGMENTER_FILES.get(network) in info.files:
            name = network
        data = read_file(bundle, info, SEGMENTER_FILES[name])
        named = hashlib.sha256(record.model_dump_json().encode() + data).hexdigest()

        def opened(pair: Pair) -> Segmenter:
            loaded = Network(data, record.preprocessing, engine=pair.engine, threads=threads)
            return cls(record, loaded, named)

        pairs = _passed(info, name) if engine == AUTO else [Pair(name, engine)]
        return fastest(pairs, opened, _try, f"{named} {wanted_threads(threads)}")

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
        shared = SharedPhoto(photo)
        rgb = decode(shared)
        probabilities = self.probabilities(load(shared, self.info.preprocessing)[None])[0]
        _, fallback = usable_probabilities(probabilities, self.info.threshold)
        return Segmentation(rgb, self._at_size_of(rgb, probabilities), fallback)

    def _at_size_of(self, rgb: Pixels, probabilities: NDArray[np.float32]) -> Mask:
        height, width = rgb.shape[:2]
        return mask_at_size(probabilities, height, width, self.info.threshold)


def _passed(info: BundleInfo, name: str) -> list[Pair]:
    """The installed pairs that may run unasked: ONNX Runtime, and what passed the check."""
    passed = [
        Pair.of(text.removeprefix(OF_SEGMENTER))
        for text in info.passed
        if text.startswith(OF_SEGMENTER)
    ]
    safe = Pair(name, "onnxruntime")
    others = [p for p in passed if p.network == name and p.engine in installed_engines()]
    return list(dict.fromkeys([safe, *others]))


def _try(segmenter: Segmenter) -> None:
    segmenter.network.try_out()


def segment_photos(segmenter: Segmenter, photos: Iterable[Path]) -> Iterator[Segmentation]:
    """`Segmenter.segment` of many photos, in order, in threads and bounded memory."""
    with closing(map_ahead(segmenter.segment, photos, segmenter.network.threads)) as found:
        yield from found
