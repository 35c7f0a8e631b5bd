"""The policy's section `drift`: when what production sees is distributed otherwise than what the model learned from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat

from slipway.policy.evaluation import OnInconclusive
from slipway.policy.strict import NUMBER, Share, Strict

Drop = Annotated[FiniteFloat, Field(ge=0), NUMBER]


class Season(Strict):
    """Current data are held against the same season of earlier years."""

    column: str
    """Column of dates or times, in the training data and the current ones."""

    days: Annotated[int, Field(ge=0, le=180), NUMBER] = 15
    """So many days before and after the current data's season count as the same."""


class DomainClassifier(Strict):
    """A classifier tries to tell current rows from the reference's: it sees what no single column shows."""

    floor: Annotated[FiniteFloat, Field(ge=0.5, lt=1), NUMBER] = 0.55
    """Area under the ROC curve that the whole interval must be above to be drift, however many rows there are."""

    rows: Annotated[int, Field(ge=200, le=200_000), NUMBER] = 10_000
    """So many rows of each side are drawn at most."""


class Drift(Strict):
    """When what production sees is distributed otherwise than what the model learned from."""

    current: str
    """Name, under `data`, of what production has seen of late."""

    floor: Share = 0.1
    """Jensen-Shannon distance (0 to 1) that a column must be above to have drifted, however many rows there are."""

    missing_floor: Share = 0.05
    """Change of the share of rows without a value that a column must be above to be doubted."""

    false_discoveries: Share = 0.05
    """Share of the columns called drifted that may be wrong (Benjamini-Hochberg over all columns)."""

    cluster: str | None = None
    """Column of the current data whose rows of one value are alike, such as the day: chance is then that between the
    clusters, not between rows."""

    season: Season | None = None
    """Hold the current data against the same season of the training data, and not against all of them."""

    min_rows: Annotated[int, Field(ge=20), NUMBER] = 200
    """Rows with a value that a column needs on both sides; with fewer it is inconclusive."""

    ignore: tuple[str, ...] = ()
    """Columns that are not judged: identifiers, counters."""

    reference: str | None = None
    """Name, under `data`, of the rows that production's predictions and performance are compared with: labelled, and
    not trained on. The holdout of `evaluation` by default."""

    prediction: str | None = None
    """Column of the current data with what production answered. Without it the model in production is asked anew."""

    performance: dict[str, Drop] = Field(default_factory=dict)
    """By metric: how much worse production may be on current rows whose truth is known than on the reference."""

    estimated_performance: dict[str, Drop] = Field(default_factory=dict)
    """By metric: the same for what is estimated from production's probabilities, without truths (CBPE). Binary tasks,
    and accuracy of multiclass ones."""

    domain_classifier: DomainClassifier | None = None
    """Have a classifier try to tell current rows from those of the reference; without it none does."""

    on_inconclusive: OnInconclusive = "warn"
    """Whether an inconclusive verdict fails the step."""
