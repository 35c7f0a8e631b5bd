"""Tripwires: planted leaks touch them, honest features and models do not, and none lets a model pass."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.evaluation.findings import Findings
from slipway.evaluation.leakage import balanced_accuracy_left_out, tells_alone, tripwires
from slipway.evaluation.metrics.forecasting import seasonal_naive_scale
from slipway.evaluation.outcomes import Binary, Floats, Forecast, Multiclass, Multilabel, Outcome, Regression
from slipway.policy.evaluation import Evaluation
from slipway.report import Check, Verdict

ROWS = 2000
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.random(ROWS) < 0.2


def evaluation(task: str = "binary", **leakage: Any) -> Evaluation:
    said = {"task": task, "holdout": "h", "target": "y", "metrics": {"accuracy": {}}, "leakage": leakage}
    return Evaluation.model_validate(said)


def model(noise: float) -> Binary:
    score = TRUTH + noise * np.random.default_rng(1).normal(size=ROWS)
    return Binary(TRUTH, score > 0.5, score)


HONEST = [
    pl.Series("id", [f"row {place}" for place in range(ROWS)]),
    pl.Series("number", RANDOM.normal(size=ROWS) + TRUTH),
    pl.Series("constant", [1] * ROWS),
    pl.Series("empty", [None] * ROWS, dtype=pl.Float64),
    pl.Series("nested", [[1]] * ROWS),
]


def tripped(features: list[pl.Series], candidate: Outcome | None = None, **leakage: Any) -> Findings:
    candidate = candidate or model(1.0)
    task = {Binary: "binary", Multiclass: "multiclass", Regression: "regression"}[type(candidate)]
    return tripwires(evaluation(task, **leakage), candidate, None, features)


def test_nothing_touched__makes_no_check_and_no_reason() -> None:
    found = tripwires(evaluation(), model(1.0), model(1.1), HONEST)
    assert (found.checks, found.reasons) == ((), ())
    assert found.verdict is Verdict.INCONCLUSIVE
    (table,) = found.tables
    assert table.folded
    assert [row[2] for row in table.rows] == ["–"] * 4
    assert "None of 4 features" in str(table.rows[1][1])


@pytest.mark.parametrize(
    "leak",
    [
        pl.Series("leak", TRUTH),
        pl.Series("leak", np.where(TRUTH, "yes", "no")),
        pl.Series("leak", np.where(TRUTH, RANDOM.integers(0, 5, ROWS), RANDOM.integers(5, 10, ROWS)).astype(str)),
        pl.Series("leak", -3.0 * TRUTH + RANDOM.uniform(0, 1, ROWS)),
        pl.Series("leak", [1.5 if each else None for each in TRUTH]),
    ],
    ids=["equal", "text", "many values", "order", "missing"],
)
def test_target_in_features__is_found(leak: pl.Series) -> None:
    found = tripped([*HONEST, leak])
    assert [each.verdict for each in found.checks] == [Verdict.INCONCLUSIVE]
    assert "`leak` (" in found.reasons[0]
    assert not found.tables[0].folded
    assert tripped([leak], target_in_features="fail").verdict is Verdict.FAIL


def test_target_in_features__of_classes_and_numbers() -> None:
    classes = RANDOM.integers(0, 4, ROWS)
    many = Multiclass(classes, classes[::-1].copy(), 4)
    assert tells_alone(pl.Series("c", np.array(["w", "x", "y", "z"])[classes]), many)
    assert not tells_alone(pl.Series("c", RANDOM.integers(0, 4, ROWS)), many)
    value: Floats = RANDOM.normal(size=ROWS)
    number = Regression(value, value + RANDOM.normal(size=ROWS))
    assert tells_alone(pl.Series("c", np.exp(-value)), number).startswith("squared rank correlation 1.0000")
    assert not tells_alone(pl.Series("c", value + 0.1 * RANDOM.normal(size=ROWS)), number)
    assert not tells_alone(pl.Series("c", ["a"] * ROWS), number)


def test_balanced_accuracy_left_out__by_hand() -> None:
    # Value 0: two of class 0. Value 1: class 0 once, class 1 twice. Value 2: a single row of class 1.
    codes, truth = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    # Class 0: both of value 0 right, the one of value 1 wrong. Class 1: among others of value 1 it is one against one.
    assert balanced_accuracy_left_out(codes, truth) == pytest.approx((2 / 3 + 0) / 2)


def test_too_good__near_perfection_and_jumps_hold_the_model_up() -> None:
    perfect = tripwires(evaluation(), model(0.01), model(0.9), HONEST)
    assert [each.verdict for each in perfect.checks] == [Verdict.INCONCLUSIVE] * 2
    assert "too good to be true" in perfect.reasons[0]
    assert "`suspicious_gain`" in perfect.reasons[1]
    relaxed = tripwires(evaluation(too_good=1, suspicious_gain=1), model(0.5), model(0.9), HONEST)
    assert relaxed.checks == ()
    few = Binary(TRUTH[:50], TRUTH[:50], TRUTH[:50].astype(float))
    assert tripped([], few).checks == ()


def test_too_good__of_rare_classes_is_no_matter_of_accuracy() -> None:
    rare = np.arange(ROWS) < 1
    assert tripped([], Multiclass(rare.astype(np.int64), np.zeros(ROWS, dtype=np.int64), 2)).checks == ()
    labels = Binary(TRUTH, TRUTH)
    assert tripped([], labels).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("seen", "then", "verdict"),
    [
        (Verdict.FAIL, "fail", Verdict.FAIL),
        (Verdict.FAIL, "warn", Verdict.INCONCLUSIVE),
        (Verdict.INCONCLUSIVE, "fail", Verdict.INCONCLUSIVE),
        (Verdict.PASS, "fail", None),
    ],
)
def test_overlap__goes_by_what_the_datas_own_check_found(seen: Verdict, then: str, verdict: Verdict | None) -> None:
    check = Check(name="leakage", verdict=seen, detail="90 of 1,000 rows occur", values={"shared": 90})
    found = tripwires(evaluation(overlap=then), model(1.0), None, HONEST, check)
    assert [each.verdict for each in found.checks] == ([verdict] if verdict else [])
    assert found.tables[0].rows[0][1] == "90 of 1,000 rows occur."


def test_overlap__that_nobody_looked_for_is_inconclusive_where_the_policy_asks() -> None:
    assert tripwires(evaluation(overlap="fail"), model(1.0), None, HONEST).verdict is Verdict.INCONCLUSIVE
    assert tripwires(evaluation(), model(1.0), None, HONEST).checks == ()
    not_run = Check(name="leakage", verdict=Verdict.INCONCLUSIVE, detail="not run: the two share no column")
    assert "the two share no column" in tripwires(evaluation(overlap="fail"), model(1.0), None, [], not_run).reasons[0]


@pytest.mark.parametrize("kind", [pl.Float64, pl.String])
def test_target_in_features__a_value_that_only_one_class_has_is_found(kind: Any) -> None:
    """The day on which a customer left, say: every value is another, but it is there just where the target is true."""
    values = [place if known else None for place, known in enumerate(TRUTH.tolist())]
    (check,) = tripped([pl.Series("closed_at", values).cast(kind)]).checks
    assert "`closed_at` (whether it is missing gives the class of 100.00 % of rows" in check.detail
    some = pl.Series("some", [place if place % 3 else None for place in range(ROWS)])
    assert tripped([some]).checks == ()


def test_balanced_accuracy_left_out__needs_no_room_for_what_does_not_occur() -> None:
    """An identifier against many classes: as a table of both, 32 GB."""
    tracemalloc.start()
    codes = np.arange(200_000)
    assert balanced_accuracy_left_out(codes, codes % 20_000) == 0
    assert balanced_accuracy_left_out(codes // 2, codes // 2 % 20_000) == 1
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


def test_jump__compares_the_same_metric_where_one_model_gives_no_probabilities() -> None:
    candidate = model(0.6)
    production = Binary(TRUTH, candidate.label)
    found = tripwires(evaluation(), candidate, production, [])
    assert found.checks == ()
    jump = str(found.tables[0].rows[-1][1])
    assert re.fullmatch(r"matthews_corrcoef went from (0\.\d+) to \1\.", jump)
    assert str(found.tables[0].rows[-2][1]).startswith("roc_auc of the candidate")


def test_too_good__says_where_a_task_has_no_metric_for_it() -> None:
    truth = np.array([[True, False]] * 200)
    asked = evaluation().model_copy(update={"task": "multilabel"})
    found = tripwires(asked, Multilabel(truth, truth), None, [])
    assert "no metric stands for multilabel tasks" in str(found.tables[0].rows[2][1])


def test_too_good__of_forecasts_is_measured_against_the_naive_one() -> None:
    """Series of very different size give every forecast an r2 near 1; here both models err like the naive forecast."""
    random = np.random.default_rng(3)
    size, series = np.repeat(np.exp(random.normal(0, 4, 50)), 40), np.repeat(np.arange(50), 40)
    truth = size * np.exp(0.02 * random.normal(size=2000))
    scale = seasonal_naive_scale(truth, series, np.tile(np.arange(40), 50), 1)
    asked = Evaluation.model_validate(
        {"task": "forecasting", "holdout": "h", "target": "y", "time": "day", "metrics": {"mase": {}}}
    )
    assert tripwires(asked, Forecast(truth, size, scale), None, []).checks == ()
    (check,) = tripwires(asked, Forecast(truth, truth * 1.00001, scale), None, []).checks
    assert check.detail.startswith("1 - mean_absolute_scaled_error of the candidate is 0.99")
