"""What is known of each metric: evidence of harm and evidence of no harm, in a state of constant size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.canary import blocks, counts, means, ratios
from slipway.canary.blocks import Learned
from slipway.canary.evidence import NONE_YET, Floats, begun_late, carried_on, late_evidence, log_mean
from slipway.canary.means import Sample
from slipway.canary.observations import MOST_CELLS, Arm, Categories, Histogram, Scores
from slipway.policy.canary import ErrorRule, LatencyRule, OutcomeRule, PredictionRule, Rule

OTHERS = "all other categories"
KEPT = 0.5
"""Part of what is known of a mean that is carried to the next look."""


class State(BaseModel):
    """Base of what is kept: no undeclared keys, no NaN, never changed after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CellState(State):
    """One mean of which more is worse: a share, or a score turned round."""

    looks: int = 0
    """Looks that counted; the first only tells the mean."""

    harm: Floats = (NONE_YET,) * len(means.NOTHING)
    proof: Floats = means.NOTHING
    sum: float = 0.0
    size: float = 0.0
    """Of both arms' newest numbers: what mean is expected."""

    differences: float = 0.0
    weights: float = 0.0
    """Sums over looks of the difference of means times n*m/(n+m), and of these weights."""

    canary: tuple[float, int] = (0.0, 0)
    baseline: tuple[float, int] = (0.0, 0)
    """Sum and number over all looks."""

    @property
    def difference(self) -> float:
        """The canary's mean less the baseline's, each look by its own share."""
        return self.differences / self.weights if self.weights else 0.0

    def after(
        self, canary: Sample, baseline: Sample, harm: float, margin: float | None, *, cluster: int = 1
    ) -> CellState:
        """With one more look; the same where an arm has no numbers. cluster: as for `counts.factors`."""
        n, m = means.size(canary), means.size(baseline)
        if not n or not m:
            return self
        sums = means.total(canary), means.total(baseline)
        weight = n * m / (n + m)
        known = {
            "canary": (self.canary[0] + sums[0], self.canary[1] + n),
            "baseline": (self.baseline[0] + sums[1], self.baseline[1] + m),
            "sum": KEPT * self.sum + sums[0] + sums[1],
            "size": KEPT * self.size + n + m,
            "differences": self.differences + weight * (sums[0] / n - sums[1] / m),
            "weights": self.weights + weight,
        }
        if not self.size:
            return self.model_copy(update=known)
        mean, look, proof = (self.sum + 0.5) / (self.size + 1), self.looks + 1, self.proof
        if margin is not None:
            turned = means.mirrored(canary), means.mirrored(baseline)
            more = means.factors(*turned, margin=-margin, mean=1 - mean)
            proof = carried_on(proof, [factor / cluster for factor in more])
        worse = [factor / cluster for factor in means.factors(canary, baseline, margin=harm, mean=mean)]
        return self.model_copy(
            update={**known, "looks": look, "harm": begun_late(self.harm, worse, look), "proof": proof}
        )


class RateState(State):
    """Errors. harm, proof: logarithms by alternative of `counts`; the blocks' stand beside them."""

    kind: Literal["rate"] = "rate"
    looks: int = 0
    harm: Floats = (NONE_YET,) * len(counts.GROWTH)
    harm_blocks: float = NONE_YET
    proof: Floats = (0.0,) * counts.FEWER
    proof_blocks: float = 0.0
    floor: CellState = CellState()
    """The same rate as a mean, for the margin that is no multiple."""

    greater: Floats = ratios.NOTHING
    smaller: Floats = ratios.NOTHING
    """Of the interval of the ratio."""

    learned: Learned = Learned()
    canary: tuple[int, int] = (0, 0)
    baseline: tuple[int, int] = (0, 0)
    """Errors and requests over all looks."""

    @property
    def settled(self) -> bool:
        """Whether it has looked at anything."""
        return self.looks > 0

    @property
    def harm_evidence(self) -> float:
        """Logarithm of the evidence that the canary does harm."""
        parts = (late_evidence(self.harm, self.looks), late_evidence((self.harm_blocks,), self.looks))
        return log_mean(parts)

    @property
    def proof_evidence(self) -> float:
        """Logarithm of the evidence that it is not worse than the margin."""
        parts = [log_mean(self.proof), self.proof_blocks]
        return log_mean([*parts, log_mean(self.floor.proof)] if self.floor.size else parts)

    def after(self, canary: tuple[int, int], baseline: tuple[int, int], rule: ErrorRule) -> RateState:
        """With one more look: errors and requests of each arm."""
        (x, n), (y, m) = canary, baseline
        if not n or not m:
            return self
        share, look, expected = n / (n + m), self.looks + 1, self.learned.alternative
        harm = counts.factors(x, y, share=share, margin=rule.harm, up=True, growth=counts.GROWTH, cluster=rule.cluster)
        block = blocks.factor(canary, baseline, alternative=expected, margin=rule.harm, up=True, cluster=rule.cluster)
        proof, proof_blocks, floor = self.proof, self.proof_blocks, self.floor
        if rule.margin is not None:
            growth = counts.better_than(rule.margin)
            more = counts.factors(x, y, share=share, margin=rule.margin, up=False, growth=growth, cluster=rule.cluster)
            proof = carried_on(proof, more)
            more_blocks = blocks.factor(
                canary, baseline, alternative=expected, margin=rule.margin, up=False, cluster=rule.cluster
            )
            proof_blocks = carried_on((proof_blocks,), (more_blocks,))[0]
            if rule.floor:
                samples = [(0.0, n - x), (1.0, x)], [(0.0, m - y), (1.0, y)]
                floor = floor.after(samples[0], samples[1], 0.0, rule.floor, cluster=rule.cluster)
        return RateState(
            looks=look,
            harm=begun_late(self.harm, harm, look),
            harm_blocks=begun_late((self.harm_blocks,), (block,), look)[0],
            proof=proof,
            proof_blocks=proof_blocks,
            floor=floor,
            greater=ratios.carried(self.greater, x, y, share=share, up=True, cluster=rule.cluster),
            smaller=ratios.carried(self.smaller, x, y, share=share, up=False, cluster=rule.cluster),
            learned=self.learned.after(canary, baseline),
            canary=(self.canary[0] + x, self.canary[1] + n),
            baseline=(self.baseline[0] + y, self.baseline[1] + m),
        )


class CellsState(State):
    """Several means. Harm in any is harm, so its evidence is their average; that all are well is as strong as the
    weakest (Berger 1982, intersection-union test)."""

    kind: Literal["cells"] = "cells"
    cells: dict[str, CellState] = Field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether every mean was looked at."""
        return bool(self.cells) and all(cell.looks for cell in self.cells.values())

    @property
    def harm_evidence(self) -> float:
        """Logarithm of the evidence that the canary does harm."""
        found = [late_evidence(cell.harm, cell.looks) for cell in self.cells.values()]
        return log_mean(found) if found else 0.0

    @property
    def proof_evidence(self) -> float:
        """Logarithm of the evidence that it is not worse than the margin anywhere."""
        return min((log_mean(cell.proof) for cell in self.cells.values()), default=0.0)

    @property
    def worst(self) -> tuple[str, CellState] | None:
        """The cell with the most evidence of harm; the widest difference among equals."""
        ranked = sorted(
            self.cells.items(), key=lambda each: (late_evidence(each[1].harm, each[1].looks), each[1].difference)
        )
        return ranked[-1] if ranked else None

    def after(
        self, canary: Mapping[str, Sample], baseline: Mapping[str, Sample], harm: float, margin: float | None
    ) -> CellsState:
        """With one more look, by cell."""
        known = self.cells or {name: CellState() for name in canary}
        return CellsState(
            cells={name: cell.after(canary[name], baseline[name], harm, margin) for name, cell in known.items()}
        )


MetricState = Annotated[RateState | CellsState, Field(discriminator="kind")]


def begin(rule: Rule) -> RateState | CellsState:
    """The state before the first look."""
    return RateState() if isinstance(rule, ErrorRule) else CellsState()


def update(
    state: RateState | CellsState, name: str, rule: Rule, canary: Arm, baseline: Arm
) -> RateState | CellsState | str:
    """The state after one more increment, or why it has no data of the metric."""
    if isinstance(rule, ErrorRule):
        if canary.errors is None or baseline.errors is None:
            return "errors were not measured"
        assert isinstance(state, RateState), "the state is that of the rule"
        return state.after((canary.errors, canary.requests), (baseline.errors, baseline.requests), rule)
    assert isinstance(state, CellsState), "the state is that of the rule"
    said = [each for arm in (canary, baseline) if (each := measured(name, rule, arm)) is not None]
    if len(said) != 2:
        return f"{name} was not measured"
    named = categories(said, state)
    found = [dict(cells(each, rule, named)) for each in said]
    wanted = state.cells.keys() or found[0].keys()
    if not wanted:
        return f"{name} has no cell at {getattr(rule, 'slower_than', None) or 'all'}"
    if any(each.keys() != wanted for each in found):
        return f"the cells of {name} are not those of the looks before, or of the other version"
    return state.after(found[0], found[1], rule.harm, rule.margin)


def measured(name: str, rule: Rule, arm: Arm) -> Histogram | Categories | Scores | None:
    """What an arm says of a metric."""
    if isinstance(rule, LatencyRule):
        return arm.latency
    if isinstance(rule, PredictionRule):
        return arm.predictions
    return arm.outcomes.get(name.removeprefix("outcome "))


def categories(said: Sequence[Histogram | Categories | Scores], state: CellsState) -> list[str]:
    """The categories that the first look knew of either version: what is averaged over must be fixed before."""
    if state.cells:
        known = (name.removeprefix("more: ") for name in state.cells if name.startswith("more: "))
        return [name for name in known if name != OTHERS]
    return sorted({name for each in said if isinstance(each, Categories) for name in each.categories})[:MOST_CELLS]


def cells(said: Histogram | Categories | Scores, rule: Rule, named: Sequence[str]) -> Iterator[tuple[str, Sample]]:
    """Every mean that is looked at, as a sample of which more is worse. named: categories; all others are one."""
    if isinstance(said, Scores):
        sample: Sample = tuple(zip(said.values, said.counts, strict=True))
        better = isinstance(rule, OutcomeRule) and rule.greater_is_better
        yield "mean", means.mirrored(sample) if better else sample
    elif isinstance(said, Categories):
        yield from _both_ways(_shares(said, named))
    elif isinstance(rule, LatencyRule):
        wanted = rule.slower_than
        yield from (
            (f"slower than {bound:g} s", sample)
            for bound, sample in _above(said)
            if wanted is None or abs(bound - wanted) <= 1e-9 * wanted
        )
    else:
        yield from _both_ways((f"above {bound:g}", sample) for bound, sample in _above(said))


def _above(said: Histogram) -> Iterator[tuple[float, Sample]]:
    numbers, below = sum(said.counts), 0
    for bound, count in zip(said.bounds, said.counts, strict=False):
        below += count
        yield bound, ((0.0, below), (1.0, numbers - below))


def _shares(said: Categories, named: Sequence[str]) -> Iterator[tuple[str, Sample]]:
    numbers = sum(said.categories.values())
    for name in named:
        count = said.categories.get(name, 0)
        yield name, ((0.0, numbers - count), (1.0, count))
    rest = numbers - sum(said.categories.get(name, 0) for name in named)
    yield OTHERS, ((0.0, numbers - rest), (1.0, rest))


def _both_ways(found: Iterator[tuple[str, Sample]]) -> Iterator[tuple[str, Sample]]:
    for name, sample in found:
        yield f"more: {name}", sample
        yield f"less: {name}", means.mirrored(sample)


def ratio_of(state: RateState) -> float:
    """The canary's rate over the baseline's, each look by its own share; infinite where only the canary has errors."""
    held = state.learned
    if held.baseline:
        return held.canary / held.baseline
    return inf if held.canary else 1.0
