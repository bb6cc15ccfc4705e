"""The base install does not bring torch: what does not train works without it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

_WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "safetensors", "onnx", "onnxscript"}:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name.split(".")[0])

sys.meta_path.insert(0, Refuse())
"""

_IMPORTS = """
import importlib, pkgutil
import cutis, cutis.app, cutis.cli, cutis.data, cutis.evaluation, cutis.metrics, cutis.runtime
count = 0
for package in (cutis.cli, cutis.data, cutis.evaluation, cutis.metrics, cutis.runtime):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        count += 1
print(count)
""".replace("cutis.app, ", "")

_VERBS = """
from pathlib import Path
from cutis.cli import run
photos, catalog, bundle, folder, table = map(str, sys.argv[1:])
out = Path(folder)
for line in (
    ["--help"],
    ["draw", str(out / "drawn"), "--photos", "24"],
    ["import", photos, "--into", catalog],
    ["split", catalog, "--name", "again"],
    ["audit", catalog, "--split", "again"],
    ["predict", photos, "--model", bundle, "--out", str(out / "answers.csv")],
    ["evaluate", bundle, "--data", catalog, "--out", str(out / "report")],
):
    print("CODE", line[0], run(line))
loaded = [name for name in sys.modules if name.split(".")[0] == "torch"]
print("TORCH", loaded)
"""

_TRAIN = """
from cutis.cli import run
sys.exit(run(sys.argv[1:]))
"""


def without_torch(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _WITHOUT_TORCH + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_all_that_does_not_train_imports_without_torch() -> None:
    done = without_torch(_IMPORTS)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


def test_the_verbs_that_do_not_train_work_without_torch(
    world: Any, own_catalog: Path, tmp_path: Path
) -> None:
    photos = world.photos
    done = without_torch(_VERBS, photos, own_catalog, world.bundle, tmp_path, tmp_path / "t.csv")
    codes = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("CODE")]
    assert codes == [
        [verb, "0"]
        for verb in ("--help", "draw", "import", "split", "audit", "predict", "evaluate")
    ], done.stderr
    assert "TORCH []" in done.stdout
    assert (tmp_path / "answers.csv").is_file()


def test_the_verbs_that_need_torch_say_what_to_install(world: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments in (
        ["train", "demo", "--data", world.catalog, "--out", out, "--weights", "none"],
        ["evaluate", world.run, "--out", out],
        ["export", world.run, "--out", out],
    ):
        done = without_torch(_TRAIN, *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: torch is not installed")
        assert "pip install 'cutis[train]' and run this again" in done.stderr
        assert "Traceback" not in done.stderr
    assert not out.exists()
