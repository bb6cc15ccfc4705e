"""Masks for `input.lesion`: predicted once by a segmenter, kept, and counted where not used."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cutis import __version__
from cutis.data.array_file import kept_array
from cutis.data.batches import decoded_pixels, different_photos, photo_batches, require_photos
from cutis.errors import InputError, RecipeError
from cutis.lesion import LesionMasks, load_lesion
from cutis.records import Part, Preprocessing, Record
from cutis.storage import sha256_file, staged_folder
from cutis.training.run import (
    DESCRIPTION,
    HISTORY,
    RECIPE,
    SEEN,
    WEIGHTS,
    Run,
    seen_rows,
    trained_on,
)

if TYPE_CHECKING:
    from cutis.training.segmentation import SegmenterRun

SEGMENTER = "segmenter"
"""The folder inside a run that holds the segmenter it was trained with."""

LESION = "lesion.json"
_LOADERS = 2


class PartUse(Record):
    """What became of the photos of one part."""

    photos: int
    whole: dict[str, int]  # photos taken whole, by the reason why their mask was not used
    known_to_segmenter: int  # photos that the segmenter was trained or chosen on


class LesionUse(Record):
    """`lesion.json` of a run: how its photos were segmented."""

    lesion: Literal["mask", "crop", "channel"]
    architecture: str  # of the segmenter
    segmenter_sha256: str  # of its weights
    parts: dict[str, PartUse]

    def __str__(self) -> str:
        said = []
        for name, part in self.parts.items():
            reasons = ", ".join(f"{count} {reason}" for reason, count in part.whole.items())
            whole = f"{sum(part.whole.values())} of {part.photos} {name} photos taken whole"
            known = f"{part.known_to_segmenter} known to the segmenter"
            said.append(f"{whole} ({reasons}), {known}" if reasons else f"{whole}, {known}")
        return f"lesion = {self.lesion} by {self.architecture}: {'; '.join(said)}"


def open_segmenter(lesion: str, segmenter: Path | None) -> "SegmenterRun | None":
    """The segmentation run that a recipe's `input.lesion` needs; None where it needs none.

    Raises RecipeError where one is needed and not given or given and not used, InputError for a
    folder that is no segmentation run.
    """
    if lesion == "none" and segmenter is None:
        return None
    if segmenter is None:
        raise RecipeError(
            f"input.lesion = '{lesion}' needs masks, and no segmenter is given",
            expected="a segmentation run that draws them",
            fix="add --segmenter RUN (made by `cutis train cutis-segmenter`), or set "
            "input.lesion=none",
        )
    if lesion == "none":
        raise RecipeError(
            "a segmenter is given, but the recipe does not use masks",
            where=segmenter,
            expected="input.lesion = mask, crop or channel",
            fix="set it, e.g. input.lesion=crop, or leave the segmenter out",
        )
    from cutis.training.segmentation import load_segmenter_run

    return load_segmenter_run(segmenter)


def own_segmenter(run: Run) -> "SegmenterRun | None":
    """The copy of the segmenter inside a run; None for a run on whole photos.

    Raises InputError where it is missing or not the one that the run was trained with.
    """
    folder = run.folder / SEGMENTER
    if run.info.preprocessing.lesion == "none":
        return None
    if not folder.is_dir():
        raise InputError(
            "the run's segmenter is missing",
            where=folder,
            fix="copy it back: the segmentation run that was given by --segmenter",
        )
    segmenter = open_segmenter(run.info.preprocessing.lesion, folder)
    if segmenter is not None and weights_sha256(segmenter) != run.info.segmenter_sha256:
        raise InputError(
            "this is not the segmenter that the run was trained with",
            where=folder / WEIGHTS,
            expected=f"weights of SHA-256 {run.info.segmenter_sha256}",
            fix="copy it back: the segmentation run that was given by --segmenter",
        )
    return segmenter


def weights_sha256(segmenter: "SegmenterRun") -> str:
    """SHA-256 of a segmenter's weights file."""
    return sha256_file(segmenter.folder / WEIGHTS)


def kept_segmenter(segmenter: Path | None, run: Path) -> Path | None:
    """The given segmenter, or where that is gone the copy that the run has kept of it."""
    kept = run / SEGMENTER
    return kept if segmenter is not None and not segmenter.exists() and kept.is_dir() else segmenter


def keep_segmenter(segmenter: "SegmenterRun", run: Path) -> None:
    """Copies a segmenter into a run, so that the run answers without the original."""
    if segmenter.folder == run / SEGMENTER:
        return
    with staged_folder(run / SEGMENTER, marker=DESCRIPTION) as folder:
        for name in (RECIPE, WEIGHTS, DESCRIPTION, HISTORY, SEEN):
            if (segmenter.folder / name).is_file():
                shutil.copyfile(segmenter.folder / name, folder / name)


def input_pixels(
    paths: Sequence[Path],
    sha256: Sequence[str],
    settings: Preprocessing,
    segmenter: "SegmenterRun | None",
    cache: Path,
) -> tuple[NDArray[np.uint8], LesionMasks | None]:
    """Photos as a classifier takes them, (photos, size, size, 3 or 4), and their masks.

    Both are kept in the folder `cache`; raises as `decoded_pixels` does.
    """
    masks = None if segmenter is None else segmented(segmenter, paths, sha256, cache)
    return decoded_pixels(paths, sha256, settings, cache, masks), masks


def segmented(
    segmenter: "SegmenterRun", paths: Sequence[Path], sha256: Sequence[str], cache: Path
) -> LesionMasks:
    """Masks of photos, kept in the folder `cache` by the photos, their order and the segmenter.

    Raises PhotoError for a photo that cannot be read.
    """
    from cutis.training.segmentation.inference import mask_probabilities

    info = segmenter.info
    named = [__version__, info.model_dump_json(), weights_sha256(segmenter), *sha256]
    key = hashlib.sha256("\n".join(named).encode()).hexdigest()
    size = info.preprocessing.size

    def predicted() -> Iterator[NDArray[np.uint8]]:
        require_photos(paths)
        for pixels in photo_batches(paths, info.preprocessing, "segmenting"):
            probabilities = mask_probabilities(segmenter, pixels)
            yield np.round(probabilities * np.float32(255)).astype(np.uint8)

    file = cache / f"segmented-{size}-{key[:16]}.npy"
    kept = kept_array(file, (len(paths), size, size), np.uint8, predicted)
    return LesionMasks(kept, info.threshold, key)


def lesion_batches(
    photos: Sequence[Path], settings: Preprocessing, segmenter: "SegmenterRun", doing: str
) -> Iterator[NDArray[np.uint8]]:
    """As `photo_batches`, with masks that are predicted on the way and not kept."""
    from cutis.training.segmentation.inference import mask_probabilities

    def one(photo: Path, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        return load_lesion(photo, settings, probabilities, segmenter.info.threshold)[0]

    done = 0
    with ThreadPoolExecutor(_LOADERS) as pool:
        for pixels in photo_batches(photos, segmenter.info.preprocessing, doing):
            part = photos[done : done + len(pixels)]
            yield np.stack(list(pool.map(one, part, mask_probabilities(segmenter, pixels))))
            done += len(pixels)


def lesion_use(
    settings: Preprocessing,
    segmenter: "SegmenterRun",
    masks: LesionMasks,
    rows: Mapping[Part, pd.DataFrame],
) -> LesionUse:
    """Counts what became of the photos; the masks are of the parts' different photos in order."""
    if settings.lesion == "none":
        raise ValueError("photos that are taken whole have no use of masks")
    _, place = different_photos(pd.concat(rows.values()))
    found, known = masks.reasons(), trained_on(segmenter.folder)
    reasons = iter([found[photo] for photo in place])
    parts = {}
    for part, held in rows.items():
        counted = Counter(reason for reason in islice(reasons, len(held)) if reason)
        parts[str(part)] = PartUse(
            photos=len(held),
            whole=dict(sorted(counted.items())),
            known_to_segmenter=int(seen_rows(held, known).sum()),
        )
    return LesionUse(
        lesion=settings.lesion,
        architecture=segmenter.info.architecture,
        segmenter_sha256=weights_sha256(segmenter),
        parts=parts,
    )
