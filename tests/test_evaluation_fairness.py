"""Gaps between groups against sums by hand, and the coverage of their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from slipway.evaluation.fairness import MOST_GROUPS, find, judge_fairness, known
from slipway.evaluation.findings import Findings
from slipway.evaluation.gaps import change_of, gap_of, measure_groups
from slipway.evaluation.grouping import Grouping
from slipway.evaluation.outcomes import Binary, Outcome, Regression
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.report import Report, Verdict


def evaluation(metrics: dict[str, Any], task: str = "binary", **more: Any) -> Evaluation:
    fairness = {"groups": ["sex"], "metrics": metrics, "min_rows": 20, **more}
    metric = "r2" if task == "regression" else "accuracy"
    said = {
        "task": task,
        "holdout": "h",
        "target": "y",
        "metrics": {metric: {}},
        "fairness": fairness,
    }
    return Evaluation.model_validate(said)


def judged(asked: Evaluation, candidate: Outcome, production: Outcome | None, **columns: Any) -> Findings:
    found = judge_fairness(asked, candidate, production, pl.DataFrame(columns), Sampling(len(candidate)))
    Report(stage="evaluate-model", model="m", verdict=found.verdict, checks=found.checks, tables=found.tables)
    return found


def lending(rows: int, *, apart: float, seed: int = 0) -> tuple[Binary, list[str]]:
    """Group b is called positive less often, by so much."""
    random = np.random.default_rng(seed)
    sex = random.choice(["a", "b"], rows)
    label = random.random(rows) < np.where(sex == "a", 0.6, 0.6 - apart)
    return Binary(random.random(rows) < 0.5, label), sex.tolist()


def test_gap__is_what_fairlearn_calls_demographic_parity_and_equal_opportunity_difference() -> None:
    """By hand; fairlearn 0.15 gives 3/7, 1/4 and 2/3 for these rows."""
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0] * 10, dtype=bool)
    label = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0] * 10, dtype=bool)
    sex = (["a"] * 7 + ["b"] * 7) * 10
    names = ("selection_rate", "recall", "false_positive_rate")
    found = judged(evaluation({name: {"max_gap": 0.1} for name in names}), Binary(truth, label), None, sex=sex)
    gaps = {each.name.split(": ")[1]: each.values["value"] for each in found.checks}
    assert gaps == pytest.approx(
        {"selection_rate": 5 / 7 - 2 / 7, "recall": 3 / 4 - 2 / 4, "false_positive_rate": 2 / 3}
    )
    assert found.tables[0].rows[1][6] == "sex = a / sex = b"


def test_gap__of_two_groups_has_the_error_of_independent_shares() -> None:
    outcome, sex = lending(4000, apart=0.1)
    (check,) = judged(evaluation({"selection_rate": {"max_gap": 0.2}}), outcome, None, sex=sex).checks
    of_a = np.array(sex) == "a"
    shares, rows = [outcome.label[one].mean() for one in (of_a, ~of_a)], [of_a.sum(), (~of_a).sum()]
    expected = np.sqrt(sum(share * (1 - share) / count for share, count in zip(shares, rows, strict=True)))
    assert check.values["value"] == pytest.approx(shares[0] - shares[1])
    assert check.values["standard_error"] == pytest.approx(expected, rel=5e-3)  # imaginary rows
    assert check.verdict is Verdict.PASS
    beyond = (float(check.values["value"] or 0) - 0.2) / float(check.values["standard_error"] or 0)
    assert check.values["p_beyond"] == pytest.approx(t.sf(beyond, 3999))
    assert "from 0.5" in check.detail and "(sex = b) to 0.6" in check.detail


@pytest.mark.parametrize(("apart", "verdict"), [(0.3, "fail"), (0.2, "inconclusive"), (0.02, "pass")])
def test_gate__verdicts(apart: float, verdict: str) -> None:
    outcome, sex = lending(4000, apart=apart)
    found = judged(evaluation({"selection_rate": {"max_gap": 0.2}}), outcome, outcome, sex=sex)
    assert found.verdict.value == verdict
    assert bool(found.reasons) is (verdict != "pass")


def test_gate__an_open_gap_says_how_many_rows_would_settle_it() -> None:
    asked = evaluation({"selection_rate": {"max_gap": 0.1}})
    outcome, sex = lending(400, apart=0.14, seed=2)
    (check,) = judged(asked, outcome, None, sex=sex).checks
    assert check.verdict is Verdict.INCONCLUSIVE
    needed = check.values["rows_needed"]
    assert isinstance(needed, int) and needed > 400
    assert "rows would settle it if the value stays (400 so far)." in check.detail
    # With so many rows four of five samples of the same gap settle it: 80 of these 100.
    gap = float(check.values["value"] or 0)
    settled = [
        judged(asked, found, None, sex=groups).checks[0].verdict is Verdict.FAIL
        for seed in range(100)
        for found, groups in [lending(needed, apart=gap, seed=seed)]
    ]
    assert 0.65 < np.mean(settled) < 0.95


def test_gate__a_group_that_was_not_measured_is_named_and_lets_nothing_pass() -> None:
    outcome, sex = lending(4000, apart=0.0)
    few = ["c" if place < 10 else each for place, each in enumerate(sex)]
    found = judged(evaluation({"selection_rate": {"max_gap": 0.2}}), outcome, None, sex=few)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "Not measured: sex = c (10 rows, and the policy asks for 20)" in found.reasons[0]
    truth = outcome.truth & (np.array(sex) == "a")
    nobody = judged(evaluation({"recall": {"max_gap": 0.2}}), Binary(truth, outcome.label), None, sex=sex)
    assert nobody.verdict is Verdict.INCONCLUSIVE
    assert "there are no two groups to compare" in nobody.reasons[0]
    assert "sex = b (the group has no positive row)" in nobody.reasons[0]
    failing, sexes = lending(4000, apart=0.4)
    few = ["c" if place < 10 else each for place, each in enumerate(sexes)]
    assert judged(evaluation({"selection_rate": {"max_gap": 0.2}}), failing, None, sex=few).verdict is Verdict.FAIL


def test_gate__rare_groups_are_one_where_the_policy_says_so() -> None:
    outcome, sex = lending(4000, apart=0)
    sex[:90] = ["c"] * 30 + ["d"] * 40 + ["e"] * 20
    gates = {"selection_rate": {"max_gap": 0.4}, "recall": {"max_gap": 0.4}}
    strict = judged(evaluation(gates, min_rows=80), outcome, None, sex=sex)
    assert strict.verdict is Verdict.INCONCLUSIVE
    found = judged(evaluation(gates, min_rows=80, rare="join"), outcome, None, sex=sex)
    assert found.verdict is Verdict.PASS
    groups = {row[1]: row[2] for row in found.tables[1].rows}
    assert groups["sex: 3 rare values together"] == 90
    assert found.reasons == (
        "Too few rows to be judged by themselves, so judged together: sex = e (20 rows), sex = c (30 rows), "
        "sex = d (40 rows). The policy asks for 80 rows.",
    )
    assert [row[:2] for row in found.tables[2].rows] == [("sex = e", 20), ("sex = c", 30), ("sex = d", 40)]


def test_gate__a_rare_group_by_itself_is_said_where_no_gate_waits_for_it() -> None:
    outcome, sex = lending(4000, apart=0)
    sex[:30] = ["c"] * 30
    found = judged(evaluation({"selection_rate": {"max_gap": 0.4}}, min_rows=80, rare="join"), outcome, None, sex=sex)
    assert found.verdict is Verdict.PASS
    assert found.reasons[0].startswith("Not judged, and no gate waits for it: sex = c (30 rows), 0.75 % of the rows.")
    alone = judged(evaluation({"selection_rate": {"max_gap": 0.4}}, min_rows=3000, rare="join"), outcome, None, sex=sex)
    assert alone.verdict is Verdict.INCONCLUSIVE, "no two groups are left"
    assert "there are no two groups to compare. Not measured: sex = a (" in alone.reasons[0]
    assert len(alone.reasons) == 1, "nothing is said to be judged together"


def test_change__of_the_gap_is_paired() -> None:
    outcome, sex = lending(4000, apart=0.1)
    found = judged(evaluation({"selection_rate": {}}), outcome, outcome, sex=sex)
    assert found.checks == ()
    assert found.tables[0].rows[0][5].startswith("+0.000 (+0.000 to +0.000)")  # type: ignore[union-attr]
    grouping = Grouping("sex", ("a", "b"), (np.array(sex) == "b").astype(np.int64))
    worse = Binary(outcome.truth, outcome.label & ~((grouping.codes == 1) & (np.arange(4000) % 5 == 0)))
    metric, sampling = find("selection_rate", evaluation({"recall": {}}), lending(20, apart=0)[0]), Sampling(4000)
    groups = list(measure_groups(metric, worse, outcome, grouping, sampling, min_rows=20))
    ours = gap_of([each.candidate for each in groups if each.candidate], sampling)
    theirs = gap_of([each.production for each in groups if each.production], sampling)
    assert ours and theirs
    change = change_of(ours, theirs, sampling)
    lost = (worse.label.astype(float) - outcome.label)[grouping.codes == 1]
    assert change.value == pytest.approx(-lost.mean())
    assert change.standard_error == pytest.approx(lost.std() / np.sqrt(len(lost)), rel=5e-3)


def test_clusters__that_both_groups_share_cancel() -> None:
    random = np.random.default_rng(0)
    days, sex = np.arange(4000) // 40, np.arange(4000) % 2
    prediction = random.normal(size=100)[days] + 0.1 * random.normal(size=4000)
    outcome = Regression(np.zeros(4000), prediction)
    grouping = Grouping("sex", ("a", "b"), sex)
    metric = find("mean_prediction", evaluation({"r2": {}}, task="regression"), outcome)
    errors = []
    for clusters in (None, days):
        sampling = Sampling(4000, clusters=clusters)
        groups = list(measure_groups(metric, outcome, None, grouping, sampling, min_rows=20))
        gap = gap_of([each.candidate for each in groups if each.candidate], sampling)
        assert gap
        errors.append(gap.interval.standard_error)
    of_day = prediction.reshape(100, 20, 2).mean(axis=1)
    daily = of_day[:, 0] - of_day[:, 1]
    assert errors[1] == pytest.approx(daily.std(ddof=1) / 10, rel=1e-3)
    assert errors[1] < errors[0] / 5


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.4, 0.6, 0.5), (0.3,) * 6])
def test_coverage__of_the_gap_after_picking_the_groups(shares: tuple[float, ...]) -> None:
    metric, covered = find("selection_rate", evaluation({"recall": {}}), lending(20, apart=0)[0]), []
    codes = np.repeat(np.arange(len(shares)), 200)
    grouping, sampling = Grouping("g", tuple(map(str, range(len(shares)))), codes), Sampling(len(codes))
    for seed in range(300):
        label = np.random.default_rng(seed).random(len(codes)) < np.array(shares)[codes]
        groups = list(measure_groups(metric, Binary(label, label), None, grouping, sampling, min_rows=20))
        gap = gap_of([each.candidate for each in groups if each.candidate], sampling)
        assert gap
        covered.append(gap.interval.low - 1e-12 <= max(shares) - min(shares) <= gap.interval.high)
    assert np.mean(covered) >= 0.92


def test_find__knows_metrics_of_groups_and_of_the_task() -> None:
    asked = evaluation({"recall": {}})
    assert find("recall_score", asked, lending(20, apart=0)[0]).name == "recall"
    with pytest.raises(KeyError, match="no metric for binary"):
        find("mean_prediction", asked, lending(20, apart=0)[0])


def test_gate__with_fewer_rows_than_the_policy_asks_for_is_inconclusive() -> None:
    outcome, sex = lending(300, apart=0.0)
    asked = evaluation({"selection_rate": {"max_gap": 0.5}}).model_copy(update={"min_rows": 1000})
    (check,) = judged(asked, outcome, None, sex=sex).checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "the holdout has 300 rows, and the policy asks for 1,000" in check.detail
    assert "p_beyond" not in check.values


def test_gate__a_model_that_diverged_is_inconclusive_and_no_crash() -> None:
    random = np.random.default_rng(0)
    wild = Regression(random.normal(size=400), 1e200 * random.normal(size=400))
    asked = evaluation({"mean_prediction": {"max_gap": 1}}, task="regression")
    (check,) = judged(asked, wild, None, sex=["a", "b"] * 200).checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "its standard error is not a finite number" in check.detail


def test_gate__a_column_of_too_many_groups_is_not_judged() -> None:
    outcome, _ = lending(2 * (MOST_GROUPS + 1), apart=0.0)
    found = judged(
        evaluation({"selection_rate": {"max_gap": 0.5}}), outcome, None, sex=[f"{n // 2}" for n in range(len(outcome))]
    )
    (check,) = found.checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert f"it makes {MOST_GROUPS + 1:,} groups" in check.detail
    assert all(len(table.rows) <= 1 for table in found.tables)


def test_gate__names_a_few_of_the_groups_that_were_not_measured() -> None:
    outcome, _ = lending(1000, apart=0.0)
    sex = ["a", "b"] * 450 + [f"rare {n // 2}" for n in range(100)]
    (check,) = judged(evaluation({"selection_rate": {"max_gap": 0.9}}), outcome, None, sex=sex).checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "and 45 more" in check.detail
    assert len(check.detail) < 600


def test_gate__a_group_that_production_has_no_value_for_is_judged() -> None:
    truth = np.arange(400) % 2 == 0
    sex = np.repeat(["a", "b"], 200)
    candidate = Binary(truth, truth | (sex == "b"))
    production = Binary(truth, truth & (sex == "a"))  # calls nobody of b positive: no precision
    found = judged(evaluation({"precision": {"max_gap": 0.1}}), candidate, production, sex=sex.tolist())
    (check,) = found.checks
    assert (check.verdict, check.values["value"]) == (Verdict.FAIL, 0.5)
    by_group = {str(row[1]): row[4:] for row in found.tables[1].rows}
    assert by_group["sex = b"] == ("–", "0.5000")


def test_known__tells_before_a_model_predicts_what_no_gap_is_measured_of() -> None:
    assert known("mean_prediction", "regression").name == "mean_prediction"
    with pytest.raises(KeyError, match="`selection_rate` is no metric for regression"):
        known("selection_rate", "regression")
