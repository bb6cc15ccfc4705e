"""The same network by PyTorch: BUNDLE PHOTOS THREADS SINGLES plain|channels-last; prints JSON.

Photos are read by Cutis, as many at a time as there are threads, and answered in batches of 32:
what differs is the network. Its weights are random, which takes the same time.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from timing import pin, report

bundle, folder, threads, singles, layout = sys.argv[1:]
pin(int(threads))

import numpy as np  # noqa: E402  # the libraries count processors
import torch  # noqa: E402

from cutis.preprocessing import load, normalise  # noqa: E402
from cutis.runtime.bundle import read_info  # noqa: E402
from cutis.training.run import classifier_for  # noqa: E402

BATCH = 32
torch.set_num_threads(int(threads))
pool = ThreadPoolExecutor(int(threads))
info = read_info(Path(bundle)).model
settings = info.preprocessing.model_copy(update={"lesion": "none"})
last = layout == "channels-last"
memory = torch.channels_last if last else torch.contiguous_format
model = classifier_for(info.model_copy(update={"preprocessing": settings})).eval()
model = model.to(memory_format=memory)


def answers(photos: list[Path]) -> np.ndarray:
    """The probabilities of a batch."""
    pixels = np.stack(list(pool.map(lambda photo: load(photo, settings), photos)))
    batch = torch.from_numpy(normalise(pixels, settings)).to(memory_format=memory)
    with torch.inference_mode():
        return torch.softmax(model(batch), 1).numpy()


def many(photos: list[Path]) -> int:
    """The number of photos answered, batch by batch."""
    starts = range(0, len(photos), BATCH)
    return sum(len(answers(photos[start : start + BATCH])) for start in starts)


report(sorted(Path(folder).iterdir()), int(singles), lambda photo: answers([photo]), many)
