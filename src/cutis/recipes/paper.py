"""What a recipe says about the paper it follows."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from cutis.recipes.section import Section


class Way(StrEnum):
    """One of the two ways to run a published system: with its split, or with one without leaks."""

    PUBLISHED = "published"
    LEAK_FREE = "leak-free"

    @property
    def words(self) -> str:
        """As it stands in a sentence."""
        return "as published" if self == Way.PUBLISHED else "leak-free"


def _over_sampled(value: object) -> object:
    if value is None or value == "balanced" or (type(value) is int and value >= 1):
        return value
    raise ValueError("expected 'balanced' or a number of photos, 1 or more")


class Paper(Section):
    """The published system: its split, its figures, and where this recipe differs.

    A training does not read it; `cutis reproduce` makes the splits by it and shows the rest.
    """

    system: str = Field(description="recipes of one system are reproduced together by its name")
    reference: str = Field(description="where it was published")
    data: str = Field(description="the paper's own photos")
    shares: tuple[float, float, float] = Field(
        description="percent of train, validation and test, as published"
    )
    seed: int = Field(0, ge=0, description="of the published split")
    judged_on: Literal["validation", "test"] = Field(
        "test", description="the part that the published figures are of"
    )
    over_sampled: Annotated[
        int | Literal["balanced"] | None, BeforeValidator(_over_sampled)
    ] = Field(
        None,
        description="photos of each diagnosis, copies included, that the paper made before its "
        "split; balanced: as many as the most frequent one has",
    )  # fmt: skip
    compares_stages: bool = Field(False, description="reproduce it also cut off after each stage")
    open: tuple[str, ...] = Field((), description="what the paper leaves open: what we chose")
    deviations: tuple[str, ...] = Field((), description="what is known to differ")
    claims: tuple[str, ...] = Field((), description="what the paper concludes, in words")
    published: dict[str, float] = Field({}, description="its figures by name")
    hours: str = Field("", description="of a training on two CPU cores, and how this was measured")

    @model_validator(mode="after")
    def _possible_shares(self) -> Self:
        train, validation, test = self.shares
        whole = abs(sum(self.shares) - 100) < 1e-6
        if not whole or min(self.shares) < 0 or not train or not validation:
            raise ValueError(
                "shares are percent of train, validation and test that add up to 100; train and "
                "validation cannot be empty"
            )
        if self.judged_on == "test" and not test:
            raise ValueError("judged_on = 'test' needs a test share; or say 'validation'")
        return self
