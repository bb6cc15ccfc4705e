"""A bundle that answers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError, nearest
from cutis.lesion import load_lesion
from cutis.metrics import softmax
from cutis.preprocessing import load
from cutis.records import ModelInfo
from cutis.runtime.bundle import EXPORT_AGAIN, MODEL_FILES, BundleInfo, read_info, read_network
from cutis.runtime.network import Network
from cutis.runtime.segmenter import Segmenter


class Predictor:
    """A verified bundle, ready to run.

    Attributes:
        info: the bundle's record.
        model_info: the classifier's; its `diagnoses` are the columns of what it answers.
        model: which of the bundle's networks runs, "fp32" or "int8".
        network: the network itself.
        segmenter: finds the lesion for a model that was trained on it; None for other models.
    """

    def __init__(
        self,
        info: BundleInfo,
        model_info: ModelInfo,
        model: str,
        network: Network,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.info = info
        self.model_info = model_info
        self.model = model
        self.network = network
        self.segmenter = segmenter

    @classmethod
    def load(
        cls, bundle: Path, *, model: str | None = None, threads: int | None = None
    ) -> "Predictor":
        """Loads a bundle's network after checking it against the recorded hash.

        Args:
            model: "fp32" or "int8"; None takes the bundle's default, which is int8 where the
                export found that it answers as the run does.
            threads: photos worked on at a time; None for as many as there are cores.

        Raises InputError for a folder that is no bundle, a bundle of a later format or without a
        classifier, a missing or changed file, and a model that the bundle does not hold.
        """
        info = read_info(bundle)
        model_info = _classifier(bundle, info)
        name = _choose(bundle, info, model)
        data = read_network(bundle, info, MODEL_FILES[name])
        network = Network(data, model_info.preprocessing, threads=threads)
        segmenter = None
        if model_info.preprocessing.lesion != "none":
            segmenter = Segmenter.of(bundle, info, threads=threads)
        return cls(info, model_info, name, network, segmenter)

    def read(self, photo: Path) -> tuple[NDArray[np.uint8], str | None]:
        """A photo as `logits` takes it, (size, size, 3 or 4) uint8.

        With it comes why the whole photo was taken although the model was trained on the lesion:
        one of `cutis.lesion.REASONS`, None where the lesion was found or no model asks for it.
        Raises PhotoError for a photo that cannot be read.
        """
        settings = self.model_info.preprocessing
        if self.segmenter is None:
            return load(photo, settings), None
        segmenter = self.segmenter
        seen = load(photo, segmenter.info.preprocessing)
        probabilities = segmenter.probabilities(seen[None])[0]
        return load_lesion(photo, settings, probabilities, segmenter.info.threshold)

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(batch, size, size, 3 or 4) uint8, as `read` gives it, to (batch, diagnoses)."""
        return self.network.logits(pixels)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits to probabilities, both (batch, diagnoses): softmax at the model's temperature."""
        probabilities = softmax(logits.astype(np.float64), self.model_info.temperature)
        return probabilities.astype(np.float32)


def _classifier(bundle: Path, info: BundleInfo) -> ModelInfo:
    if info.model is None:
        raise InputError(
            "the bundle holds no classifier, only a segmenter",
            where=bundle,
            expected="a bundle of a classification run",
            fix="use `cutis segment` with this bundle, or name another one",
        )
    if info.model.preprocessing.lesion != "none" and info.segmenter is None:
        raise InputError(
            "the bundle's model looks at the lesion, and the bundle holds no segmenter",
            where=bundle,
            fix=EXPORT_AGAIN,
        )
    return info.model


def _choose(bundle: Path, info: BundleInfo, model: str | None) -> str:
    chosen = model or info.default_model or ""
    held = [name for name, file in MODEL_FILES.items() if file in info.files]
    if chosen not in held:
        raise InputError(
            f"the bundle holds no model '{chosen}'",
            where=bundle,
            expected=" or ".join(held) or "a bundle with a network",
            fix=nearest(chosen, held) or "choose another model, or export the run again",
        )
    return chosen
