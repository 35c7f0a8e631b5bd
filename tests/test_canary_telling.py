"""What people read of a look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canary_kit import MINUTE, NOON, arm, interval, latency, observation, rules, scores, stream
from slipway.canary import looking, telling
from slipway.canary.looking import CanaryState
from slipway.canary.observations import Categories
from slipway.policy.canary import Canary
from slipway.report import Report, Span, Verdict, markdown

METRICS = {"latency": {}, "predictions": {}, "outcomes": {"right": {"margin": 0.05}}}


def after(policy: Canary, looks: int, *, seed: int = 1, name: str = "late") -> CanaryState:
    rng, state = np.random.default_rng(seed), looking.begin(policy, NOON)
    for minute in range(1, looks + 1):
        since = NOON + (minute - 1) * MINUTE
        arms: dict[str, Any] = {}
        for version, n in (("canary", 200), ("baseline", 1_800)):
            late = int(rng.binomial(n, 0.25))
            wrong = int(rng.binomial(n, 0.2))
            arms[version] = arm(
                n,
                int(rng.binomial(n, 0.05)),
                since=since,
                latency=latency(rng, n),
                predictions=Categories(categories={name: late, "early": n - late}),
                outcomes={"right": scores(wrong, n - wrong)},
            )
        state = looking.look(state, observation(minute, **arms), policy, since + MINUTE)
    return state


@pytest.mark.parametrize(
    ("decision", "share", "verdict"),
    [
        ("continue", 0.1, "inconclusive"),
        ("advance", 0.1, "pass"),
        ("promote", 1.0, "pass"),
        ("roll-back", 0.0, "fail"),
        ("inconclusive", None, "inconclusive"),
    ],
)
def test_decision__has_a_share_a_verdict_and_advice(decision: Any, share: float | None, verdict: str) -> None:
    state = looking.begin(rules(), NOON).model_copy(update={"decision": decision})
    assert telling.share_of(state, rules()) == share
    assert telling.VERDICTS[decision] == verdict
    assert telling.ADVICE[decision]


def test_headline__says_from_where_to_where_it_advances() -> None:
    policy = rules(stages=[{"share": 0.1, "minutes": 1, "requests": 1, "prove": False}, {"share": 0.5}])
    state = looking.look(looking.begin(policy, NOON), interval(1, (100, 1), (900, 9)), policy, NOON + MINUTE)
    assert telling.headline(state, policy, "8") == (
        "Canary 8 from 0.1 to 0.5 of the traffic after 1 look: advance. Give it more traffic."
    )


def test_table__shows_every_metric_with_both_versions_and_the_interval_of_the_ratio() -> None:
    policy = rules(metrics=METRICS, stages=[{"share": 0.1, "minutes": 999}])
    state = after(policy, 10)
    table, quantiles = telling.tables(state, policy)
    assert [str(row[0]).split(":")[0] for row in table.rows] == ["errors", "latency", "predictions", "outcome right"]
    ratio = table.rows[0][3]
    assert isinstance(ratio, Span)
    assert ratio.low <= ratio.value <= ratio.high
    assert (ratio.limit, ratio.above) == (1.5, False)
    # Of a score that is better when greater people see the score itself.
    assert [float(str(cell)) for cell in table.rows[3][1:3]] == pytest.approx([0.8, 0.8], abs=0.03)
    assert [row[0] for row in quantiles.rows] == ["p50", "p95", "p99"]
    assert quantiles.rows[0][1] == "100 ms"


def test_table__before_the_first_look_claims_nothing() -> None:
    policy = rules(metrics=METRICS)
    state = looking.begin(policy, NOON)
    (table,) = telling.tables(state, policy)
    assert {row[-1] for row in table.rows} == {"inconclusive"}
    assert {row[3] for row in table.rows} == {"–"}
    assert {check.verdict for check in telling.checks(state, policy)} == {Verdict.INCONCLUSIVE}
    assert telling.charts(state, policy) == ()


def test_table__without_errors_of_the_baseline_there_is_no_ratio() -> None:
    policy = rules()
    state = looking.look(looking.begin(policy, NOON), interval(1, (100, 1), (900, 0)), policy, NOON + MINUTE)
    assert telling.tables(state, policy)[0].rows[0][3] == "–"
    assert telling.checks(state, policy)[0].values["ratio"] is None


def test_checks__say_how_many_errors_an_equal_canary_needs() -> None:
    policy = rules(stages=[{"share": 0.1, "minutes": 999}])
    state = after(policy, 3)
    errors = telling.checks(state, policy)[0]
    assert "an equal canary at 0.1 of the traffic needs about 749 errors of both" in errors.detail


def test_charts__have_few_points_and_no_evidence_flattens_the_rest() -> None:
    policy = rules(
        metrics={"errors": {"margin": 1.001, "floor": 0}}, horizon_hours=99, stages=[{"share": 0.1, "minutes": 9_999}]
    )
    state = looking.begin(policy, NOON)
    for each in stream(np.random.default_rng(2), [0.2] * 150, harm=0.2):
        state = looking.look(state, each, policy, each.at)
    (chart,) = telling.charts(state, policy)
    assert all(len(each.points) <= looking.MOST_POINTS for each in chart.series)
    heights = [point.y for each in chart.series for point in each.points]
    assert max(heights) <= 6
    assert min(heights) >= -telling.SHOWN
    assert state.metrics["errors"].proof_evidence > 100


def test_report__escapes_what_a_category_is_called() -> None:
    policy = rules(metrics=METRICS, stages=[{"share": 0.1, "minutes": 999}])
    state = after(policy, 6, name="<img src=x>|@octo [a](http://x)")
    report = Report(
        stage="judge-canary",
        model="flights",
        verdict=Verdict.INCONCLUSIVE,
        checks=telling.checks(state, policy),
        tables=telling.tables(state, policy),
        charts=telling.charts(state, policy),
    )
    page = markdown.stage_page(report)
    assert "<img" not in page
    assert "](http://x)" not in page
