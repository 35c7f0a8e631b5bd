"""The columns of the holdout that a policy names, and which of them the data do not have: before compute is spent."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.policy.evaluation import Evaluation
from slipway.policy.reading import line_of
from slipway.policy.source import SourcedPolicy

SHOWN = 20
"""Columns that a sentence lists."""

Place = tuple[str | int, ...]
"""Keys and positions on the way to a value of the policy."""


@dataclass(frozen=True)
class Missing:
    """A column that the policy names and the holdout lacks.

    key: of the policy, dotted. file, line: where it stands; line 0 where that is unknown. hint: what may be meant.
    """

    column: str
    key: str
    file: str
    line: int
    hint: str

    @property
    def in_words(self) -> str:
        """Where it stands, and what may be meant."""
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"`{self.key}` ({place}) names it; {self.hint}"


def missing_columns(sourced: SourcedPolicy, evaluation: Evaluation, columns: Sequence[str]) -> list[Missing]:
    """Every name of the policy's `evaluation` that is none of the holdout's columns, in the order of the policy."""
    file = f"{sourced.path} of the base branch" if sourced.gates_commit else str(sourced.path)
    found = []
    for name, place in named_columns(evaluation):
        if name not in columns:
            key = ".".join(part for part in place if isinstance(part, str))
            line = line_of(sourced.text, place) if sourced.text else 0
            found.append(Missing(name, key, file, line, _hint(name, columns)))
    return sorted(found, key=lambda each: each.line)


def named_columns(evaluation: Evaluation) -> Iterator[tuple[str, Place]]:
    """Every column of the holdout that an evaluation names, and where."""
    for key in ("target", "key", "cluster", "query", "time", "series"):
        yield from _names(getattr(evaluation, key), ("evaluation", key))
    if evaluation.slices:
        yield from _names(evaluation.slices.columns, ("evaluation", "slices", "columns"))
    if evaluation.fairness:
        yield from _names(evaluation.fairness.groups, ("evaluation", "fairness", "groups"))
    for name, disturbance in evaluation.robustness.declared.items() if evaluation.robustness else ():
        yield from _names(disturbance.columns, ("evaluation", "robustness", name, "columns"))


def _names(said: Any, place: Place) -> Iterator[tuple[str, Place]]:
    """said: a name, a list of names and of such lists, or nothing."""
    if isinstance(said, str):
        yield from [(said, place)] if said else []
    else:
        for number, each in enumerate(said or ()):
            yield from _names(each, (*place, number))


def _hint(name: str, columns: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, columns, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return f"the columns are {', '.join(columns[:SHOWN])}{more}"
