"""The types that a schema declares of columns, by name and by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import polars as pl


def is_pattern(name: str, *, regex: bool) -> bool:
    """Whether a column's name is a pattern; pandera takes `^...$` for one without being told."""
    return regex or (name.startswith("^") and name.endswith("$"))


def why_no_pattern(name: str) -> str:
    """Why a name that is a pattern cannot be one; empty where it can."""
    try:
        re.compile(name)
    except re.error as error:
        return f"`{name}` is no pattern: {error}"
    return ""


@dataclass(frozen=True)
class Types:
    """The types that a schema declares. named: by column, None where it names the column and no type; patterns: of the
    columns whose whole name matches and that are not named."""

    named: Mapping[str, pl.DataType | None] = field(default_factory=dict)
    patterns: Mapping[str, pl.DataType] = field(default_factory=dict)

    @classmethod
    def declared(cls, columns: Iterable[tuple[str, bool, pl.DataType | None]]) -> Types:
        """Of a schema's columns: the name, whether it says `regex`, and the type."""
        named, patterns = {}, {}
        for name, regex, dtype in columns:
            if not is_pattern(name, regex=regex):
                named[name] = dtype
            elif dtype is not None:
                patterns[name] = dtype
        return cls(named, patterns)

    def of(self, name: str) -> pl.DataType | None:
        """The type of a column; that of the first pattern, where several match."""
        if name in self.named:
            return self.named[name]
        return next((dtype for pattern, dtype in self.patterns.items() if re.fullmatch(pattern, name)), None)

    def but_for(self, names: Iterable[str]) -> Types:
        """The same without a type for these columns."""
        return replace(self, named={**self.named, **dict.fromkeys(names)})
