"""Tripwires for results that are too good to be true: the target among the features, a jump, rows seen in training.

A tripwire that is touched holds the model up; one that is not says nothing in its favour, so it makes no passing check.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from slipway.evaluation.findings import Findings
from slipway.evaluation.grouping import can_group
from slipway.evaluation.metrics import UndefinedError, area_under_roc, find
from slipway.evaluation.outcomes import (
    Binary,
    Booleans,
    Floats,
    Forecast,
    Integers,
    Multiclass,
    Multilabel,
    Outcome,
    Ranking,
    Regression,
    Text,
)
from slipway.policy.evaluation import Evaluation, Tripwire
from slipway.report import Check, Column, Table, Verdict

ALONE = 0.999
"""How well a single feature must tell the target to be the target itself: AUC, balanced accuracy, or squared rank
correlation."""

NAMED = 5
"""Features that a sentence names."""


def tripwires(
    evaluation: Evaluation,
    candidate: Outcome,
    production: Outcome | None,
    features: Iterable[pl.Series],
    overlap: Check | None = None,
) -> Findings:
    """What is too good to be true.

    features: the holdout's columns without the target. overlap: what the data's own check found of rows of the holdout
    in the training data; None where nobody looked.
    """
    asked = evaluation.leakage
    trips = [
        _overlap(overlap, asked.overlap),
        _target_in_features(features, candidate, asked.target_in_features),
        *_too_good(evaluation, candidate, production),
    ]
    checks = tuple(check for check, _, _ in trips if check)
    rows = tuple((name, found, check.verdict.value if check else "–") for check, name, found in trips)
    columns = (Column(name="tripwire"), Column(name="found"), Column(name="verdict", kind="verdict"))
    note = "A tripwire that is not touched is no evidence for the model, and no passing check."
    table = Table(title="Too good to be true?", columns=columns, rows=rows, note=note, folded=not checks)
    return Findings(checks, (table,), tuple(check.detail for check in checks))


Trip = tuple[Check | None, str, str]
"""The check, if it was touched; the tripwire's name; what was found."""


def _touched(name: str, detail: str, then: Tripwire) -> Trip:
    verdict = Verdict.FAIL if then == "fail" else Verdict.INCONCLUSIVE
    return Check(name=name, verdict=verdict, detail=detail), name, detail


def _overlap(found: Check | None, then: Tripwire) -> Trip:
    name = "rows of the holdout in the training data"
    if found is None or found.values.get("shared") is None:
        why = found.detail if found else "the policy names no dataset `train` or `training`"
        detail = f"Whether rows of the holdout are among the training data was not checked: {why}."
        unmeasured = Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=detail) if then == "fail" else None
        return unmeasured, name, detail
    detail = found.detail[:1].upper() + found.detail[1:] + "."
    if found.verdict is Verdict.PASS:
        return None, name, detail
    # A small overlap, which the data's own check leaves open, fails nothing here either.
    return _touched(name, detail, then if found.verdict is Verdict.FAIL else "warn")


def _target_in_features(features: Iterable[pl.Series], known: Outcome, then: Tripwire) -> Trip:
    name = "target among the features"
    seen, tell = 0, []
    for feature in features:
        if can_group(feature.dtype):
            seen += 1
            how = tells_alone(feature, known)
            tell += [f"`{feature.name}` ({how})"] if how else []
    if not tell:
        return None, name, f"None of {seen} features tells the target alone."
    more = f" and {len(tell) - NAMED} more" if len(tell) > NAMED else ""
    detail = f"The target can be read off one feature alone: {', '.join(tell[:NAMED])}{more}."
    return _touched(name, detail, then)


def tells_alone(feature: pl.Series, known: Outcome) -> str:
    """How one feature alone tells the target; empty where it does not. Both are of the same rows."""
    if isinstance(known, Text):
        return ""
    if isinstance(known, Multilabel):
        each = (tells_alone(feature, Binary(column, column)) for column in known.truth.T)
        return next(filter(None, each), "")
    if isinstance(known, Regression | Ranking):
        return _rank_correlation(feature, known.truth)
    if isinstance(known, Binary) and feature.dtype.is_numeric() and (how := _order(feature, known.truth)):
        return how
    truth = known.truth.astype(np.int64)
    # A date of leaving is another in every row, and there just for those who left.
    for what, codes in (("its values give", _codes(feature)), ("whether it is missing gives", _missing(feature))):
        accuracy = balanced_accuracy_left_out(codes, truth)
        if accuracy >= ALONE:
            return f"{what} the class of {100 * accuracy:.2f} % of rows, classes weighted alike"
    return ""


def balanced_accuracy_left_out(codes: Integers, truth: Integers) -> float:
    """Mean recall of the classes, if each row is given the class that most *other* rows of its value have.

    An identifier, whose values occur once, so tells nothing. codes, truth: (rows,) positions.
    """
    of_class = np.bincount(truth)
    present = np.flatnonzero(of_class)
    if len(present) < 2:
        return 0.0
    # The pairs that occur alone: a table of all values and classes would not fit into memory.
    pairs, counts = np.unique(codes * len(of_class) + truth, return_counts=True)
    if counts.max() < 2:
        return 0.0
    values, classes = np.divmod(pairs, len(of_class))
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    repeats = np.diff(np.append(starts, len(values)))
    # The greatest count of any other class of the value: the second for the one most frequent, the first for others.
    greatest = np.repeat(np.maximum.reduceat(counts, starts), repeats)
    is_greatest = counts == greatest
    alone = np.repeat(np.add.reduceat(is_greatest, starts, dtype=np.int64) == 1, repeats)
    second = np.repeat(np.maximum.reduceat(np.where(is_greatest, 0, counts), starts), repeats)
    rivals = np.where(is_greatest & alone, second, greatest)
    right = np.where((counts > 1) & (counts - 1 > rivals), counts, 0)
    recalls = np.bincount(classes, weights=right, minlength=len(of_class))[present] / of_class[present]
    return float(recalls.mean())


def _order(feature: pl.Series, truth: Booleans) -> str:
    values, there = _numbers(feature)
    try:
        area = area_under_roc(truth[there], values).value if 2 * there.sum() >= len(truth) else 0.5
    except UndefinedError:
        return ""
    return f"roc_auc {area:.4f}" if max(area, 1 - area) >= ALONE else ""


def _rank_correlation(feature: pl.Series, truth: Floats) -> str:
    """Squared, since the direction does not matter; equality and every monotone function of the target give 1."""
    if not (feature.dtype.is_numeric() or feature.dtype.is_temporal()):
        return ""
    values, there = _numbers(feature)
    if 2 * there.sum() < len(truth) or len(np.unique(values)) < 3 or len(np.unique(truth[there])) < 3:
        return ""
    ours, theirs = (pl.Series(each).rank("average").to_numpy() for each in (values, truth[there]))
    squared = float(np.corrcoef(ours, theirs)[0, 1]) ** 2
    return f"squared rank correlation {squared:.4f}" if squared >= ALONE else ""


def _numbers(feature: pl.Series) -> tuple[Floats, Booleans]:
    """The values that are there, and where they are."""
    physical = feature.to_physical().cast(pl.Float64).fill_nan(None)
    return physical.drop_nulls().to_numpy(), physical.is_not_null().to_numpy()


def _codes(feature: pl.Series) -> Integers:
    ordered = feature if feature.dtype.is_numeric() else feature.cast(pl.String)
    return ordered.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _missing(feature: pl.Series) -> Integers:
    there = _numbers(feature)[1] if feature.dtype.is_numeric() else feature.is_not_null().to_numpy()
    return (~there).astype(np.int64)


def _too_good(evaluation: Evaluation, candidate: Outcome, production: Outcome | None) -> list[Trip]:
    """One metric stands for each task: one that a threshold or rare classes cannot push up."""
    perfect, jump = "nearly perfect", "jump over production"
    if len(candidate) < evaluation.min_rows:
        few = f"Not judged: the holdout has {len(candidate):,} rows, and the policy asks for {evaluation.min_rows:,}."
        return [(None, perfect, few), (None, jump, few)]
    if not isinstance(candidate, Binary | Multiclass | Regression):
        none = f"Not judged: no metric stands for {evaluation.task} tasks here."
        return [(None, perfect, none), (None, jump, none)]
    return [_nearly_perfect(evaluation, candidate, perfect), _jump(evaluation, candidate, production, jump)]


Known = Binary | Multiclass | Regression


def _nearly_perfect(evaluation: Evaluation, candidate: Known, trip: str) -> Trip:
    name, value, nothing = _skill(candidate)
    if value is None:
        return None, trip, f"{name} has no value for the candidate."
    share = (value - nothing) / (1 - nothing) if nothing < 1 else 0.0
    found = f"{name} of the candidate is {value:.4f}"
    if share < evaluation.leakage.too_good:
        return None, trip, f"{found}."
    return _touched(trip, f"{found}, too good to be true: look for the target among what it learned.", "warn")


def _jump(evaluation: Evaluation, candidate: Known, production: Outcome | None, trip: str) -> Trip:
    if production is None:
        return None, trip, "There is no production to compare with."
    assert isinstance(production, Binary | Multiclass | Regression)
    # Where one of the two gives no probabilities, the labels of both are compared.
    by_label = any(isinstance(each, Binary) and each.probability is None for each in (candidate, production))
    (name, value, _), (_, theirs, _) = (_skill(each, by_label=by_label) for each in (candidate, production))
    if value is None or theirs is None or theirs >= 1:
        return None, trip, "Not judged."
    closed = (value - theirs) / (1 - theirs)
    step = f"{name} went from {theirs:.4f} to {value:.4f}"
    limit = evaluation.leakage.suspicious_gain
    if closed <= limit:
        return None, trip, f"{step}."
    detail = (
        f"{step}: {100 * closed:.0f} % of what production lacked to perfection, and the policy finds more than "
        f"{100 * limit:g} % suspicious (`suspicious_gain`). A person should know why."
    )
    return _touched(trip, detail, "warn")


def _skill(outcome: Known, *, by_label: bool = False) -> tuple[str, float | None, float]:
    """A metric that is 1 at best, its value if it has one, and what a constant answer reaches.

    by_label: whether probabilities do not count even where there are some.
    """
    if isinstance(outcome, Binary):
        labels_only = by_label or outcome.probability is None
        metric, nothing = find("matthews_corrcoef" if labels_only else "roc_auc", "binary"), 0.0 if labels_only else 0.5
    elif isinstance(outcome, Forecast):
        # Not r2: series of different size give it to everybody.
        metric, nothing = find("mean_absolute_scaled_error", "forecasting"), 0.0
    elif isinstance(outcome, Multiclass):
        metric, nothing = find("accuracy", "multiclass"), float(np.bincount(outcome.truth).max() / len(outcome))
    else:
        metric, nothing = find("r2", "regression"), 0.0
    name = metric.name if metric.greater_is_better else f"1 - {metric.name}"
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            value = metric.estimate(outcome).value
    except UndefinedError:
        return name, None, nothing
    value = value if metric.greater_is_better else 1 - value
    return name, value if np.isfinite(value) else None, nothing
