"""The policy's section `evaluation`: how a candidate is judged against production."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, model_validator

from slipway.policy import consistency, limits
from slipway.policy.groups import Fairness, Slices
from slipway.policy.latency import Latency
from slipway.policy.metrics import Task
from slipway.policy.robustness import Robustness
from slipway.policy.rules import MetricRule
from slipway.policy.scorers import BUILT_IN_SCORERS, Scorer
from slipway.policy.strict import NUMBER, Label, Strict, misplaced

OnInconclusive = Literal["warn", "fail"]
Baseline = Literal["registry", "base-branch"]


Tripwire = Literal["warn", "fail"]


class Leakage(Strict):
    """Tripwires for a result that is too good to be true. One that is not touched lets no model pass by itself."""

    overlap: Tripwire = "warn"
    """What rows of the holdout among the training data do: `warn` makes the verdict inconclusive."""

    target_in_features: Tripwire = "warn"
    """What a feature does that alone settles the target."""

    too_good: Annotated[FiniteFloat, Field(gt=0, le=1), NUMBER] = 0.999
    """Share of the way from a constant answer to a perfect one from which a candidate is inconclusive."""

    suspicious_gain: Annotated[FiniteFloat, Field(gt=0, le=1), NUMBER] = 0.5
    """Share of production's distance to perfection that a candidate may close without being inconclusive."""


class Costs(Strict):
    """What one row of each kind costs, in a unit of your choice; a negative cost is a gain."""

    false_positive: Annotated[FiniteFloat, NUMBER]
    """A negative row that is called positive."""

    false_negative: Annotated[FiniteFloat, NUMBER]
    """A positive row that is called negative."""

    true_positive: Annotated[FiniteFloat, NUMBER] = 0.0
    """A positive row that is called positive."""

    true_negative: Annotated[FiniteFloat, NUMBER] = 0.0
    """A negative row that is called negative."""


class Isolation(Strict):
    """What a model, or a scorer of your own, is kept from while it runs."""

    network: Literal["deny_if_possible", "deny", "allow"] = "deny_if_possible"
    """Whether models may use the network. `deny` fails where the machine cannot take it from them."""

    readable: tuple[Annotated[str, Field(pattern=r"^/")], ...] = ()
    """Files and folders, beside its own and the system's, that a model may read, by absolute path."""

    builds: Literal["deny", "allow"] = "deny"
    """Whether packages of a model's lock may be built from source, which runs their code unconfined; else only wheels
    are installed."""


class Evaluation(Strict):
    """How a candidate is judged against production."""

    task: Task
    """Kind of prediction."""

    holdout: str
    """Name, under `data`, of the dataset on whose rows both models are compared."""

    target: str | Annotated[list[str], Field(min_length=2)] = ""
    """Column that holds the truth; for multilabel tasks one column to each label, or one column of lists. It is taken
    out of what the models see. Text tasks may do without."""

    baseline: Baseline = "registry"
    """What the candidate is compared with: the registry's version with the alias `production`, or the model that the
    base branch's own training command makes, which needs no registry that lives on."""

    max_holdout_uses: Annotated[int, Field(ge=1), NUMBER] | None = None
    """With as many other candidates judged on the same rows before, by the ledger, the verdict is inconclusive."""

    positive: Label | None = None
    """Binary tasks: the label that counts as positive. By default the greater of the two."""

    threshold: Annotated[FiniteFloat, Field(gt=0, lt=1), NUMBER] | None = None
    """Binary and multilabel tasks: probability from which a row is called positive, or is given a label. By default
    the model's own decision."""

    costs: Costs | None = None
    """Binary tasks: what right and wrong decisions cost, for the metric `expected_cost`."""

    query: str | None = None
    """Ranking tasks: column whose equal values mark the rows that are ordered together (query, user, session)."""

    time: str | None = None
    """Forecasting tasks: column of the time that each row is about."""

    series: str | None = None
    """Forecasting tasks: column that names the series of each row, where there are several."""

    season: Annotated[int, Field(ge=1), NUMBER] | None = None
    """Forecasting tasks: after how many rows a series repeats (7 for days, 24 for hours), for
    `mean_absolute_scaled_error`. By default 1: the naive forecast is the value before."""

    cluster: str | None = None
    """Column whose equal values mark rows that are not independent (customer, day, document). By default the query of
    ranking tasks, and the time of forecasting tasks."""

    scorers: dict[str, Scorer] = Field(default_factory=dict)
    """Text tasks: how texts are scored, by the names under which `metrics` has the rules. A built-in that needs no
    pattern is known under its own name."""

    scorer_requirements: str | None = None
    """Requirements file (best: hash-locked) of the environment that your own scorers run in; Slipway's by default."""

    confidence: Annotated[FiniteFloat, Field(ge=0.5, lt=1), NUMBER] = 0.95
    """Level of the two-sided intervals."""

    min_rows: Annotated[int, Field(ge=2), NUMBER] = 100
    """With fewer rows in the holdout every gate is inconclusive."""

    on_inconclusive: OnInconclusive = "warn"
    """Whether an inconclusive verdict fails the step in a pull request."""

    key: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Column or columns of the holdout that name a row: ready-made predictions are joined by them.
    Without it they count in the holdout's order."""

    isolation: Isolation = Isolation()
    """What a model, or a scorer of your own, is kept from while it runs."""

    latency: Latency | None = None
    """How fast, large and hungry a candidate may be. Nothing is timed without it."""

    robustness: Robustness | None = None
    """How much worse a candidate may get on rows that were disturbed."""

    metrics: Annotated[dict[str, MetricRule], Field(min_length=1)]
    """Rules by metric, under scikit-learn's names."""

    beats_baseline: StrictBool = False
    """Whether the candidate must be better than a constant answer. By default the report only says where it is not."""

    slices: Slices | None = None
    """Parts of the holdout in which both models are compared, too."""

    fairness: Fairness | None = None
    """How far groups of people may be apart."""

    leakage: Leakage = Leakage()
    """Tripwires for a result that is too good to be true."""

    @model_validator(mode="after")
    def _says_what_can_be_meant(self) -> Self:
        found = [*consistency.problems(self), *limits.problems(self)]
        if found:
            raise misplaced(found)
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that hold the truth."""
        return tuple(self.target) if isinstance(self.target, list) else (self.target,) if self.target else ()

    @property
    def gated(self) -> tuple[str, ...]:
        """What gates look at. `quality`: how good the model is, over all rows, within slices, or beside a constant."""
        rules = [*self.metrics.values(), *(self.slices.metrics.values() if self.slices else ())]
        gaps = self.fairness.metrics.values() if self.fairness else ()
        found = {
            "quality": self.beats_baseline or any(rule.model_dump(exclude_none=True) for rule in rules),
            "robustness": self.robustness is not None and bool(self.robustness.declared),
            "fairness": any(rule.max_gap is not None for rule in gaps),
            "latency": self.latency is not None and self.latency.gated,
        }
        return tuple(name for name, gate in found.items() if gate)

    @property
    def cluster_column(self) -> str | None:
        """The column whose equal values mark rows that are not independent, if any."""
        return self.cluster or self.query or self.time

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns beside the truth that the task's metrics need."""
        return tuple(filter(None, (self.query, self.series, self.time)))

    def scorer(self, name: str) -> Scorer:
        """The scorer behind a metric of a text task."""
        return self.scorers.get(name) or Scorer(use=name)

    @property
    def own_scorers(self) -> dict[str, Scorer]:
        """The metrics of a text task that functions of the team's own score."""
        return {name: scorer for name, scorer in self.scorers.items() if scorer.use not in BUILT_IN_SCORERS}

    @property
    def columns_of_groups(self) -> list[str]:
        """The holdout's columns that slices and fairness name, as often as they do."""
        entries = [*(self.slices.columns if self.slices else []), *(self.fairness.groups if self.fairness else [])]
        return [column for entry in entries for column in ([entry] if isinstance(entry, str) else entry)]
