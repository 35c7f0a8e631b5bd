"""How far a metric fell, with its interval, and what that makes of a limit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from slipway.drift import performance
from slipway.drift.performance import Known
from slipway.evaluation.outcomes import Binary
from slipway.evaluation.sampling import Sampling
from slipway.policy import Drift, Evaluation, MetricRule
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
    (check,) = performance.judge(EVALUATION, rules, known(900, 1000), known(160, 200), "", 200).checks
    (low_a, high_a), (low_b, high_b) = wilson(0.9, 1000), wilson(0.8, 200)
    assert check.values["drop"] == pytest.approx(0.1)
    assert check.values["drop_low"] == pytest.approx(0.1 - np.hypot(0.9 - low_a, high_b - 0.8), abs=1e-9)
    assert check.values["drop_high"] == pytest.approx(0.1 + np.hypot(high_a - 0.9, 0.8 - low_b), abs=1e-9)


@pytest.mark.parametrize(("limit", "verdict"), [(0.01, Verdict.FAIL), (0.1, Verdict.INCONCLUSIVE), (0.3, Verdict.PASS)])
def test_judge__holds_the_interval_against_the_limit(limit: float, verdict: Verdict) -> None:
    rules = Drift(current="live", performance={"accuracy": limit})
    found = performance.judge(EVALUATION, rules, known(900, 1000), known(160, 200), "", 200)
    (check,) = found.checks
    assert (check.name, check.verdict, check.values["role"]) == ("performance: accuracy", verdict, "performance")
    assert bool(found.reasons) == (verdict is not Verdict.PASS)


def test_judge__without_a_limit_shows_and_judges_nothing() -> None:
    found = performance.judge(EVALUATION, Drift(current="live"), known(900, 1000), known(160, 200), "", 200)
    assert (found.checks, found.reasons) == ((), ())
    assert found.tables[0].rows[0][:5] == ("accuracy", "measured", "0.9", "0.8", "+0.1")


def test_judge__what_is_not_known_is_inconclusive() -> None:
    rules = Drift(current="live", performance={"accuracy": 0.1}, estimated_performance={"roc_auc": 0.1})
    found = performance.judge(EVALUATION, rules, known(900, 1000), "none has come.", "nobody answered.", 200)
    assert {each.name: each.verdict for each in found.checks} == {
        "performance: accuracy": Verdict.INCONCLUSIVE,
        "estimated performance: roc_auc": Verdict.INCONCLUSIVE,
    }
    assert found.reasons == (
        "`accuracy` is not known: none has come.",
        "`roc_auc` (estimated) is not known: nobody answered.",
    )
    assert performance.not_judged(rules, "why.").verdict is Verdict.INCONCLUSIVE
