"""What a metric must satisfy: over all rows, and between groups."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from slipway.policy.strict import NUMBER, Strict


class MetricRule(Strict):
    """What a metric must satisfy. Without any rule the metric is shown and gates nothing."""

    margin: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """Non-inferiority: the candidate may be worse than production by less than this, in the metric's own unit."""

    better_by: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """Superiority: the candidate must be better than production by more than this."""

    min: Annotated[FiniteFloat, NUMBER] | None = None
    """The candidate's own value must be at least this."""

    max: Annotated[FiniteFloat, NUMBER] | None = None
    """The candidate's own value must be at most this."""

    @model_validator(mode="after")
    def _one_relative_gate(self) -> Self:
        if self.margin is not None and self.better_by is not None:
            raise ValueError("`margin` and `better_by` exclude each other: keep the stricter one, `better_by`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` ({self.min}) is above `max` ({self.max}): nothing could pass")
        return self


class GapRule(Strict):
    """How far groups may be apart. Without a rule the gap is shown and gates nothing."""

    max_gap: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """The candidate's largest value of any group minus its smallest must be at most this."""
