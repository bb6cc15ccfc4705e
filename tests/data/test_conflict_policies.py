"""Policies for conflicts: how they are read from text, and what import does with them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cutis.data.conflicts import parse_policy
from cutis.data.importer import import_sources
from cutis.errors import InputError

Draw = Callable[..., Path]

NEVUS, MELANOMA = "melanocytic_nevus", "melanoma"


@pytest.mark.parametrize(
    ("text", "written"),
    [("Drop", "drop"), (" trust: b , a ", "trust:b,a"), ("majority", "majority")],
)
def test_policies_are_read_from_text(text: str, written: str) -> None:
    assert str(parse_policy(text)) == written


@pytest.mark.parametrize("text", ["", "dorp", "trust", "trust:", "drop:a", "trust:a,a"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no policy(.|\n)*trust:SOURCE"):
        parse_policy(text)
    with pytest.raises(InputError, match="did you mean 'drop'"):
        parse_policy("dorp")


# Import and split


@pytest.fixture
def two_sources(tmp_path: Path, draw: Draw) -> list[Path]:
    """Six photos of one clinic; the other has three of them smaller, one under another name."""
    for number in range(6):
        diagnosis = "melanoma" if number % 2 else "nevus"
        draw(tmp_path / "first" / diagnosis / f"{number}.png", 50 + number, (192, 144))
        again = "melanoma" if number in (0, 1) else "nevus"
        if number < 3:
            draw(tmp_path / "second" / again / f"x{number}.png", 50 + number, (128, 96))
    for number in range(6, 9):
        draw(tmp_path / "second" / ("nevus", "melanoma")[number % 2] / f"{number}.png", 50 + number)
    return [tmp_path / "first", tmp_path / "second"]


def test_import_merges_by_default_with_several_sources(
    two_sources: list[Path], tmp_path: Path
) -> None:
    alone = import_sources(two_sources[:1], tmp_path / "catalog")
    assert alone.catalog.info.options.conflicts == "keep"
    both = import_sources(two_sources[1:], tmp_path / "catalog")
    assert both.catalog.info.options.conflicts == "drop"
    (note,) = both.warnings
    assert "12 readable photos are appearances of 9 photographs; 1 of these" in note
    usable = both.catalog.usable()
    assert "first/0" not in set(usable["image_id"])
    assert set(usable["width"]) == {192, 96}
    assert len(usable) == 8
    chosen = import_sources(two_sources, tmp_path / "catalog", conflicts="trust:first")
    assert len(chosen.catalog.usable()) == 9
    assert chosen.catalog.sha256 != both.catalog.sha256
    assert not import_sources(two_sources, tmp_path / "catalog").changed
    kept = import_sources(two_sources, tmp_path / "catalog", conflicts="keep")
    assert len(kept.catalog.usable()) == len(kept.catalog.photos) == 12
    assert not import_sources(two_sources, tmp_path / "catalog").changed


def test_import_refuses_to_trust_an_unknown_source(two_sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'frist' is trusted(.|\n)*did you mean 'first'"):
        import_sources(two_sources, tmp_path / "catalog", conflicts="trust:frist")
    assert not (tmp_path / "catalog" / "catalog.json").exists()
