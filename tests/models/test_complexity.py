"""What backbones cost, against published figures, and what `cutis models` prints."""

import json
from pathlib import Path

import pytest

from cutis.cli import run
from cutis.errors import InputError, MissingDependencyError, RecipeError
from cutis.models import complexity, timm_library
from cutis.models.complexity import list_backbones


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        # Sandler et al. 2018, table 4: 300 M multiply-adds; the classifier adds 1.28 M
        ("mobilenet_v2", 2_257_984, 0.30e9),
        # He et al. 2016 give 3.8 G with the stride in the first 1x1; in the 3x3 it is 4.1 G
        ("resnet50", 23_561_152, 4.1e9),
        # 15.5 G with the dense layers, whose 123.6 M multiply-adds are left out
        ("vgg16", 14_714_688, 15.5e9 - 0.12e9),
    ],
)
def test_figures_are_the_published_ones(name: str, parameters: int, multiply_adds: float) -> None:
    (facts,) = list_backbones([name])
    assert facts.size == 224
    assert facts.parameters == parameters
    assert facts.multiply_adds == pytest.approx(multiply_adds, rel=0.01)
    assert facts.licence is not None


def test_a_pattern_lists_without_counting() -> None:
    facts = list_backbones(["timm/test_vit*"])
    assert {"timm/test_vit", "timm/test_vit2"} <= {fact.name for fact in facts}
    assert all(fact.multiply_adds is None and fact.size == 160 for fact in facts)
    assert len(list_backbones(every=True)) > 1000


def test_a_name_or_pattern_without_a_backbone_is_refused() -> None:
    with pytest.raises(InputError, match="no backbone matches"):
        list_backbones(["timm/nothing*"])
    with pytest.raises(RecipeError, match="there is no backbone 'resnet_50x'"):
        list_backbones(["resnet_50x"])


def test_without_timm_our_own_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complexity, "timm_installed", lambda: False)
    assert [fact.name for fact in list_backbones()] == [
        "mobilenet_v2", "mobilenet_v2_050", "mobilenet_v2_035", "small_cnn",
        "lesion_cnn"]  # fmt: skip

    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    timm_library.timm_library.cache_clear()
    monkeypatch.setattr(timm_library.importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match="timm is not installed") as caught:
        list_backbones(["resnet50"])
    assert "cutis[timm]" in str(caught.value)


def test_the_verb_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "models.json"
    assert run(["models", "mobilenet_v2", "small_cnn", "--json", str(file)]) == 0
    table = capsys.readouterr().out
    assert "mobilenet_v2" in table
    assert "Apache-2.0" in table
    first, second = json.loads(file.read_text("utf-8"))
    assert (first["name"], first["parameters"]) == ("mobilenet_v2", 2_257_984)
    assert (second["name"], second["licence"]) == ("small_cnn", None)
    assert run(["models", "mobilenet_v22"]) == 2
