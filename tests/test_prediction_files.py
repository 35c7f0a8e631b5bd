"""Ready-made predictions: joined by key or by order, labels in their own form, and every mismatch refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.datasets.version import DatasetVersion
from slipway.evaluation.outcomes import Binary, Multiclass, Multilabel
from slipway.policy.evaluation import Evaluation
from slipway.prediction.files import read_predictions, write_predictions
from slipway.prediction.holdout import Holdout
from slipway.prediction.outcome import outcomes
from slipway.prediction.process import Predictions
from slipway.runner.errors import GateError, InputError


@pytest.fixture(params=[".parquet", ".csv"])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


def holdout(tmp_path: Path, truth: Any, **features: Any) -> Holdout:
    series = pl.Series("late", truth)
    path = tmp_path / "features.parquet"
    pl.DataFrame({"id": [f"r{place}" for place in range(len(series))], **features}).write_parquet(path)
    return Holdout(
        "h",
        path,
        series,
        None,
        DatasetVersion(path="h", kind="file", id="x", immutable=True),
        pl.DataFrame(),
        pl.DataFrame(),
    )


def write(tmp_path: Path, suffix: str, **columns: Any) -> Path:
    path = tmp_path / f"predictions{suffix}"
    frame = pl.DataFrame(columns)
    if suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def labels(said: Predictions) -> list[Any]:
    assert said.classes is not None
    return [said.classes[place] for place in said.frame["prediction"]]


# Labels in their own form


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([True, False, True], [True, True, False]),
        ([0, 1, 1], [1, 1, 0]),
        (["no", "yes", "yes"], ["yes", "yes", "no"]),
        (["0", "1", "1"], ["1", "1", "0"]),
        ([1, 2, 1], [2.0, 2.0, 1.0]),
    ],
)
def test_read__labels_in_their_own_form(tmp_path: Path, suffix: str, truth: Any, predicted: Any) -> None:
    asked = evaluation()
    rows = holdout(tmp_path, truth)
    said = read_predictions(write(tmp_path, suffix, prediction=predicted), rows, asked)
    assert labels(said) == predicted
    outcome = outcomes(asked, rows.truth, {"The candidate": said})["The candidate"]
    assert isinstance(outcome, Binary)
    assert outcome.label.tolist() == [True, True, False]
    assert (said.load_seconds, said.predict_seconds) == (None, None)


def test_read__probabilities_by_class(tmp_path: Path, suffix: str) -> None:
    asked, rows = evaluation("multiclass"), holdout(tmp_path, ["a", "b", "c"])
    path = write(
        tmp_path,
        suffix,
        prediction=["c", "b", "d"],
        probability_c=[0.5, 0.2, 0.1],
        probability_a=[0.3, 0.1, 0.1],
        probability_b=[0.1, 0.6, 0.1],
        probability_d=[0.1, 0.1, 0.7],
    )
    outcome = outcomes(asked, rows.truth, {"x": read_predictions(path, rows, asked)})["x"]
    assert isinstance(outcome, Multiclass)
    assert outcome.probability is not None
    assert outcome.probability.tolist() == [[0.3, 0.1, 0.5, 0.1], [0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]]
    assert outcome.label.tolist() == [2, 1, 3]


@pytest.mark.parametrize(("positive", "expected"), [(None, [0.9, 0.2]), ("bad", [0.9, 0.2])])
def test_read__one_probability_is_the_positive_labels(
    tmp_path: Path, suffix: str, positive: Any, expected: list[float]
) -> None:
    asked, rows = evaluation(positive=positive), holdout(tmp_path, ["good", "bad"])
    path = write(tmp_path, suffix, probability=[0.9, 0.2])
    outcome = outcomes(asked, rows.truth, {"x": read_predictions(path, rows, asked)})["x"]
    assert isinstance(outcome, Binary)
    assert outcome.probability is not None
    assert outcome.probability.tolist() == expected
    assert outcome.label.tolist() == [True, False]


def test_read__numbers(tmp_path: Path, suffix: str) -> None:
    rows = holdout(tmp_path, [1.0, 2.0])
    said = read_predictions(write(tmp_path, suffix, prediction=[1.5, 2.5]), rows, evaluation("regression"))
    assert said.frame["prediction"].to_list() == [1.5, 2.5]
    assert said.classes is None


# Which row is which


def test_read__by_key_in_any_order(tmp_path: Path, suffix: str) -> None:
    rows = holdout(tmp_path, [0, 1, 1], day=[1, 1, 2])
    path = write(tmp_path, suffix, day=[2, 1, 1], id=["r2", "r1", "r0"], prediction=[1, 0, 1])
    assert labels(read_predictions(path, rows, evaluation(key=["id", "day"]))) == [1, 0, 1]
    path = write(tmp_path, suffix, id=["r2", "r1", "r0"], prediction=[0, 0, 1])
    assert labels(read_predictions(path, rows, evaluation(key="id"))) == [1, 0, 0]


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime, pl.Categorical, pl.Int16, pl.Boolean])
def test_read__keys_of_every_type(tmp_path: Path, suffix: str, dtype: Any) -> None:
    values: Any = {
        pl.Date: ["2026-01-01", "2026-01-02"],
        pl.Datetime: ["2026-01-01T10:00:00.000000", "2026-01-02T10:00:00.000000"],
        pl.Categorical: ["a", "b"],
        pl.Int16: [1, 2],
        pl.Boolean: [True, False],
    }[dtype]
    own = pl.Series(values)
    own = own.str.strptime(dtype) if dtype in (pl.Date, pl.Datetime) else own.cast(dtype)
    rows = holdout(tmp_path, [0, 1], key=own)
    path = write(tmp_path, suffix, key=own.reverse(), prediction=[1, 0])
    assert labels(read_predictions(path, rows, evaluation(key="key"))) == [0, 1]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["r0", "r1"], "lacks rows of the holdout: 1, among them r2"),
        (["r0", "r1", "r1"], "has rows twice: 2, among them r1\\."),
        (["r0", "r1", "r9"], "has rows that the holdout does not have: 1, among them r9"),
        (["r0", "r1", "r2", "r3"], "has rows that the holdout does not have: 1, among them r3"),
        (["r0", "r1", None], "has rows that the holdout does not have: 1, among them None"),
        ([f"r{each}" for each in range(7)], "has 7 rows, and the holdout has 3"),
    ],
)
def test_read__rows_that_do_not_match(tmp_path: Path, suffix: str, ids: list[Any], said: str) -> None:
    rows = holdout(tmp_path, [0, 1, 1])
    path = write(tmp_path, suffix, id=ids, prediction=[0] * len(ids))
    with pytest.raises(InputError, match=said):
        read_predictions(path, rows, evaluation(key="id"))


def test_read__keys_that_cannot_be_joined_by(tmp_path: Path, suffix: str) -> None:
    rows = holdout(tmp_path, [0, 1], day=[1, 1])
    path = write(tmp_path, suffix, id=["r0", "r1"], prediction=[0, 1])
    for key, said in (
        ("none", "The holdout has no column `none`"),
        ("day", "has no column `day`, by which the policy joins"),
    ):
        with pytest.raises(InputError, match=said):
            read_predictions(path, rows, evaluation(key=key))
    path = write(tmp_path, suffix, day=[1, 1], prediction=[0, 1])
    with pytest.raises(InputError, match=r"`evaluation.key` \(day\) does not name one row") as raised:
        read_predictions(path, rows, evaluation(key="day"))
    assert "2 rows share theirs" in raised.value.why


@pytest.mark.parametrize("count", [1, 3])
def test_read__by_order_needs_the_same_number_of_rows(tmp_path: Path, suffix: str, count: int) -> None:
    with pytest.raises(InputError, match=f"has {count} rows, and the holdout has 2"):
        read_predictions(write(tmp_path, suffix, prediction=[0] * count), holdout(tmp_path, [0, 1]), evaluation())


def test_read__another_order_is_noticed_where_columns_of_the_holdout_came_along(tmp_path: Path, suffix: str) -> None:
    rows = holdout(tmp_path, [0, 1, 1])
    path = write(tmp_path, suffix, id=["r0", "r2", "r1"], prediction=[0, 1, 1])
    with pytest.raises(InputError, match="is in another order than the holdout: `id` differs in 2 of 3 rows") as raised:
        read_predictions(path, rows, evaluation())
    assert "evaluation.key" in raised.value.fix
    path = write(tmp_path, suffix, id=["r0", "r1", "r2"], prediction=[0, 1, 1])
    assert labels(read_predictions(path, rows, evaluation())) == [0, 1, 1]


def test_read__a_wrong_positive_label_is_no_fault_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix, prediction=[0, 1])
    with pytest.raises(InputError, match="The positive label 'yes' does not occur in the target `late`") as raised:
        read_predictions(path, holdout(tmp_path, [0, 1]), evaluation(positive="yes"))
    assert "`positive`" in raised.value.fix


@pytest.mark.parametrize("bad", [float("inf"), float("-inf")])
def test_read__an_infinite_probability_fails_the_model_as_one_that_is_missing(
    tmp_path: Path, suffix: str, bad: float
) -> None:
    path = write(tmp_path, suffix, probability_0=[0.5, 1.0], probability_1=[0.5, bad])
    rows = holdout(tmp_path, [0, 1])
    with pytest.raises(GateError, match="no finite probability for 1 of 2 rows"):
        outcomes(evaluation(), rows.truth, {"The candidate": read_predictions(path, rows, evaluation())})


# What cannot be a prediction


@pytest.mark.parametrize(
    ("task", "truth", "columns", "said"),
    [
        ("binary", [0, 1], {"label": [0, 1]}, "has neither a column `prediction` nor columns"),
        ("regression", [0.5, 1], {"probability": [0, 1]}, "has no column `prediction`"),
        ("regression", [0.5, 1], {"prediction": ["1", "x"]}, "has no number in 1 rows of `prediction`"),
        ("binary", [0, 1], {"prediction": ["no", "yes"]}, "has the class 'no', and the target holds whole numbers"),
        ("binary", [True, False], {"prediction": ["no", "yes"]}, "has the class 'no', and the target holds true"),
        ("binary", ["no", "yes"], {"prediction": ["No", "yes"]}, "predicts 'No', which is no class"),
        ("binary", [0, 1], {"prediction": [0, 2]}, "predicts '2', which is no class"),
        ("multiclass", ["a", "b"], {"prediction": ["a", "z"]}, "predicts 'z', which is no class"),
        ("binary", [0, 1], {"prediction": [0, 1], "probability_1": [0.1, 0.9]}, "probabilities of one class only"),
        ("binary", [0, 1], {"probability_0": [0.1, 1.9], "probability_1": [0.9, -0.9]}, "below 0 or above 1 in 1 rows"),
        ("binary", [0, 1], {"probability_0": [0.1, 0.5], "probability_1": [0.9, 0.9]}, "do not add up to 1 in 1 rows"),
        ("binary", [0, 1], {"probability": [0.1, 0.5], "probability_1": [0.9, 0.9]}, "has a column `probability`"),
        ("multiclass", [0, 1], {"probability": [0.1, 0.5]}, "has a column `probability`"),
        ("binary", [0, 1], {"probability": [-0.1, 0.5]}, "below 0 or above 1 in 1 rows"),
        ("binary", [0, 1], {"probability_1": [0.1, 0.5], "probability_1.0": [0.9, 0.5]}, "two columns"),
    ],
)
def test_read__refuses(tmp_path: Path, suffix: str, task: str, truth: Any, columns: dict[str, Any], said: str) -> None:
    path = write(tmp_path, suffix, **columns)
    with pytest.raises(InputError, match=said) as raised:
        read_predictions(path, holdout(tmp_path, truth), evaluation(task))
    assert "docs/predictions.md" in raised.value.fix


@pytest.mark.parametrize(
    ("task", "columns", "said"),
    [
        ("binary", {"prediction": [1, None]}, "no finite prediction for 1 of 2 rows"),
        ("binary", {"probability": [0.5, None]}, "no finite probability for 1 of 2 rows"),
        ("binary", {"probability": [0.5, float("nan")]}, "no finite probability for 1 of 2 rows"),
        ("regression", {"prediction": [0.5, float("nan")]}, "no finite prediction for 1 of 2 rows"),
        ("regression", {"prediction": [0.5, None]}, "no finite prediction for 1 of 2 rows"),
    ],
)
def test_read__missing_predictions_are_counted(
    tmp_path: Path, suffix: str, task: str, columns: dict[str, Any], said: str
) -> None:
    asked, rows = evaluation(task), holdout(tmp_path, [0, 1])
    with pytest.raises(GateError, match=said):
        outcomes(asked, rows.truth, {"x": read_predictions(write(tmp_path, suffix, **columns), rows, asked)})


@pytest.mark.parametrize("name", ["none.parquet", "predictions.txt", "folder.parquet"])
def test_read__no_such_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "predictions.txt").write_text("prediction\n1\n")
    with pytest.raises(InputError, match="There is no file of predictions"):
        read_predictions(tmp_path / name, holdout(tmp_path, [0, 1]), evaluation())


def test_read__no_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("prediction\n1\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path / "x.parquet", holdout(tmp_path, [0, 1]), evaluation())


# Our own


@pytest.mark.parametrize(
    ("truth", "classes"), [([True, False], [False, True]), (["b", "a"], ["b", "a"]), ([0, 1], [0, 1])]
)
def test_write__is_read_again(tmp_path: Path, truth: list[Any], classes: list[Any]) -> None:
    rows = holdout(tmp_path, truth)
    frame = pl.DataFrame({"prediction": [1, 0], "probability_0": [0.25, 1.0], "probability_1": [0.75, 0.0]})
    keys = pl.read_parquet(rows.features, columns=["id"])
    write_predictions(tmp_path / "out.parquet", Predictions(frame, classes), keys)
    found = read_predictions(tmp_path / "out.parquet", rows, evaluation(key="id"))
    assert found.classes == classes
    assert found.frame.equals(frame)


def test_write__numbers(tmp_path: Path) -> None:
    write_predictions(tmp_path / "out.parquet", Predictions(pl.DataFrame({"prediction": [0.5]}), None))
    assert pl.read_parquet(tmp_path / "out.parquet").to_dict(as_series=False) == {"prediction": [0.5]}


# Several labels to a row

FLAGS = [{"a": 1, "b": 0}, {"a": 0, "b": 0}, {"a": 1, "b": 1}]


def several(**more: Any) -> Evaluation:
    return evaluation("multilabel", target=["a", "b"], **more)


@pytest.mark.parametrize(
    ("columns", "given", "probable"),
    [
        ({"prediction_a": [1, 0, 0], "prediction_b": [0, 1, 1]}, [[1, 0], [0, 1], [0, 1]], None),
        ({"prediction_b": [False, True, True], "prediction_a": [True, False, False]}, [[1, 0], [0, 1], [0, 1]], None),
        # Half is given; the shares of a row need not add up to 1.
        ({"probability_a": [0.5, 0.1, 0.9], "probability_b": [0.49, 0.8, 1.0]}, [[1, 0], [0, 1], [1, 1]], "as given"),
        (
            {"prediction_a": [0, 0, 0], "probability_a": [0.9, 0.1, 0.2]}
            | {"probability_b": [0.1, 0.2, 0.3], "prediction_b": [1, 1, 1]},
            [[0, 1], [0, 1], [0, 1]],
            "as given",
        ),
    ],
)
def test_read__several_labels(
    tmp_path: Path, suffix: str, columns: dict[str, Any], given: list[list[int]], probable: str | None
) -> None:
    rows = holdout(tmp_path, FLAGS)
    said = read_predictions(write(tmp_path, suffix, **columns), rows, several())
    outcome = outcomes(several(), rows.truth, {"The candidate": said})["The candidate"]
    assert isinstance(outcome, Multilabel)
    assert outcome.truth.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert outcome.label.astype(int).tolist() == given
    expected = (
        [list(pair) for pair in zip(columns["probability_a"], columns["probability_b"], strict=True)]
        if probable
        else None
    )
    assert (None if outcome.probability is None else outcome.probability.tolist()) == expected


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prediction": [1, 0, 1]}, "has neither columns `prediction_<label>` nor columns `probability_<label>`"),
        ({"prediction_a": [1, 0, 1], "probability_b": [0.5, 0.5, 0.5]}, "has only one of `prediction_a`"),
        ({"prediction_a": [1, 0, 2], "prediction_b": [0, 0, 0]}, "has '2' in `prediction_a`, which must be 0 or 1"),
        ({"probability_a": [1.0, 0.0, 1.1], "probability_b": [0, 0, 0]}, "below 0 or above 1 in `probability_a`"),
    ],
)
def test_read__several_labels_that_cannot_be_read(
    tmp_path: Path, suffix: str, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_predictions(write(tmp_path, suffix, **columns), holdout(tmp_path, FLAGS), several())


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prediction_a": [1, None, 1], "prediction_b": [0, 0, 0]}, "no finite prediction for 1 of 3 rows"),
        ({"prediction_a": [1, 0, 1], "prediction_c": [0, 0, 0]}, "answers other labels than the target has"),
        ({"prediction_a": [1, 0, 1]}, "answers other labels than the target has"),
    ],
)
def test_outcome__several_labels_that_do_not_fit(tmp_path: Path, suffix: str, columns: Any, said: str) -> None:
    rows = holdout(tmp_path, FLAGS)
    read = read_predictions(write(tmp_path, suffix, **columns), rows, several())
    with pytest.raises(GateError, match=said):
        outcomes(several(), rows.truth, {"The candidate": read})
