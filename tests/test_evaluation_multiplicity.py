"""Many gates at once: adjusted p-values, and that they agree with the intervals; error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slipway.evaluation.findings import Findings
from slipway.evaluation.formulas import Interval, bonett_price, wilson
from slipway.evaluation.gates import Gate, detectable
from slipway.evaluation.intervals import of_difference, of_one
from slipway.evaluation.metrics import find
from slipway.evaluation.multiplicity import account, benjamini_hochberg, holm
from slipway.evaluation.outcomes import Binary, Regression
from slipway.evaluation.sampling import Sampling
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


def test_benjamini_hochberg__is_scipys() -> None:
    # The fifteen p-values of the paper's own example (1995, section 3.2): four are found at 5 %.
    published = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    published += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    shuffled = np.random.default_rng(1).permutation(published)
    adjusted = benjamini_hochberg(shuffled.tolist())
    assert adjusted == pytest.approx(stats.false_discovery_control(shuffled), rel=1e-12)
    assert sum(p <= 0.05 for p in adjusted) == 4
    assert sum(p <= 0.05 for p in holm(published)) == 3  # and three by Bonferroni's way, as the paper says
    assert benjamini_hochberg([]) == []


def intervals() -> list[Interval]:
    """One of each kind."""
    random = np.random.default_rng(4)
    truth = random.random(300) < 0.4
    models = [Binary(truth, truth ^ (random.random(300) < error), random.random(300)) for error in (0.2, 0.3)]
    numbers = [Regression(random.normal(size=200), random.normal(size=200)) for _ in range(2)]
    tied = [Regression(np.zeros(60), random.integers(0, 3, 60).astype(float)) for _ in range(2)]
    return [
        of_one(find("accuracy", "binary"), models[0], Sampling(300)),
        of_difference(find("accuracy", "binary"), models[1], models[0], Sampling(300)),
        of_difference(find("roc_auc", "binary"), models[1], models[0], Sampling(300)),
        of_difference(find("roc_auc", "binary"), models[1], models[0], Sampling(300, clusters=np.arange(300) // 20)),
        of_difference(find("median_absolute_error", "regression"), numbers[1], numbers[0], Sampling(200)),
        of_difference(find("median_absolute_error", "regression"), tied[1], tied[0], Sampling(60)),
        of_one(find("mean_squared_error", "regression"), numbers[0], Sampling(200)),
        of_one(find("mean_squared_error", "regression"), tied[0], Sampling(60, clusters=np.arange(60) // 3)),
        wilson(3, 40, 0.95),
        wilson(0, 40, 0.95),
        wilson(40, 40, 0.95),
        bonett_price(truth, truth, 0.95),
        bonett_price(np.ones(4, bool), np.zeros(4, bool), 0.95),
    ]


def hold_to_the_verdict(interval: Interval, gate: Gate, level: float = LEVEL) -> None:
    """Fail just where the evidence of harm is below the level, pass just where that of its absence is."""
    verdict, slack = gate.decide(interval), 1e-9
    beyond, clear = gate.p_beyond(interval), gate.p_clear(interval)
    assert (beyond <= level + slack) if verdict is Verdict.FAIL else (beyond >= level - slack)
    assert (clear <= level + slack) if verdict is Verdict.PASS else (clear >= level - slack)


@pytest.mark.parametrize("interval", intervals(), ids=lambda each: each.method)
@given(place=st.floats(-1.5, 2.5), above=st.booleans(), strict=st.booleans())
def test_p__is_small_just_where_the_interval_lies_beyond(
    interval: Interval, place: float, above: bool, strict: bool
) -> None:
    limit = interval.low + place * (interval.high - interval.low)
    hold_to_the_verdict(interval, Gate("", True, limit, above, strict))


@pytest.mark.parametrize("interval", intervals(), ids=lambda each: each.method)
@pytest.mark.parametrize("limit", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_p__agrees_with_the_interval_at_the_ends_of_what_can_be(
    interval: Interval, limit: float, above: bool, strict: bool
) -> None:
    for place in (limit, interval.low, interval.high):
        hold_to_the_verdict(interval, Gate("", True, place, above, strict))


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
    assert found.reasons[1].startswith("a said. Among 4 gates chance alone can explain one such result: Holm's")
    assert (found.reasons[0], found.reasons[2]) == ("c said.", "other")
    assert found.checks[0].values["p_adjusted"] == pytest.approx(0.06)
    assert found.verdict is Verdict.FAIL


def test_account__says_what_failed_before_what_is_open() -> None:
    checks = (gate_check("a", Verdict.FAIL, 0.02), gate_check("b", Verdict.FAIL, 0.0001))
    found = account(Findings((*checks, gate_check("c", Verdict.PASS, 0.5)), reasons=("a said.", "b said.")), 0.95)
    assert [reason[0] for reason in found.reasons] == ["b", "a"]


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
    found = Interval(0, -1, 1, float(error), "", lambda _: (0.5, 0.5))
    assert detectable(found, confidence=0.9) == pytest.approx(effect, rel=0.01)
