"""A bundle in the making: what is in it, what was refused, and its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis import __version__
from cutis.errors import CheckFailedError
from cutis.evaluation.names import display_name, malignancy
from cutis.export.candidates import ClassifierPart, SegmenterPart
from cutis.export.card import Scores, model_card
from cutis.export.comparing import Answers
from cutis.export.parity import NetworkCheck, Parity, SegmenterCheck
from cutis.export.parity_page import parity_page
from cutis.export.policy import calibrated_policy, fitted_space, write_space
from cutis.metrics.out_of_distribution import FeatureSpace
from cutis.records import NOTICE, Part
from cutis.runtime.bundle import (
    CARD_FILE,
    FEATURES_FILE,
    INFO_FILE,
    MODEL_FILES,
    SEGMENTER_FILES,
    BundleDiagnosis,
    BundleInfo,
    write_info,
)
from cutis.storage import sha256_file
from cutis.taxonomy import diagnoses, view, view_names

PARITY_FILE = "parity.json"
PARITY_PAGE = "parity.html"

_PREFERRED = ("int8", "fp32", "tflite")
"""The network that runs unless told is the first of these that is in the bundle and passed."""


class Assembly:
    """A bundle's folder while networks are tried.

    Attributes:
        record: bundle.json as it stands.
        refused: why files are not in the bundle, by file name.
    """

    def __init__(
        self,
        folder: Path,
        classifier: ClassifierPart | None,
        segmenter: SegmenterPart | None,
        networks: Sequence[str],
        *,
        allow: bool,
    ) -> None:
        """The candidates stand in `folder`; of them the fp32 ones run until others have passed."""
        self.folder = folder
        self.refused: dict[str, tuple[str, ...]] = {}
        self._asked = networks
        self._allow = allow
        model = classifier.info if classifier else None
        self.record = BundleInfo(
            cutis_version=__version__,
            model=model,
            diagnoses=tuple(_describe(name) for name in model.diagnoses) if model else (),
            default_model="fp32" if classifier else None,
            segmenter=segmenter.info if segmenter else None,
            default_segmenter="fp32" if segmenter else None,
            files={},
            notice=NOTICE,
        )

    def seal(self) -> None:
        """Writes bundle.json for the files that are there, so that a runtime takes them."""
        files = sorted(file for file in self.folder.iterdir() if file.name != INFO_FILE)
        hashes = {file.name: sha256_file(file) for file in files}
        self.record = self.record.model_copy(update={"files": hashes})
        write_info(self.folder, self.record)

    def take(
        self, checks: Sequence[NetworkCheck | SegmenterCheck], files: Mapping[str, str]
    ) -> None:
        """Removes the networks that failed, and chooses the one that runs unless told.

        The engine that every installation has decides on a file; one that fails on another engine
        is not run there. Raises CheckFailedError where none is left of those asked for.
        """
        failed = {
            check.network: check.failures
            for check in checks
            if check.failures and check.engine in ("onnxruntime", "litert")
        }
        held = [name for name in _PREFERRED if name in self._asked and name in files]
        held = [name for name in held if (self.folder / files[name]).is_file()]
        checked = {check.network for check in checks}
        good = [name for name in held if name in checked and name not in failed]
        if not self._allow:
            held = good
            for name in failed:
                (self.folder / files[name]).unlink()
                if name in self._asked:
                    self.refused[files[name]] = failed[name]
        if not held:
            raise _nothing_left(failed, files)
        kept = [check for check in checks if check.network in held]
        allowed = {
            check.name: check.failures
            for check in kept
            if check.network in failed and check.failures
        }
        self.record = self.record.model_copy(
            update={
                "default_model" if files is MODEL_FILES else "default_segmenter": (good or held)[0],
                "passed": (*self.record.passed, *(c.name for c in kept if not c.failures)),
                "allowed": {**self.record.allowed, **allowed},
            }
        )
        self.seal()

    def add_policies(
        self, compared: Sequence[tuple[NetworkCheck, Answers]], photos: pd.DataFrame
    ) -> None:
        """Adds the feature space of training photos, and a policy for each network kept.

        Args:
            photos: the compared ones, in the order of the answers.
        """
        model = self.record.model
        if model is None:
            raise ValueError("policies are of a classifier")
        truth = photos["diagnosis"].map({name: k for k, name in enumerate(model.diagnoses)})
        known = truth.notna().to_numpy()
        index = np.asarray(truth.fillna(-1), np.intp)
        group = np.asarray(pd.factorize(photos["group"])[0], np.intp)
        training = known & (photos["part"] == Part.TRAIN.value).to_numpy()
        held_out = known & (photos["part"] == Part.VALIDATION.value).to_numpy()
        by_network = {check.network: answers for check, answers in reversed(compared)}
        space = self._space(by_network["fp32"], training, index)
        policies = {}
        for name, answers in by_network.items():
            held = (self.folder / MODEL_FILES[name]).is_file()
            if not held or not np.isfinite(answers.logits).all():  # let in by `allow`
                continue
            features = None if answers.features is None else answers.features[held_out]
            policy = calibrated_policy(
                answers.logits[held_out], features, index[held_out], group[held_out], model, space
            )
            if policy is not None:
                policies[name] = policy
        self.record = self.record.model_copy(update={"policies": policies})
        self.seal()

    def _space(
        self, answers: Answers, training: NDArray[np.bool_], index: NDArray[np.intp]
    ) -> FeatureSpace | None:
        """All networks share the fp32 network's space: an int8 network's features are close."""
        if answers.features is None:
            return None
        space = fitted_space(answers.features[training], index[training])
        if space is not None:
            write_space(space, self.folder / FEATURES_FILE)
        return space

    def drop_unasked(self) -> None:
        """Removes fp32 networks that served for comparison only."""
        for files in (MODEL_FILES, SEGMENTER_FILES):
            if "fp32" not in self._asked:
                (self.folder / files["fp32"]).unlink(missing_ok=True)
        policies = {k: v for k, v in self.record.policies.items() if k in self._asked}
        self.record = self.record.model_copy(update={"policies": policies})
        self.seal()

    def write_pages(self, parity: Parity, scores: Scores | None, notes: str | None) -> None:
        """Writes parity.json, its page and the model card, and seals the bundle."""
        written = parity.model_dump_json(indent=2) + "\n"
        (self.folder / PARITY_FILE).write_text(written, encoding="utf-8")
        (self.folder / PARITY_PAGE).write_text(parity_page(self.record, parity), encoding="utf-8")
        card = model_card(self.record, parity, scores, notes)
        (self.folder / CARD_FILE).write_text(card, encoding="utf-8")
        self.seal()


def _nothing_left(
    failed: Mapping[str, Sequence[str]], files: Mapping[str, str]
) -> CheckFailedError:
    listed = "; ".join(f"{files[name]}: {', '.join(why)}" for name, why in failed.items())
    return CheckFailedError(
        f"no exported network answers as the run does ({listed})",
        expected="parity with the run on every photo; nothing was written",
        fix="ask for fp32 too, look into it with --allow, or check the run's weights for values "
        "that are not numbers",
    )


def _describe(class_id: str) -> BundleDiagnosis:
    node = diagnoses().get(class_id)
    return BundleDiagnosis(
        id=class_id,
        name=dict(node.name) if node else _class_name(class_id),
        malignancy=malignancy(class_id),
        urgency=node.urgency if node else None,
    )


def _class_name(class_id: str) -> dict[str, str]:
    """The names of a class that is no diagnosis, such as `benign`, from the view that has it."""
    for name in view_names():
        if class_id in (names := view(name).names):
            return dict(names[class_id])
    return {"en": display_name(class_id)}
