"""The answer of a model that has learned nothing: what every number of a real model should be seen beside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slipway.evaluation.findings import Findings
from slipway.evaluation.formulas import Interval
from slipway.evaluation.gates import Gate, too_few
from slipway.evaluation.judgement import Measured, decimals, measure
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Binary, Multiclass, Multilabel, Outcome, Ranking, Regression
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.report import Cell, Check, Column, Table, Verdict
from slipway.report.model import Value

SAY_NOTHING = {
    *("precision", "recall", "specificity", "negative_predictive_value", "f1", "fbeta", "jaccard"),
    "squared_calibration_error",
}
"""Metrics of binary tasks in which a constant answer is hard to beat and worth nothing: whoever calls everything
positive has perfect recall, and whoever answers with the share of positives is calibrated."""

BETTER = "better than a constant answer"

NOTE = (
    "The constant answer gives every row the holdout's own class shares and its most frequent class (for costs the "
    "cheaper one), or its mean: what a model reaches that has learned nothing."
)


def baseline(known: Outcome) -> Outcome | None:
    """The constant answer that fits the truth of these rows best: class shares and the greatest class, the mean, or no
    order at all.

    It knows the holdout's own shares, which a model trained on other rows does not: a little too good, never too bad.
    None for texts.
    """
    rows = len(known)
    if isinstance(known, Binary):
        positive = float(known.truth.mean())
        return replace(known, label=np.full(rows, positive >= 0.5), probability=np.full(rows, positive))
    if isinstance(known, Multiclass):
        shares = np.bincount(known.truth, minlength=known.classes) / rows
        return Multiclass(known.truth, np.full(rows, shares.argmax()), known.classes, np.tile(shares, (rows, 1)))
    if isinstance(known, Regression):
        return replace(known, prediction=np.full(rows, known.truth.mean()))
    if isinstance(known, Multilabel):
        of_labels = np.tile(known.truth.mean(axis=0), (rows, 1))
        return Multilabel(known.truth, of_labels >= 0.5, of_labels)
    if isinstance(known, Ranking):
        return replace(known, score=np.zeros(rows))
    return None


def _cheapest(known: Binary, constant: Binary) -> Binary:
    """The constant answer with the label that costs less, where the policy has costs."""
    costs, positive = known.costs, float(known.truth.mean())
    assert costs is not None
    all_positive = positive * costs.true_positive + (1 - positive) * costs.false_positive
    all_negative = positive * costs.false_negative + (1 - positive) * costs.true_negative
    return replace(constant, label=np.full(len(known), all_positive < all_negative))


def judge_baseline(evaluation: Evaluation, candidate: Outcome, sampling: Sampling) -> Findings:
    """The candidate beside the constant answer: a folded table, and a sentence for each metric it is no better on.

    Only where the policy says `beats_baseline` are there checks; at least one then, whether it could be judged or not.
    """
    constant = baseline(candidate)
    if constant is None:
        return _nothing_to_compare(evaluation)
    checks: list[Check] = []
    rows: list[tuple[Cell, ...]] = []
    reasons: list[str] = []
    for name in evaluation.metrics:
        metric = find(name, evaluation.task)
        if evaluation.task == "binary" and metric.name.partition("@")[0] in SAY_NOTHING:
            continue
        answer = constant
        if metric.name == "expected_cost" and isinstance(candidate, Binary) and isinstance(constant, Binary):
            answer = _cheapest(candidate, constant)
        measured = measure(metric, candidate, answer, sampling)
        gate = Gate(BETTER, True, 0.0, metric.greater_is_better, strict=True)
        check = _check(measured, gate, evaluation, sampling)
        rows.append(_row(measured, check))
        if check.verdict is not Verdict.PASS:
            reasons.append(check.detail)
        if evaluation.beats_baseline:
            checks.append(check)
    if not rows:
        return _nothing_to_compare(evaluation)
    columns = (
        Column(name="metric", kind="code"),
        Column(name="constant answer", kind="number"),
        Column(name="candidate", kind="number"),
        Column(name="difference", kind="number"),
        Column(name=f"{100 * sampling.confidence:g} % interval", kind="number"),
        Column(name="better"),
    )
    table = Table(
        title="Candidate against a constant answer", columns=columns, rows=tuple(rows), note=NOTE, folded=True
    )
    return Findings(tuple(checks), (table,), tuple(reasons))


def _nothing_to_compare(evaluation: Evaluation) -> Findings:
    """A gate that cannot be judged is not kept."""
    if not evaluation.beats_baseline:
        return Findings()
    detail = (
        f"Whether the candidate is {BETTER} (`beats_baseline`) was not judged: {', '.join(evaluation.metrics)} cannot "
        "tell. Name a metric of both classes, such as `roc_auc` or `balanced_accuracy`."
        if evaluation.task == "binary"
        else f"Whether the candidate is {BETTER} (`beats_baseline`) was not judged: {evaluation.task} tasks have none."
    )
    return Findings((Check(name=BETTER, verdict=Verdict.INCONCLUSIVE, detail=detail),), reasons=(detail,))


def _check(measured: Measured, gate: Gate, evaluation: Evaluation, sampling: Sampling) -> Check:
    metric, interval = measured.metric.name, measured.difference
    name = f"{metric}: {gate.text}"
    if isinstance(interval, str):
        why = interval.replace("production", "a constant answer")
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"{name}: not measured. {why}")
    if few := too_few(sampling, evaluation.min_rows):
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"{name}: {few}.")
    verdict = gate.decide(interval)
    said = {Verdict.PASS: "better", Verdict.FAIL: "no better", Verdict.INCONCLUSIVE: "not shown to be better"}
    form = f"+.{decimals(interval.standard_error)}f"
    detail = (
        f"{metric}: the candidate is {said[verdict]} than a constant answer (difference {interval.value:{form}}, "
        f"{100 * sampling.confidence:g} % interval {interval.low:{form}} to {interval.high:{form}})."
    )
    values: dict[str, Value] = {
        "baseline": measured.production.value if isinstance(measured.production, Interval) else None,
        "candidate": measured.candidate.value if isinstance(measured.candidate, Interval) else None,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": interval.standard_error,
        "limit": gate.limit,
        "p_beyond": gate.p_beyond(interval),
        "method": interval.method,
    }
    return Check(name=name, verdict=verdict, detail=detail, values=values)


def _row(measured: Measured, check: Check) -> tuple[Cell, ...]:
    difference = measured.difference
    digits = decimals(difference.standard_error) if isinstance(difference, Interval) else 4

    def shown(value: Interval | str, sign: str = "") -> str:
        return f"{value.value:{sign}.{digits}f}" if isinstance(value, Interval) else "–"

    span = f"{difference.low:+.{digits}f} to {difference.high:+.{digits}f}" if isinstance(difference, Interval) else "–"
    better = {Verdict.PASS: "yes", Verdict.FAIL: "no", Verdict.INCONCLUSIVE: "not shown"}[check.verdict]
    values = shown(measured.production), shown(measured.candidate), shown(difference, "+")
    return (f"{measured.metric.name}\u00a0{'↑' if measured.metric.greater_is_better else '↓'}", *values, span, better)
