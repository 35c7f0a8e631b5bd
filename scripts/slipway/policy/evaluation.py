"""The policy's section `evaluation`: how a candidate is judged against production."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from slipway.policy.strict import NUMBER, Label, Strict

OnInconclusive = Literal["warn", "fail"]
Baseline = Literal["registry", "base-branch"]
Task = Literal["binary", "multiclass", "regression"]


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


class Evaluation(Strict):
    """How a candidate is judged against production."""

    task: Task
    """Kind of prediction."""

    holdout: str
    """Name, under `data`, of the dataset on whose rows both models are compared."""

    target: str
    """Column that holds the truth. It is taken out of what the models see."""

    baseline: Baseline = "registry"
    """What the candidate is compared with: the registry's version with the alias `production`, or the model that the
    base branch's own training command makes, which needs no registry that lives on."""

    max_holdout_uses: Annotated[int, Field(ge=1), NUMBER] | None = None
    """With as many other candidates judged on the same rows before, by the ledger, the verdict is inconclusive."""

    positive: Label | None = None
    """Binary tasks: the label that counts as positive. By default the greater of the two."""

    threshold: Annotated[FiniteFloat, Field(gt=0, lt=1), NUMBER] | None = None
    """Binary tasks: probability from which a row is called positive. By default the model's own decision."""

    cluster: str | None = None
    """Column whose equal values mark rows that are not independent (customer, day, document)."""

    confidence: Annotated[FiniteFloat, Field(ge=0.5, lt=1), NUMBER] = 0.95
    """Level of the two-sided intervals."""

    min_rows: Annotated[int, Field(ge=2), NUMBER] = 100
    """With fewer rows in the holdout every gate is inconclusive."""

    on_inconclusive: OnInconclusive = "warn"
    """Whether an inconclusive verdict fails the step in a pull request."""

    metrics: Annotated[dict[str, MetricRule], Field(min_length=1)]
    """Rules by metric, under scikit-learn's names."""
