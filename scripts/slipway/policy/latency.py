"""The policy's section `evaluation.latency`: how fast, large and hungry a candidate may be."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from slipway.policy.strict import NUMBER, Strict

Positive = Annotated[FiniteFloat, Field(gt=0), NUMBER]


class MostRule(Strict):
    """At most so much. Without any limit the value is shown and gates nothing."""

    max: Positive | None = None
    """The candidate's own value must be at most this."""

    ratio: Positive | None = None
    """The candidate's value must be at most this many times production's."""


class LeastRule(Strict):
    """At least so much. Without any limit the value is shown and gates nothing."""

    min: Positive | None = None
    """The candidate's own value must be at least this."""

    ratio: Positive | None = None
    """The candidate's value must be at least this many times production's."""


class Latency(Strict):
    """How fast, large and hungry a candidate may be. Candidate and production are asked in turn."""

    requests: Annotated[int, Field(ge=20, le=100_000), NUMBER] = 400
    """Requests of one row to each model, after the warm-up. A p99 needs 368 at 95 % confidence."""

    batches: Annotated[int, Field(ge=10, le=10_000), NUMBER] = 30
    """Requests of many rows to each model."""

    batch_rows: Annotated[int, Field(ge=2), NUMBER] = 1_000
    """Rows of such a request; the holdout's number of rows at most."""

    starts: Annotated[int, Field(ge=1, le=20), NUMBER] = 3
    """How often each model is loaded anew."""

    p50_ms: MostRule = MostRule()
    """Median of the milliseconds that a request of one row takes."""

    p95_ms: MostRule = MostRule()
    """What 95 % of these requests stay below."""

    p99_ms: MostRule = MostRule()
    """What 99 % of these requests stay below."""

    throughput: LeastRule = LeastRule()
    """Rows a second in requests of many rows: the median of the batches."""

    load_seconds: MostRule = MostRule()
    """From the start of the process until the model is ready."""

    memory_mb: MostRule = MostRule()
    """Peak memory of the process, in 1,000,000 bytes."""

    size_mb: MostRule = MostRule()
    """The model's files, in 1,000,000 bytes."""

    @property
    def gated(self) -> bool:
        """Whether any quantity has a limit."""
        rules = [getattr(self, name) for name in type(self).model_fields]
        return any(rule.model_dump(exclude_none=True) for rule in rules if isinstance(rule, MostRule | LeastRule))

    @model_validator(mode="after")
    def _enough_requests(self) -> Self:
        gated = self.p99_ms.max is not None or self.p99_ms.ratio is not None
        if gated and self.requests < 368:
            raise ValueError("a gate on `p99_ms` needs at least 368 `requests`: with fewer, 1 % of them bound nothing")
        return self
