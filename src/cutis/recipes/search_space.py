"""The space of a search: what each setting of a recipe is drawn from, and under which condition."""

import json
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from cutis.errors import nearest
from cutis.recipes.section import Section

SamplerName = Literal["random", "tpe"]

_FIXED = {
    "name": "it is the same for all trials",
    "title": "it is the same for all trials",
    "paper": "it is the same for all trials",
    "view": "trials with other diagnoses cannot be compared",
    "monitor": "trials judged by other figures cannot be compared",
    "seed": "the best of many seeds is luck",
    "search": "a search does not search itself",
}


def label(value: object) -> str:
    """A value as the storage and the page write it: text as it is, else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


class Pruning(Section):
    """Successive halving: stops trials that lag behind (Li et al. 2020, arXiv:1810.05934)."""

    min_epochs: int = Field(1, ge=1, description="epochs before trials are first compared")
    factor: int = Field(
        3, ge=2, description="one of so many goes on; the next comparison is so much later"
    )


class Parameter(Section):
    """What one setting is drawn from: choices, or a range from `low` to `high`, both included."""

    choices: tuple[Any, ...] | None = Field(None, description="values of any kind, tables too")
    low: FiniteFloat | None = Field(None, description="range: the lowest value")
    high: FiniteFloat | None = Field(None, description="range: the highest value")
    log: bool = Field(False, description="range: drawn on the logarithmic scale")
    step: FiniteFloat | None = Field(None, gt=0, description="range: distance of the values")
    when: dict[str, Annotated[tuple[Any, ...], BeforeValidator(_listed)]] = Field(
        {}, description="drawn only where other settings were given one of these choices"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        given = (self.low, self.high, self.step, self.log or None)
        if self.choices is not None:
            if given != (None,) * 4:
                raise ValueError("a parameter has choices or a range, not both")
            labels = [label(choice) for choice in self.choices]
            if not labels:
                raise ValueError("there is no choice, so the space has no valid point")
            if len(set(labels)) < len(labels):
                raise ValueError("a choice stands there twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a parameter needs choices, or both low and high")
        if self.low > self.high:
            raise ValueError("low lies above high, so the space has no valid point")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range starts above 0")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range has no step")
        return self

    def samples(self, whole: bool) -> list[Any]:
        """Values by which the parameter can be tried: all choices, or both ends and one between.

        `whole`: the setting takes whole numbers only, which the middle of a range need not be.
        """
        if self.choices is not None:
            return list(self.choices)
        low, high, step = self.ends()
        if step is not None:
            return [low, high, low + step]
        return [low, high] if whole else [low, high, (low + high) / 2]

    def ends(self) -> tuple[float, float, float | None]:
        """Of a range: the lowest value, the highest, and the step."""
        if self.low is None or self.high is None:
            raise TypeError("a parameter with choices is no range")
        return self.low, self.high, self.step


class Search(Section):
    """How `cutis search` looks for better values of a recipe's settings."""

    trials: int = Field(20, ge=1, description="trainings in all")
    sampler: SamplerName = Field(
        "tpe", description="independent draws, or draws near what did well (Optuna's TPE)"
    )
    pruning: Pruning | None = None
    space: dict[str, Parameter]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.space:
            raise ValueError("a search needs at least one parameter in [search.space]")
        for key, parameter in self.space.items():
            if reason := _FIXED.get(key.partition(".")[0]):
                raise ValueError(f"'{key}' cannot be searched: {reason}")
            for parent, wanted in parameter.when.items():
                self._check_condition(key, parent, wanted)
        try:
            self.order()
        except CycleError as error:
            chain = " -> ".join(error.args[1])
            raise ValueError(f"the conditions go in a circle: {chain}") from error
        return self

    def _check_condition(self, key: str, parent: str, wanted: tuple[Any, ...]) -> None:
        if parent not in self.space:
            hint = nearest(parent, self.space) or "conditions name parameters of the space"
            raise ValueError(f"'{key}' depends on '{parent}', which is not drawn: {hint}")
        choices = self.space[parent].choices
        if choices is None:
            raise ValueError(f"'{key}' depends on '{parent}', which has a range and no choices")
        known = [label(choice) for choice in choices]
        for value in wanted or (None,):
            if label(value) not in known:
                raise ValueError(
                    f"'{key}' waits for '{parent}' to be {label(value)}, which is not one of its "
                    "choices: " + ", ".join(known)
                )

    def order(self) -> list[str]:
        """The keys with those first that others depend on, else as they stand in the recipe."""
        return [*TopologicalSorter({k: p.when for k, p in self.space.items()}).static_order()]

    def drawn(self, suggest: Callable[[str, Parameter], Any]) -> dict[str, Any]:
        """A point of the space: a value for each parameter whose conditions hold.

        The values stand in the order in which they are to be put into the recipe: a table before
        a setting inside it.
        """
        values: dict[str, Any] = {}
        for key in self.order():
            if _holds(self.space[key].when, values):
                values[key] = suggest(key, self.space[key])
        return dict(sorted(values.items(), key=lambda item: item[0].count(".")))


def _holds(when: Mapping[str, tuple[Any, ...]], values: Mapping[str, Any]) -> bool:
    return all(
        parent in values and label(values[parent]) in map(label, wanted)
        for parent, wanted in when.items()
    )
