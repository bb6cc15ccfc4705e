"""The examples of docs/taxonomy.md run."""

import doctest
import re
from pathlib import Path

from cutis.taxonomy import diagnoses, load_label_map, view, view_names

PAGE = Path(__file__).parents[2] / "docs" / "taxonomy.md"
TEXT = PAGE.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_python_examples() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried == 6
    assert failed == 0


def test_mapping_files_and_view(tmp_path: Path) -> None:
    _, mapping, view_text = blocks("toml")
    (tmp_path / "map.toml").write_text(mapping, "utf-8")
    (tmp_path / "map.csv").write_text(blocks("text")[0], "utf-8")
    (tmp_path / "view.toml").write_text(view_text, "utf-8")
    expected = {"Muttermal": "melanocytic_nevus", "wart, foot": "wart"}
    assert load_label_map(tmp_path / "map.toml") == expected
    assert load_label_map(tmp_path / "map.csv") == expected
    assert view(tmp_path / "view.toml").class_of("lentigo_simplex") == "nevus_or_lentigo"


def test_figures_and_views_of_the_page() -> None:
    texts = sum(1 for node in diagnoses().values() if node.text)
    assert f"for {texts} diagnoses" in TEXT
    assert all(f"| `{name}` |" in TEXT for name in view_names())
