"""The policy's section `canary`: by what stages a new version takes over, and what must be shown before each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, StrictInt, model_validator

from slipway.policy.strict import NUMBER, Name, Share, Strict, misplaced

Level = Annotated[FiniteFloat, Field(gt=0, le=0.5), NUMBER]
Difference = Annotated[FiniteFloat, Field(ge=0, lt=1), NUMBER]
Query = Annotated[str, Field(min_length=1, max_length=10_000)]


class CanaryStage(Strict):
    """One step of the traffic. The last one leads to promotion."""

    share: Share
    """The canary's share of the requests, from 0 to 1."""

    minutes: Annotated[FiniteFloat, Field(gt=0, le=100_000), NUMBER] = 30
    """So many minutes must have been observed in the stage."""

    requests: Annotated[StrictInt, Field(ge=1)] = 500
    """So many requests the canary must have answered in the stage."""

    prove: StrictBool = True
    """Whether it must be shown that the canary is not worse before the stage is left. The last one always asks."""


def _check_order(harm: float, margin: float | None) -> None:
    if margin is not None and harm > margin:
        raise misplaced(
            [(("harm",), f"`harm: {harm:g}` is above `margin: {margin:g}`: it could pass and harm at once")]
        )


class ErrorRule(Strict):
    """The rate of failed requests, as a multiple of the baseline's."""

    margin: Annotated[FiniteFloat, Field(gt=1, le=100), NUMBER] | None = 1.5
    """Promotion needs the canary's rate shown to be below this multiple; null asks for no proof."""

    harm: Annotated[FiniteFloat, Field(ge=1, le=100), NUMBER] = 1
    """It is rolled back once its rate is shown to be above this multiple."""

    floor: Difference = 0.001
    """A rate that is shown to be higher by less than this is not worse, whatever the multiple; 0 asks for the multiple.
    Where hardly anything fails, no multiple could ever be shown."""

    cluster: Annotated[StrictInt, Field(ge=1, le=1_000)] = 1
    """At most so many errors come from one user, or from one request that is tried again."""

    @model_validator(mode="after")
    def _harm_is_within_the_margin(self) -> Self:
        _check_order(self.harm, self.margin)
        return self


class LatencyRule(Strict):
    """The share of requests that are slower than a bound."""

    slower_than: Annotated[FiniteFloat, Field(gt=0), NUMBER] | None = None
    """The bound in seconds, one of the histogram's; every one of its bounds by default."""

    margin: Share | None = 0.02
    """Promotion needs the share shown to be higher by less than this; null asks for no proof."""

    harm: Difference = 0
    """It is rolled back once the share is shown to be higher by more than this."""

    @model_validator(mode="after")
    def _harm_is_within_the_margin(self) -> Self:
        _check_order(self.harm, self.margin)
        return self


class PredictionRule(Strict):
    """How the predictions are distributed: every bound of their histogram, or every category, up and down."""

    margin: Share | None = 0.1
    """Promotion needs every share shown to differ by less than this; null asks for no proof."""

    harm: Difference = 0.1
    """It is rolled back once a share is shown to differ by more than this. Another model may predict otherwise."""

    @model_validator(mode="after")
    def _harm_is_within_the_margin(self) -> Self:
        _check_order(self.harm, self.margin)
        return self


class OutcomeRule(Strict):
    """The mean of a score from 0 to 1 that labels give to predictions, or people to answers."""

    greater_is_better: StrictBool = True
    """Whether a higher score is better."""

    margin: Share | None = 0.02
    """Promotion needs the mean shown to be worse by less than this; null asks for no proof."""

    harm: Difference = 0
    """It is rolled back once the mean is shown to be worse by more than this."""

    @model_validator(mode="after")
    def _harm_is_within_the_margin(self) -> Self:
        _check_order(self.harm, self.margin)
        return self


Rule = ErrorRule | LatencyRule | PredictionRule | OutcomeRule


class CanaryMetrics(Strict):
    """What is looked at. A metric that a look has no data of keeps the canary where it is."""

    errors: ErrorRule | None = ErrorRule()
    """The rate of failed requests; null does not look at it."""

    latency: LatencyRule | None = None
    """How long requests take; not looked at by default."""

    predictions: PredictionRule | None = None
    """How the predictions are distributed; not looked at by default."""

    outcomes: Annotated[dict[Name, OutcomeRule], Field(max_length=5)] = Field(default_factory=dict)
    """Scores of labelled predictions by name; none by default."""

    @property
    def rules(self) -> dict[str, Rule]:
        """Every rule by the name that people see."""
        return dict(self._named())

    def _named(self) -> Iterator[tuple[str, Rule]]:
        for name in ("errors", "latency", "predictions"):
            if (rule := getattr(self, name)) is not None:
                yield name, rule
        yield from ((f"outcome {name}", rule) for name, rule in self.outcomes.items())


class Assignment(Strict):
    """Whether requests reach the versions as the stage's share says."""

    tolerance: Annotated[FiniteFloat, Field(ge=0, le=1), NUMBER] = 0.1
    """So far the odds of reaching the canary may be off without a word; 0.1 is a tenth."""

    alpha: Level = 0.001
    """The probability that a right assignment is ever taken for a wrong one, in one stage."""


class PrometheusQueries(Strict):
    """What Prometheus is asked of each version. `$version` stands for the version, `$window` for the time since the
    last look (`increase(…[$window])`); queries without it give counters."""

    requests: Query
    """Requests; one number."""

    errors: Query | None = None
    """Failed requests; one number."""

    latency: Query | None = None
    """Requests by `le`, as a histogram's buckets."""

    predictions: Query | None = None
    """Predictions by `le`, or by one other label."""

    outcomes: dict[Name, Query] = Field(default_factory=dict)
    """Labelled predictions by a label whose values are scores from 0 to 1, or `true` and `false`; by name."""


class PrometheusSource(Strict):
    """A Prometheus server, or what speaks its API. A token for it stands in SLIPWAY_PROMETHEUS_TOKEN."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2_000)]
    """Its address, without user, password and `/api/v1`."""

    queries: PrometheusQueries
    """What it is asked."""

    @model_validator(mode="after")
    def _windows_are_used_by_all_or_none(self) -> Self:
        said = self.queries
        asked = [said.requests, said.errors, said.latency, said.predictions, *said.outcomes.values()]
        used = {"$window" in each for each in asked if each is not None}
        if len(used) > 1:
            raise misplaced([(("queries",), "`$window` must stand in all of the queries or in none of them")])
        if any("$version" not in each for each in asked if each is not None):
            raise misplaced(
                [(("queries",), "`$version` must stand in every query: it tells canary and baseline apart")]
            )
        return self


class ObservationSource(Strict):
    """Where looks come from; exactly one of them."""

    file: Annotated[str, Field(min_length=1)] | None = None
    """A file of JSON lines, each an observation (docs/judge-canary.md)."""

    command: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Writes such lines into the file that SLIPWAY_OBSERVATIONS names. No shell reads it."""

    timeout_minutes: Annotated[FiniteFloat, Field(gt=0, le=600), NUMBER] = 5
    """The command is stopped after so long."""

    prometheus: PrometheusSource | None = None
    """A Prometheus server."""

    target: Name | None = None
    """What serves in this environment of `deployment`, as far as it counts what it serves."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        known = ("file", "command", "prometheus", "target")
        given = [name for name in known if getattr(self, name) is not None]
        if len(given) != 1:
            shown = "`file`, `command`, `prometheus` and `target`"
            raise ValueError(f"needs exactly one of {shown} ({len(given)} are given)")
        return self


class Canary(Strict):
    """How a canary is judged against the version beside it."""

    stages: Annotated[tuple[CanaryStage, ...], Field(min_length=1, max_length=20)] = (
        CanaryStage(share=0.01, prove=False),
        CanaryStage(share=0.05, prove=False),
        CanaryStage(share=0.25),
        CanaryStage(share=0.5),
    )
    """The steps of the traffic, smallest share first."""

    alpha: Level = 0.05
    """The probability that a canary that does no harm is ever rolled back, however often it is looked at."""

    beta: Level = 0.05
    """The probability that one that is worse than a margin is ever taken for one that is not."""

    metrics: CanaryMetrics = CanaryMetrics()
    """What is looked at."""

    assignment: Assignment = Assignment()
    """Whether requests reach the versions as the stage's share says."""

    horizon_hours: Annotated[FiniteFloat, Field(gt=0, le=8_784), NUMBER] = 72
    """A canary that is not decided after so long is inconclusive, and a person decides."""

    max_lost_looks: Annotated[StrictInt, Field(ge=0, le=1_000)] = 3
    """So many looks may be lost to restarted servers or counters before a person decides."""

    observations: ObservationSource | None = None
    """Where looks come from."""

    on_inconclusive: Literal["warn", "fail"] = "warn"
    """What it does to the step where the canary ends inconclusive."""

    @model_validator(mode="after")
    def _can_be_passed(self) -> Self:
        shares = [stage.share for stage in self.stages]
        if any(one >= next_one for one, next_one in pairwise(shares)):
            raise misplaced([(("stages",), "the shares of the stages must rise")])
        if not any(rule.margin is not None for rule in self.metrics.rules.values()):
            raise misplaced([(("metrics",), "at least one metric needs a `margin`: time alone shows nothing")])
        return self
