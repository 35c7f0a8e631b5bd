"""Performance without truths: against numbers recorded from NannyML, scikit-learn, and the truth itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from estimates_of_nannyml import CASES, COUNT, rows
from slipway.drift import estimation
from slipway.evaluation.metrics import UndefinedError
from slipway.evaluation.outcomes import Binary, Multiclass, Regression

RECORDED = json.loads(Path(__file__).with_name("estimates_of_nannyml.json").read_text())["estimates"]


def binary(seed: int, shift: float, squeeze: float = 1.0, count: int = COUNT) -> Binary:
    drawn = rows(seed, count, shift, squeeze)
    return Binary(drawn["truth"], drawn["label"], drawn["score"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("metric", ["roc_auc", "f1", "precision", "recall", "accuracy"])
def test_estimate__agrees_with_nannyml(case: str, metric: str) -> None:
    """NannyML calibrated in both cases, as we always do. It rounds the steps of its curve to five digits."""
    assert RECORDED[case]["needs_calibration"]
    found = estimation.estimate(metric, binary(1, 0.0, CASES[case]), binary(2, 0.7, CASES[case]))
    assert found == pytest.approx(RECORDED[case][metric], abs=1e-5)


def test_estimate__is_near_the_truth_that_it_does_not_look_at() -> None:
    reference, current = binary(1, 0.0, 3.0, 40_000), binary(2, 0.7, 3.0, 40_000)
    assert current.probability is not None
    true = {
        "roc_auc": roc_auc_score(current.truth, current.probability),
        "accuracy": accuracy_score(current.truth, current.label),
        "f1": f1_score(current.truth, current.label),
        "log_loss": log_loss(current.truth, current.probability),
        "brier_score": brier_score_loss(current.truth, current.probability),
    }
    blind = Binary(np.zeros_like(current.truth), current.label, current.probability)
    for name, value in true.items():
        # The loss of a few very wrong rows is most of the log loss, so that chance moves it most.
        assert estimation.estimate(name, reference, blind) == pytest.approx(value, rel=0.04), name


def test_estimate__is_the_metric_itself_where_probabilities_are_certain() -> None:
    """Expected counts of certain rows are counts: every metric is scikit-learn's, ties of the score included."""
    draw = np.random.default_rng(5)
    truth = draw.random(500) < 0.4
    score = np.round(np.clip(draw.normal(np.where(truth, 0.6, 0.4), 0.2), 0, 1), 1).astype(np.float64)
    p = truth.astype(float)
    assert estimation.roc_auc(p, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert estimation.log_loss(p, score) == pytest.approx(log_loss(truth, score), abs=1e-12)
    assert estimation.brier_score(p, score) == pytest.approx(brier_score_loss(truth, score), abs=1e-12)
    assert estimation.f1(p, score >= 0.5) == pytest.approx(f1_score(truth, score >= 0.5), abs=1e-12)


def test_calibrate__is_scikit_learns_isotonic_regression() -> None:
    draw = np.random.default_rng(3)
    scores = np.round(draw.random(800), 2)
    truth = draw.random(800) < scores**2
    theirs = IsotonicRegression(out_of_bounds="clip", increasing=True).fit(scores, truth)
    new = np.linspace(-0.2, 1.2, 300)
    assert estimation.calibrate(scores, truth)(new) == pytest.approx(theirs.predict(new), abs=1e-12)


def test_estimate__multiclass_accuracy_is_near_the_truth() -> None:
    def drawn(seed: int, shift: float) -> Multiclass:
        draw = np.random.default_rng(seed)
        logits = draw.normal(size=(30_000, 3)) + shift * np.array([1.0, 0.0, -1.0])
        odds = np.exp(logits)
        probability = odds / odds.sum(axis=1, keepdims=True)
        truth = (draw.random((30_000, 1)) > probability.cumsum(axis=1)).sum(axis=1)
        sure = np.exp(2 * logits)
        return Multiclass(truth, probability.argmax(axis=1), 3, sure / sure.sum(axis=1, keepdims=True))

    reference, current = drawn(1, 0.0), drawn(2, 1.0)
    right = accuracy_score(current.truth, current.label)
    assert right > accuracy_score(reference.truth, reference.label) + 0.05
    assert estimation.estimate("accuracy", reference, current) == pytest.approx(right, abs=0.015)


def test_estimate__what_cannot_be_estimated() -> None:
    known = binary(1, 0.0)
    bare = Binary(known.truth, known.label)
    numbers = Regression(np.zeros(3), np.zeros(3))
    for metric, reference, current, said in [
        ("roc_auc", known, bare, "no probabilities"),
        ("matthews_corrcoef", known, known, "of binary tasks roc_auc"),
        ("r2", numbers, numbers, "only binary and multiclass"),
    ]:
        with pytest.raises(UndefinedError, match=said):
            estimation.estimate(metric, reference, current)  # type: ignore[arg-type]
