"""Candidate against production within the slices that the policy declares: who regressed, hidden by the average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

import polars as pl

from slipway.evaluation.findings import Findings
from slipway.evaluation.formulas import Interval
from slipway.evaluation.gates import Gate, gates_of, too_few
from slipway.evaluation.grouping import cross, group, take, take_sampling, too_small
from slipway.evaluation.judgement import Measured, check, columns, measure, metric_of, rows_of
from slipway.evaluation.metrics import Metric
from slipway.evaluation.multiplicity import benjamini_hochberg
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.rare import Rare, join_rare, least, remarks_on, table_of
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.policy.groups import Slices
from slipway.policy.rules import MetricRule
from slipway.report import Cell, Check, Column, Table, Verdict

WORST = 5
"""Lines that people see without opening the rest."""

SAID = 3
"""Open slices that are reasons by themselves; the others are counted."""

ORDER = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}


@dataclass(frozen=True)
class Judged:
    """One metric in one slice. small: why it was not judged; then there are no intervals."""

    label: str
    rows: int
    metric: Metric
    measured: Measured
    decided: tuple[tuple[Gate, Check], ...] = ()
    small: str = ""
    harm: float = 0.0
    """How many standard errors the candidate is worse by."""

    p: float | None = None
    """Two-sided, of no difference to production; only where no gate judges."""

    mark: str = "–"
    """What an exploratory comparison has found."""


def judge_slices(
    evaluation: Evaluation, candidate: Outcome, production: Outcome | None, named: pl.DataFrame, sampling: Sampling
) -> Findings:
    """Every declared slice. named: the holdout's columns that the policy names, one row for each row judged.

    Raises KeyError for a metric that the task does not have, InputError for a column that makes no groups.
    """
    asked = evaluation.slices
    if asked is None or not asked.columns:
        return Findings()
    rules = asked.metrics or dict.fromkeys(evaluation.metrics, MetricRule())
    metrics = [(metric_of(name, evaluation, candidate), rule) for name, rule in rules.items()]
    judged: list[Judged] = []
    unjudged: list[Check] = []
    reasons: list[str] = []
    rare: list[Rare] = []
    alone: list[Rare] = []
    few = too_few(sampling, evaluation.min_rows)
    overall = {} if production else {metric.name: _value(metric, candidate, sampling) for metric, _ in metrics}
    for entry in asked.columns:
        columns = [entry] if isinstance(entry, str) else entry
        grouping = cross([group(named[column], bins=asked.bins) for column in columns])
        if len(grouping.labels) > asked.max_slices:
            why = f"it makes {len(grouping.labels):,} slices, and the policy's `max_slices` is {asked.max_slices:,}"
            reasons.append(f"The slices of {grouping.name} were not judged: {why}.")
            unjudged += _none_judged(grouping.name, metrics, why, first_release=production is None)
            continue
        if asked.rare == "join" and not few:
            found = len(grouping.labels)
            grouping, joined = join_rare(grouping, sampling, asked.min_rows)
            if len(joined) == found:  # their union says nothing of any of them
                alone += [replace(each, joined="") for each in joined]
                why = f"none of its {found:,} slices is large enough: {least(asked.min_rows, sampling)}"
                none = list(_none_judged(grouping.name, metrics, why, first_release=production is None))
                reasons += [each.detail for each in none]
                unjudged += none
                continue
            rare += joined
        for label, rows in zip(grouping.labels, grouping.members(), strict=True):
            part = take_sampling(sampling, rows)
            theirs = None if production is None else take(production, rows)
            pair, share = (take(candidate, rows), theirs), len(rows) / sampling.rows
            judged += _judge_one(evaluation, asked, label, metrics, pair, part, overall, few=few, share=share)
    judged = _marked(judged, 1 - sampling.confidence)
    checks = [each for one in judged for _, each in one.decided] + unjudged
    tables = _tables(judged, sampling, first_release=production is None) + table_of(rare + alone, "slice")
    said = remarks_on(rare, asked.min_rows, sampling) if checks else ()
    return Findings(tuple(checks), tables, (*_reasons(judged, few), *reasons, *said))


def _none_judged(
    name: str, metrics: list[tuple[Metric, MetricRule]], why: str, *, first_release: bool
) -> Iterator[Check]:
    """The gates of a column of which no slice was judged."""
    for metric, rule in metrics:
        for gate in _applicable(metric, rule, first_release=first_release):
            yield _unjudged(f"{name}: {metric.name}: {gate.text}", why)


def _judge_one(
    evaluation: Evaluation,
    asked: Slices,
    label: str,
    metrics: list[tuple[Metric, MetricRule]],
    outcomes: tuple[Outcome, Outcome | None],
    sampling: Sampling,
    overall: Mapping[str, float | None],
    *,
    few: str,
    share: float,
) -> Iterator[Judged]:
    """overall: the candidate's metrics over the whole holdout, where there is no production.

    few: why the whole holdout is too small; empty where it is not. share: of the slice in the holdout's rows."""
    candidate, production = outcomes
    small = few or too_small(sampling, asked.min_rows)
    why = few or f"it has {small}"
    # The slice has its own minimum, which may be lower than the whole holdout's.
    evaluation = evaluation.model_copy(update={"min_rows": asked.min_rows})
    for metric, rule in metrics:
        gates = _applicable(metric, rule, first_release=production is None)
        if small:
            found = tuple((gate, _unjudged(f"{label}: {metric.name}: {gate.text}", why)) for gate in gates)
            yield Judged(label, sampling.rows, metric, Measured(metric, "", "", ""), found, small)
            continue
        measured = measure(metric, candidate, production, sampling)
        found = tuple((gate, _of_slice(check(measured, gate, evaluation, sampling), label, share)) for gate in gates)
        harm, p = _evidence(measured) if production else (_behind(measured, overall.get(metric.name)), None)
        compared = any(gate.relative for gate in gates)
        yield Judged(label, sampling.rows, metric, measured, found, harm=harm, p=None if compared else p)


def _applicable(metric: Metric, rule: MetricRule, *, first_release: bool) -> list[Gate]:
    gates = gates_of(rule, greater_is_better=metric.greater_is_better)
    return [gate for gate in gates if not (first_release and gate.relative)]


def _unjudged(name: str, why: str) -> Check:
    return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"{name}: not judged, since {why}.")


def _of_slice(of_rows: Check, label: str, share: float) -> Check:
    detail = of_rows.detail.replace("the holdout", "this slice")  # the sentences of metrics speak of all rows
    values, needed = dict(of_rows.values), of_rows.values.get("rows_needed")
    if needed is not None:  # of the whole holdout, as for every check: a tenth of its new rows come to a tenth of it
        values["rows_needed"] = ceil(float(needed) / share)
    update = {"name": f"{label}: {of_rows.name}", "detail": f"In {label}: {detail}", "values": values}
    return of_rows.model_copy(update=update)


def _evidence(measured: Measured) -> tuple[float, float | None]:
    """How many standard errors the candidate is worse by, and the two-sided p-value of no difference."""
    difference = measured.difference
    if not isinstance(difference, Interval):
        return 0.0, None
    if difference.standard_error == 0:
        return 0.0, 1.0 if difference.value == 0 else None
    # Bonett and Price's interval is not centred on the value, but on what its imaginary rows make of it.
    centre = (difference.low + difference.high) / 2
    errors = centre / difference.standard_error
    harm = -errors if measured.metric.greater_is_better else errors
    under, up_to = difference.below(0.0)
    return harm, min(1.0, 2 * min(1 - under, up_to))


def _value(metric: Metric, outcome: Outcome, sampling: Sampling) -> float | None:
    interval = measure(metric, outcome, None, sampling).candidate
    return interval.value if isinstance(interval, Interval) else None


def _behind(measured: Measured, overall: float | None) -> float:
    """How many standard errors the slice is worse than the whole holdout: what a first release can be ordered by."""
    own = measured.candidate
    if not isinstance(own, Interval) or overall is None or own.standard_error == 0:
        return 0.0
    errors = (own.value - overall) / own.standard_error
    return -errors if measured.metric.greater_is_better else errors


def _marked(judged: list[Judged], rate: float) -> list[Judged]:
    """Exploratory differences that stand after Benjamini and Hochberg's correction over all of them."""
    tested = [(place, each.p) for place, each in enumerate(judged) if each.p is not None]
    if not tested:
        return judged
    adjusted = benjamini_hochberg([p for _, p in tested])
    marked = list(judged)
    for (place, _), p in zip(tested, adjusted, strict=True):
        if p <= rate:
            marked[place] = replace(judged[place], mark="worse" if judged[place].harm > 0 else "better")
    return marked


def _tables(judged: list[Judged], sampling: Sampling, *, first_release: bool) -> tuple[Table, ...]:
    """The worst lines, and all others folded; each table stands by itself."""
    if not judged:
        return ()
    places = {id(each): place for place, each in enumerate(judged)}
    lines = [(each, row) for each in judged for row in _lines(each, first_release=first_release)]
    ordered = sorted(lines, key=lambda line: _rank(line[0]))
    head = (Column(name="slice"), Column(name="rows", kind="number"))
    tested = sum(each.p is not None for each in judged)
    note = "Not enough rows: not judged, never a pass. " if any(each.small for each in judged) else ""
    if first_release:
        note += "The worst are those farthest behind the whole holdout's value, in standard errors. "
    if tested:
        rate = 100 * (1 - sampling.confidence)
        note += (
            "“worse” and “better” stand where no gate judges and the difference remains after Benjamini and Hochberg's "
            f"correction over {tested:,} comparisons; {rate:.3g} % of such words are expected to be wrong."
        )
    worst = ordered[:WORST]
    # What is folded is looked up, by slice: after what is open it stands in the order of the policy.
    others = sorted(ordered[WORST:], key=lambda line: (*_rank(line[0])[:2], places[id(line[0])]))
    # A comment folds what passed of the worst, so their number does not stand in the title.
    tables = [("Slices: where the candidate does worst" if others else "Slices", worst, False)]
    if others:
        tables.append((f"Slices: {len(others):,} other lines", others, True))
    return tuple(
        Table(
            title=title,
            columns=(*head, *columns(sampling)),
            rows=tuple(row for _, row in part),
            note=note.strip(),
            folded=folded,
        )
        for title, part, folded in tables
    )


def _rank(each: Judged) -> tuple[int, int, float]:
    """Fails first, then what is open, then the rest; each by the evidence of harm; unmeasured slices last."""
    verdicts = [found.verdict for _, found in each.decided]
    return bool(each.small), min((ORDER[verdict] for verdict in verdicts), default=2), -each.harm


def _lines(each: Judged, *, first_release: bool) -> Iterator[tuple[Cell, ...]]:
    for row in rows_of(each.measured, list(each.decided), first_release=first_release):
        cells = list(row)
        if each.small:
            cells[4] = "not enough rows"
        if not each.decided:
            cells[-1] = each.mark
        yield (each.label, each.rows, *cells)


def _reasons(judged: list[Judged], few: str) -> tuple[str, ...]:
    """Every fail; the first open slices, the others counted; small slices in one sentence."""
    worst_first = sorted((each for each in judged if not each.small), key=_rank)
    found = [check for each in worst_first for _, check in each.decided]
    reasons = [check.detail for check in found if check.verdict is Verdict.FAIL]
    unsettled = list(dict.fromkeys(check.detail for check in found if check.verdict is Verdict.INCONCLUSIVE))
    reasons += unsettled[:SAID]
    if len(unsettled) > SAID:
        reasons.append(f"{len(unsettled) - SAID} more comparisons within slices are open; the table has them.")
    if few and any(each.decided for each in judged):
        return (f"No gate can judge: {few}.",)
    small = list(dict.fromkeys(f"{each.label} ({each.small})" for each in judged if each.small and each.decided))
    if small:
        more = f" and {len(small) - SAID} more" if len(small) > SAID else ""
        reasons.append(f"Not enough rows to judge {', '.join(small[:SAID])}{more}.")
    return tuple(reasons)
