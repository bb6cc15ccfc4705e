"""The ladder of DESIGN.md: a module imports only from the rungs above its own."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "cutis"

# L0, L1 and L5 have two rungs each: errors and records under all, lesion on preprocessing, the
# public names over all.
LADDER = (
    {"errors", "records"},  # L0
    {"storage", "taxonomy", "html"},  # L0
    {"preprocessing", "recipes"},  # L1
    {"lesion"},  # L1
    {"data", "models", "metrics"},  # L2
    {"training", "runtime", "evaluation"},  # L3
    {"export", "studies", "scale", "app"},  # L4
    {"cli"},  # L5
    {"__init__", "__main__"},  # L5
)
RUNG = {name: rung for rung, names in enumerate(LADDER) for name in names}
FREE = {"cutis.__version__"}
NO_TORCH = {"runtime", "evaluation", "metrics", "data", "preprocessing", "lesion", "app", "cli"}


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def unit(dotted: str) -> str:
    """The folder or file right under src/cutis that a dotted name lies in."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(tree: ast.AST, package: str) -> list[tuple[int, str]]:
    """Line and dotted name of all imports, those in functions and under TYPE_CHECKING included."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *([node.module] if node.module else [])])
            base = base if node.level else str(node.module)
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def package_of(path: Path) -> str:
    return ".".join(["cutis", *path.relative_to(SOURCE).parts[:-1]])


def breaches(own: str, package: str, source: str) -> list[str]:
    """What a module of the unit `own` imports although it may not."""
    wrong = []
    for line, name in imports(ast.parse(source), package):
        if name.split(".")[0] != "cutis" or name in FREE or unit(name) == own:
            continue
        if unit(name) not in RUNG or RUNG[unit(name)] >= RUNG[own]:
            wrong.append(f"{line}: {own} imports {name}")
    return wrong


def test_imports_point_down_the_ladder() -> None:
    wrong = []
    for path in files():
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        assert own in RUNG, f"{path} stands on no rung"
        found = breaches(own, package_of(path), path.read_text(encoding="utf-8"))
        wrong += [f"{path.relative_to(SOURCE)}:{breach}" for breach in found]
    assert wrong == []
    assert len(files()) > 90


def test_no_module_of_the_base_install_names_torch() -> None:
    scanned, wrong = 0, []
    for path in files():
        if path.relative_to(SOURCE).parts[0].removesuffix(".py") in NO_TORCH:
            scanned += 1
            names = imports(ast.parse(path.read_text(encoding="utf-8")), package_of(path))
            wrong += [f"{path}:{line}" for line, name in names if name.split(".")[0] == "torch"]
    assert wrong == []
    assert scanned > 60


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from cutis.errors import InputError\nfrom cutis import __version__\n", 0),
        ("from cutis.runtime.bundle import read_info\n", 0),
        ("import cutis.evaluation.table\n", 1),
        ("def late():\n    from cutis.export import export_run\n", 1),
        ("if TYPE_CHECKING:\n    from cutis.app import server\n", 1),
        ("from cutis import training\n", 1),
        ("from cutis import train\n", 1),
        ("from ..cli import run\n", 1),
        ("from . import bundle\n", 0),
    ],
)
def test_the_ladder_sees_every_way_to_import(source: str, count: int) -> None:
    assert len(breaches("runtime", "cutis.runtime", source)) == count
