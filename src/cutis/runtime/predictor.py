"""A bundle that answers."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis.errors import InputError, nearest
from cutis.lesion import load_lesion
from cutis.metrics import softmax
from cutis.metrics.bootstrap import Floats
from cutis.metrics.recalibration import set_scores
from cutis.preprocessing import Photo, SharedPhoto, load
from cutis.records import ModelInfo
from cutis.runtime.answers import read_space
from cutis.runtime.box import box_bundle
from cutis.runtime.bundle import (
    CARD_FILE,
    EXPORT_AGAIN,
    FEATURES_FILE,
    FITTED_FILE,
    MODEL_FILES,
    BundleInfo,
    photo_code,
    read_file,
    read_info,
)
from cutis.runtime.engines import ENGINES, Outputs, check_engine, installed_engines, runs
from cutis.runtime.fastest import AUTO, Pair, fastest
from cutis.runtime.network import Network, wanted_threads
from cutis.runtime.segmenter import Segmenter

if TYPE_CHECKING:
    from cutis.metrics.answer_policy import AnswerPolicy
    from cutis.metrics.out_of_distribution import FeatureSpace

_LEAST = 1e-40


class Predictor:
    """A verified bundle, ready to run.

    Attributes:
        info: the bundle's record.
        model_info: the classifier's; its `diagnoses` are the columns of what it answers.
        model: which of the bundle's networks runs, "fp32", "int8" or "tflite".
        engine: what runs it, a name of `cutis.runtime.engines.ENGINES`.
        network: the network itself.
        segmenter: finds the lesion for a model that was trained on it; None for other models.
        policy: the thresholds of this network's answers; None where the export measured none.
        recalibration: of this network to a clinic's photos; None where there was none.
        space: where the features of the training photos lie; None likewise.
        card: the bundle's MODEL_CARD.md; empty where it has none.
        fitted: codes (`photo_code`) of the photos that the bundle was recalibrated on.
    """

    def __init__(
        self,
        info: BundleInfo,
        model_info: ModelInfo,
        model: str,
        network: Network,
        segmenter: Segmenter | None = None,
        space: "FeatureSpace | None" = None,
        card: str = "",
        fitted: frozenset[str] = frozenset(),
    ) -> None:
        self.info = info
        self.model_info = model_info
        self.model = model
        self.engine = network.engine
        self.network = network
        self.segmenter = segmenter
        self.policy: AnswerPolicy | None = info.policies.get(model)
        self.recalibration = info.recalibrations.get(model)
        self.space = space
        self.card = card
        self.fitted = fitted

    @classmethod
    def load(
        cls,
        bundle: Path | None = None,
        *,
        model: str | None = None,
        engine: str = "onnxruntime",
        threads: int | None = None,
    ) -> "Predictor":
        """Loads a bundle's network after checking it against the recorded hash.

        Args:
            bundle: None takes the model that comes with Cutis.
            model: "fp32", "int8" or "tflite"; None takes the bundle's default, which is int8 where
                the export found that it answers as the run does, or the network that the engine
                can run.
            engine: "onnxruntime", "openvino", "litert", or "auto": the fastest on this machine of
                what is installed and passed the export's check; it is measured once.
            threads: photos worked on at a time; None for as many as there are cores.

        Raises InputError for a folder that is no bundle, a bundle of a later format or without a
        classifier, a missing or changed file, a model that the bundle does not hold, and an engine
        that is unknown, not installed or cannot run the model.
        """
        bundle = box_bundle() if bundle is None else bundle
        info = read_info(bundle)
        model_info = _classifier(bundle, info)
        space = _space(bundle, info)
        card = read_file(bundle, info, CARD_FILE).decode() if CARD_FILE in info.files else ""
        fitted = _lines(bundle, info, FITTED_FILE)
        if engine == AUTO:
            pairs = _passed(bundle, info, model)
        else:
            check_engine(engine)
            pairs = [_choose(bundle, info, model, engine)]
        data = {pair.network: read_file(bundle, info, MODEL_FILES[pair.network]) for pair in pairs}

        def opened(pair: Pair) -> Predictor:
            network = Network(
                data[pair.network], model_info.preprocessing, engine=pair.engine, threads=threads
            )
            segmenter = None
            if model_info.preprocessing.lesion != "none":
                segmenter = Segmenter.of(
                    bundle,
                    info,
                    network=pair.network,
                    engine=_of_segmenter(pair.engine),
                    threads=threads,
                )
            return cls(info, model_info, pair.network, network, segmenter, space, card, fitted)

        return fastest(pairs, opened, _try, f"{info.files} {wanted_threads(threads)}")

    def read(self, photo: Path | bytes) -> tuple[NDArray[np.uint8], str | None]:
        """A photo as `logits` takes it, (size, size, 3 or 4) uint8.

        With it comes why the whole photo was taken although the model was trained on the lesion:
        one of `cutis.lesion.REASONS`, None where the lesion was found or no model asks for it.
        Raises PhotoError for a photo that cannot be read.
        """
        shared = SharedPhoto(photo)
        return self.view(shared, self.lesion(shared))

    def lesion(self, photo: Photo) -> NDArray[np.float32] | None:
        """What the segmenter says of a photo stretched to its square, probabilities (s, s).

        None where the model does not look at the lesion; raises as `read`.
        """
        if self.segmenter is None:
            return None
        seen = load(photo, self.segmenter.info.preprocessing)
        found: NDArray[np.float32] = self.segmenter.probabilities(seen[None])[0]
        return found

    def view(
        self, photo: Photo, lesion: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.uint8], str | None]:
        """As `read`, with what `lesion` has given for this photo."""
        settings = self.model_info.preprocessing
        if self.segmenter is None or lesion is None:
            return load(photo, settings), None
        return load_lesion(photo, settings, lesion, self.segmenter.info.threshold)

    def outputs(self, pixels: NDArray[np.uint8]) -> Outputs:
        """(batch, size, size, 3 or 4) uint8, as `read` gives it, to logits and features.

        The features are what `space` measures; None of a bundle that was exported without them.
        """
        return self.network.outputs(pixels)

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(batch, size, size, 3 or 4) uint8, as `read` gives it, to (batch, diagnoses)."""
        return self.network.logits(pixels)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits to probabilities, both (batch, diagnoses): softmax of the calibrated logits."""
        return softmax(self.calibrated(logits)).astype(np.float32)

    def calibrated(self, logits: NDArray[np.float32]) -> Floats:
        """Logits at the temperature, with the offsets of a recalibration, (batch, diagnoses)."""
        if self.recalibration is None:
            return logits.astype(np.float64) / self.model_info.temperature
        offsets = np.array(self.recalibration.offsets)
        return np.asarray(logits.astype(np.float64) / self.recalibration.temperature + offsets)

    def exported(self, probabilities: Floats) -> Floats:
        """The probabilities as exported, (N, K) from those of a recalibrated network (N, K).

        Of each photo alone: pooled ones have lost what is very small.
        """
        if self.recalibration is None:
            return probabilities
        # The floor lets a diagnosis into a set rather than out of it.
        before = np.log(np.maximum(probabilities, _LEAST)) - np.array(self.recalibration.offsets)
        return softmax(before * (self.recalibration.temperature / self.model_info.temperature))

    def set_scores(self, probabilities: Floats, exported: Floats | None = None) -> Floats:
        """What the policy's thresholds are compared with, (N, K) from probabilities (N, K).

        Of a recalibrated network not the probabilities themselves: see
        `metrics.recalibration.set_scores`.

        Args:
            exported: the same as exported; None recovers them.
        """
        if self.recalibration is None or self.policy is None:
            return probabilities
        before = self.exported(probabilities) if exported is None else exported
        return set_scores(before, probabilities, np.asarray(self.policy.set_thresholds))

    def was_fitted_to(self, photos: "pd.DataFrame") -> "pd.Series[bool]":
        """Which photos of a catalog (`sha256`, `pixels_sha256`) the network was recalibrated on."""
        if self.recalibration is None:
            return pd.Series(False, photos.index)
        salt = self.recalibration.catalog_sha256

        def known(sha256: object) -> bool:
            return isinstance(sha256, str) and photo_code(sha256, salt) in self.fitted

        return photos["sha256"].map(known) | photos["pixels_sha256"].map(known)


def _try(predictor: Predictor) -> None:
    """Some work for a comparison of engines: a few photos on every thread."""
    predictor.network.try_out()
    if predictor.segmenter is not None:
        predictor.segmenter.network.try_out()


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


def _held(info: BundleInfo) -> list[str]:
    """The networks of the bundle, the default first."""
    held = [name for name, file in MODEL_FILES.items() if file in info.files]
    return sorted(held, key=lambda name: name != info.default_model)


def _choose(bundle: Path, info: BundleInfo, model: str | None, engine: str) -> Pair:
    """The network for an engine: the one that was asked for, else the first that may run there."""
    held = _held(info)
    if model is not None:
        _require(bundle, model, held)
        if not runs(engine, model):
            raise InputError(
                f"{engine} does not run the network '{model}'",
                where=bundle,
                expected=" or ".join(name for name in ENGINES if runs(name, model)),
                fix="choose the engine for this network, or another network of the bundle",
            )
        return Pair(model, engine)
    _require(bundle, info.default_model or "", held)
    fitting = [Pair(name, engine) for name in held if runs(engine, name)]
    if not fitting:
        raise InputError(
            f"the bundle holds no network that {engine} runs",
            where=bundle,
            expected=" or ".join(file for name, file in MODEL_FILES.items() if runs(engine, name)),
            fix="choose another engine, or export the run again",
        )
    return min(fitting, key=lambda pair: str(pair) not in info.passed)


def _require(bundle: Path, model: str, held: list[str]) -> None:
    if model not in held:
        raise InputError(
            f"the bundle holds no model '{model}'",
            where=bundle,
            expected=" or ".join(held) or "a bundle with a network",
            fix=nearest(model, held) or "choose another model, or export the run again",
        )


def _passed(bundle: Path, info: BundleInfo, model: str | None) -> list[Pair]:
    """The installed pairs that may run unasked, since they passed the check.

    Where there is none, as in older bundles, the default network on what is always installed.
    """
    held = _held(info)
    safe = _choose(bundle, info, model, "litert" if model == "tflite" else "onnxruntime")
    wanted = held if model is None else [model]
    passed = [Pair.of(text) for text in info.passed]
    usable = [p for p in passed if p.network in wanted and p.engine in installed_engines()]
    return usable or [safe]


def _of_segmenter(engine: str) -> str:
    """A segmenter has ONNX files alone."""
    return "onnxruntime" if engine == "litert" else engine


def _space(bundle: Path, info: BundleInfo) -> "FeatureSpace | None":
    if FEATURES_FILE not in info.files:
        return None
    return read_space(read_file(bundle, info, FEATURES_FILE))


def _lines(bundle: Path, info: BundleInfo, file: str) -> frozenset[str]:
    """The lines of a file of the bundle; empty where it has none of this name."""
    held = file in info.files
    return frozenset(read_file(bundle, info, file).decode().split()) if held else frozenset()
