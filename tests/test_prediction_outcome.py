"""Predictions set beside the truth: labels of every type, classes in any order, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.evaluation.charts import charts_of
from slipway.evaluation.intervals import of_one
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Binary, Multiclass, Outcome, Regression
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.prediction.outcome import cluster_positions, outcomes, positive_label, unheard
from slipway.prediction.process import Predictions
from slipway.runner.errors import GateError, InputError


def evaluation(task: str = "binary", **more: Any) -> Evaluation:
    metric = "r2" if task == "regression" else "accuracy"
    said = {
        "task": task,
        "holdout": "h",
        "target": "late",
        "metrics": {metric: {}},
        **more,
    }
    return Evaluation.model_validate(said)


def predictions(
    said: Sequence[Any], classes: list[Any] | None = None, probability: Sequence[Sequence[float]] | None = None
) -> Predictions:
    """A model's answers; classes are said by position."""
    columns: dict[str, Any] = {"prediction": said}
    for position in range(len(classes) if classes and probability else 0):
        assert probability is not None
        columns[f"probability_{position}"] = [row[position] for row in probability]
    return Predictions(pl.DataFrame(columns), classes, 0.0, 0.0)


def outcome(asked: Evaluation, truth: Any, said: Predictions) -> Outcome:
    series = truth if isinstance(truth, pl.Series) else pl.Series(truth)
    return outcomes(asked, series, {"The candidate": said})["The candidate"]


def binary_of(asked: Evaluation, truth: Any, said: Predictions) -> Binary:
    found = outcome(asked, truth, said)
    assert isinstance(found, Binary)
    return found


def multiclass_of(truth: Any, said: Predictions) -> Multiclass:
    found = outcome(evaluation("multiclass"), truth, said)
    assert isinstance(found, Multiclass)
    return found


# The positive label ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "positive"),
    [
        ([False, True, False], True),
        ([0, 1, 1], 1),
        ([1, 2], 2),
        ([-1, 1], 1),
        (["no", "yes"], "yes"),
        (["good", "bad"], "good"),
        ([True, True], True),
    ],
)
def test_positive_label__is_the_greater_by_default(truth: list[Any], positive: Any) -> None:
    found = positive_label(evaluation(), pl.Series(truth))
    assert (type(found), found) == (type(positive), positive)


@pytest.mark.parametrize(("truth", "positive"), [([0, 1], 0), (["good", "bad"], "bad"), ([True, False], False)])
def test_positive_label__is_the_policys(truth: list[Any], positive: Any) -> None:
    assert positive_label(evaluation(positive=positive), pl.Series(truth)) is positive


@pytest.mark.parametrize(
    ("truth", "positive"),
    [([0, 1], "1"), ([0, 1], True), ([False, True], 1), (["0", "1"], 1), (["a", "b"], "c"), ([0, 0], "1"), ([0, 1], 2)],
)
def test_positive_label__of_another_type_or_name_is_refused(truth: list[Any], positive: Any) -> None:
    with pytest.raises(InputError, match="does not occur in the target `late`") as raised:
        positive_label(evaluation(positive=positive), pl.Series(truth))
    assert "mind its type" in raised.value.fix


def test_positive_label__may_be_absent_from_a_holdout_of_one_class() -> None:
    assert positive_label(evaluation(positive=1), pl.Series([0, 0])) == 1


@pytest.mark.parametrize("truth", [[False, False], [0, 0], [1, 1], ["no", "no"]])
def test_positive_label__is_not_guessed_from_one_class(truth: list[Any]) -> None:
    """Else a holdout of negatives alone would take them for the positives, and recall of nothing would pass."""
    with pytest.raises(InputError, match="does not say which label is positive"):
        positive_label(evaluation(), pl.Series(truth))


def test_positive_label__more_than_two_labels_are_no_binary_task() -> None:
    with pytest.raises(InputError, match=r"has 6 values \(0, 1, 2, 3, 4…\)") as raised:
        positive_label(evaluation(), pl.Series(range(6)))
    assert "multiclass" in raised.value.fix


# Binary ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "classes"),
    [
        ([True, False, True], [False, True]),
        ([1, 0, 1], [0, 1]),
        (["yes", "no", "yes"], ["no", "yes"]),
        ([True, False, True], [0, 1]),  # a library that turns labels into numbers
        ([1, 0, 1], [False, True]),
        ([1, 0, 1], [0.0, 1.0]),
    ],
)
def test_binary__truth_label_and_probability_of_the_positive_class(truth: list[Any], classes: list[Any]) -> None:
    found = binary_of(evaluation(), truth, predictions([1, 1, 0], classes, [(0.1, 0.9), (0.4, 0.6), (0.8, 0.2)]))
    assert found.truth.tolist() == [True, False, True]
    assert found.label.tolist() == [True, True, False]
    assert found.probability is not None
    assert found.probability.tolist() == [0.9, 0.6, 0.2]
    assert found.truth.dtype == bool
    assert found.label.dtype == bool


def test_binary__classes_in_another_order_give_the_same_outcome() -> None:
    first = predictions([1, 0], ["no", "yes"], [(0.1, 0.9), (0.7, 0.3)])
    second = predictions([0, 1], ["yes", "no"], [(0.9, 0.1), (0.3, 0.7)])
    both = outcomes(evaluation(), pl.Series(["yes", "no"]), {"a": first, "b": second})
    for name in ("truth", "label", "probability"):
        np.testing.assert_array_equal(vars(both["a"])[name], vars(both["b"])[name])


def test_binary__a_negative_positive_label_turns_everything() -> None:
    found = binary_of(evaluation(positive=0), [0, 1], predictions([0, 0], [0, 1], [(0.9, 0.1), (0.6, 0.4)]))
    assert found.truth.tolist() == [True, False]
    assert found.label.tolist() == [True, True]
    assert found.probability is not None
    assert found.probability.tolist() == [0.9, 0.6]


def test_binary__threshold_calls_from_the_probability_on() -> None:
    said = predictions([0, 0, 0], [0, 1], [(0.75, 0.25), (0.5, 0.5), (0.2, 0.8)])
    assert binary_of(evaluation(threshold=0.5), [0, 1, 1], said).label.tolist() == [False, True, True]
    assert binary_of(evaluation(threshold=0.25), [0, 1, 1], said).label.tolist() == [True, True, True]
    assert binary_of(evaluation(), [0, 1, 1], said).label.tolist() == [False, False, False]


def test_binary__threshold_needs_probabilities() -> None:
    with pytest.raises(GateError, match="The candidate gives no probabilities"):
        outcome(evaluation(threshold=0.5), [0, 1], predictions([0, 1], [0, 1]))


def test_binary__a_model_that_only_knows_the_negatives_calls_nothing() -> None:
    found = binary_of(evaluation(), ["no", "yes"], predictions([0, 0], ["no"], [(1.0,), (1.0,)]))
    assert found.label.tolist() == [False, False]
    assert found.probability is None


@pytest.mark.parametrize(("truth", "classes"), [([0, 1], ["0", "1"]), (["yes", "no"], ["Y", "N"]), (["a", "b"], [])])
def test_binary__a_model_of_other_labels_is_refused(truth: list[Any], classes: list[Any]) -> None:
    with pytest.raises(GateError, match="none of which is a value of the target"):
        outcome(evaluation(), truth, predictions([0, 0], classes))


def test_binary__a_model_of_three_classes_is_refused() -> None:
    with pytest.raises(GateError, match="knows 3 classes"):
        outcome(evaluation(), [0, 1], predictions([0, 2], [0, 1, 2]))


def test_binary__probabilities_of_either_precision_are_clipped_alike() -> None:
    """Else log_loss would charge a certain mistake 36 in one model and 16 in the other."""
    wide = predictions([0, 1], [0, 1], [(1.0, 0.0), (0.0, 1.0)])
    narrow = Predictions(wide.frame.cast({"probability_1": pl.Float32}), wide.classes, 0.0, 0.0)
    both = outcomes(evaluation(positive=1), pl.Series([1, 1]), {"wide": wide, "narrow": narrow})
    log_loss = find("log_loss", "binary")
    values = [of_one(log_loss, each, Sampling(2)).value for each in both.values()]
    assert values[0] == values[1]


def test_binary__one_class_in_the_holdout() -> None:
    found = binary_of(evaluation(positive=True), [False, False], predictions([1, 0], [False, True]))
    assert found.truth.tolist() == [False, False]
    assert found.label.tolist() == [True, False]


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["no", "yes"])])
def test_binary__categories_are_text(dtype: Any) -> None:
    truth = pl.Series(["yes", "no"], dtype=dtype)
    assert binary_of(evaluation(), truth, predictions([1, 1], ["no", "yes"])).truth.tolist() == [True, False]


# Multiclass --------------------------------------------------------------------------------------------------------


def test_multiclass__classes_of_all_sides_are_aligned() -> None:
    first = predictions([0, 1, 2], ["a", "b", "c"], [(0.6, 0.3, 0.1), (0.2, 0.5, 0.3), (0.1, 0.1, 0.8)])
    second = predictions([2, 0, 1], ["c", "d", "a"], [(0.1, 0.3, 0.6), (0.7, 0.2, 0.1), (0.2, 0.5, 0.3)])
    both = outcomes(evaluation("multiclass"), pl.Series(["a", "b", "c"]), {"one": first, "two": second})
    one, two = both["one"], both["two"]
    assert isinstance(one, Multiclass)
    assert isinstance(two, Multiclass)
    assert (one.classes, two.classes) == (4, 4)  # a, b, c, d
    assert one.truth.tolist() == two.truth.tolist() == [0, 1, 2]
    assert one.label.tolist() == [0, 1, 2]
    assert two.label.tolist() == [0, 2, 3]
    assert one.probability is not None
    assert two.probability is not None
    assert one.probability.tolist() == [[0.6, 0.3, 0.1, 0], [0.2, 0.5, 0.3, 0], [0.1, 0.1, 0.8, 0]]
    assert two.probability.tolist() == [[0.6, 0, 0.1, 0.3], [0.1, 0, 0.7, 0.2], [0.3, 0, 0.2, 0.5]]


def test_multiclass__a_class_of_the_truth_that_the_model_never_saw() -> None:
    found = multiclass_of(["a", "z"], predictions([0, 0], ["a", "b"], [(0.9, 0.1), (0.8, 0.2)]))
    assert found.classes == 3
    assert found.truth.tolist() == [0, 2]
    assert found.probability is not None
    assert found.probability[:, 2].tolist() == [0, 0]
    assert np.isfinite(of_one(find("log_loss", "multiclass"), found, Sampling(2)).value)


def test_multiclass__more_than_ten_classes_keep_their_columns() -> None:
    classes = list(range(12))
    eye = np.eye(12)
    found = multiclass_of(classes, predictions(classes, classes, eye.tolist()))
    assert found.probability is not None
    np.testing.assert_array_equal(found.probability, eye)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(1, 1), (1, 1)], "do not add up to 1 in 2 rows"),
        ([(0.6, 0.4), (1, 0.5)], "do not add up to 1 in 1 rows"),
        ([(0.6, 0.4), (7, -6)], "below 0 or above 1 in 1 of 2 rows"),
    ],
)
def test_multiclass__probabilities_are_shares(rows: list[tuple[float, float]], said: str) -> None:
    """With certainty for every class each row's log loss would be 0, and the greater the number the better."""
    with pytest.raises(GateError, match=said):
        multiclass_of(["a", "b"], predictions([0, 1], ["a", "b"], rows))


def test_multiclass__every_class_has_its_probability() -> None:
    said = predictions([0, 1], ["a", "b"], [(0.6, 0.4), (0.1, 0.9)])
    alone = Predictions(said.frame.with_columns(probability_0=1.0).drop("probability_1"), said.classes)
    with pytest.raises(GateError, match="gives 1 columns of probabilities that are not those of its classes"):
        multiclass_of(["a", "b"], alone)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes__none_is_named_twice(task: str) -> None:
    said = predictions([0, 1], ["a", "a"], [(0.6, 0.4), (0.1, 0.9)])
    with pytest.raises(GateError, match="names a class twice: 'a', 'a'"):
        outcome(evaluation(task), ["a", "b"], said)


def test_multiclass__without_probabilities() -> None:
    assert multiclass_of([1, 2, 3], predictions([0, 1, 1], [1, 2])).probability is None


def test_multiclass__a_model_of_other_labels_is_refused() -> None:
    with pytest.raises(GateError, match="'1', '2', none of which is a value of the target"):
        multiclass_of([1, 2, 3], predictions([0, 1, 1], ["1", "2"]))


# Regression --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Float32, pl.Float64, pl.Decimal(10, 2)])
def test_regression__numbers_of_every_type(dtype: Any) -> None:
    found = outcome(evaluation("regression"), pl.Series([1, 2]).cast(dtype), predictions([1.5, 2.0]))
    assert isinstance(found, Regression)
    assert found.truth.tolist() == [1.0, 2.0]
    assert found.prediction.dtype == np.float64


@pytest.mark.parametrize("truth", [["a", "b"], [True, False]])
def test_regression__refuses_a_target_that_is_no_number(truth: list[Any]) -> None:
    with pytest.raises(InputError, match="and the task is regression"):
        outcome(evaluation("regression"), truth, predictions([1.0, 2.0]))


# What cannot be compared -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "truth"),
    [
        ("binary", [True, None, None]),
        ("multiclass", ["a", None, None]),
        ("regression", [1.0, float("nan"), None]),
        ("regression", [1.0, float("inf"), float("-inf")]),
        ("regression", [1, None, None]),
    ],
)
def test_truth__missing_is_counted(task: str, truth: list[Any]) -> None:
    with pytest.raises(InputError, match="is missing or infinite in 2 of 3 rows"):
        outcome(evaluation(task), truth, predictions([1.0, 1.0, 1.0]))


def test_truth__without_rows() -> None:
    with pytest.raises(InputError, match="holdout has no rows"):
        outcome(evaluation(), pl.Series([], dtype=pl.Int64), predictions([], [0, 1]))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_truth__floats_are_no_classes(task: str) -> None:
    with pytest.raises(InputError, match="classes must be text, whole numbers or true/false"):
        outcome(evaluation(task), [0.0, 1.0], predictions([0, 1], [0, 1]))


@pytest.mark.parametrize("rows", [0, 2, 4])
def test_predictions__wrong_number_of_rows(rows: int) -> None:
    with pytest.raises(GateError, match=f"The candidate gave {rows} predictions for 3 rows"):
        outcome(evaluation("regression"), [1.0, 2.0, 3.0], predictions([1.0] * rows))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), None])
def test_predictions__not_finite_are_counted(bad: float | None) -> None:
    with pytest.raises(GateError, match="The candidate gave no finite prediction for 2 of 4 rows"):
        outcome(evaluation("regression"), [1.0, 2.0, 3.0, 4.0], predictions([1.0, bad, 2.0, bad]))


def test_predictions__probabilities_not_finite_are_counted() -> None:
    said = predictions([0, 1], [0, 1], [(0.5, 0.5), (0.5, float("nan"))])
    with pytest.raises(GateError, match="no finite probability for 1 of 2 rows"):
        outcome(evaluation(), [0, 1], said)


def test_predictions__rows_without_a_number_are_named() -> None:
    said = predictions([float("nan") if place % 3 == 1 else 1.0 for place in range(20)])
    with pytest.raises(GateError) as raised:
        outcome(evaluation("regression"), [1.0] * 20, said)
    assert "row 1, 4, 7, 10, 13 and others of the holdout, counted from 0" in raised.value.fix
    with pytest.raises(GateError) as raised:
        outcome(evaluation("regression"), [1.0, 2.0], predictions([1.0, None]))
    assert "row 1 of the holdout, counted from 0" in raised.value.fix


def test_unheard__labels_that_a_threshold_takes_the_place_of_are_said() -> None:
    said = {"The file": predictions([0, 1, 1], [0, 1], [(0.9, 0.1), (0.6, 0.4), (0.2, 0.8)])}
    truth, asked = pl.Series([0, 1, 1]), evaluation(threshold=0.5)
    assert list(unheard(asked, truth, said, outcomes(asked, truth, said))) == [
        "The policy's `threshold` of 0.5 decides: the labels of The file differ from it in 1 of 3 rows, and were not "
        "looked at."
    ]
    asked = evaluation(threshold=0.3)
    assert list(unheard(asked, truth, said, outcomes(asked, truth, said))) == []
    assert list(unheard(evaluation(), truth, said, {})) == []


def test_predictions__the_model_at_fault_is_named() -> None:
    named = {"The candidate": predictions([1.0, 2.0]), "Production": predictions([1.0, float("nan")])}
    with pytest.raises(GateError, match="Production gave no finite prediction for 1 of 2 rows"):
        outcomes(evaluation("regression"), pl.Series([1.0, 2.0]), named)


# Clusters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "positions"),
    [
        (["b", "a", "b", "c"], [1, 0, 1, 2]),
        ([10, 9, 10], [0, 1, 0]),  # ordered as text: only equality matters
        ([None, "a", None], [0, 1, 0]),
        ([1.5, float("nan"), float("nan")], [0, 1, 1]),
        ([True, False, True], [1, 0, 1]),
    ],
)
def test_cluster_positions__number_the_groups(values: list[Any], positions: list[int]) -> None:
    found = cluster_positions(pl.Series(values))
    assert found.tolist() == positions
    assert found.dtype == np.int64
    assert Sampling(len(values), clusters=found).units == len(set(positions))


def test_probabilities__a_little_above_one_are_one() -> None:
    """Shares may add up to 1 by a thousandth only, as single precision does; a calibration curve ends at 1."""
    said = predictions([1, 0] * 50, [False, True], [(0.0, 1.0004), (0.7, 0.3)] * 50)
    found = binary_of(evaluation(), [True, False] * 50, said)
    assert found.probability is not None
    assert found.probability[:2].tolist() == [1.0, 0.3]
    assert len(charts_of(found, None, 0.95)) == 2
