"""What of a model's answers is compared, and which rows it is asked about."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from slipway.comparison.production import answer_columns, drawn
from slipway.policy.evaluation import Evaluation
from slipway.policy.rules import MetricRule
from slipway.prediction.process import Predictions


def evaluation(task: Any, **keys: Any) -> Evaluation:
    metric = {"regression": "r2", "multilabel": "f1_micro"}.get(task, "accuracy")
    return Evaluation(task=task, holdout="holdout", target="y", metrics={metric: MetricRule()}, **keys)


LABELS = {"prediction": [0, 1]}
PROBABILITIES = {**LABELS, "probability_0": [0.75, 0.25], "probability_1": [0.25, 0.75]}


@pytest.mark.parametrize(
    ("task", "keys", "frame", "classes", "expected"),
    [
        ("regression", {}, {"prediction": [1, 2]}, None, {"prediction": [1.0, 2.0]}),
        ("binary", {}, PROBABILITIES, None, {"prediction": [0.25, 0.75]}),
        ("binary", {"positive": "bad"}, PROBABILITIES, ["bad", "good"], {"prediction": [0.75, 0.25]}),
        ("binary", {}, LABELS, [False, True], {"prediction": ["false", "true"]}),
        ("multiclass", {}, PROBABILITIES, ["a", "b"], {"prediction": ["a", "b"]}),
        (
            "multilabel",
            {},
            {"prediction_0": [True, False], "probability_0": [0.75, 0.25]},
            ["news"],
            {"prediction of news": [0.75, 0.25]},
        ),
    ],
)
def test_answer_columns__by_task(
    task: str, keys: dict[str, Any], frame: dict[str, list[Any]], classes: list[Any] | None, expected: dict[str, Any]
) -> None:
    said = Predictions(pl.DataFrame(frame), classes)
    assert answer_columns(evaluation(task, **keys), said).to_dict(as_series=False) == expected


def test_drawn__about_so_many_rows_and_the_same_ones_again() -> None:
    frame = pl.LazyFrame({"row": range(100_000)})
    assert drawn(frame).height == 100_000
    some = drawn(frame, 10_000)
    assert some.columns == ["row"]
    assert some.height == pytest.approx(10_000, rel=0.05)
    assert some.equals(drawn(frame, 10_000))
    # From the beginning to the end, and no period of the data is met again and again.
    assert some["row"].mean() == pytest.approx(50_000, rel=0.03)
    assert (some["row"] % 7).n_unique() == 7
