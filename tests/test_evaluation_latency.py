"""Statistics of timings on made-up ones: order statistics by hand, coverage, and what bursts must not do."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slipway.evaluation.latency import Timings, judge_latency, measured, quantile, quantile_ratio
from slipway.policy.latency import Latency
from slipway.report import Verdict

FAST = np.linspace(1, 2, 400)


def timings(single: Any = FAST, **more: Any) -> Timings:
    standard: dict[str, Any] = {
        "batch_ms": np.full(30, 50.0),
        "batch_rows": 1000,
        "load_seconds": (1.0, 2.0, 3.0),
        "memory_mb": (100.0, 101.0, 102.0),
        "size_mb": 5.0,
    }
    return Timings(single_ms=np.asarray(single, dtype=float), **{**standard, **more})


def verdicts(rules: dict[str, Any], candidate: Timings, production: Timings | None = None) -> dict[str, str]:
    found = judge_latency(Latency.model_validate(rules), candidate, production, confidence=0.95, seed=1)
    assert all(each.detail in found.reasons for each in found.checks if each.verdict is not Verdict.PASS)
    return {each.name: each.verdict.value for each in found.checks}


def test_quantile__between_the_order_statistics_of_the_binomial() -> None:
    """100 values: below the median lie 40 to 60 with 95 %, so the 40th and the 61st value bound it."""
    found = quantile(np.arange(1.0, 101.0), 0.5, 0.95)
    assert (found.value, found.low, found.high) == (50, 40, 61)
    assert stats.binom.cdf(60, 100, 0.5) - stats.binom.cdf(39, 100, 0.5) >= 0.95


@pytest.mark.parametrize(("count", "bounded"), [(367, False), (368, True)])
def test_quantile__too_few_values_bound_no_p99(count: int, bounded: bool) -> None:
    assert (quantile(np.arange(float(count)), 0.99, 0.95).high < inf) == bounded


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_quantile__covers_the_true_value_of_a_skew_distribution(share: float) -> None:
    random = np.random.default_rng(5)
    truth = float(stats.lognorm.ppf(share, 1))
    found = [quantile(random.lognormal(size=400), share, 0.95) for _ in range(400)]
    assert np.mean([each.low <= truth <= each.high for each in found]) >= 0.93


def test_quantile_ratio__of_the_same_series_is_exactly_one() -> None:
    found = quantile_ratio(FAST, FAST, 0.95, 0.95, 1)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_quantile_ratio__a_burst_that_hits_both_does_not_tell_them_apart() -> None:
    random = np.random.default_rng(2)
    noise = random.lognormal(0, 0.3, size=400)
    noise[100:140] *= 20
    ours, theirs = (noise * random.lognormal(0, 0.05, size=400) for _ in range(2))
    found = quantile_ratio(1.5 * ours, theirs, 0.5, 0.95, 1)
    assert 1.3 < found.low < 1.5 < found.high < 1.7


def test_quantile_ratio__is_seeded() -> None:
    random = np.random.default_rng(2)
    ours, theirs = random.lognormal(size=(2, 100))
    assert quantile_ratio(ours, theirs, 0.5, 0.95, 7) == quantile_ratio(ours, theirs, 0.5, 0.95, 7)


def test_measured__throughput_is_rows_a_second_of_the_median_batch() -> None:
    found = measured("throughput", timings(batch_ms=np.arange(10.0, 41.0)), 0.95)
    assert found.value == 1000 * 1000 / 25
    assert found.low < found.value < found.high


def test_judge__nothing_is_gated_that_the_policy_does_not_gate() -> None:
    found = judge_latency(Latency(), timings(), timings(), confidence=0.95, seed=1)
    assert (found.checks, found.reasons) == ((), ())
    assert [row[0] for row in found.tables[0].rows][:3] == ["p50_ms", "p95_ms", "p99_ms"]


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        ({"p50_ms": {"max": 1.7}}, "pass"),
        ({"p50_ms": {"max": 1.5}}, "inconclusive"),
        ({"p50_ms": {"max": 1.2}}, "fail"),
        ({"p99_ms": {"max": 2.5}}, "pass"),
        ({"throughput": {"min": 19_000}}, "pass"),
        ({"throughput": {"min": 21_000}}, "fail"),
        ({"load_seconds": {"max": 3}}, "pass"),
        ({"load_seconds": {"max": 2.5}}, "inconclusive"),
        ({"load_seconds": {"max": 0.5}}, "fail"),
        ({"memory_mb": {"max": 99}}, "fail"),
        ({"size_mb": {"max": 5}}, "pass"),
        ({"size_mb": {"max": 4.9}}, "fail"),
    ],
)
def test_judge__limits_of_the_candidate(rules: dict[str, Any], verdict: str) -> None:
    assert list(verdicts(rules, timings()).values()) == [verdict]


def test_judge__ratios_need_production() -> None:
    rules = {"p50_ms": {"ratio": 1.2}, "throughput": {"ratio": 0.9}, "size_mb": {"ratio": 1.5}}
    assert verdicts(rules, timings()) == {}
    slow = timings(3 * FAST, batch_ms=np.full(30, 100.0), size_mb=20.0)
    assert verdicts(rules, timings(), slow) == {
        "p50_ms: at most 1.2 × production": "pass",
        "throughput: at least 0.9 × production": "pass",
        "size_mb: at most 1.5 × production": "pass",
    }
    assert set(verdicts(rules, slow, timings()).values()) == {"fail"}


def test_judge__each_gate_of_a_quantity_has_a_row_with_its_numbers() -> None:
    rules = Latency.model_validate({"p50_ms": {"max": 20, "ratio": 1.2}})
    found = judge_latency(rules, timings(), timings(3 * FAST), confidence=0.95, seed=1)
    rows = [row for row in found.tables[0].rows if row[0] == "p50_ms"]
    assert len(rows) == 2
    assert rows[0][1:5] == rows[1][1:5]
    assert [row[5] for row in rows] == ["at most 20", "at most 1.2 × production"]


def test_judge__too_few_requests_are_inconclusive_never_a_pass() -> None:
    few = replace(timings(), single_ms=np.full(50, 1.0))
    found = judge_latency(Latency.model_validate({"p95_ms": {"max": 100}}), few, None, confidence=0.95, seed=1)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.checks[0].values["high"] is None


@pytest.mark.parametrize(
    "said",
    [
        {"p99_ms": {"max": 5}, "requests": 300},
        {"p90_ms": {"max": 5}},
        {"p50_ms": {"min": 5}},
        {"throughput": {"max": 5}},
        {"size_mb": {"max": 0}},
        {"requests": 5},
    ],
)
def test_policy__latency_is_strict(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"requests|p90_ms|min|max|size_mb"):
        Latency.model_validate(said)


def test_sentence__large_values_are_no_powers_of_ten_and_do_not_round_to_their_limit() -> None:
    candidate = timings(memory_mb=(2004.0, 2010.0, 2020.0), batch_ms=np.full(30, 40.0))
    found = judge_latency(
        Latency.model_validate({"memory_mb": {"max": 2000}}), candidate, None, confidence=0.95, seed=1
    )
    assert found.reasons == (
        "memory_mb is 2,010 (2,004 to 2,020): all of it is beyond the limit 2000 of “at most 2000”.",
    )
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows["throughput"][2] == "25,000"
    assert rows["size_mb"][2] == "5"
    assert rows["p50_ms"][2] == "1.499"
