"""The policy's sections `evaluation.slices` and `evaluation.fairness`: parts of the holdout, and groups of people."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from slipway.policy.rules import GapRule, MetricRule
from slipway.policy.strict import NUMBER, Strict

Rare = Literal["join", "inconclusive"]
Columns = list[str | Annotated[list[str], Field(min_length=2, max_length=3)]]
"""Names of columns; a list of them is their cross."""


class Slices(Strict):
    """Whom a candidate may not leave behind: the same comparison within parts of the holdout."""

    columns: Columns = Field(default_factory=list)
    """Columns of the holdout whose values, quantiles or months are the slices; a list of columns is their cross."""

    bins: Annotated[int, Field(ge=2, le=20), NUMBER] = 4
    """How many quantile ranges a numeric column is cut into, where it has more values than that."""

    min_rows: Annotated[int, Field(ge=20), NUMBER] = 200
    """A slice with fewer rows is not judged by itself."""

    rare: Rare = "join"
    """What becomes of slices that are too small: `join` judges those of one column, or cross, together, and where they
    are too few even so names them and waits for none; `inconclusive` leaves the gates of each of them open."""

    max_slices: Annotated[int, Field(ge=1, le=1000), NUMBER] = 100
    """A column, or cross, that makes more slices is not judged: inconclusive where a gate asks for it."""

    metrics: dict[str, MetricRule] = Field(default_factory=dict)
    """Rules that every slice of `columns` must satisfy. Without any, the evaluation's metrics are shown."""

    search: StrictBool = True
    """Whether columns and pairs of them are searched for the slice that lost most. It is shown and gates nothing."""

    @model_validator(mode="after")
    def _there_is_something_to_do(self) -> Self:
        sets = [frozenset([each] if isinstance(each, str) else each) for each in self.columns]
        if any(isinstance(each, list) and len(set(each)) < len(each) for each in self.columns):
            raise ValueError("a cross in `columns` names a column twice")
        if len(set(sets)) < len(sets):
            raise ValueError("`columns` names the same slices twice")
        if self.metrics and not self.columns:
            raise ValueError("`metrics` judge the slices of `columns`, which is empty")
        if not (self.columns or self.search):
            raise ValueError("without `columns` and with `search: false` there is nothing to do")
        return self


class Fairness(Strict):
    """How differently a candidate may treat groups of people."""

    groups: Annotated[Columns, Field(min_length=1)]
    """Columns of the holdout whose values are the groups; a list of columns is their cross."""

    min_rows: Annotated[int, Field(ge=20), NUMBER] = 100
    """A group with fewer rows is named and not judged by itself."""

    rare: Rare = "inconclusive"
    """What becomes of groups that are too small: by default a gate that could pass without them is inconclusive, since
    one of them may be treated worst; `join` makes those of one column, or cross, one group, as for slices."""

    metrics: Annotated[dict[str, GapRule], Field(min_length=1)]
    """Rules by metric: those of the task, and `selection_rate`, `false_positive_rate`, `mean_prediction`."""
