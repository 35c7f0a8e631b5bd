"""Gaps between groups of people: the candidate's largest value of any group minus its smallest.

Each pair of groups has a difference with a standard error from the rows' influences; what one cluster adds to both
groups cancels. The largest difference is picked after the fact, so every pair gets Bonferroni's share of the level:
then all pairs are covered at once, and with them the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy import special

from slipway.evaluation.findings import Findings
from slipway.evaluation.gates import Gate
from slipway.evaluation.grouping import Grouping, cross, group, take, take_sampling, too_small
from slipway.evaluation.intervals import Interval, Sampling, with_imaginary_rows
from slipway.evaluation.judgement import decimals, metric_of
from slipway.evaluation.metrics import Metric, UndefinedError, mean, ratio, share
from slipway.evaluation.outcomes import Floats, Integers, Outcome
from slipway.policy import Evaluation, GapRule
from slipway.report import Cell, Check, Column, Table, Verdict
from slipway.report.model import Value

BINS = 4
"""Quantile ranges of a numeric column of groups."""

OF_GROUPS: tuple[Metric, ...] = (
    Metric("selection_rate", "binary", True, lambda o: share(o.label), of_labels=True),
    Metric(
        "false_positive_rate",
        "binary",
        False,
        lambda o: ratio(
            (~o.truth & o.label).astype(np.float64), (~o.truth).astype(np.float64), undefined="it has no negative row"
        ),
        of_labels=True,
    ),
    Metric("mean_prediction", "regression", True, lambda o: mean(o.prediction)),
)
"""Metrics that tell groups apart and say nothing of quality: more is neither better nor worse."""


@dataclass(frozen=True)
class Measured:
    """One metric of one group, with what each of its rows adds to the value's error.

    places: (n,) rows of the holdout. parts: (n,) influences / n, as are those of imaginary rows.
    """

    label: str
    value: float
    places: Integers
    parts: Floats
    imaginary: Floats


@dataclass(frozen=True)
class Group:
    """A group under both models. why: what it lacks to be judged; then, and before a first release, there is None."""

    label: str
    rows: int
    candidate: Measured | None = None
    production: Measured | None = None
    why: str = ""


@dataclass(frozen=True)
class Gap:
    """Largest minus smallest value, with its interval, and the two groups."""

    interval: Interval
    largest: Measured
    smallest: Measured
    p_beyond: Callable[[float], float] = field(compare=False, repr=False)
    """One-sided p-value of no gap above a limit, over all pairs: small where the rows show one."""


def find(name: str, evaluation: Evaluation, outcome: Outcome) -> Metric:
    """The metric of groups of that name. Raises KeyError for one that the task lacks or that has no influence."""
    for metric in OF_GROUPS:
        if (metric.name, metric.task) == (name, evaluation.task):
            return metric
    metric = metric_of(name, evaluation, outcome)
    if metric.estimate is None:
        raise KeyError(f"`{name}` has no closed form, so gaps between groups have no interval")
    return metric


def judge_fairness(
    evaluation: Evaluation, candidate: Outcome, production: Outcome | None, named: pl.DataFrame, sampling: Sampling
) -> Findings:
    """Every gap that the policy names. named: the holdout's columns that it names, one row for each row judged.

    Raises KeyError as `find`, InputError for a column that makes no groups.
    """
    asked = evaluation.fairness
    if asked is None:
        return Findings()
    checks: list[Check] = []
    gaps: list[tuple[Cell, ...]] = []
    values: list[tuple[Cell, ...]] = []
    for entry in asked.groups:
        columns = [entry] if isinstance(entry, str) else entry
        grouping = cross([group(named[column], bins=BINS) for column in columns])
        for name, rule in asked.metrics.items():
            metric = find(name, evaluation, candidate)
            min_rows = asked.min_rows
            groups = list(measure_groups(metric, candidate, production, grouping, sampling, min_rows=min_rows))
            ours = gap_of([each.candidate for each in groups if each.candidate], sampling)
            theirs = gap_of([each.production for each in groups if each.production], sampling)
            judged = _check(f"{grouping.name}: {metric.name}", rule, ours, groups, sampling)
            checks += [judged] if judged else []
            gaps.append(_gap_line(grouping.name, metric, ours, theirs, rule, judged, sampling))
            values += [_group_line(grouping.name, metric, each) for each in groups]
    ordered = sorted(checks, key=lambda each: each.verdict is not Verdict.FAIL)
    reasons = tuple(each.detail for each in ordered if each.verdict is not Verdict.PASS)
    return Findings(tuple(checks), _tables(gaps, values, sampling), reasons)


def measure_groups(
    metric: Metric,
    candidate: Outcome,
    production: Outcome | None,
    grouping: Grouping,
    sampling: Sampling,
    *,
    min_rows: int,
) -> Iterator[Group]:
    """Every group under both models."""
    for code, label in enumerate(grouping.labels):
        places = np.flatnonzero(grouping.codes == code)
        small = too_small(take_sampling(sampling, places), min_rows)
        if small:
            yield Group(label, len(places), why=small)
            continue
        try:
            ours = _measure(metric, candidate, label, places)
            theirs = None if production is None else _measure(metric, production, label, places)
        except UndefinedError as undefined:
            yield Group(label, len(places), why=str(undefined).replace("the holdout", "the group"))
            continue
        yield Group(label, len(places), ours, theirs)


def _measure(metric: Metric, outcome: Outcome, label: str, places: Integers) -> Measured:
    assert metric.estimate is not None
    part = take(outcome, places)
    estimate = metric.estimate(part)
    influence = estimate.influence
    if metric.of_labels:
        # Few rows often show no error at all, which is no certainty; as for one model in `intervals`.
        influence = metric.estimate(with_imaginary_rows(part, (True, True, False, False))).influence
    real, imaginary = np.split(influence / len(influence), [len(places)])
    return Measured(label, estimate.value, places, real, imaginary)


def gap_of(groups: Sequence[Measured], sampling: Sampling) -> Gap | None:
    """The largest difference of two groups; None where there are not two.

    All pairs' intervals hold at once, so the largest true difference lies between the largest of their lower ends and
    the largest of their upper ends.
    """
    if len(groups) < 2:
        return None
    values = np.array([each.value for each in groups])
    covariance = _covariance(groups, sampling)
    variances = np.diag(covariance)
    errors = np.sqrt(np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0))
    distances = np.abs(values[:, None] - values[None, :])
    pairs = len(groups) * (len(groups) - 1) // 2
    critical = float(special.stdtrit(sampling.units - 1, 1 - (1 - sampling.confidence) / (2 * pairs)))
    apart = ~np.eye(len(groups), dtype=bool)
    low = max(0.0, float((distances - critical * errors)[apart].max()))
    high = float((distances + critical * errors)[apart].max())
    largest, smallest = int(values.argmax()), int(values.argmin())
    if largest == smallest:  # all are equal
        largest, smallest = 0, 1
    method = "by influence" if pairs == 1 else f"by influence, Bonferroni over {pairs} pairs"
    error = float(errors[largest, smallest])

    def t(limit: float) -> Floats:
        beyond, spread = distances[apart] - limit, errors[apart]
        certain = np.where(beyond > 0, np.inf, -np.inf)  # without any error
        return np.asarray(np.divide(beyond, spread, out=certain, where=spread > 0))

    # Above a limit lies the gap if any pair does, and below it only if all pairs do.
    def p_beyond(limit: float) -> float:
        return min(1.0, pairs * float(special.stdtr(sampling.units - 1, -t(limit).max())))

    def below(limit: float) -> tuple[float, float]:
        share = 1 - min(1.0, pairs * float(special.stdtr(sampling.units - 1, t(limit).max())))
        return share, share

    interval = Interval(float(distances[largest, smallest]), low, high, error, method, below)
    return Gap(interval, groups[largest], groups[smallest], p_beyond)


def change_of(candidate: Gap, production: Gap, sampling: Sampling) -> Interval:
    """The candidate's gap minus production's, paired, at the groups that each has it between.

    Those groups are taken as given, so the interval is too narrow where several gaps are nearly equal: it is shown.
    """
    signed = ((candidate.largest, 1), (candidate.smallest, -1), (production.largest, -1), (production.smallest, 1))
    parts = np.zeros(sampling.rows)
    for each, sign in signed:
        parts[each.places] += sign * each.parts
    error = float(np.sqrt(_sum_of_squares(parts, sampling)))
    value = candidate.interval.value - production.interval.value
    half = float(special.stdtrit(sampling.units - 1, (1 + sampling.confidence) / 2)) * error

    def below(limit: float) -> tuple[float, float]:
        if not error:
            return float(value < limit), float(value <= limit)
        share = float(special.stdtr(sampling.units - 1, (limit - value) / error))
        return share, share

    return Interval(value, value - half, value + half, error, "paired, at the groups found", below)


def _covariance(groups: Sequence[Measured], sampling: Sampling) -> Floats:
    """(groups, groups), of their values. Without clusters no two groups share a unit."""
    own = np.diag([float((each.imaginary**2).sum()) for each in groups])
    if sampling.clusters is None:
        return own + np.diag([float((each.parts**2).sum()) for each in groups])
    units = sampling.units
    sums = np.array([np.bincount(sampling.clusters[each.places], each.parts, units) for each in groups])
    return np.asarray(own + sums @ sums.T * units / (units - 1))


def _sum_of_squares(parts: Floats, sampling: Sampling) -> float:
    if sampling.clusters is None:
        return float((parts**2).sum())
    sums = np.bincount(sampling.clusters, parts, sampling.units)
    return float((sums**2).sum()) * sampling.units / (sampling.units - 1)


def _check(name: str, rule: GapRule, gap: Gap | None, groups: Sequence[Group], sampling: Sampling) -> Check | None:
    """The gate's verdict. A group that was not measured could be the one that is treated worst."""
    if rule.max_gap is None:
        return None
    gate = Gate(f"gap at most {rule.max_gap:g}", False, rule.max_gap, above=False)
    name = f"{name}: {gate.text}"
    absent = [f"{each.label} ({each.why})" for each in groups if each.why]
    lacking = f" Not measured: {'; '.join(absent)}." if absent else ""
    if gap is None:
        detail = f"{name}: there are no two groups to compare.{lacking}"
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=detail)
    interval = gap.interval
    verdict = gate.decide(interval)
    words = {
        Verdict.PASS: f"clear of the limit {rule.max_gap:g}",
        Verdict.FAIL: f"all of it is beyond the limit {rule.max_gap:g}",
        Verdict.INCONCLUSIVE: f"the limit {rule.max_gap:g} lies inside",
    }[verdict]
    if absent and verdict is Verdict.PASS:
        verdict = Verdict.INCONCLUSIVE
    form = f".{decimals(interval.standard_error)}f"
    detail = (
        f"{name}: the gap is {interval.value:{form}}, from {gap.smallest.value:{form}} ({gap.smallest.label}) to "
        f"{gap.largest.value:{form}} ({gap.largest.label}); {100 * sampling.confidence:g} % interval "
        f"{interval.low:{form}} to {interval.high:{form}}: {words}.{lacking}"
    )
    values: dict[str, Value] = {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": interval.standard_error,
        "limit": rule.max_gap,
        "p_beyond": gap.p_beyond(rule.max_gap),
        "method": interval.method,
    }
    return Check(name=name, verdict=verdict, detail=detail, values=values)


def _gap_line(
    column: str,
    metric: Metric,
    ours: Gap | None,
    theirs: Gap | None,
    rule: GapRule,
    judged: Check | None,
    sampling: Sampling,
) -> tuple[Cell, ...]:
    change = change_of(ours, theirs, sampling) if ours and theirs else None
    digits = decimals(ours.interval.standard_error) if ours else 4
    return (
        column,
        metric.name,
        f"{theirs.interval.value:.{digits}f}" if theirs else "–",
        f"{ours.interval.value:.{digits}f}" if ours else "–",
        f"{ours.interval.low:.{digits}f} to {ours.interval.high:.{digits}f}" if ours else "–",
        f"{change.value:+.{digits}f} ({change.low:+.{digits}f} to {change.high:+.{digits}f})" if change else "–",
        f"{ours.largest.label} / {ours.smallest.label}" if ours else "–",
        "none" if rule.max_gap is None else f"gap at most {rule.max_gap:g}",
        judged.name if judged else "–",  # until all gates are judged, as in `judgement`
    )


def _group_line(column: str, metric: Metric, each: Group) -> tuple[Cell, ...]:
    ours, theirs = (
        each.why or "–" if measured is None else f"{measured.value:.4f}"
        for measured in (each.candidate, each.production)
    )
    return column, each.label, each.rows, metric.name, theirs, ours


def _tables(
    gaps: Sequence[tuple[Cell, ...]], values: Sequence[tuple[Cell, ...]], sampling: Sampling
) -> tuple[Table, ...]:
    names = ("production", "candidate", f"{100 * sampling.confidence:g} % interval", "change")
    head = (Column(name="groups", kind="code"), Column(name="metric", kind="code"))
    tail = (Column(name="largest / smallest"), Column(name="gate"), Column(name="verdict", kind="verdict"))
    numbers = tuple(Column(name=name, kind="number") for name in names)
    by_group = (
        Column(name="groups", kind="code"),
        Column(name="group"),
        Column(name="rows", kind="number"),
        Column(name="metric", kind="code"),
        Column(name="production", kind="number"),
        Column(name="candidate", kind="number"),
    )
    note = (
        "Largest minus smallest value of any group; the interval accounts for having picked them. The change is "
        "paired, and judges nothing."
    )
    return (
        Table(title="Fairness: gaps between groups", columns=(*head, *numbers, *tail), rows=tuple(gaps), note=note),
        Table(title="Fairness: every group", columns=by_group, rows=tuple(values), folded=True),
    )
