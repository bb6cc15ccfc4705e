"""Prediction needs no torch and no other engine: the base install does not bring them."""

import subprocess
import sys
from pathlib import Path

_CODE = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # any import of torch now fails
from cutis.runtime import Predictor, Segmenter, find_photos, predict_to_file, segment_to_folder
bundle, photos, out, masks = map(Path, sys.argv[1:])
predict_to_file(Predictor.load(bundle), find_photos([photos]), out)
segment_to_folder(Segmenter.load(bundle), [photos], masks)
absent = ("torch.", "openvino", "ai_edge_litert")
assert not [name for name in sys.modules if name.startswith(absent)]
"""


def test_a_bundle_answers_and_segments_without_torch_and_other_engines(
    lesion_bundle: Path, photos: list[Path], tmp_path: Path
) -> None:
    out, masks = tmp_path / "out.csv", tmp_path / "masks"
    places = [lesion_bundle, photos[0].parent, out, masks]
    command = [sys.executable, "-c", _CODE, *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for table in (out, masks / "measures.csv"):
        assert len(table.read_text().splitlines()) == 1 + len(photos)
