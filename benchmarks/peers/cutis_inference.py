"""A bundle's answers by Cutis: BUNDLE PHOTOS THREADS SINGLES NETWORK/ENGINE; prints JSON."""

import sys
from pathlib import Path

from timing import pin, report

bundle, folder, threads, singles, pair = sys.argv[1:]
pin(int(threads))

from cutis.runtime import Predictor, predict_photos  # noqa: E402  # the libraries count processors

network, engine = pair.split("/")
predictor = Predictor.load(Path(bundle), model=network, engine=engine, threads=int(threads))


def one(photo: Path) -> object:
    """The probabilities of one photo."""
    pixels, _ = predictor.read(photo)
    return predictor.probabilities(predictor.logits(pixels[None]))


def many(photos: list[Path]) -> int:
    """The table of many."""
    return sum(len(table) for table in predict_photos(predictor, photos, quality=False))


report(sorted(Path(folder).iterdir()), int(singles), one, many)
