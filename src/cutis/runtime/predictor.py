"""A bundle that answers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cutis.errors import InputError, nearest
from cutis.metrics import softmax
from cutis.runtime.bundle import MODEL_FILES, BundleInfo, read_info, read_model
from cutis.runtime.network import Network


class Predictor:
    """A verified bundle, ready to run.

    Attributes:
        info: the bundle's record; `info.model.diagnoses` are the columns of what it answers.
        model: which of the bundle's networks runs, "fp32" or "int8".
        network: the network itself.
    """

    def __init__(self, info: BundleInfo, model: str, network: Network) -> None:
        self.info = info
        self.model = model
        self.network = network

    @classmethod
    def load(
        cls, bundle: Path, *, model: str | None = None, threads: int | None = None
    ) -> "Predictor":
        """Loads a bundle's network after checking it against the recorded hash.

        Args:
            model: "fp32" or "int8"; None takes the bundle's default, which is int8 where the
                export found that it answers as the run does.
            threads: photos worked on at a time; None for as many as there are cores.

        Raises InputError for a folder that is no bundle, a bundle of a later format, a missing or
        changed file, and a model that the bundle does not hold.
        """
        info = read_info(bundle)
        name = _choose(bundle, info, model)
        data = read_model(bundle, info, name)
        return cls(info, name, Network(data, info.model.preprocessing, threads=threads))

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(batch, size, size, 3) uint8, as `preprocessing.load` gives it, to (batch, diagnoses)."""
        return self.network.logits(pixels)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits to probabilities, both (batch, diagnoses): softmax at the model's temperature."""
        probabilities = softmax(logits.astype(np.float64), self.info.model.temperature)
        return probabilities.astype(np.float32)


def _choose(bundle: Path, info: BundleInfo, model: str | None) -> str:
    chosen = model or info.default_model
    held = [name for name, file in MODEL_FILES.items() if file in info.files]
    if chosen not in held:
        raise InputError(
            f"the bundle holds no model '{chosen}'",
            where=bundle,
            expected=" or ".join(held) or "a bundle with a network",
            fix=nearest(chosen, held) or "choose another model, or export the run again",
        )
    return chosen
