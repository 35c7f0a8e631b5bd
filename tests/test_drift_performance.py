"""How far a metric fell, with its interval, and what that makes of a limit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from slipway.drift import estimation, performance
from slipway.drift.performance import Known
from slipway.evaluation.intervals import of_one
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Binary
from slipway.evaluation.sampling import Sampling
from slipway.policy.drift import Drift
from slipway.policy.evaluation import Evaluation
from slipway.policy.rules import MetricRule
from slipway.report import Verdict


def known(right: int, rows: int) -> Known:
    """So many right labels, of which half are positive."""
    truth = np.arange(rows) % 2 == 0
    label = np.where(np.arange(rows) < right, truth, ~truth)
    return Known(Binary(truth, label), Sampling(rows))


EVALUATION = Evaluation(task="binary", holdout="holdout", target="y", metrics={"accuracy": MetricRule()})


def wilson(share: float, rows: int) -> tuple[float, float]:
    z = norm.ppf(0.975)
    middle, half = share + z * z / 2 / rows, z * np.sqrt(share * (1 - share) / rows + z * z / 4 / rows**2)
    return (middle - half) / (1 + z * z / rows), (middle + half) / (1 + z * z / rows)


def test_judge__the_fall_has_newcombes_interval() -> None:
    """Of two shares MOVER with Wilson's intervals is Newcombe's method 10 (Statistics in Medicine 17, 1998)."""
    rules = Drift(current="live", performance={"accuracy": 0.05})
    (check,) = performance.judge(EVALUATION, rules, known(900, 1000), known(160, 200), "").checks
    (low_a, high_a), (low_b, high_b) = wilson(0.9, 1000), wilson(0.8, 200)
    assert check.values["drop"] == pytest.approx(0.1)
    assert check.values["drop_low"] == pytest.approx(0.1 - np.hypot(0.9 - low_a, high_b - 0.8), abs=1e-9)
    assert check.values["drop_high"] == pytest.approx(0.1 + np.hypot(high_a - 0.9, 0.8 - low_b), abs=1e-9)


@pytest.mark.parametrize(("limit", "verdict"), [(0.01, Verdict.FAIL), (0.1, Verdict.INCONCLUSIVE), (0.3, Verdict.PASS)])
def test_judge__holds_the_interval_against_the_limit(limit: float, verdict: Verdict) -> None:
    rules = Drift(current="live", performance={"accuracy": limit})
    found = performance.judge(EVALUATION, rules, known(900, 1000), known(160, 200), "")
    (check,) = found.checks
    assert (check.name, check.verdict, check.values["role"]) == ("performance: accuracy", verdict, "performance")
    assert bool(found.reasons) == (verdict is not Verdict.PASS)


def test_judge__without_a_limit_shows_and_judges_nothing() -> None:
    found = performance.judge(EVALUATION, Drift(current="live"), known(900, 1000), known(160, 200), "")
    assert (found.checks, found.reasons) == ((), ())
    assert found.tables[0].rows[0][:5] == ("accuracy", "measured", "0.9", "0.8", "+0.1")


def test_judge__what_is_not_known_is_inconclusive() -> None:
    rules = Drift(current="live", performance={"accuracy": 0.1}, estimated_performance={"roc_auc": 0.1})
    found = performance.judge(EVALUATION, rules, known(900, 1000), "none has come.", "nobody answered.")
    assert {each.name: each.verdict for each in found.checks} == {
        "performance: accuracy": Verdict.INCONCLUSIVE,
        "estimated performance: roc_auc": Verdict.INCONCLUSIVE,
    }
    assert found.reasons == (
        "`accuracy` is not known: none has come.",
        "`roc_auc` (estimated) is not known: nobody answered.",
    )
    assert performance.not_judged(rules, "why.").verdict is Verdict.INCONCLUSIVE


ESTIMATED = Drift(current="live", estimated_performance={"accuracy": 0.05, "roc_auc": 0.05})


def of_days(seed: int, days: int, rows: int, spread: float) -> Known:
    """Rows of days that are easy or hard to tell: `spread` is the standard deviation of the log of how sure one is."""
    draw = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    score = draw.normal(scale=1.5, size=len(day)) * np.exp(draw.normal(scale=spread, size=days))[day]
    probability = 1 / (1 + np.exp(-score))
    truth = draw.random(len(day)) < probability
    return Known(Binary(truth, probability >= 0.5, probability), Sampling(len(day), clusters=day))


def independent(known: Known) -> Known:
    return Known(known.outcome, Sampling(known.sampling.rows))


def test_estimated__days_that_are_alike_are_days_and_not_rows() -> None:
    """Nothing has changed, so that an interval for 95 % has to hold 0 in 95 % of the windows."""
    missed = {"days": 0, "rows": 0}
    windows = 100
    for seed in range(windows):
        sides = of_days(seed, 60, 60, 1.0), of_days(10_000 + seed, 10, 100, 1.0)
        for name, (before, now) in {"days": sides, "rows": tuple(map(independent, sides))}.items():
            for check in performance.judge(EVALUATION, ESTIMATED, before, "none has come.", now).checks:
                low, high = check.values["drop_low"], check.values["drop_high"]
                assert isinstance(low, float) and isinstance(high, float)
                missed[name] += not low <= 0 <= high
    assert missed["days"] <= 2 * windows * 0.09  # of two metrics; more has a chance of 2 % at 5 %
    assert missed["rows"] >= 2 * windows * 0.15


def test_estimated__clusters_of_one_row_are_independent_rows() -> None:
    before, now = of_days(1, 800, 1, 0.5), of_days(2, 300, 1, 0.5)
    by_clusters = performance.judge(EVALUATION, ESTIMATED, before, "none.", now).checks
    by_rows = performance.judge(EVALUATION, ESTIMATED, independent(before), "none.", independent(now)).checks
    for one, other in zip(by_clusters, by_rows, strict=True):
        assert one.values["drop_low"] == pytest.approx(other.values["drop_low"], abs=1e-3)


def test_estimated__the_error_of_clusters_of_one_size_falls_with_the_root_of_their_number() -> None:
    """With sizes as in the reference the standard error is that of as many of its clusters."""
    before, now = of_days(1, 60, 60, 1.0), of_days(2, 15, 60, 1.0)
    (check, _) = performance.judge(EVALUATION, ESTIMATED, before, "none.", now).checks
    interval = of_one(find("accuracy", "binary"), before.outcome, before.sampling)
    value = estimation.estimate("accuracy", before.outcome, now.outcome)
    low = interval.value - value - np.hypot(interval.value - interval.low, 2 * (interval.high - interval.value))
    assert check.values["drop_low"] == pytest.approx(low)


def test_estimated__a_reference_without_the_clusters_is_inconclusive() -> None:
    before, now = of_days(1, 60, 60, 1.0), of_days(2, 15, 60, 1.0)
    found = performance.judge(EVALUATION, ESTIMATED, independent(before), "none.", now)
    assert {each.verdict for each in found.checks} == {Verdict.INCONCLUSIVE}
    assert "the reference does not have the column of the clusters" in found.reasons[0]
