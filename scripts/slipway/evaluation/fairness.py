"""Gates on gaps between groups of people, and the tables that show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from slipway.evaluation import metrics
from slipway.evaluation.findings import Findings
from slipway.evaluation.gaps import Gap, Group, change_of, gap_of, measure_groups
from slipway.evaluation.gates import Gate, rows_to_settle, too_few
from slipway.evaluation.grouping import Grouping, cross, group
from slipway.evaluation.judgement import decimals, metric_of, rows_advice
from slipway.evaluation.metrics import Metric, Task, mean, ratio, share
from slipway.evaluation.outcomes import Outcome, Text
from slipway.evaluation.rare import Rare, join_rare, remarks_on, table_of
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.policy.rules import GapRule
from slipway.report import Cell, Check, Column, Table, Verdict
from slipway.report.model import Value

BINS = 4
"""Quantile ranges of a numeric column of groups."""

MOST_GROUPS = 100
"""Columns that make more groups are not judged: they name people or places one by one, and pairs would be too many."""

NAMED = 5
"""Groups that a sentence names."""

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


def known(name: str, task: Task) -> Metric:
    """The metric of groups of that name. Raises KeyError for one that the task lacks.

    Texts have none of their own: theirs are the evaluation's.
    """
    for metric in OF_GROUPS:
        if (metric.name, metric.task) == (name, task):
            return metric
    return metrics.find(name, task)


def find(name: str, evaluation: Evaluation, outcome: Outcome) -> Metric:
    """As `known`, for texts, too."""
    return metric_of(name, evaluation, outcome) if isinstance(outcome, Text) else known(name, evaluation.task)


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
    rare: list[Rare] = []
    few = too_few(sampling, evaluation.min_rows)
    for entry in asked.groups:
        columns = [entry] if isinstance(entry, str) else entry
        grouping = cross([group(named[column], bins=BINS) for column in columns])
        if asked.rare == "join" and not few and len(grouping.labels) <= MOST_GROUPS:
            fewer, joined = join_rare(grouping, sampling, asked.min_rows)
            if len(fewer.labels) > 1:  # else no gap is left, and the gates say which groups were too small
                grouping, rare = fewer, [*rare, *joined]
        for name, rule in asked.metrics.items():
            metric = find(name, evaluation, candidate)
            groups = _groups(metric, candidate, production, grouping, sampling, asked.min_rows)
            ours = gap_of([each.candidate for each in groups if each.candidate], sampling)
            # Only over the same groups can the two be compared.
            comparable = all(each.production for each in groups if each.candidate)
            theirs = gap_of([each.production for each in groups if each.production], sampling) if comparable else None
            judged = _check(f"{grouping.name}: {metric.name}", rule, ours, groups, sampling, few)
            checks += [judged] if judged else []
            gaps.append(_gap_line(grouping.name, metric, ours, theirs, rule, judged, sampling))
            values += [_group_line(grouping.name, metric, each) for each in groups]
    ordered = sorted(checks, key=lambda each: each.verdict is not Verdict.FAIL)
    reasons = tuple(each.detail for each in ordered if each.verdict is not Verdict.PASS)
    reasons += tuple(remarks_on(rare, asked.min_rows, sampling)) if checks else ()
    return Findings(tuple(checks), (*_tables(gaps, values, sampling), *table_of(rare, "group")), reasons)


def _groups(
    metric: Metric,
    candidate: Outcome,
    production: Outcome | None,
    grouping: Grouping,
    sampling: Sampling,
    min_rows: int,
) -> list[Group]:
    found = len(grouping.labels)
    if found > MOST_GROUPS:
        why = f"it makes {found:,} groups, and gaps are judged between at most {MOST_GROUPS}"
        return [Group(grouping.name, sampling.rows, why=why)]
    return list(measure_groups(metric, candidate, production, grouping, sampling, min_rows=min_rows))


def _check(
    name: str, rule: GapRule, gap: Gap | None, groups: Sequence[Group], sampling: Sampling, few: str
) -> Check | None:
    """The gate's verdict. A group that was not measured could be the one that is treated worst.

    few: why the whole holdout is too small; empty where it is not.
    """
    if rule.max_gap is None:
        return None
    gate = Gate(f"gap at most {rule.max_gap:.12g}", False, rule.max_gap, above=False)
    name = f"{name}: {gate.text}"
    if few:
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"No gate can judge: {few}.")
    absent = [f"{each.label} ({each.why})" for each in groups if each.why]
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    lacking = f" Not measured: {'; '.join(absent[:NAMED])}{more}." if absent else ""
    if gap is None:
        detail = f"{name}: there are no two groups to compare.{lacking}"
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=detail)
    interval = gap.interval
    verdict = gate.decide(interval)
    needed, more_rows = None, ""
    if verdict is Verdict.INCONCLUSIVE and not absent:
        needed = rows_to_settle(interval, rule.max_gap, rows=sampling.rows, confidence=gap.level)
        more_rows = f" {rows_advice(needed, sampling.rows, abs(interval.value - rule.max_gap))}"
    words = {
        Verdict.PASS: f"clear of the limit {rule.max_gap:.12g}",
        Verdict.FAIL: f"all of it is beyond the limit {rule.max_gap:.12g}",
        Verdict.INCONCLUSIVE: f"the limit {rule.max_gap:.12g} lies inside",
    }[verdict]
    if absent and verdict is Verdict.PASS:
        verdict = Verdict.INCONCLUSIVE
    form = f".{decimals(interval.standard_error)}f"
    detail = (
        f"{name}: the gap is {interval.value:{form}}, from {gap.smallest.value:{form}} ({gap.smallest.label}) to "
        f"{gap.largest.value:{form}} ({gap.largest.label}); {100 * sampling.confidence:g} % interval "
        f"{interval.low:{form}} to {interval.high:{form}}: {words}.{more_rows}{lacking}"
    )
    values: dict[str, Value] = {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": interval.standard_error,
        "limit": rule.max_gap,
        "p_beyond": gap.p_beyond(rule.max_gap),
        "method": interval.method,
        "rows_needed": needed,
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
        "none" if rule.max_gap is None else f"gap at most {rule.max_gap:.12g}",
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
