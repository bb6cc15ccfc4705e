"""The names of the package: all there, loaded late, and without torch where none is needed."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cutis
from cutis.cli import VERBS
from cutis.data.synthetic import SyntheticSpec, generate


def test_every_public_name_is_there_and_listed() -> None:
    for name in cutis.__all__:
        assert getattr(cutis, name) is not None
    assert set(cutis.__all__) <= set(dir(cutis))
    assert sorted(cutis.__all__) == list(cutis.__all__)


def test_every_verb_is_a_function_of_the_package() -> None:
    named = {
        "import": "import_photos",
        "export": "export_bundle",
        "models": "list_backbones",
        "app": "run_app",
    }
    for verb in VERBS:
        assert (
            getattr(cutis, named.get(verb, verb.replace("-", "_").replace(" ", "_")))
            is VERBS[verb].function
        )


def test_no_public_name_is_hidden_by_a_package_of_the_same_name() -> None:
    from cutis import export  # noqa: F401  # loading the package sets cutis.export

    assert inspect.isfunction(cutis.export_bundle)
    assert inspect.ismodule(cutis.export)
    assert "export" not in cutis.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = cutis.trian
    with pytest.raises(ImportError):
        from cutis import nothing_of_this_name  # noqa: F401


def test_a_source_is_a_path_too(tmp_path: Path) -> None:
    folder = generate(tmp_path / "drawn", SyntheticSpec(photos=12))
    found = cutis.import_photos([folder], into=tmp_path / "catalog")
    assert found.catalog.info.counts.photos == 12


def in_a_new_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_package_loads_nothing_heavy() -> None:
    done = in_a_new_process(
        "import sys, cutis\n"
        "heavy = {'torch', 'pandas', 'numpy', 'typer', 'onnxruntime', 'cutis.cli'}\n"
        "print(sorted(heavy & set(sys.modules)), cutis.__version__)"
    )
    assert (done.stdout.strip(), done.stderr) == (f"[] {cutis.__version__}", "")


def test_what_needs_torch_says_so_where_there_is_none() -> None:
    done = in_a_new_process("import sys; sys.modules['torch'] = None\nimport cutis; cutis.load_run")
    assert "MissingDependencyError: torch is not installed" in done.stderr
    assert "pip install 'cutis[train]'" in done.stderr
