"""Many gates at once: adjusted p-values, and that they agree with the intervals; error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.evaluation.findings import Findings
from slipway.evaluation.gates import Gate, detectable
from slipway.evaluation.intervals import Interval, Sampling, bonett_price, of_difference, of_one, wilson
from slipway.evaluation.metrics import find
from slipway.evaluation.multiplicity import account, holm
from slipway.evaluation.outcomes import Binary, Regression
from slipway.report import Check, Column, Table, Verdict

LEVEL = 0.025


def test_holm__by_hand() -> None:
    # The smallest times 4, the next times 3, …, never decreasing: 4 * .005, 3 * .01, 2 * .03, max(.06, .04).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm__never_smaller_than_p_and_never_larger_than_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, own in zip(p_values, adjusted, strict=True):
        assert p <= own <= min(1, p * len(p_values)) or own == pytest.approx(p)
    ranked = [own for _, own in sorted(zip(p_values, adjusted, strict=True))]
    assert ranked == sorted(ranked)


def intervals() -> list[Interval]:
    """One of each kind."""
    random = np.random.default_rng(4)
    truth = random.random(300) < 0.4
    models = [Binary(truth, truth ^ (random.random(300) < error), random.random(300)) for error in (0.2, 0.3)]
    numbers = [Regression(random.normal(size=200), random.normal(size=200)) for _ in range(2)]
    return [
        of_one(find("accuracy", "binary"), models[0], Sampling(300)),
        of_difference(find("accuracy", "binary"), models[1], models[0], Sampling(300)),
        of_difference(find("roc_auc", "binary"), models[1], models[0], Sampling(300)),
        of_difference(find("roc_auc", "binary"), models[1], models[0], Sampling(300, clusters=np.arange(300) // 20)),
        of_difference(find("median_absolute_error", "regression"), numbers[1], numbers[0], Sampling(200)),
        wilson(3, 40, 0.95),
        bonett_price(truth, truth, 0.95),
    ]


@pytest.mark.parametrize("interval", intervals(), ids=lambda each: each.method)
@given(place=st.floats(-1.5, 2.5), above=st.booleans())
def test_p__is_small_just_where_the_interval_lies_beyond(interval: Interval, place: float, above: bool) -> None:
    limit = interval.low + place * (interval.high - interval.low)
    verdict = Gate("", True, limit, above).decide(interval)
    p = Gate("", True, limit, above).p_beyond(interval)
    # A bootstrap of 2,000 draws knows its p-value to one draw.
    slack = 2 / 2001 if "bootstrap" in interval.method else 1e-9
    if verdict is Verdict.FAIL:
        assert p <= LEVEL + slack
    if verdict is Verdict.INCONCLUSIVE:
        assert LEVEL - slack <= p <= 1 - LEVEL + slack
    if verdict is Verdict.PASS and -1 < limit < 1:
        assert p >= 1 - LEVEL - slack


def test_p__no_uncertainty() -> None:
    zeros = Regression(np.zeros(50), np.zeros(50))
    exact = of_difference(find("mean_squared_error", "regression"), zeros, zeros, Sampling(50))
    assert exact.standard_error == 0
    assert Gate("better", True, 0.0, above=False, strict=True).p_beyond(exact) == 0  # it is not better, for certain
    assert Gate("not worse by 0.1", True, 0.1, above=False).p_beyond(exact) == 1


def gate_check(name: str, verdict: Verdict, p: float | None) -> Check:
    return Check(name=name, verdict=verdict, detail=f"{name} said.", values={} if p is None else {"p_beyond": p})


def table(*cells: str) -> Table:
    columns = (Column(name="gate"), Column(name="verdict", kind="verdict"))
    return Table(title="", columns=columns, rows=tuple(("a", cell) for cell in cells))


def test_account__a_fail_must_stand_among_all_gates() -> None:
    checks = (
        gate_check("a", Verdict.FAIL, 0.02),
        gate_check("b", Verdict.PASS, 0.99),
        gate_check("c", Verdict.FAIL, 0.001),
        gate_check("d", Verdict.INCONCLUSIVE, 0.3),
        gate_check("e", Verdict.FAIL, None),
    )
    found = account(Findings(checks, (table("a", "c", "–", "e"),), ("a said.", "c said.", "other")), 0.95)
    assert [check.verdict for check in found.checks] == [
        *(Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE),
        Verdict.FAIL,  # no p-value: nothing to correct
    ]
    assert [row[1] for row in found.tables[0].rows] == ["inconclusive", "fail", "–", "fail"]
    assert found.reasons[0].startswith("a said. Among 4 gates chance alone makes one such result likely: Holm's")
    assert found.reasons[1:] == ("c said.", "other")
    assert found.checks[0].values["p_adjusted"] == pytest.approx(0.06)
    assert found.verdict is Verdict.FAIL


def test_account__a_single_gate_is_not_corrected() -> None:
    found = account(Findings((gate_check("a", Verdict.FAIL, 0.0255),)), 0.95)  # a bootstrap's last draw
    assert found.verdict is Verdict.FAIL


def test_account__twenty_gates_on_equal_models_rarely_fail_one() -> None:
    """Each alone fails 2.5 % of the time, and one of twenty would in 40 %; after Holm at most 2.5 %."""
    random = np.random.default_rng(5)
    naive = corrected = 0
    for _ in range(2_000):
        p_values = random.random(20)
        checks = tuple(
            gate_check(str(number), Verdict.FAIL if p <= LEVEL else Verdict.INCONCLUSIVE, float(p))
            for number, p in enumerate(p_values)
        )
        naive += Findings(checks).verdict is Verdict.FAIL
        corrected += account(Findings(checks), 0.95).verdict is Verdict.FAIL
    assert naive / 2_000 == pytest.approx(1 - 0.975**20, abs=0.035)
    assert corrected / 2_000 <= 0.025 + 0.011  # three standard errors


def test_detectable__the_published_sample_size() -> None:
    """Paired binary, 10 % discordance, one-sided 5 %, power 80 %: 1,544 rows detect 2 points (McNemar's variance)."""
    rows, discordance, effect = 1544, 0.1, 0.02
    error = np.sqrt((discordance - effect**2) / rows)
    found = Interval(0, -1, 1, float(error), "", lambda _: 0.5)
    assert detectable(found, confidence=0.9) == pytest.approx(effect, rel=0.01)
