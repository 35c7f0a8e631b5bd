"""What every part of the policy is made of: no undeclared key, no number that YAML made of a word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Label = StrictBool | StrictInt | StrictStr
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$", max_length=200)]
"""Letters, digits, space, `_`, `.`, `-`: what every registry, file system and container tag can carry."""


def _no_truth_value(value: object) -> object:
    """YAML reads `yes` and `on` as true, which would count as the number 1 and open a gate wide."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


NUMBER = BeforeValidator(_no_truth_value)
"""Stands last in `Annotated`, so that the limits before it reach the JSON Schema."""

Share = Annotated[FiniteFloat, Field(gt=0, lt=1), NUMBER]
"""A part of a whole, neither none of it nor all."""


def misplaced(problems: Iterable[tuple[tuple[str, ...], str]]) -> ValidationError:
    """The error for a validator of a whole section to raise about keys below it: `reading` names each key's line."""
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("misplaced", "{problem}", {"problem": problem}), loc=place, input=None
        )
        for place, problem in problems
    ]
    return ValidationError.from_exception_data("policy", errors)


class Strict(BaseModel):
    """Frozen, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)
