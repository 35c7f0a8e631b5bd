"""The judgement: verdicts, checks, reasons and the table, from the policy's rules and two models' answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.evaluation.fairness import judge_fairness
from slipway.evaluation.findings import Findings
from slipway.evaluation.intervals import of_one
from slipway.evaluation.judgement import decimals, judge, measure
from slipway.evaluation.metrics import find
from slipway.evaluation.multiplicity import account
from slipway.evaluation.outcomes import Binary, Outcome, Regression
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.report import Report, Verdict
from slipway.report.advice import FIRST_RELEASE
from test_evaluation_reference import binary, regression

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def evaluation(metrics: Mapping[str, Mapping[str, float]], **more: Any) -> Evaluation:
    said = {"task": "binary", "holdout": "holdout", "target": "late", "metrics": metrics, **more}
    return Evaluation.model_validate(said)


def models(rows: int = 2000, *, worse: float = 0.0) -> tuple[Binary, Binary]:
    """Production, and a candidate whose scores are blurred by so much noise."""
    production = binary(rows, 7, ties=False)
    assert production.probability is not None
    noise = np.random.default_rng(1).normal(size=rows)
    odds = np.log(production.probability / (1 - production.probability)) + worse * noise
    score = 1 / (1 + np.exp(-odds))
    return production, Binary(production.truth, score >= 0.5, score)


def judged(
    metrics: Mapping[str, Mapping[str, float]],
    candidate: Outcome,
    production: Outcome | None,
    **more: Any,
) -> Findings:
    judgement = account(judge(evaluation(metrics, **more), candidate, production, Sampling(len(candidate))), 0.95)
    # Whatever is judged must be fit for a report: no NaN, no infinity, a cell for each column.
    Report(stage="evaluate-model", model="m", verdict=judgement.verdict, checks=judgement.checks)
    for each in judgement.checks:
        assert all(isfinite(value) for value in each.values.values() if isinstance(value, float))
    assert all(len(row) == len(judgement.tables[0].columns) for row in judgement.tables[0].rows)
    return judgement


def test_judge__an_equal_candidate_passes_a_margin() -> None:
    production, candidate = models(worse=0.05)
    judgement = judged({"roc_auc": {"margin": 0.02}, "log_loss": {"margin": 0.02}}, candidate, production)
    assert judgement.verdict is PASS
    assert judgement.reasons == ()
    assert [each.name for each in judgement.checks] == ["roc_auc: not worse by 0.02", "log_loss: not worse by 0.02"]
    assert all("clear of the limit" in each.detail for each in judgement.checks)


def test_judge__a_precision_of_two_rows_is_inconclusive_and_says_so() -> None:
    """Both are right and the margin is wide, but nothing is known of a model that names two rows of 300."""
    truth = np.arange(300) < 60
    judgement = judged({"precision": {"margin": 0.9}}, Binary(truth, np.arange(300) < 2), Binary(truth, truth))
    (check,) = judgement.checks
    assert check.verdict is INCONCLUSIVE
    assert judgement.reasons == (
        "precision has no interval for the difference: too few rows carry the label that it counts: 2; "
        "at least 3 are needed.",
    )


def test_judge__a_worse_candidate_fails_and_says_why() -> None:
    production, candidate = models(worse=3)
    judgement = judged({"roc_auc": {"margin": 0.01}}, candidate, production)
    assert judgement.verdict is FAIL
    (reason,) = judgement.reasons
    (check,) = judgement.checks
    assert reason == check.detail
    value, low, high = (float(check.values[name] or 0) for name in ("value", "low", "high"))
    assert low < value < high < -0.01
    assert reason == (
        f"roc_auc changed by {value:+.3f} (95 % interval {low:+.3f} to {high:+.3f}): "
        "all of it is beyond the limit -0.01 of “not worse by 0.01”."
    )


def test_judge__too_few_rows_to_tell_is_inconclusive_and_names_how_many_would() -> None:
    production, candidate = models(rows=200, worse=0.3)
    judgement = judged({"roc_auc": {"margin": 0.001}}, candidate, production)
    assert judgement.verdict is INCONCLUSIVE
    (check,) = judgement.checks
    needed = check.values["rows_needed"]
    assert isinstance(needed, int)
    assert "lies inside" in check.detail
    assert "rows would settle it" in check.detail or "Another holdout" in check.detail


def test_judge__a_better_candidate_passes_better_by() -> None:
    better, worse = models(worse=2)
    judgement = judged({"roc_auc": {"better_by": 0.0}, "log_loss": {"better_by": 0}}, better, worse)
    assert judgement.verdict is PASS
    assert [each.name for each in judgement.checks] == ["roc_auc: better", "log_loss: better"]
    assert judged({"roc_auc": {"better_by": 0.0}}, worse, better).verdict is FAIL


def test_judge__the_same_scores_are_not_worse_and_not_better() -> None:
    production, _ = models()
    assert judged({"roc_auc": {"margin": 0}}, production, production).verdict is PASS
    assert judged({"log_loss": {"margin": 0}}, production, production).verdict is PASS
    assert judged({"roc_auc": {"better_by": 0}}, production, production).verdict is FAIL


@pytest.mark.parametrize("name", ["accuracy", "recall", "precision", "f1", "balanced_accuracy", "matthews_corrcoef"])
def test_judge__the_same_labels_on_few_rows_do_not_pass_a_small_margin(name: str) -> None:
    """Labels agree easily: 100 rows without a disagreement leave room for 3 in 100."""
    few, many = models(rows=100)[0], models(rows=50_000)[0]
    assert judged({name: {"margin": 0.005}}, few, few).verdict is INCONCLUSIVE
    assert judged({name: {"margin": 0.005}}, many, many).verdict is PASS


def test_judge__perfect_recall_of_five_positives_does_not_pass_a_high_minimum() -> None:
    truth = np.arange(200) < 5
    perfect = Binary(truth, truth)
    assert judged({"recall": {"min": 0.9}}, perfect, None).verdict is INCONCLUSIVE
    assert judged({"f1": {"min": 0.9}}, perfect, None).verdict is INCONCLUSIVE


def test_judge__repeated_judgement_is_the_same() -> None:
    production, candidate = models(rows=300, worse=0.5)
    rules = {"average_precision": {"margin": 0.02}, "f1": {"margin": 0.02}}
    assert judged(rules, candidate, production) == judged(rules, candidate, production)


# First release -----------------------------------------------------------------------------------------------------


def test_first_release__only_absolute_gates_judge() -> None:
    _, candidate = models()
    judgement = judged({"roc_auc": {"margin": 0.01, "min": 0.6}, "log_loss": {"max": 0.9}}, candidate, None)
    assert judgement.verdict is PASS
    assert [each.name for each in judgement.checks] == ["roc_auc: at least 0.6", "log_loss: at most 0.9"]
    assert all(each.values["production"] is None for each in judgement.checks)


def test_first_release__fails_its_minimum() -> None:
    _, candidate = models()
    judgement = judged({"roc_auc": {"min": 0.99}}, candidate, None)
    assert judgement.verdict is FAIL
    assert "all of it is beyond the limit 0.99 of “at least 0.99”" in judgement.reasons[0]
    assert judgement.reasons[0].startswith("roc_auc is 0.")


def test_first_release__without_an_absolute_gate_nothing_was_judged() -> None:
    _, candidate = models()
    judgement = judged({"roc_auc": {"margin": 0.01}}, candidate, None)
    assert judgement.verdict is INCONCLUSIVE
    assert [each.name for each in judgement.checks] == [FIRST_RELEASE]
    assert "No absolute gate" in judgement.reasons[0]
    assert len(judgement.tables[0].rows) == 1


def test_first_release__without_an_absolute_gate_is_no_pass_by_another_suites_gate() -> None:
    _, candidate = models()
    fairness = {"groups": ["sex"], "metrics": {"selection_rate": {"max_gap": 0.5}}}
    asked = evaluation({"roc_auc": {"margin": 0.01}}, fairness=fairness)
    sampling = Sampling(len(candidate))
    fair = judge_fairness(asked, candidate, None, pl.DataFrame({"sex": ["a", "b"] * 1000}), sampling)
    assert fair.verdict is PASS
    assert account(judge(asked, candidate, None, sampling) + fair, 0.95).verdict is INCONCLUSIVE


def test_no_gates__is_inconclusive_and_shown() -> None:
    production, candidate = models()
    judgement = judged({"roc_auc": {}, "accuracy": {}}, candidate, production)
    assert judgement.verdict is INCONCLUSIVE
    assert judgement.reasons == (
        "No metric of the policy has a gate, so no quality over the whole holdout was judged.",
    )
    assert [row[0] for row in judgement.tables[0].rows] == ["roc_auc\u00a0↑", "accuracy\u00a0↑"]
    assert all(row[-2:] == ("none", "–") for row in judgement.tables[0].rows)


# Not measured ------------------------------------------------------------------------------------------------------


def test_min_rows__with_fewer_every_gate_is_inconclusive() -> None:
    production, candidate = models(rows=99, worse=5)
    rules = {"roc_auc": {"margin": 0.5, "min": 0.0}}
    judgement = judged(rules, candidate, production)
    assert judgement.verdict is INCONCLUSIVE
    assert [each.verdict for each in judgement.checks] == [INCONCLUSIVE, INCONCLUSIVE]
    assert "the holdout has 99 rows, and the policy asks for 100" in judgement.reasons[0]
    assert all("p_beyond" not in each.values for each in judgement.checks)  # no gate that chance could fail
    assert judged(rules, candidate, production, min_rows=99).verdict is PASS


def test_undefined__one_class_in_the_holdout_never_passes() -> None:
    production, candidate = models()
    one_class = [replace(each, truth=np.zeros(2000, dtype=bool)) for each in (candidate, production)]
    rules = {name: {"margin": 0.5, "min": 0.0} for name in ("roc_auc", "recall", "balanced_accuracy")}
    judgement = judged(rules, *one_class)
    assert judgement.verdict is INCONCLUSIVE
    assert {each.verdict for each in judgement.checks} == {INCONCLUSIVE}
    assert "roc_auc has no interval for the candidate: the holdout holds one class only." in judgement.reasons
    assert all(row[1:5] in {("–", "–", "–", "–"), ("", "–", "", "–")} for row in judgement.tables[0].rows)


def test_undefined__each_reason_is_said_once() -> None:
    production, candidate = models()
    unnamed = replace(candidate, probability=None)
    judgement = judged({"roc_auc": {"margin": 0.5, "min": 0.0}}, unnamed, production)
    assert judgement.reasons == ("roc_auc has no interval for the candidate: the model gives no probabilities.",)
    assert len(judgement.checks) == 2


def test_undefined__production_without_a_value_leaves_the_absolute_gate() -> None:
    production, candidate = models()
    silent = replace(production, probability=None)
    judgement = judged({"roc_auc": {"margin": 0.5, "min": 0.5}}, candidate, silent)
    assert [each.verdict for each in judgement.checks] == [INCONCLUSIVE, PASS]
    assert judgement.reasons == ("roc_auc has no interval for production: the model gives no probabilities.",)
    assert judgement.verdict is INCONCLUSIVE


def test_undefined__a_perfect_candidate_is_compared_but_not_taken_at_its_word() -> None:
    production, _ = models(rows=200)
    perfect = replace(production, probability=production.truth.astype(float))
    judgement = judged({"roc_auc": {"better_by": 0.0, "min": 0.9}}, perfect, production)
    assert [each.verdict for each in judgement.checks] == [PASS, INCONCLUSIVE]
    assert "it is perfect on these rows" in judgement.reasons[0]


def test_undefined__one_cluster() -> None:
    production, candidate = models()
    sampling = Sampling(2000, clusters=np.zeros(2000, dtype=np.int64))
    rules = evaluation({"roc_auc": {"margin": 0.5}, "average_precision": {"margin": 0.5}, "f1": {"margin": 0.5}})
    judgement = judge(rules, candidate, production, sampling)
    assert {each.verdict for each in judgement.checks} == {INCONCLUSIVE}
    assert all("fewer than two independent rows or clusters" in reason for reason in judgement.reasons)


@pytest.mark.parametrize("huge", [1e100, 1e200, 1e308])
def test_undefined__a_model_that_diverged_is_inconclusive_and_no_crash(huge: float) -> None:
    production = regression(150, 0)
    diverged = Regression(production.truth, np.where(np.arange(150) == 3, huge, production.prediction))
    names = ("r2", "explained_variance", "mean_squared_error", "root_mean_squared_error", "mean_absolute_error")
    judgement = judged({name: {"margin": 0.1} for name in names}, diverged, production, task="regression")
    assert PASS not in {each.verdict for each in judgement.checks}


# Several gates, order, names ---------------------------------------------------------------------------------------


def test_several_gates__fails_are_said_before_what_is_open() -> None:
    production, candidate = models(rows=300, worse=3)
    rules: dict[str, dict[str, float]] = {
        "accuracy": {"margin": 0.2},
        "roc_auc": {"margin": 0.01, "min": 0.4, "max": 0.99},
    }
    judgement = judged(rules, candidate, production)
    assert [each.name for each in judgement.checks] == [
        "accuracy: not worse by 0.2",
        "roc_auc: not worse by 0.01",
        "roc_auc: at least 0.4",
        "roc_auc: at most 0.99",
    ]
    assert [each.verdict for each in judgement.checks] == [INCONCLUSIVE, FAIL, PASS, PASS]
    assert judgement.verdict is FAIL
    assert [reason.split()[0] for reason in judgement.reasons] == ["roc_auc", "accuracy"]


def test_one_fail_among_passes_fails() -> None:
    production, candidate = models(worse=3)
    judgement = judged({"roc_auc": {"min": 0.5, "margin": 0.01}, "log_loss": {"max": 5}}, candidate, production)
    assert sorted(each.verdict for each in judgement.checks) == [FAIL, PASS, PASS]
    assert judgement.verdict is FAIL


def test_unknown_metric__suggests_the_nearest() -> None:
    production, candidate = models()
    with pytest.raises(ValueError, match="did you mean `roc_auc`"):
        judged({"auc_roc": {}}, candidate, production)


def test_alias__is_shown_under_the_metrics_own_name() -> None:
    production, candidate = models()
    judgement = judged({"neg_log_loss": {"margin": 0.5}}, candidate, production)
    assert judgement.checks[0].name == "log_loss: not worse by 0.5"


def test_checks__hold_the_numbers_behind_the_verdict() -> None:
    production, candidate = models(worse=0.3)
    (check,) = judged({"log_loss": {"margin": 0.05}}, candidate, production).checks
    values = check.values
    log_loss = find("log_loss", "binary")
    assert values["candidate"] == of_one(log_loss, candidate, Sampling(2000)).value
    assert values["production"] == of_one(log_loss, production, Sampling(2000)).value
    assert values["value"] == pytest.approx(float(values["candidate"] or 0) - float(values["production"] or 0))
    assert values["limit"] == 0.05
    assert values["method"] == "paired, closed form"
    assert values["rows_needed"] is None
    assert set(values) == {
        "production",
        "candidate",
        "value",
        "low",
        "high",
        "standard_error",
        "limit",
        "method",
        "rows_needed",
        *("p_beyond", "p_adjusted", "minimum_detectable_effect"),
    }


def test_measure__without_production_has_no_difference() -> None:
    production, candidate = models(rows=200)
    metric = find("f1", "binary")
    alone = measure(metric, candidate, None, Sampling(200))
    assert not isinstance(alone.candidate, str)
    assert (alone.production, alone.difference) == ("", "")
    both = measure(metric, candidate, production, Sampling(200))
    assert not isinstance(both.difference, str)


# Table and numbers -------------------------------------------------------------------------------------------------


def test_table__one_row_a_gate_with_the_interval_that_it_looks_at() -> None:
    production, candidate = models(worse=0.3)
    judgement = judged({"roc_auc": {"margin": 0.05, "min": 0.5}, "f1": {}}, candidate, production)
    assert [column.name for column in judgement.tables[0].columns] == [
        "metric",
        "production",
        "candidate",
        "difference",
        "95 % interval",
        "gate",
        "verdict",
    ]
    compared, absolute, shown = judgement.tables[0].rows
    relative, own = judgement.checks
    assert compared[0] == "roc_auc\u00a0↑"
    assert str(compared[4]) == f"{relative.values['low']:+.4f} to {relative.values['high']:+.4f}"
    assert compared[5:] == ("not worse by 0.05", "pass")
    assert str(absolute[4]) == f"{own.values['low']:.4f} to {own.values['high']:.4f}"
    assert absolute[5:] == ("at least 0.5", "pass")
    assert (absolute[1], absolute[3]) == ("", "")
    assert shown[0] == "f1\u00a0↑"
    assert shown[5:] == ("none", "–")
    assert judgement.tables[0].note.startswith("2,000 rows, the same for both models.")


def test_table__tells_losses_and_clusters() -> None:
    production, candidate = models(worse=0.3)
    sampling = Sampling(2000, confidence=0.9, clusters=np.arange(2000) // 10)
    table = judge(evaluation({"log_loss": {}}), candidate, production, sampling).tables[0]
    assert table.rows[0][0] == "log_loss\u00a0↓"
    assert table.columns[4].name == "90 % interval"
    assert table.note.startswith("2,000 rows in 200 clusters")


@pytest.mark.parametrize(
    ("error", "digits"),
    [
        (123.0, 0),
        (12.0, 0),
        (9.99, 1),
        (1.0, 1),
        (0.5, 2),
        (0.1, 2),
        (0.0123, 3),
        (0.001, 4),
        (2.5e-5, 6),
        (1e-30, 8),
        (0.0, 4),
    ],
)
def test_decimals__two_digits_of_the_uncertainty(error: float, digits: int) -> None:
    assert decimals(error) == digits


def test_sentence__large_numbers_have_no_decimals() -> None:
    production = regression(400, 0)
    big = [Regression(1e6 * each.truth, 1e6 * each.prediction) for each in (production, regression(400, 0))]
    (check,) = judged({"mean_absolute_error": {"max": 5e6}}, big[1], big[0], task="regression").checks
    value = check.values["value"]
    assert f"mean_absolute_error is {value:.0f} (" in check.detail


@pytest.mark.parametrize(("rows", "expected"), [(120, "120"), (4000, "4,000")])
def test_min_rows__sentence_groups_thousands(rows: int, expected: str) -> None:
    production, candidate = models(rows=rows)
    (check,) = judged({"f1": {"min": 0.1}}, candidate, production, min_rows=10_000).checks
    assert check.detail == f"No gate can judge: the holdout has {expected} rows, and the policy asks for 10,000."


def test_limit__of_a_margin_of_zero_is_not_minus_zero() -> None:
    production, candidate = models(worse=0.3)
    (check,) = judged({"roc_auc": {"margin": 0}}, candidate, production).checks
    assert "limit +0 " in check.detail


def test_table__names_the_smallest_change_that_shows_for_each_relative_gate() -> None:
    production, candidate = models(worse=0.05)
    rules = {"roc_auc": {"margin": 0.02, "min": 0.5}, "log_loss": {"margin": 0.02}, "accuracy": {"min": 0.1}}
    found = judged(rules, candidate, production)
    effects = [check.values["minimum_detectable_effect"] for check in (found.checks[0], found.checks[2])]
    expected = f"with 80 % power: roc_auc {effects[0]:.2g}, log_loss {effects[1]:.2g}."
    assert found.tables[0].note.endswith(expected)


def test_sentence__the_limit_has_all_of_its_digits() -> None:
    """Rounded to six, the value below would seem to keep it."""
    numbers = Regression(np.full(2000, 3873.0) + 0.001 * np.random.default_rng(0).normal(size=2000), np.zeros(2000))
    judgement = judged({"mean_squared_error": {"max": 15000049.0}}, numbers, None, task="regression")
    assert judgement.verdict is FAIL
    assert "beyond the limit 15000049 of “at most 15000049”" in judgement.reasons[0]
