"""The checks that a schema file can declare: pandera's built-in ones, each with exactly the arguments it takes."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictStr, field_validator, model_validator

from slipway.policy.strict import Strict

OPTIONS = ("name", "error", "ignore_na", "raise_warning", "n_failure_cases", "groupby", "groups")


def _single(value: Any) -> Any:
    if value is None or isinstance(value, list | dict) or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("must be one number, text, date or true/false")
    return value


Bound = Annotated[Any, AfterValidator(_single)]
Bounds = Annotated[list[Bound], Field(min_length=1)]
Length = Annotated[int, Field(ge=0, strict=True)]


class Rule(Strict):
    """What every check takes beside its own arguments."""

    model_config = ConfigDict(defer_build=True)  # a schema uses a few of them: the others need not be built

    check: ClassVar[str] = ""
    """Pandera's name of the check."""

    main: ClassVar[str] = ""
    """The argument that a bare value stands for, and `value` as well."""

    ordering: ClassVar[bool] = False
    """Whether the check orders values, which NaN cannot be."""

    name: StrictStr | None = None
    """What the report calls the check."""

    error: StrictStr | None = None
    """What the report says of a violation."""

    ignore_na: StrictBool = True
    """Whether a missing value passes; `false` makes it a violation."""

    raise_warning: StrictBool = False
    """Whether a violation is only shown and fails nothing."""

    n_failure_cases: Annotated[int, Field(ge=0)] | None = None
    """At most so many examples."""

    groupby: None = None
    groups: None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_value(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            if not cls.main:
                raise ValueError(f"`{cls.check}` takes named arguments: {', '.join(cls.argument_names())}")
            return {cls.main: given}
        if "options" in given:
            raise ValueError(
                "write the options beside the value; under `options:` in this place pandera ignores them, so that "
                "the file would mean two things"
            )
        if "value" in given and cls.main not in ("", "value"):
            if cls.main in given:
                raise ValueError(f"`value` and `{cls.main}` are the same: keep one")
            given = {cls.main if key == "value" else key: value for key, value in given.items()}
        return given

    @field_validator("groupby", "groups", mode="before")
    @classmethod
    def _no_groups(cls, given: Any) -> None:
        if given is not None:
            raise ValueError("checks by group cannot be expressed on polars; write a rule under `slipway.compare`")

    @classmethod
    def argument_names(cls) -> list[str]:
        """The check's own arguments."""
        return [field for field in cls.model_fields if field not in OPTIONS]

    def arguments(self) -> dict[str, Any]:
        """The check's own arguments with their values."""
        return {field: getattr(self, field) for field in self.argument_names()}

    def title(self) -> str:
        """The check as the report names it."""
        if self.name:
            return self.name
        given = {key: value for key, value in self.arguments().items() if value is not None}
        if isinstance(self, InRange):
            return (
                f"{self.min_value} {self._sign(self.include_min)} value {self._sign(self.include_max)} {self.max_value}"
            )
        shown = ", ".join(str(each) if key == self.main else f"{key}={each}" for key, each in given.items())
        return f"{self.check}({shown if len(shown) <= 120 else shown[:117] + '...'})"

    @staticmethod
    def _sign(included: bool) -> str:
        return "<=" if included else "<"


class EqualTo(Rule):
    """Every value equals `value`."""

    check = "equal_to"
    main = "value"
    value: Bound


class NotEqualTo(Rule):
    """No value equals `value`."""

    check = "not_equal_to"
    main = "value"
    value: Bound


class GreaterThan(Rule):
    """Every value is above `min_value`."""

    check = "greater_than"
    main = "min_value"
    ordering = True
    min_value: Bound


class GreaterThanOrEqualTo(GreaterThan):
    """Every value is at least `min_value`."""

    check = "greater_than_or_equal_to"


class LessThan(Rule):
    """Every value is below `max_value`."""

    check = "less_than"
    main = "max_value"
    ordering = True
    max_value: Bound


class LessThanOrEqualTo(LessThan):
    """Every value is at most `max_value`."""

    check = "less_than_or_equal_to"


class InRange(Rule):
    """Every value lies between the two."""

    check = "in_range"
    ordering = True
    min_value: Bound
    max_value: Bound
    include_min: StrictBool = True
    include_max: StrictBool = True


class IsIn(Rule):
    """Every value is one of these."""

    check = "isin"
    main = "allowed_values"
    allowed_values: Bounds


class NotIn(Rule):
    """No value is one of these."""

    check = "notin"
    main = "forbidden_values"
    forbidden_values: Bounds


class UniqueValuesEq(Rule):
    """The distinct values of the column are exactly these."""

    check = "unique_values_eq"
    main = "values"
    values: Bounds


class StrMatches(Rule):
    """Every text starts with a match of the pattern."""

    check = "str_matches"
    main = "pattern"
    pattern: StrictStr


class StrContains(StrMatches):
    """Every text holds a match of the pattern."""

    check = "str_contains"


class StrStartswith(Rule):
    """Every text starts with `string`."""

    check = "str_startswith"
    main = "string"
    string: StrictStr


class StrEndswith(StrStartswith):
    """Every text ends with `string`."""

    check = "str_endswith"


class StrLength(Rule):
    """Every text has so many characters."""

    check = "str_length"
    main = "exact_value"
    min_value: Length | None = None
    max_value: Length | None = None
    exact_value: Length | None = None

    @model_validator(mode="after")
    def _some_length(self) -> Self:
        if self.exact_value is None and self.min_value is None and self.max_value is None:
            raise ValueError("`str_length` needs `min_value`, `max_value` or `exact_value`")
        return self


RULES: dict[str, type[Rule]] = {
    kind.check: kind
    for kind in (
        EqualTo, NotEqualTo, GreaterThan, GreaterThanOrEqualTo, LessThan, LessThanOrEqualTo, InRange, IsIn, NotIn,
        UniqueValuesEq, StrMatches, StrContains, StrStartswith, StrEndswith, StrLength,
    )
}  # fmt: skip
ALIASES = {
    "eq": "equal_to",
    "ne": "not_equal_to",
    "gt": "greater_than",
    "ge": "greater_than_or_equal_to",
    "lt": "less_than",
    "le": "less_than_or_equal_to",
    "between": "in_range",
}
