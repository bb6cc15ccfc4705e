"""Prediction needs no torch: the base install does not bring it."""

import subprocess
import sys
from pathlib import Path

_CODE = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # any import of torch now fails
from cutis.runtime import Predictor, find_photos, predict_to_file
bundle, photos, out = map(Path, sys.argv[1:])
predict_to_file(Predictor.load(bundle), find_photos([photos]), out)
assert not [name for name in sys.modules if name.startswith("torch.")]
"""


def test_a_bundle_predicts_without_torch(bundle: Path, photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    command = [sys.executable, "-c", _CODE, str(bundle), str(photos[0].parent), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 1 + len(photos)
