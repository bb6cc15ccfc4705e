"""Activations at the cut, kept on disk: checked, bounded, and never needed to go on."""

import math
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from cutis.data.array_file import read_array, write_array
from cutis.errors import InputError

LIMIT = "CUTIS_CACHE_GB"
_LIMIT_GB = 20.0
_GB = 10**9
# numpy knows no bfloat16: its bits are stored as integers
_STORED: dict[torch.dtype, DTypeLike] = {torch.float32: np.float32, torch.bfloat16: np.int16}


@dataclass(frozen=True)
class FeatureCache:
    """Files `activations-KEY.npy` in a folder, the least recently used of which give way.

    Together they take no more than 20 GB, or what the environment variable CUTIS_CACHE_GB says,
    and no more than half of what the disk has left for them.

    Attributes:
        folder: where they stand; made on first use.
        photos: names the content and the order of the photos that all indices count.
        log: takes a sentence on what is kept, and on what is not and why.
    """

    folder: Path
    photos: str
    log: Callable[[str], None]

    def kept(
        self,
        key: str,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        compute: Callable[[], Iterable[Tensor]],
    ) -> Tensor | None:
        """The array of that key, read or else computed and written.

        None where it cannot be kept: too large, no space, no permission. A damaged file is
        computed again.
        """
        file = self.folder / f"activations-{key}.npy"
        try:
            rows = read_array(file)
            if rows is None:
                if file.is_file():
                    self.log(f"{file.name} is damaged and computed again")
                size = math.prod(shape) * dtype.itemsize
                if not self._make_room(size):
                    return None
                self.log(f"keeping {size / 1e6:.1f} MB of activations in {file}")
                write_array(file, shape, _STORED[dtype], map(_stored, compute()))
                rows = read_array(file)
            os.utime(file)
        except OSError as error:
            self.log(f"activations are computed in every epoch, since not kept: {error}")
            return None
        return None if rows is None else torch.from_numpy(rows).view(dtype)

    def _make_room(self, size: int) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = sorted(self.folder.glob("activations-*.npy"), key=lambda f: f.stat().st_mtime)
        held = sum(file.stat().st_size for file in kept)
        room = min(_limit() * _GB, (shutil.disk_usage(self.folder).free + held) / 2)
        if size > room:
            self.log(
                f"activations are computed in every epoch: {size / _GB:.2f} GB would not fit into "
                f"the {room / _GB:.2f} GB that the cache may take ({LIMIT}, half of the disk)"
            )
            return False
        for file in kept:
            if held + size <= room:
                break
            held -= file.stat().st_size
            file.unlink()
            self.log(f"removed {file.name} to make room")
        return True


def _stored(activations: Tensor) -> NDArray[Any]:
    if activations.dtype == torch.bfloat16:
        activations = activations.view(torch.int16)
    return activations.cpu().numpy()


def _limit() -> float:
    text = os.environ.get(LIMIT, str(_LIMIT_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not limit >= 0:
        raise InputError(
            f"{LIMIT} is no size", where=f"{LIMIT}={text}", expected="gigabytes, e.g. 5; 0: none"
        )
    return limit
