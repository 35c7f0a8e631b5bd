"""The constant answer: its values are those of scikit-learn's dummy estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor

from slipway.evaluation.baseline import baseline, judge_baseline
from slipway.evaluation.findings import Findings
from slipway.evaluation.outcomes import Binary, Multiclass, Prices, Regression, Text
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.report import Verdict
from test_evaluation_reference import binary, multiclass, regression


def evaluation(task: str, *names: str, **more: Any) -> Evaluation:
    said = {"task": task, "holdout": "h", "target": "y", "metrics": {name: {} for name in names}, **more}
    return Evaluation.model_validate(said)


def test_baseline__of_two_classes_and_of_many_is_the_prior() -> None:
    for known in (binary(500, 0), multiclass(500, 0)):
        constant = baseline(known)
        truth, nothing = known.truth.astype(int), np.zeros((500, 1))
        dummy = DummyClassifier(strategy="prior").fit(nothing, truth)
        assert isinstance(constant, Binary | Multiclass)
        assert constant.probability is not None
        assert constant.label.astype(int).tolist() == dummy.predict(nothing).tolist()
        expected = dummy.predict_proba(nothing)
        assert constant.probability == pytest.approx(expected[:, 1] if isinstance(known, Binary) else expected)


def test_baseline__of_numbers_is_the_mean() -> None:
    known = regression(500, 0)
    constant = baseline(known)
    assert isinstance(constant, Regression)
    assert constant.prediction == pytest.approx(DummyRegressor().fit(known.truth, known.truth).predict(known.truth))


def test_judge_baseline__says_where_the_candidate_is_no_better() -> None:
    truth = np.arange(1000) % 10 == 0
    score = np.where(truth, 0.7, 0.2)
    candidate = Binary(truth, score > 0.1, score)  # calls everything positive
    asked = evaluation("binary", "accuracy", "roc_auc", "recall", "log_loss")
    found = judge_baseline(asked, candidate, Sampling(1000))
    assert found.checks == ()
    assert [row[0] for row in found.tables[0].rows] == ["accuracy\u00a0↑", "roc_auc\u00a0↑", "log_loss\u00a0↓"]
    assert [row[-1] for row in found.tables[0].rows] == ["no", "yes", "yes"]
    assert found.reasons[0].startswith("accuracy: the candidate is no better than a constant answer (difference -0.80")
    gated = judge_baseline(asked.model_copy(update={"beats_baseline": True}), candidate, Sampling(1000))
    assert [each.verdict for each in gated.checks] == [Verdict.FAIL, Verdict.PASS, Verdict.PASS]
    prior = np.full(1000, 0.1)
    assert gated.checks[2].values["baseline"] == pytest.approx(sk.log_loss(truth, prior))


def test_judge_baseline__of_costs_is_the_cheaper_answer() -> None:
    """Two in five rows are positive, and to miss one costs six times a false alarm: nobody should say no to all."""
    truth = np.arange(1000) % 5 < 2
    candidate = Binary(truth, truth ^ (np.arange(1000) % 7 == 0), costs=Prices(false_positive=5, false_negative=30))
    costs = {"false_positive": 5, "false_negative": 30}
    asked = evaluation("binary", "expected_cost", "accuracy", costs=costs, beats_baseline=True)
    cost, accuracy = judge_baseline(asked, candidate, Sampling(1000)).checks
    assert cost.values["baseline"] == pytest.approx(5 * 0.6)
    assert accuracy.values["baseline"] == pytest.approx(0.6)  # of the most frequent class


def test_judge_baseline__calibration_is_left_out() -> None:
    known = binary(500, 0)
    found = judge_baseline(evaluation("binary", "squared_calibration_error", "roc_auc"), known, Sampling(500))
    assert [row[0] for row in found.tables[0].rows] == ["roc_auc\u00a0↑"]


def test_judge_baseline__what_is_not_shown_is_inconclusive() -> None:
    random = np.random.default_rng(0)
    truth = random.random(300) < 0.5
    guess = random.random(300)
    asked = evaluation("binary", "roc_auc", beats_baseline=True)
    assert judge_baseline(asked, Binary(truth, guess > 0.5, guess), Sampling(300)).verdict is Verdict.INCONCLUSIVE
    silent = judge_baseline(asked, Binary(truth, guess > 0.5), Sampling(300))
    assert silent.verdict is Verdict.INCONCLUSIVE
    assert "the model gives no probabilities" in silent.reasons[0]
    few = judge_baseline(asked, binary(50, 0, ties=False), Sampling(50))
    assert few.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("names", [("recall",), ("f1", "fbeta@2")])
def test_judge_baseline__a_gate_that_no_metric_can_judge_lets_nothing_pass(names: tuple[str, ...]) -> None:
    truth = np.arange(1000) % 10 == 0
    candidate = Binary(truth, np.ones(1000, dtype=bool))
    asked = evaluation("binary", *names, beats_baseline=True)
    found = judge_baseline(asked, candidate, Sampling(1000))
    assert [each.verdict for each in found.checks] == [Verdict.INCONCLUSIVE]
    assert found.reasons == (found.checks[0].detail,)
    assert "`beats_baseline`" in found.reasons[0] and names[0] in found.reasons[0]
    assert judge_baseline(evaluation("binary", *names), candidate, Sampling(1000)) == Findings()


def test_judge_baseline__of_texts_is_not_judged_and_says_so() -> None:
    asked = Evaluation.model_validate(
        {"task": "text", "holdout": "h", "metrics": {"refusal": {}}, "beats_baseline": True}
    )
    candidate = Text({"refusal": np.zeros(500)}, {"refusal": False})
    assert [each.verdict for each in judge_baseline(asked, candidate, Sampling(500)).checks] == [Verdict.INCONCLUSIVE]


def test_judge_baseline__too_few_rows_are_said_and_do_not_count_among_the_gates() -> None:
    truth = np.arange(50) % 2 == 0
    asked = evaluation("binary", "accuracy", beats_baseline=True)
    (check,) = judge_baseline(asked, Binary(truth, truth ^ (np.arange(50) % 5 == 0)), Sampling(50)).checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "the holdout has 50 rows, and the policy asks for 100" in check.detail
    assert "p_beyond" not in check.values
