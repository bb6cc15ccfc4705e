"""What every engine takes and gives."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

INPUT, OUTPUT, FEATURES = "pixels", "logits", "features"
"""Names of a network's input and outputs."""

Planes = NDArray[np.float32]


class Outputs(NamedTuple):
    """What a network computes of a batch of photos."""

    logits: NDArray[np.float32]  # (batch, diagnoses); of a segmenter (batch, 1, size, size)
    features: NDArray[np.float32] | None  # (batch, D), pooled; None where the file has no such


class Engine(Protocol):
    """A network that a library has loaded; `run` may be called from several threads at once."""

    def run(self, planes: Planes) -> Outputs:
        """Normalised photos (batch, channels, size, size) to the network's outputs.

        One thread works on one call. The arrays belong to the caller.
        """
