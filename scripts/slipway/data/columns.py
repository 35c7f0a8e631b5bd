"""A column of a schema file, with its checks in each of the three forms that pandera has written over the years."""

from __future__ import annotations

import difflib
import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

import polars as pl
from pydantic import (
    PlainValidator,
    StrictBool,
    StrictStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from slipway.data import dtypes, pandera_objects, rules
from slipway.data.reading import first_line
from slipway.data.rules import Rule
from slipway.data.types import is_pattern
from slipway.policy.strict import Strict


def listed_rule(entry: Any) -> Rule:
    """A check in pandera's list form: its arguments, and under `options` its name (`check_name`)."""
    body = dict(lift_options(entry)) if isinstance(entry, dict) else {}
    name = body.pop("check_name", None)
    if not isinstance(name, str):
        raise ValueError("each entry of a list of checks needs `options: {check_name: ...}`")
    kind = rules.RULES.get(rules.ALIASES.get(name, name))
    if kind is None:
        raise ValueError(unknown(name, [*rules.RULES, *rules.ALIASES], "check"))
    for key in body:
        if key not in {*kind.model_fields, "value"}:
            raise ValueError(unknown(key, [*kind.model_fields, "value"], "argument or option"))
    return kind.model_validate(body)


def lift_options(body: Any) -> Any:
    """A check's body with the options that stand under `options` moved beside its arguments.

    That is where older files of pandera have them, and under `checks:` pandera still reads them there.
    """
    if not isinstance(body, dict) or not isinstance(body.get("options"), dict):
        return body
    arguments = {key: value for key, value in body.items() if key != "options"}
    if twice := set(arguments) & set(body["options"]):
        raise ValueError(f"`{sorted(twice)[0]}` stands beside `options` and in it: keep one")
    return {**arguments, **body["options"]}


def unknown(name: object, known: list[str], what: str) -> str:
    """The sentence about a name that does not exist, with the one that was meant."""
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(known))}"
    return f"`{name}` is not a known {what}; {hint}"


class _BuiltLate:
    """Builds a check's validator when a file first names the check: there are two dozen, and a file names a few."""

    def __get_pydantic_core_schema__(self, optional: Any, _handler: Any) -> CoreSchema:
        kind: type[Rule] = get_args(optional)[0]
        return core_schema.no_info_plain_validator_function(kind.model_validate)


BUILT_LATE = _BuiltLate()
LISTED = TypeAdapter(list[Annotated[Any, PlainValidator(listed_rule)]])


class Checks(Strict):
    """Checks by name."""

    equal_to: Annotated[rules.EqualTo | None, BUILT_LATE] = None
    eq: Annotated[rules.EqualTo | None, BUILT_LATE] = None
    not_equal_to: Annotated[rules.NotEqualTo | None, BUILT_LATE] = None
    ne: Annotated[rules.NotEqualTo | None, BUILT_LATE] = None
    greater_than: Annotated[rules.GreaterThan | None, BUILT_LATE] = None
    gt: Annotated[rules.GreaterThan | None, BUILT_LATE] = None
    greater_than_or_equal_to: Annotated[rules.GreaterThanOrEqualTo | None, BUILT_LATE] = None
    ge: Annotated[rules.GreaterThanOrEqualTo | None, BUILT_LATE] = None
    less_than: Annotated[rules.LessThan | None, BUILT_LATE] = None
    lt: Annotated[rules.LessThan | None, BUILT_LATE] = None
    less_than_or_equal_to: Annotated[rules.LessThanOrEqualTo | None, BUILT_LATE] = None
    le: Annotated[rules.LessThanOrEqualTo | None, BUILT_LATE] = None
    in_range: Annotated[rules.InRange | None, BUILT_LATE] = None
    between: Annotated[rules.InRange | None, BUILT_LATE] = None
    isin: Annotated[rules.IsIn | None, BUILT_LATE] = None
    notin: Annotated[rules.NotIn | None, BUILT_LATE] = None
    unique_values_eq: Annotated[rules.UniqueValuesEq | None, BUILT_LATE] = None
    str_matches: Annotated[rules.StrMatches | None, BUILT_LATE] = None
    str_contains: Annotated[rules.StrContains | None, BUILT_LATE] = None
    str_startswith: Annotated[rules.StrStartswith | None, BUILT_LATE] = None
    str_endswith: Annotated[rules.StrEndswith | None, BUILT_LATE] = None
    str_length: Annotated[rules.StrLength | None, BUILT_LATE] = None

    @field_validator("*", mode="before")
    @classmethod
    def _no_empty_check(cls, given: Any, info: Any) -> Any:
        if given is None and info.field_name in Checks.model_fields:
            raise ValueError("has no value, so it would check nothing: give one or remove the line")
        return given

    def declared(self) -> dict[str | int, Rule]:
        """The checks that the file names, by the name it uses."""
        found = {name: getattr(self, name) for name in Checks.model_fields}
        return {name: rule for name, rule in found.items() if rule is not None}


def either_form(given: Any) -> dict[str | int, Rule]:
    """Pandera's two forms under `checks:`: a mapping by name, or a list with the names under `options`."""
    if given is None:
        return {}
    if isinstance(given, list):
        return dict(enumerate(LISTED.validate_python(given)))
    if not isinstance(given, dict):
        raise ValueError("must be a mapping from check to value")
    return Checks.model_validate({name: lift_options(body) for name, body in given.items()}).declared()


class _EitherForm:
    """`either_form` as a type's whole validator, so that the types it returns are not built beside it."""

    def __get_pydantic_core_schema__(self, _returned: Any, _handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(either_form)


ChecksByName = Annotated[Checks | dict[str | int, Rule] | None, _EitherForm()]
"""What a file says under `checks:`."""


class Column(Checks):
    """One column, or with `regex` all columns whose whole name matches."""

    title: StrictStr | None = None
    description: StrictStr | None = None
    dtype: dtypes.Name | None = None
    nullable: StrictBool = False
    unique: StrictBool = False
    coerce: StrictBool = False
    required: StrictBool = True
    regex: StrictBool = False
    name: StrictStr | None = None
    checks: ChecksByName = None
    default: None = None
    report_duplicates: Literal["all"] = "all"
    drop_invalid_rows: Literal[False] = False

    @field_validator("default", "drop_invalid_rows", mode="before")
    @classmethod
    def _changes_no_data(cls, given: Any) -> Any:
        return refuse_change(given)

    @model_validator(mode="after")
    def _checks_fit_the_type(self) -> Self:
        """Run each check over no rows: what pandera or polars refuse there would be refused on any data."""
        found = []
        for place, rule in self._placed().items():
            if reason := why_not_on(rule, self.polars_type):
                message = f"`{rule.title()}` cannot be checked on {self.dtype or 'any type'}: {reason}"
                found.append(problem(message, *place))
        if found:
            raise ValidationError.from_exception_data("column", found)
        return self

    @cached_property
    def polars_type(self) -> pl.DataType | None:
        """The declared type."""
        return dtypes.parse(self.dtype) if self.dtype else None

    def is_pattern(self, name: str) -> bool:
        """Whether the column's name is a pattern."""
        return is_pattern(name, regex=self.regex)

    @property
    def rules(self) -> list[Rule]:
        """All checks of the column, whichever form the file uses."""
        return list(self._placed().values())

    def _placed(self) -> dict[tuple[str | int, ...], Rule]:
        """The checks by their place in the file."""
        under_checks = self.checks if isinstance(self.checks, dict) else {}
        return {
            **{(name,): rule for name, rule in self.declared().items()},
            **{("checks", name): rule for name, rule in under_checks.items()},
        }


def why_not_on(rule: Rule, dtype: pl.DataType | None) -> str:
    """Why a check cannot be made of columns of a type, in pandera's or polars' words; empty where it can."""
    try:
        pandera_objects.check(rule, dtype)
        if dtype is not None:
            pl.LazyFrame(schema={"column": dtype}).select(pandera_objects.satisfied(rule, "column", dtype)).collect()
    except (pl.exceptions.PolarsError, ValueError, TypeError, re.error) as error:
        return first_line(error)
    return ""


def problem(message: str, *place: str | int) -> InitErrorDetails:
    """One of a validator's findings, placed below what the validator is about."""
    return InitErrorDetails(
        type=PydanticCustomError("schema", "{message}", {"message": message}), loc=place, input=None
    )


def refuse_change(given: Any) -> Any:
    """What pandera would alter before it checks is refused: training would read the unaltered file."""
    if given is not None and given is not False:
        raise ValueError("would change the data; Slipway judges the data as they are, so this cannot be expressed")
    return given
