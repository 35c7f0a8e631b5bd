"""The policy's section `evaluation`: how a candidate is judged against production."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, model_validator

from slipway.policy import limits
from slipway.policy.latency import Latency
from slipway.policy.metrics import Task
from slipway.policy.robustness import Robustness
from slipway.policy.strict import NUMBER, Label, Strict, misplaced

OnInconclusive = Literal["warn", "fail"]
Baseline = Literal["registry", "base-branch"]
Rare = Literal["join", "inconclusive"]
BUILT_IN_SCORERS = {
    "exact_match": True,
    "token_f1": True,
    "regex": True,
    "json_valid": True,
    "refusal": False,
    "leak": False,
}
"""Whether more is better, by name."""
OF_TASKS: dict[str, tuple[Task, ...]] = {
    "positive": ("binary",),
    "costs": ("binary",),
    "threshold": ("binary", "multilabel"),
    "query": ("ranking",),
    "time": ("forecasting",),
    "series": ("forecasting",),
    "season": ("forecasting",),
}
"""Keys that only these tasks have."""

REQUIRED: dict[Task, str] = {"ranking": "query", "forecasting": "time"}


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


class Scorer(Strict):
    """How the texts of a language model are scored: a number for each row, whose mean is the metric."""

    use: str
    """A built-in (`exact_match`, `token_f1`, `regex`, `json_valid`, `refusal`, `leak`), or `module:function` of a file
    beside the policy."""

    pattern: str | None = None
    """For `regex`: what a text must hold. For `refusal` and `leak`: what counts as one besides the known forms."""

    greater_is_better: StrictBool | None = None
    """Direction of a function of your own, true by default; built-ins know theirs."""

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        own = re.fullmatch(r"[A-Za-z_]\w*:[A-Za-z_]\w*", self.use) is not None
        if not own and self.use not in BUILT_IN_SCORERS:
            raise ValueError(
                f"`{self.use}` is no scorer: take one of {', '.join(BUILT_IN_SCORERS)}, or `module:function`"
            )
        if self.greater_is_better is not None and not own:
            raise ValueError(f"the direction of `{self.use}` is known: leave `greater_is_better` out")
        if self.use == "regex" and self.pattern is None:
            raise ValueError("`use: regex` needs `pattern`")
        if self.pattern is not None and self.use not in ("regex", "refusal", "leak"):
            raise ValueError(f"`{self.use}` takes no `pattern`")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"`pattern` is no regular expression: {error}") from None
        return self


class Slices(Strict):
    """Whom a candidate may not leave behind: the same comparison within parts of the holdout."""

    columns: list[str | Annotated[list[str], Field(min_length=2, max_length=3)]] = Field(default_factory=list)
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


class GapRule(Strict):
    """How far groups may be apart. Without a rule the gap is shown and gates nothing."""

    max_gap: Annotated[FiniteFloat, Field(ge=0), NUMBER] | None = None
    """The candidate's largest value of any group minus its smallest must be at most this."""


class Fairness(Strict):
    """How differently a candidate may treat groups of people."""

    groups: Annotated[list[str | Annotated[list[str], Field(min_length=2, max_length=3)]], Field(min_length=1)]
    """Columns of the holdout whose values are the groups; a list of columns is their cross."""

    min_rows: Annotated[int, Field(ge=20), NUMBER] = 100
    """A group with fewer rows is named and not judged by itself."""

    rare: Rare = "inconclusive"
    """What becomes of groups that are too small: by default a gate that could pass without them is inconclusive, since
    one of them may be treated worst; `join` makes those of one column, or cross, one group, as for slices."""

    metrics: Annotated[dict[str, GapRule], Field(min_length=1)]
    """Rules by metric: those of the task, and `selection_rate`, `false_positive_rate`, `mean_prediction`."""


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
    def _the_task_has_what_it_needs(self) -> Self:
        if self.task != "text":
            if not self.target:
                raise ValueError("`target` is missing: the column that holds the truth")
            if self.scorers or self.scorer_requirements:
                raise ValueError(f"`scorers` are for `task: text`, and the task is {self.task}")
            return self
        if self.robustness and self.robustness.declared:
            raise ValueError("`robustness` disturbs numbers and categories, and the task is text")
        for name in self.metrics:
            scorer = self.scorers.get(name)
            if scorer is None and name not in BUILT_IN_SCORERS:
                raise ValueError(f"`metrics.{name}` is no scorer: declare it under `scorers`")
            if scorer is None and name == "regex":
                raise ValueError("`metrics.regex` needs its `pattern`: declare it under `scorers`")
            if (scorer.use if scorer else name) in ("exact_match", "token_f1") and not self.target:
                raise ValueError(f"`metrics.{name}` compares with a reference, and `target` is missing")
        for section in ("slices", "fairness"):
            within = getattr(self, section)
            unscored = within.metrics.keys() - self.metrics.keys() if within else set()
            if unscored:
                name = f"`{section}.metrics.{min(unscored)}`"
                raise ValueError(f"{name} is not among the `metrics` of the evaluation, so its texts are not scored")
        unused = self.scorers.keys() - self.metrics.keys()
        if unused:
            raise ValueError(f"`scorers.{min(unused)}` has no entry under `metrics`, so it would never be looked at")
        return self

    @model_validator(mode="after")
    def _keys_belong_to_the_task(self) -> Self:
        for key, tasks in OF_TASKS.items():
            if getattr(self, key) is not None and self.task not in tasks:
                raise ValueError(f"`{key}` belongs to {' and '.join(tasks)} tasks, and the task is {self.task}")
        needed = REQUIRED.get(self.task)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"`task: {self.task}` needs `{needed}`")
        if isinstance(self.target, list) and self.task != "multilabel":
            raise ValueError(f"`target` is a list of columns only in multilabel tasks, and the task is {self.task}")
        if isinstance(self.target, list) and len(set(self.target)) < len(self.target):
            raise ValueError("`target` names a column twice")
        return self

    @model_validator(mode="after")
    def _costs_are_counted(self) -> Self:
        counted = "expected_cost" in self.metrics
        if counted and self.costs is None and self.task == "binary":
            raise ValueError("the metric `expected_cost` needs `costs`")
        if self.costs is not None and not counted:
            raise ValueError("`costs` count only in the metric `expected_cost`, which `metrics` does not name")
        return self

    @model_validator(mode="after")
    def _metrics_can_be_meant(self) -> Self:
        for place, problem in limits.problems(self):
            raise misplaced(problem, place)
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
