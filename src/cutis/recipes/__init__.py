"""Recipes: TOML files that say completely how a classifier or a segmenter is trained."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cutis.errors import RecipeError, nearest
from cutis.recipes.schema import Recipe
from cutis.recipes.search_space import Parameter
from cutis.recipes.segmentation import SegmentationRecipe

__all__ = [
    "AnyRecipe",
    "Recipe",
    "SegmentationRecipe",
    "load_any_recipe",
    "load_recipe",
    "parse_any_recipe",
    "parse_recipe",
    "recipe_names",
    "recipe_text",
    "segmentation_recipe_names",
    "takes_whole_numbers",
]

AnyRecipe = Recipe | SegmentationRecipe

_SEGMENTATION = "segmentation"


def recipe_names() -> list[str]:
    """Names of the recipes for classifiers that Cutis brings along."""
    return [name for name, task in _tasks().items() if task != _SEGMENTATION]


def segmentation_recipe_names() -> list[str]:
    """Names of the recipes for segmenters that Cutis brings along."""
    return [name for name, task in _tasks().items() if task == _SEGMENTATION]


@cache
def _tasks() -> dict[str, str | None]:
    """What the recipes that Cutis brings along train, by name in alphabetical order."""
    files = [f for f in resources.files("cutis.recipes").iterdir() if f.name.endswith(".toml")]
    read = {f.name.removesuffix(".toml"): tomllib.loads(f.read_text("utf-8")) for f in files}
    return {name: read[name].get("task") for name in sorted(read)}


def recipe_text(name: str | Path) -> str:
    """The TOML text of a recipe file, or of one that Cutis brings along, by name."""
    path = Path(name)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(
                "the recipe is not text", where=path, expected="a TOML file in UTF-8"
            ) from error
    if str(name) in _tasks():
        return resources.files("cutis.recipes").joinpath(f"{name}.toml").read_text("utf-8")
    raise RecipeError(
        f"there is no recipe '{name}'",
        expected="a TOML file, or one of " + ", ".join(_tasks()),
        fix=nearest(str(name), _tasks()) or "check the name or the path",
    )


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a classifier's recipe and applies settings.

    A setting is such as ``stage.2.learning_rate=1e-5`` (first stage: 1).
    Raises RecipeError for unknown keys (with the nearest spelling), wrong types and values, and
    for a recipe that trains a segmenter.
    """
    return parse_recipe(recipe_text(name), overrides, where=str(name))


def load_any_recipe(name: str | Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """The same for a recipe of either kind: ``task = "segmentation"`` makes it a segmenter's."""
    return parse_any_recipe(recipe_text(name), overrides, where=str(name))


def parse_recipe(text: str, overrides: Sequence[str] = (), *, where: str = "recipe") -> Recipe:
    """The same as `load_recipe` for a recipe's text."""
    recipe = parse_any_recipe(text, overrides, where=where)
    if isinstance(recipe, SegmentationRecipe):
        raise RecipeError(
            f"the recipe '{recipe.name}' trains a segmenter, not a classifier",
            where=where,
            expected="a classifier's recipe: " + ", ".join(recipe_names()),
            fix="`cutis train` takes recipes of both kinds",
        )
    return recipe


def parse_any_recipe(
    text: str, overrides: Sequence[str] = (), *, where: str = "recipe"
) -> AnyRecipe:
    """The same as `load_any_recipe` for a recipe's text."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not valid TOML: {error}", where=where) from error
    for setting in overrides:
        _override(tree, setting)
    kind = SegmentationRecipe if "task" in tree else Recipe
    try:
        recipe = kind.model_validate(tree)
    except ValidationError as error:
        raise _explained(error.errors(include_url=False), where, kind) from error
    if isinstance(recipe, Recipe) and recipe.search is not None:
        for key, parameter in recipe.search.space.items():
            _check_parameter(tree, key, parameter, where)
    return recipe


def takes_whole_numbers(key: str) -> bool:
    """Whether a setting, e.g. ``stage.1.epochs``, is a whole number."""
    names = [name for name in key.split(".") if not name.isdecimal()]
    field = _known_keys(names[:-1]).get(names[-1]) if names else None
    return field is not None and field.annotation is int


def _check_parameter(tree: Mapping[str, Any], key: str, parameter: Parameter, where: str) -> None:
    """Raises RecipeError for a value that the setting refuses whatever the others are."""
    whole = takes_whole_numbers(key)
    for value in parameter.samples(whole):
        changed = deepcopy({name: part for name, part in tree.items() if name != "search"})
        _put(changed, key, value)
        try:
            Recipe.model_validate(changed)
        except ValidationError as error:
            blamed = [item for item in error.errors(include_url=False) if _concerns(item, key)]
            if blamed:
                raise _explained(blamed, f"{where}, [search.space]") from error


def _concerns(problem: ErrorDetails, key: str) -> bool:
    place = _place(problem["loc"])
    below = f"{place}.".startswith(f"{key}.")
    return below or (problem["type"] == "extra_forbidden" and key.startswith(f"{place}."))


def _override(tree: dict[str, Any], setting: str) -> None:
    key, equals, raw = setting.partition("=")
    if not equals or not key:
        raise RecipeError(
            f"'{setting}' is not a setting", expected="key=value, e.g. stage.2.learning_rate=1e-5"
        )
    _put(tree, key, _value(raw))


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node: Any = tree
    for parent in parents:
        node = _child(node, parent, key)
    node[_index(node, last, key) if isinstance(node, list) else last] = value


def _child(node: Any, name: str, key: str) -> Any:
    child = node[_index(node, name, key)] if isinstance(node, list) else node.setdefault(name, {})
    if not isinstance(child, dict | list):
        raise RecipeError(f"'{name}' in the setting {key} has no keys of its own")
    return child


def _index(items: list[Any], text: str, key: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= len(items):
        return int(text) - 1
    raise RecipeError(
        f"'{text}' in the setting {key} is not a number from 1 to {len(items)}",
        expected=f"a stage from 1 to {len(items)}, e.g. stage.1.epochs=3",
    )


def _value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _explained(
    errors: Sequence[ErrorDetails], where: str, kind: type[BaseModel] = Recipe
) -> RecipeError:
    problems = []
    for item in errors:
        place = _place(item["loc"])
        if item["type"] == "extra_forbidden":
            known = _known_keys(item["loc"][:-1], kind)
            hint = nearest(str(item["loc"][-1]), known) or "known: " + ", ".join(sorted(known))
            problems.append(f"unknown key '{place}': {hint}")
        elif item["type"] == "missing":
            problems.append(f"'{place}' is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = "" if isinstance(item["input"], dict) else f", got {item['input']!r}"
            problems.append(f"'{place}': {message}{got}" if place else message)
    return RecipeError("; ".join(problems), where=where, fix="correct the recipe or the setting")


def _place(location: Sequence[str | int]) -> str:
    return ".".join(str(p + 1) if isinstance(p, int) else p for p in location)


def _known_keys(
    location: Sequence[str | int], kind: type[BaseModel] = Recipe
) -> Mapping[str, FieldInfo]:
    section = kind
    for name in location:
        if isinstance(name, str) and name in section.model_fields:
            section = _section_type(section.model_fields[name].annotation) or section
    return section.model_fields


def _section_type(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_section_type(argument) for argument in getattr(annotation, "__args__", ()))
    return next((section for section in inner if section), None)
