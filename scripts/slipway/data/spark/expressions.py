"""Expressions of polars as columns of Spark: what the plan asks of the rows, node by node.

Polars writes an expression down as a tree in JSON. Here is for each of its nodes, and for the types they are applied
to, the column of Spark that has the same value in every row. A node or a type that is not here has none that is known
to be equal: it raises NotOnSparkError, and nothing is guessed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl

from slipway.data.spark import patterns

if TYPE_CHECKING:
    from pyspark.sql import Column

Node = Any
Types = Mapping[str, pl.DataType]

COMPARISONS = {"Eq": "__eq__", "NotEq": "__ne__", "Lt": "__lt__", "LtEq": "__le__", "Gt": "__gt__", "GtEq": "__ge__"}
ARITHMETIC = {"Plus": "__add__", "Minus": "__sub__", "Multiply": "__mul__"}
CLOSED = {
    "Both": ("__ge__", "__le__"),
    "Left": ("__ge__", "__lt__"),
    "Right": ("__gt__", "__le__"),
    "None": ("__gt__", "__lt__"),
}
SPARKS_NAMES = {
    pl.Int8: "tinyint",
    pl.Int16: "smallint",
    pl.Int32: "int",
    pl.Int64: "bigint",
    pl.Float32: "float",
    pl.Float64: "double",
}
TEXTS = (pl.String, pl.Categorical, pl.Enum)


class NotOnSparkError(Exception):
    """What has no equal in Spark, in a few words."""


def quoted(name: str) -> str:
    """A column's name as Spark reads it whole, dots and backticks included."""
    return "`" + name.replace("`", "``") + "`"


def tree(expression: pl.Expr) -> Node:
    """The expression as polars writes it down."""
    return json.loads(expression.meta.serialize(format="json"))


def type_of(expression: pl.Expr, types: Types) -> pl.DataType:
    """The type of the expression's values. Only its own columns are looked at: a table may have ten thousand."""
    named = {name: types[name] for name in expression.meta.root_names()}
    (dtype,) = pl.LazyFrame(schema=named).select(expression).collect_schema().dtypes()
    return dtype


def groups_of(node: Node) -> list[str]:
    """The columns whose rows are held against all other rows, where the node is that question and nothing else."""
    function = node.get("Function") if isinstance(node, dict) else None
    if not (function and function["function"] == {"Boolean": "IsDuplicated"}):
        return []
    (asked,) = function["input"]
    parts = asked["Function"]["input"] if "Function" in asked else [asked]
    if any(set(part) != {"Column"} for part in parts):
        raise NotOnSparkError("rows that repeat can be told by columns only")
    return [part["Column"] for part in parts]


class Translator:
    """Translates for rows of these types.

    functions: PySpark's. uncarried: columns that Spark holds otherwise than polars, with the reason.
    """

    def __init__(self, functions: Any, types: Types, uncarried: Mapping[str, str]) -> None:
        self.f = functions
        self.types = types
        self.uncarried = uncarried

    def aggregate(self, node: Node) -> Column:
        """A value over all rows."""
        match node:
            case {"Agg": {"Sum": asked}} if self._type(asked) == pl.Boolean:
                return self._number_of(self.rows(asked))
            case {"Agg": {"Max": {"input": {"Column": name}}}} if self._is_temporal(node):
                return self.f.max(self._column(name))
            case {"Agg": {"NUnique": asked}}:
                return self._distinct(asked)
            case {"Function": {"function": "NullCount", "input": [asked]}}:
                return self._number_of(self.rows(asked).isNull())
            case {"BinaryExpr": {"op": "Plus", "left": left, "right": right}}:
                return self.aggregate(left) + self.aggregate(right)
        return self._unknown(node)

    def _number_of(self, satisfied: Column) -> Column:
        return self.f.count(self.f.when(satisfied, True))

    def _distinct(self, node: Node) -> Column:
        """Few values of a column, by construction: those that a check wants to see."""
        match node:
            case {"Function": {"function": "DropNulls", "input": [{"Filter": {"input": asked, "by": chosen}}]}}:
                values = self._without_sign(asked)
                return self.f.size(self.f.collect_set(self.f.when(self.rows(chosen), values)))
        return self._unknown(node)

    def rows(self, node: Node) -> Column:
        """A value for each row."""
        match node:
            case {"Column": name}:
                return self._column(name)
            case {"Literal": _}:
                return self._literal(self._value(node), self._type(node))
            case {"Alias": [asked, _]}:
                return self.rows(asked)
            case {"BinaryExpr": {"left": left, "op": op, "right": right}}:
                return self._binary(node, left, op, right)
            case {"Function": {"input": asked, "function": which}}:
                return self._function(node, which, asked)
            case {"Ternary": {"predicate": condition, "truthy": truthy, "falsy": falsy}}:
                one, other = self._of_one_type(node, (truthy, falsy))
                return self.f.when(self.rows(condition), one).otherwise(other)
            case {"Function": {"input": [asked], "function": "Abs"}} if self._type(asked) in SPARKS_NAMES:
                return self.f.abs(self.rows(asked))
            case {"Cast": {"expr": asked}}:
                return self._cast(node, asked)
        return self._unknown(node)

    def _function(self, node: Node, which: Any, asked: Sequence[Node]) -> Column:
        match which, asked:
            case {"Boolean": question}, _:
                return self._boolean(node, question, asked)
            case {"StringExpr": question}, _:
                return self._text(node, question, asked)
            case {"Sql": {"Binary": "Div"}}, [left, right]:
                return self._quotient(node, left, right)
            case {"Sql": {"Binary": op}}, [left, right]:
                return self._binary(node, left, "Multiply" if op == "Mul" else op, right, sql=True)
            case {"Sql": {"IsIn": {"nulls_equal": False}}}, [value, listed] if _is_literal(listed):
                return self._is_in(value, listed, narrow=self._type(value) == pl.Float32)
            case "FillNull" | "Coalesce", _:
                return self.f.coalesce(*self._of_one_type(node, asked))
            case "Abs", [value] if self._type(value) in SPARKS_NAMES:
                return self.f.abs(self.rows(value))
        return self._unknown(node)

    def _column(self, name: str) -> Column:
        if why := self.uncarried.get(name):
            raise NotOnSparkError(why)
        return self.f.col(quoted(name))

    def _literal(self, value: Any, dtype: pl.DataType) -> Column:
        if isinstance(value, datetime):
            # As text, since Spark's client reads a Python datetime in the zone of the machine.
            kind = "timestamp" if value.tzinfo else "timestamp_ntz"
            return self.f.lit(value.isoformat(sep=" ")).cast(kind)
        if isinstance(value, date):
            return self.f.lit(value.isoformat()).cast("date")
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            return self.f.lit(str(value)).cast("decimal(38,0)")
        if value is not None and not isinstance(value, bool | int | float | str) and not dtype.is_decimal():
            raise NotOnSparkError(f"a value of type {dtype}")
        return self.f.lit(value)

    def _binary(self, node: Node, left: Node, op: str, right: Node, *, sql: bool = False) -> Column:
        if op in COMPARISONS:
            one, other = self._comparable(op, left, right, sql=sql)
            return getattr(one, COMPARISONS[op])(other)
        if op in ("And", "Or") and self._type(left) == self._type(right) == pl.Boolean:
            one, other = self.rows(left), self.rows(right)
            return one & other if op == "And" else one | other
        if op in ARITHMETIC and self._type(node) in SPARKS_NAMES:
            # Each in the type of the result, so that what overflows wraps around in the same place.
            kind = _kind(self._type(node))
            one, other = (self._numeric(each).cast(kind) for each in (left, right))
            return getattr(one, ARITHMETIC[op])(other).cast(kind)
        return self._unknown(node)

    def _numeric(self, node: Node) -> Column:
        dtype = self._type(node)
        if dtype not in SPARKS_NAMES and not (_is_literal(node) and dtype.is_numeric()):
            raise NotOnSparkError(f"arithmetic on {dtype}")
        return self.rows(node)

    def _quotient(self, node: Node, left: Node, right: Node) -> Column:
        # By zero Spark gives no value, where polars gives infinity.
        if self._type(node) != pl.Float64 or not (_is_literal(right) and self._value(right)):
            raise NotOnSparkError("a division by anything but a fixed number, with a fraction as its result")
        return self._numeric(left).cast("double") / self._numeric(right).cast("double")

    def _comparable(self, op: str, left: Node, right: Node, *, sql: bool = False) -> tuple[Column, Column]:
        """Both sides in a type in which Spark compares them as polars does.

        sql: whether polars' SQL compares, for which a decimal fraction has no type of its own, either.
        """
        mine, theirs = self._type(left), self._type(right)
        one, other = self.rows(left), self.rows(right)
        if mine.is_numeric() and theirs.is_numeric():
            if not (mine.is_float() or theirs.is_float()) or mine == theirs:
                return one, other
            # A number as somebody wrote it takes the type of the column.
            pairs = ((mine, right), (theirs, left))
            narrow = any(this == pl.Float32 and _is_untyped(value, sql) for this, value in pairs)
            kind = "float" if narrow else "double"
            return one.cast(kind), other.cast(kind)
        texts = isinstance(mine, TEXTS) and isinstance(theirs, TEXTS)
        ordered = op not in ("Eq", "NotEq")
        if ordered and (isinstance(mine, pl.Enum) or isinstance(theirs, pl.Enum)):
            raise NotOnSparkError("the order of an Enum is its own, and Spark reads it as text")
        days = {mine, theirs} == {pl.Date(), pl.Datetime("us")}
        if days:
            return one.cast("timestamp_ntz"), other.cast("timestamp_ntz")
        same = mine.base_type() == theirs.base_type() and _zone(mine) == _zone(theirs) and not mine.is_nested()
        if not (texts or same):
            raise NotOnSparkError(f"a comparison of {mine} with {theirs}")
        return one, other

    def _boolean(self, node: Node, which: Any, asked: Sequence[Node]) -> Column:
        match which:
            case "Not" if self._type(asked[0]) == pl.Boolean:
                return ~self.rows(asked[0])
            case "IsNull":
                return self.rows(asked[0]).isNull()
            case "IsNotNull":
                return self.rows(asked[0]).isNotNull()
            case "IsNan" if self._is_float(asked[0]):
                value = self.rows(asked[0])
                return self.f.when(value.isNotNull(), self.f.isnan(value))
            case "AnyHorizontal" | "AllHorizontal":
                combine: Callable[[Column, Column], Column] = (
                    (lambda one, other: one | other) if which == "AnyHorizontal" else lambda one, other: one & other
                )
                return _balanced([self.rows(each) for each in asked], combine)
            case {"IsBetween": {"closed": closed}}:
                least, most = CLOSED[closed]
                low, high = self._comparable("GtEq", asked[0], asked[1]), self._comparable("LtEq", asked[0], asked[2])
                return getattr(low[0], least)(low[1]) & getattr(high[0], most)(high[1])
            case {"IsIn": {"nulls_equal": False}} if _is_literal(asked[1]):
                return self._is_in(asked[0], asked[1])
        return self._unknown(node)

    def _is_in(self, asked: Node, listed: Node, *, narrow: bool = False) -> Column:
        values = [each for each in self._value(listed, many=True) if each is not None]
        inner = self._elements(listed)
        mine = self._type(asked)
        texts = isinstance(mine, TEXTS) and isinstance(inner, TEXTS)
        numbers = mine.is_numeric() and inner.is_numeric()
        if not (texts or numbers or mine == inner):
            raise NotOnSparkError(f"{mine} among values of {inner}")
        wanted = [self._literal(each + 0.0 if isinstance(each, float) else each, inner) for each in values]
        column = self._without_sign(asked)
        if numbers and (mine.is_float() or inner.is_float()):
            kind = "float" if narrow else "double"
            column, wanted = column.cast(kind), [each.cast(kind) for each in wanted]
        return column.isin(wanted)

    def _without_sign(self, node: Node) -> Column:
        """The value; for Spark's sets 0 and -0 are two."""
        value = self.rows(node)
        return value + self.f.lit(0.0).cast(_kind(self._type(node))) if self._is_float(node) else value

    def _text(self, node: Node, which: Any, asked: Sequence[Node]) -> Column:
        if self._type(asked[0]) != pl.String:
            raise NotOnSparkError(f"a question about the text of {self._type(asked[0])}")
        text = self.rows(asked[0])
        match which:
            case "LenChars":
                return self.f.char_length(text)
            case "StartsWith" | "EndsWith" if _is_literal(asked[1]):
                value = self.f.lit(self._value(asked[1]))
                return self.f.startswith(text, value) if which == "StartsWith" else self.f.endswith(text, value)
            case {"Contains": {"literal": literal}} if _is_literal(asked[1]):
                value = self._value(asked[1])
                if literal:
                    return self.f.contains(text, self.f.lit(value))
                try:
                    return self.f.regexp_like(text, self.f.lit(patterns.to_java(value)))
                except ValueError as error:
                    raise NotOnSparkError(str(error)) from None
        return self._unknown(node)

    def _cast(self, node: Node, asked: Node) -> Column:
        """Only between numbers, where what has no equal becomes null; and to the type that it has already."""
        have, want = self._type(asked), self._type(node)
        value = self.rows(asked)
        if have == want:
            return value
        options = node["Cast"]["options"]
        if options != "NonStrict" or have not in SPARKS_NAMES or want not in SPARKS_NAMES:
            raise NotOnSparkError(f"a conversion from {have} to {want}; let the job that writes the data convert them")
        kind = _kind(want)
        if want.is_float() or (have.is_integer() and _bits(have) <= _bits(want)):
            return value.cast(kind)
        half = 2 ** (_bits(want) - 1)
        if have.is_integer():
            inside = (value >= -half) & (value < half)
        else:
            # What is cut off behind the point does not matter; one below the least of 64 bits, a double cannot say.
            number = value.cast("double")
            inside = (number < float(half)) & (number >= -half if _bits(want) == 64 else number > -half - 1.0)
        return self.f.when(inside, value.cast(kind))

    def _of_one_type(self, node: Node, asked: Sequence[Node]) -> list[Column]:
        """Values of which a row has one: each in the type of the node."""
        want = self._type(node)
        if want in SPARKS_NAMES and all(self._type(each) in SPARKS_NAMES for each in asked):
            return [self.rows(each).cast(_kind(want)) for each in asked]
        if any(self._type(each) != want for each in asked):
            self._unknown(node)
        return [self.rows(each) for each in asked]

    def _type(self, node: Node) -> pl.DataType:
        return type_of(_expression(node), self.types)

    def _elements(self, node: Node) -> pl.DataType:
        dtype = self._type(node)
        return getattr(dtype, "inner", dtype)

    def _value(self, node: Node, *, many: bool = False) -> Any:
        found = pl.select(_expression(node)).to_series()
        while isinstance(found.dtype, pl.List):
            found = found.explode()
        return found.to_list() if many else found.item()

    def _is_float(self, node: Node) -> bool:
        return self._type(node) in (pl.Float32, pl.Float64)

    def _is_temporal(self, node: Node) -> bool:
        return self._type(node).is_temporal()

    def _unknown(self, node: Node) -> NoReturn:
        try:
            said = str(_expression(node))
        except pl.exceptions.PolarsError:
            said = json.dumps(node)
        raise NotOnSparkError(f"{said[:120]}")


def _expression(node: Node) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(node)), format="json")


def _kind(dtype: pl.DataType) -> str:
    """Spark's name of a type of numbers."""
    return next(name for known, name in SPARKS_NAMES.items() if dtype == known)


def _is_literal(node: Node) -> bool:
    return isinstance(node, dict) and set(node) == {"Literal"}


def _is_untyped(node: Node, sql: bool) -> bool:
    """Whether it is a number as somebody wrote it, which takes the type of what it is held against."""
    if not _is_literal(node):
        return False
    return "Dyn" in node["Literal"] or (sql and "Decimal" in node["Literal"].get("Scalar", {}))


def _zone(dtype: pl.DataType) -> str | None:
    return dtype.time_zone if isinstance(dtype, pl.Datetime) else None


def _bits(dtype: pl.DataType) -> int:
    return int(str(dtype).lstrip("IntFlo"))


def _balanced(parts: list[Column], combine: Callable[[Column, Column], Column]) -> Column:
    """All parts combined as a tree without depth: a table may have ten thousand columns."""
    while len(parts) > 1:
        parts = [reduce(combine, parts[place : place + 2]) for place in range(0, len(parts), 2)]
    return parts[0]
