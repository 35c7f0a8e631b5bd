"""Gates: three verdicts in both directions, on the limit and around it, and the rows that would settle them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from slipway.evaluation.formulas import Interval
from slipway.evaluation.gates import Gate, gates_of, rows_to_settle
from slipway.evaluation.intervals import of_difference
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Regression
from slipway.evaluation.sampling import Sampling
from slipway.policy.rules import MetricRule
from slipway.report import Verdict

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def interval(low: float, high: float, value: float | None = None) -> Interval:
    middle = (low + high) / 2 if value is None else value
    return by_hand(middle, low, high, (high - low) / 4)


def by_hand(value: float, low: float, high: float, error: float) -> Interval:
    def below(limit: float) -> tuple[float, float]:
        level = float(stats.norm.cdf((limit - value) / error))
        return level, level

    return Interval(value, low, high, error, "by hand", below)


def one_gate(rule: MetricRule, *, greater_is_better: bool = True) -> Gate:
    (gate,) = gates_of(rule, greater_is_better=greater_is_better)
    return gate


# Numbers that binary floats hold exactly, so that "on the limit" means it.
@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.125, 0.5, INCONCLUSIVE),
        (-0.0625, 0.5, PASS),  # on the limit: not worse by more
        (-0.03125, 0.5, PASS),
        (-0.5, -0.0625, INCONCLUSIVE),  # the upper end is on the right side of the limit
        (-0.5, -0.09375, FAIL),
        (-0.03125, -0.015625, PASS),  # surely worse, and by less than the margin
    ],
)
def test_decide__margin(low: float, high: float, verdict: Verdict) -> None:
    greater = one_gate(MetricRule(margin=0.0625))
    assert greater.decide(interval(low, high)) is verdict
    less = one_gate(MetricRule(margin=0.0625), greater_is_better=False)
    assert less.decide(interval(-high, -low)) is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.25, 0.5, INCONCLUSIVE),  # on the limit is not more than it
        (0.28125, 0.5, PASS),
        (0.125, 0.5, INCONCLUSIVE),
        (-0.5, 0.25, FAIL),  # at best on the limit
        (-0.5, 0.28125, INCONCLUSIVE),
        (-0.5, 0.125, FAIL),
    ],
)
def test_decide__better_by(low: float, high: float, verdict: Verdict) -> None:
    greater = one_gate(MetricRule(better_by=0.25))
    assert greater.decide(interval(low, high)) is verdict
    less = one_gate(MetricRule(better_by=0.25), greater_is_better=False)
    assert less.decide(interval(-high, -low)) is verdict


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_decide__models_without_any_difference(greater_is_better: bool) -> None:
    none = interval(0.0, 0.0)
    assert one_gate(MetricRule(margin=0), greater_is_better=greater_is_better).decide(none) is PASS
    assert one_gate(MetricRule(better_by=0), greater_is_better=greater_is_better).decide(none) is FAIL


def test_decide__margin_zero_asks_for_certainty() -> None:
    gate = one_gate(MetricRule(margin=0))
    assert gate.decide(interval(-0.001, 0.001)) is INCONCLUSIVE
    assert gate.decide(interval(0, 0.001)) is PASS
    assert gate.decide(interval(-0.002, -0.001)) is FAIL


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_decide__min_and_max_do_not_turn_with_the_metric(greater_is_better: bool) -> None:
    rule = MetricRule(min=0.25, max=0.75)
    at_least, at_most = gates_of(rule, greater_is_better=greater_is_better)
    assert at_least.decide(interval(0.25, 0.5)) is PASS
    assert at_least.decide(interval(0.125, 0.25)) is INCONCLUSIVE
    assert at_least.decide(interval(0.0, 0.125)) is FAIL
    assert at_most.decide(interval(0.5, 0.75)) is PASS
    assert at_most.decide(interval(0.75, 0.875)) is INCONCLUSIVE
    assert at_most.decide(interval(0.875, 1.0)) is FAIL


def test_gates_of__relative_first_then_min_then_max() -> None:
    gates = gates_of(MetricRule(margin=0.01, min=0.5, max=0.9), greater_is_better=True)
    assert [(gate.text, gate.relative, gate.limit) for gate in gates] == [
        ("not worse by 0.01", True, -0.01),
        ("at least 0.5", False, 0.5),
        ("at most 0.9", False, 0.9),
    ]
    assert gates_of(MetricRule(), greater_is_better=True) == []


def test_gates_of__a_loss_may_rise_by_its_margin() -> None:
    gate = one_gate(MetricRule(margin=0.01), greater_is_better=False)
    assert (gate.limit, gate.above, gate.strict) == (0.01, False, False)
    gate = one_gate(MetricRule(better_by=0.01), greater_is_better=False)
    assert (gate.text, gate.limit, gate.above, gate.strict) == ("better by 0.01", -0.01, False, True)


@pytest.mark.parametrize("rule", [MetricRule(margin=0), MetricRule(better_by=0)])
@pytest.mark.parametrize("greater_is_better", [True, False])
def test_gates_of__zero_has_no_sign(rule: MetricRule, greater_is_better: bool) -> None:
    assert f"{one_gate(rule, greater_is_better=greater_is_better).limit:g}" == "0"


def test_gates_of__better_by_zero_reads_better() -> None:
    assert one_gate(MetricRule(better_by=0)).text == "better"


# Rows to settle ----------------------------------------------------------------------------------------------------


def test_rows_to_settle__by_hand() -> None:
    # (1.959964 + .841621)^2 = 7.8489; error / distance = .5: 7.8489 / 4 * 1,000 rows.
    found = by_hand(0.02, 0.01, 0.03, 0.01)
    assert rows_to_settle(found, 0.0, rows=1000, confidence=0.95) == 1963
    assert rows_to_settle(found, 0.04, rows=1000, confidence=0.95) == 1963


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("distance", [0.001, 0.004, 0.02])
def test_rows_to_settle__gives_80_percent_power(confidence: float, distance: float) -> None:
    error, rows = 0.01, 500
    needed = rows_to_settle(by_hand(distance, -1, 1, error), 0.0, rows=rows, confidence=confidence)
    assert needed is not None
    power = stats.norm.sf(stats.norm.ppf((1 + confidence) / 2) - distance / (error * np.sqrt(rows / needed)))
    assert power == pytest.approx(0.8, abs=0.005)


def test_rows_to_settle__holds_in_a_simulation() -> None:
    """A pilot of 400 rows names a number; holdouts of that many rows pass the gate in about 80 % of cases."""
    metric, gate = find("mean_absolute_error", "regression"), one_gate(MetricRule(better_by=0), greater_is_better=False)
    random = np.random.default_rng(8)

    def verdict(rows: int) -> Verdict:
        zero, theirs = np.zeros(rows), 5 + random.gamma(2, size=rows)
        ours = theirs - 0.06 + random.normal(scale=0.7, size=rows)
        difference = of_difference(metric, Regression(zero, theirs), Regression(zero, ours), Sampling(rows))
        return gate.decide(difference)

    big = 400_000
    zero, theirs = np.zeros(big), 5 + random.gamma(2, size=big)
    ours = theirs - 0.06 + random.normal(scale=0.7, size=big)
    truth = of_difference(metric, Regression(zero, theirs), Regression(zero, ours), Sampling(big))
    pilot = by_hand(truth.value, -1, 1, truth.standard_error * np.sqrt(big / 400))
    needed = rows_to_settle(pilot, gate.limit, rows=400, confidence=0.95)
    assert needed is not None
    passed = np.mean([verdict(needed) is PASS for _ in range(500)])
    assert passed == pytest.approx(0.8, abs=0.06)


def test_rows_to_settle__on_the_limit_no_number_would_do() -> None:
    assert rows_to_settle(interval(-0.1, 0.1, 0.0), 0.0, rows=1000, confidence=0.95) is None


def test_rows_to_settle__a_thousand_times_the_rows_is_the_most_that_is_named() -> None:
    error = 0.01
    at_most = error * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / np.sqrt(1000)
    near = by_hand(at_most * 0.999, -1, 1, error)
    far = by_hand(at_most * 1.001, -1, 1, error)
    assert rows_to_settle(near, 0.0, rows=100, confidence=0.95) is None
    assert rows_to_settle(far, 0.0, rows=100, confidence=0.95) == pytest.approx(100_000, rel=0.01)
