"""A sheet of samples: rows of diagnoses, columns of photos."""

from pathlib import Path

import cv2
import numpy as np

from cutis.data.synthetic.drawing import draw_lesion
from cutis.data.synthetic.lesions import DIAGNOSES
from cutis.storage import write_file


def contact_sheet(
    path: Path, *, dermoscopic: int = 6, clinical: int = 2, seed: int = 0, width: int = 160
) -> Path:
    """Writes a JPEG with a row for each diagnosis: dermoscopic photos, then clinical ones."""
    rows = []
    for number, dx in enumerate(DIAGNOSES):
        photos = []
        for column in range(dermoscopic + clinical):
            photo, _ = draw_lesion(
                dx, seed + 1000 * number + column, clinical=column >= dermoscopic
            )
            size = (width, round(width * photo.shape[0] / photo.shape[1]))
            photos.append(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
        rows.append(np.hstack(photos))
    sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    write_file(path, encoded.tobytes())
    return path
