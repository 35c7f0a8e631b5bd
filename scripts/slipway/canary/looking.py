"""One look: from what is known and one observation to what is known then, and what is to be done.

    harm shown for any metric             roll-back      evidence reaches (number of metrics) / alpha
    horizon passed, or too many lost      inconclusive   goes to a person
    not worse shown for all, and the      advance, or    evidence reaches 1 / beta for each metric with a margin,
    stage's time and traffic are met      promote        with data of every metric in this look
    otherwise                             continue

Harm in one of k metrics at a level of alpha/k each has at most alpha in sum (Bonferroni for e-values). To take a canary
for not worse needs every metric, so no correction (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from slipway.canary import metrics
from slipway.canary.assignment import AssignmentState
from slipway.canary.increments import Increment, Skipped, since_last
from slipway.canary.metrics import MetricState, State
from slipway.canary.observations import Arm, Histogram, Observation
from slipway.policy.canary import Canary, CanaryStage

Decision = Literal["continue", "advance", "promote", "roll-back", "inconclusive"]
FINAL = ("promote", "roll-back", "inconclusive")
MOST_POINTS = 60
"""Looks that the trail remembers; when it is full, every second one is forgotten."""

AHEAD = timedelta(minutes=10)
"""How far a source's clock may be ahead of ours."""


class Point(State):
    """The evidence at one look, as logarithms to the base of 10, by metric: of harm, and of no harm."""

    look: int
    share: float
    harm: dict[str, float]
    proof: dict[str, float]


class CanaryState(State):
    """All that is kept of a canary. Its size follows from the policy and the cells of histograms, never the traffic."""

    schema_version: Literal[1] = 1
    looks: int = 0
    """Observations that counted."""

    began: AwareDatetime
    stage: int = 0
    minutes: float = 0.0
    requests: int = 0
    """Observed in this stage: time in which both versions answered, and the canary's requests."""

    times: dict[str, Histogram] = Field(default_factory=dict)
    """How long requests took in this stage, of `canary` and `baseline`."""

    lost: int = 0
    settle_from: AwareDatetime | None = None
    """Observations up to this time are left out: the traffic was about to be changed, or the canary to begin."""

    last: Observation | None = None
    metrics: dict[str, MetricState] = Field(default_factory=dict)
    assignment: AssignmentState = AssignmentState()
    trail: Annotated[tuple[Point, ...], Field(max_length=MOST_POINTS)] = ()
    trail_step: int = 1
    decision: Decision = "continue"
    reasons: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether it is decided."""
        return self.decision in FINAL


def begin(rules: Canary, now: datetime, *, settle: bool = False) -> CanaryState:
    """The state before the first look. settle: whether what was observed before now is of an earlier canary."""
    return CanaryState(
        began=now,
        settle_from=now if settle else None,
        metrics={name: metrics.begin(rule) for name, rule in rules.metrics.rules.items()},
    )


@dataclass(frozen=True)
class Sight:
    """What one observation brought."""

    increment: Increment | None = None
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    mismatch: bool = False
    in_stage: bool = True


def look(state: CanaryState, observation: Observation | None, rules: Canary, now: datetime) -> CanaryState:
    """The state after an observation (None: there was none), with the decision and its reasons.

    A canary that is decided stays so. Pure: the same state, observation and time always give the same.
    """
    if state.is_final:
        return state
    seen = Sight(remarks=("There was no new observation.",))
    if observation is not None:
        state, seen = _take(state, observation, rules, now)
    decision, reasons = _decide(state, seen, rules, now)
    state = state.model_copy(update={"decision": decision, "reasons": (*reasons, *seen.remarks)})
    if decision == "advance":
        fresh = {"stage": state.stage + 1, "minutes": 0.0, "requests": 0, "assignment": AssignmentState(), "times": {}}
        return state.model_copy(update={**fresh, "settle_from": max(now, state.last.at) if state.last else now})
    return state


def look_at_all(state: CanaryState, observations: Sequence[Observation], rules: Canary, now: datetime) -> CanaryState:
    """Look at every observation in turn, up to a decision that something has to follow."""
    new = [each for each in observations if state.last is None or each.at > state.last.at]
    for each in new:
        state = look(state, each, rules, now)
        if state.decision != "continue":
            return state
    return state if new else look(state, None, rules, now)


def _take(state: CanaryState, observation: Observation, rules: Canary, now: datetime) -> tuple[CanaryState, Sight]:
    if observation.at > now + AHEAD:
        return state, Sight(remarks=(f"The observation is of {observation.at:%Y-%m-%d %H:%M} UTC, in the future.",))
    if state.settle_from is not None and observation.at <= state.settle_from:
        return state, Sight(remarks=("The observation is from before the canary began, or its traffic was changed.",))
    added: Increment | Skipped
    if state.settle_from is not None and not observation.begins_after(state.settle_from):
        added = Skipped("The traffic was changed within the interval: it counts from here.")
    else:
        added = since_last(state.last, observation)
    if isinstance(added, Skipped):
        kept = {} if added.keeps else {"last": observation, "settle_from": None}
        return state.model_copy(update={**kept, "lost": state.lost + added.lost}), Sight(remarks=(added.why,))
    return _count(state.model_copy(update={"last": observation, "settle_from": None}), observation, added, rules)


def _count(state: CanaryState, observation: Observation, added: Increment, rules: Canary) -> tuple[CanaryState, Sight]:
    canary, baseline = added.canary, added.baseline
    if not canary.requests or not baseline.requests:
        who = "canary" if not canary.requests else "baseline"
        return state, Sight(remarks=(f"The {who} had no requests from {added.start:%H:%M} to {added.end:%H:%M} UTC.",))
    stage = rules.stages[state.stage]
    share, remarks = observation.share or stage.share, []
    in_stage = abs(share - stage.share) <= 1e-6
    if not in_stage:
        remarks.append(
            f"The canary is given {share:.4g} of the traffic, and the stage is {stage.share:.4g}: this counts as "
            "evidence, not for the stage's time and traffic."
        )
    assigned = state.assignment.after(
        canary.requests, baseline.requests, share=share, tolerance=rules.assignment.tolerance
    )
    state = state.model_copy(update={"assignment": assigned})
    if assigned.evidence >= -log(rules.assignment.alpha):
        remarks.append(
            f"The canary gets {assigned.share:.4g} of the requests instead of {share:.4g}, more than chance explains: "
            "the two versions do not see alike requests, so the look does not count. Mend the routing."
        )
        return state, Sight(added, remarks=tuple(remarks), mismatch=True, in_stage=in_stage)
    held, missing = dict(state.metrics), []
    for name, rule in rules.metrics.rules.items():
        after = metrics.update(held[name], name, rule, canary, baseline)
        if isinstance(after, str):
            missing.append(after)
        else:
            held[name] = after
    state = state.model_copy(
        update={
            "looks": state.looks + 1,
            "metrics": held,
            "times": _timed(state.times, canary, baseline),
            "minutes": state.minutes + (added.minutes if in_stage else 0.0),
            "requests": state.requests + (canary.requests if in_stage else 0),
        }
    )
    return _remembered(state, share), Sight(added, tuple(missing), tuple(remarks), in_stage=in_stage)


def _timed(times: dict[str, Histogram], canary: Arm, baseline: Arm) -> dict[str, Histogram]:
    summed = dict(times)
    for name, arm in (("canary", canary), ("baseline", baseline)):
        before, new = times.get(name), arm.latency
        if new is not None and (before is None or before.bounds == new.bounds):
            counts = [0] * len(new.counts) if before is None else before.counts
            added = tuple(one + other for one, other in zip(counts, new.counts, strict=True))
            summed[name] = Histogram(bounds=new.bounds, counts=added)
    return summed


def _remembered(state: CanaryState, share: float) -> CanaryState:
    """The state with the look's point in its trail."""
    trail, step = state.trail, state.trail_step
    if state.looks % step:
        return state
    if len(trail) == MOST_POINTS:
        step *= 2
        trail = tuple(point for point in trail if point.look % step == 0)
    point = Point(
        look=state.looks,
        share=share,
        harm={name: round(each.harm_evidence / log(10), 4) for name, each in state.metrics.items()},
        proof={name: round(each.proof_evidence / log(10), 4) for name, each in state.metrics.items()},
    )
    return state.model_copy(update={"trail": (*trail, point) if state.looks % step == 0 else trail, "trail_step": step})


def needed_for_harm(rules: Canary) -> float:
    """Logarithm of the evidence of harm in one metric that rolls back."""
    return log(len(rules.metrics.rules) / rules.alpha)


def needed_for_proof(rules: Canary) -> float:
    """Logarithm of the evidence of no harm that every metric with a margin needs."""
    return -log(rules.beta)


def unproven(state: CanaryState, rules: Canary) -> tuple[str, ...]:
    """The metrics of which it is not shown that they are not worse than their margin."""
    return tuple(
        name
        for name, rule in rules.metrics.rules.items()
        if rule.margin is not None and state.metrics[name].proof_evidence < needed_for_proof(rules)
    )


def _decide(state: CanaryState, seen: Sight, rules: Canary, now: datetime) -> tuple[Decision, tuple[str, ...]]:
    harmed = [name for name, each in state.metrics.items() if each.harm_evidence >= needed_for_harm(rules)]
    if harmed:
        return "roll-back", tuple(f"Harm is shown: {name}." for name in harmed)
    if state.lost > rules.max_lost_looks:
        said = (
            f"{state.lost} looks were lost to restarted counters, more than `max_lost_looks: {rules.max_lost_looks}`."
        )
        return "inconclusive", (said,)
    waits = tuple(_waits(state, seen, rules))
    if not waits:
        last = state.stage == len(rules.stages) - 1
        return ("promote" if last else "advance"), (_passed(state, rules),)
    hours = (now - state.began) / timedelta(hours=1)
    if hours >= rules.horizon_hours:
        return "inconclusive", (f"It is not decided after {hours:.0f} h: a person decides.", *waits)
    return "continue", waits


def _waits(state: CanaryState, seen: Sight, rules: Canary) -> list[str]:
    """All that keeps the canary where it is."""
    stage, found = rules.stages[state.stage], []
    if seen.increment is None or seen.mismatch or not seen.in_stage:
        found.append("This look does not count for the stage.")
    found += [f"{what[:1].upper()}{what[1:]}." for what in seen.missing]
    if state.minutes < stage.minutes:
        found.append(f"{state.minutes:.4g} of {stage.minutes:.4g} minutes were observed in this stage.")
    if state.requests < stage.requests:
        found.append(f"The canary answered {state.requests:,} of {stage.requests:,} requests in this stage.")
    if stage.prove or state.stage == len(rules.stages) - 1:
        found += [f"It is not shown that {name} is not worse than the margin." for name in unproven(state, rules)]
        found += [f"There are no data of {name} yet." for name, each in state.metrics.items() if not each.settled]
    return found


def _passed(state: CanaryState, rules: Canary) -> str:
    stage: CanaryStage = rules.stages[state.stage]
    said = f"{state.minutes:.4g} minutes and {state.requests:,} requests of the canary were observed at {stage.share:g}"
    proven = [name for name, rule in rules.metrics.rules.items() if rule.margin is not None]
    if stage.prove or state.stage == len(rules.stages) - 1:
        return f"{said}; not worse than the margin: {', '.join(proven)}."
    return f"{said}, and no harm is shown."
