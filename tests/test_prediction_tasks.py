"""Labels by the set, rankings and forecasts: from what a model answers to the outcome that is judged."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from slipway.evaluation.outcomes import Binary, Forecast, Multilabel, Outcome, Prices, Ranking
from slipway.policy.evaluation import Evaluation, Isolation
from slipway.policy.model import Policy
from slipway.policy.source import SourcedPolicy
from slipway.prediction import holdout, worker
from slipway.prediction.isolation import confinement
from slipway.prediction.outcome import outcomes
from slipway.prediction.process import Job, Predictions, predict_all
from slipway.runner.errors import GateError, InputError

METRIC = {"ranking": "ndcg", "regression": "r2", "forecasting": "r2"}


def evaluation(task: str, **more: Any) -> Evaluation:
    said = {"task": task, "holdout": "h", "target": "y", "metrics": {METRIC.get(task, "accuracy"): {}}, **more}
    return Evaluation.model_validate(said)


def outcome(asked: Evaluation, truth: pl.Series, said: Predictions, keys: pl.DataFrame | None = None) -> Outcome:
    return outcomes(asked, truth, {"The candidate": said}, keys)["The candidate"]


# Labels by the set --------------------------------------------------------------------------------------------------

FLAGS = pl.DataFrame({"red": [1, 0, 1], "blue": [False, True, False]}).to_struct("y")
ASKED = evaluation("multilabel", target=["red", "blue"])


def labelled(columns: dict[str, list[Any]], classes: list[Any] | None = None) -> Predictions:
    return Predictions(pl.DataFrame(columns), classes, 0.0, 0.0)


SAID = {"prediction_0": [True, True, False], "prediction_1": [False, True, True]}


def multilabel_of(asked: Evaluation, truth: pl.Series, said: Predictions) -> Multilabel:
    found = outcome(asked, truth, said)
    assert isinstance(found, Multilabel)
    return found


def test_multilabel__columns_in_the_same_order() -> None:
    found = multilabel_of(ASKED, FLAGS, labelled(SAID))
    assert found.truth.tolist() == [[True, False], [False, True], [True, False]]
    assert found.label.tolist() == [[True, False], [True, True], [False, True]]
    assert found.probability is None


def test_multilabel__columns_by_name() -> None:
    found = multilabel_of(ASKED, FLAGS, labelled(SAID, ["blue", "red"]))
    assert found.label.tolist() == [[False, True], [True, True], [True, False]]


def test_multilabel__names_of_other_things_count_by_order() -> None:
    found = multilabel_of(ASKED, FLAGS, labelled(SAID, ["out_1", "out_2"]))
    assert found.label[0].tolist() == [True, False]


@pytest.mark.parametrize("lists", [pl.List(pl.Int64), pl.List(pl.Boolean), pl.Array(pl.Int64, 2), pl.List(pl.Float64)])
def test_multilabel__lists_of_flags(lists: Any) -> None:
    truth = pl.Series("y", [[1, 0], [0, 1], [1, 1]]).cast(pl.List(lists.inner))
    found = multilabel_of(evaluation("multilabel"), truth.cast(lists), labelled(SAID))
    assert found.truth.tolist() == [[True, False], [False, True], [True, True]]


def test_multilabel__lists_of_names() -> None:
    """Labels that only the model, or only the truth, knows are labels, too."""
    truth = pl.Series("y", [["red"], [], ["blue", "green"]])
    found = multilabel_of(evaluation("multilabel"), truth, labelled(SAID, ["red", "black"]))
    # In order: black, blue, green, red.
    assert found.truth.tolist() == [[False] * 3 + [True], [False] * 4, [False, True, True, False]]
    assert found.label.tolist() == [[False] * 3 + [True], [True, False, False, True], [True, False, False, False]]


def test_multilabel__threshold_decides_by_the_probabilities() -> None:
    probabilities = {"probability_0": [0.2, 0.6, 0.7], "probability_1": [0.7, 0.1, 0.9]}
    asked = evaluation("multilabel", target=["red", "blue"], threshold=0.65)
    found = multilabel_of(asked, FLAGS, labelled({**SAID, **probabilities}))
    assert found.label.tolist() == [[False, True], [False, False], [True, True]]
    assert found.probability is not None
    assert found.probability[0].tolist() == [0.2, 0.7]
    with pytest.raises(GateError, match="gives no probabilities, and the policy sets a threshold"):
        outcome(asked, FLAGS, labelled(SAID))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (pl.Series("y", [1, 0, 1]), "is Int64, and the task is multilabel"),
        (pl.Series("y", [[1, 0], [1], [0, 1]]), "different lengths"),
        (pl.Series("y", [[1, 0], [2, 1], [0, 1]]), "other values than 0 and 1"),
        (pl.DataFrame({"a": [1, None, 0], "b": [0, 1, 1]}).to_struct("y"), "The target `a` holds other values"),
        (pl.DataFrame({"a": ["x", "y", "z"], "b": [0, 1, 1]}).to_struct("y"), "The target `a` holds other values"),
        (pl.Series("y", [[1, 0], None, [0, 1]]), "missing or infinite in 1 of 3"),
    ],
)
def test_multilabel__refuses_a_target_that_is_none(truth: pl.Series, message: str) -> None:
    with pytest.raises(InputError, match=message):
        outcome(evaluation("multilabel"), truth, labelled(SAID))


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        (FLAGS, labelled({"prediction_0": [True] * 3}), "answers 1 labels, and the target has 2"),
        (FLAGS, labelled(SAID, ["red", "green"]), "answers other labels than the target has: red, green instead of"),
        (pl.Series("y", [["a"], [], ["b"]]), labelled(SAID), "does not name its labels"),
        (FLAGS, labelled({"prediction_0": [True, None, True]}), "no finite prediction for 1 of 3 rows"),
    ],
)
def test_multilabel__refuses_a_model_of_other_labels(truth: pl.Series, said: Predictions, message: str) -> None:
    with pytest.raises(GateError, match=message):
        outcome(ASKED if truth is FLAGS else evaluation("multilabel"), truth, said)


# Rankings and forecasts ---------------------------------------------------------------------------------------------

NUMBERS = Predictions(pl.DataFrame({"prediction": [0.5, 0.1, 0.9, 0.2]}), None, 0.0, 0.0)
GRADES = pl.Series("y", [0, 2, 1, 0])
RANKED = evaluation("ranking", query="q")


def test_ranking__rows_of_a_query_need_not_be_neighbours() -> None:
    found = outcome(RANKED, GRADES, NUMBERS, pl.DataFrame({"q": ["b", "a", "b", "a"]}))
    assert isinstance(found, Ranking)
    assert found.query.tolist() == [1, 0, 1, 0]
    assert (found.truth.tolist(), found.score.tolist()) == ([0, 2, 1, 0], [0.5, 0.1, 0.9, 0.2])


@pytest.mark.parametrize(
    ("truth", "query", "message"),
    [
        (GRADES, [1, 1, None, 2], "`q` is missing in 1 of 4 rows"),
        (GRADES, [1, 2, 3, 4], "nothing to put in order"),
        (GRADES - 1, [1, 1, 2, 2], "grades below 0"),
        (GRADES.cast(pl.String), [1, 1, 2, 2], "String, and the task is ranking"),
    ],
)
def test_ranking__refuses_what_cannot_be_ranked(truth: pl.Series, query: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        outcome(RANKED, truth, NUMBERS, pl.DataFrame({"q": query}))


def test_forecast__scale_is_the_series_own() -> None:
    keys = pl.DataFrame({"shop": ["b", "a", "b", "a"], "day": ["2024-01-02", "2024-01-02", "2024-01-01", "2024-01-01"]})
    asked = evaluation("forecasting", time="day", series="shop")
    found = outcome(asked, pl.Series("y", [10.0, 1.0, 4.0, 3.0]), NUMBERS, keys)
    assert isinstance(found, Forecast)
    assert found.scale.tolist() == [6, 2, 6, 2]


def test_forecast__season_is_counted_in_rows() -> None:
    asked = evaluation("forecasting", time="day", season=2)
    found = outcome(asked, pl.Series("y", [1.0, 5, 2, 9]), NUMBERS, pl.DataFrame({"day": [4, 1, 3, 2]}))
    assert isinstance(found, Forecast)
    assert found.scale.tolist() == [5.5] * 4  # by day 5, 9, 2, 1: |2 - 5| and |1 - 9|


def test_forecast__refuses_two_rows_of_one_time() -> None:
    with pytest.raises(InputError, match="Several rows of one series have the same value in `day`") as raised:
        outcome(evaluation("forecasting", time="day"), GRADES, NUMBERS, pl.DataFrame({"day": [1, 2, 2, 3]}))
    assert "`evaluation.series`" in raised.value.fix


def test_binary__has_the_policys_costs() -> None:
    costs = {"false_positive": 1, "false_negative": 20, "true_positive": -3}
    asked = evaluation("binary", metrics={"expected_cost": {}}, costs=costs)
    found = outcome(asked, pl.Series("y", [0, 1]), Predictions(pl.DataFrame({"prediction": [0, 1]}), [0, 1], 0.0, 0.0))
    assert isinstance(found, Binary)
    assert found.costs == Prices(false_positive=1, false_negative=20, true_positive=-3)


# The holdout --------------------------------------------------------------------------------------------------------


def held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Evaluation) -> holdout.Holdout:
    monkeypatch.chdir(tmp_path)
    columns = {"x": [1, 2, 3], "red": [1, 0, 0], "blue": [0, 0, 1], "q": [7, 7, 8], "user": [1, 1, 1], "day": [1, 2, 3]}
    pl.DataFrame(columns).write_parquet("h.parquet")
    policy = Policy.model_validate({"version": 1, "model": "m", "data": {"h": {"path": "h.parquet"}}})
    return holdout.read_holdout(SourcedPolicy(policy, Path("slipway.yml")), asked, tmp_path)


def test_holdout__of_several_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = held_out(tmp_path, monkeypatch, ASKED)
    assert found.truth.to_list() == [{"red": 1, "blue": 0}, {"red": 0, "blue": 0}, {"red": 0, "blue": 1}]
    assert pl.read_parquet(found.features).columns == ["x", "q", "user", "day"]
    assert (found.clusters, found.keys.columns) == (None, [])


@pytest.mark.parametrize(("cluster", "expected"), [(None, [7, 7, 8]), ("user", [1, 1, 1])])
def test_holdout__clusters_of_a_ranking_are_its_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str | None, expected: list[int]
) -> None:
    found = held_out(tmp_path, monkeypatch, evaluation("ranking", target="red", query="q", cluster=cluster))
    assert found.clusters is not None
    assert found.clusters.to_list() == expected
    assert found.keys["q"].to_list() == [7, 7, 8]


def test_holdout__refuses_clusters_that_part_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Rows of one `q` have different values of `day`"):
        held_out(tmp_path, monkeypatch, evaluation("ranking", target="red", query="q", cluster="day"))


def test_holdout__names_the_column_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="has no column `session`"):
        held_out(tmp_path, monkeypatch, evaluation("ranking", target="red", query="session"))


def test_holdout__names_all_columns_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = evaluation("ranking", target="rde", query="session", slices={"columns": ["day", "session"]})
    with pytest.raises(InputError, match="has no columns `rde`, `session`") as raised:
        held_out(tmp_path, monkeypatch, asked)
    assert [line.partition(" (")[0] for line in raised.value.why.strip().splitlines()] == [
        "- `evaluation.target`",
        "- `evaluation.query`",
        "- `evaluation.slices.columns`",
    ]
    assert "did you mean `red`?" in raised.value.why


# The worker ---------------------------------------------------------------------------------------------------------

FEATURES = pd.DataFrame({"x": [1.0, 2.0]})


def model_saying(said: Any, probabilities: Any = None) -> Any:
    def no_native() -> Any:
        raise AttributeError

    native = SimpleNamespace(predict_proba=lambda _: probabilities)
    raw = no_native if probabilities is None else lambda: native
    return SimpleNamespace(predict=lambda _: said, get_raw_model=raw, metadata=SimpleNamespace(flavors={}))


LABELS = np.array([[1, 0, 1], [0, 0, 1]])


def test_worker__what_mlflow_quotes_of_the_rows_is_left_out() -> None:
    """As MLflow 3 words it, with the whole data frame in the message."""
    frame = "   x1   x2\n0  1.0  secret\n1  2.0  b\n[60 rows x 2 columns]"
    said = worker.in_short(
        f"Failed to enforce schema of data '{frame}' with schema '['x1': long (required)]'. "
        "Error: Incompatible input types for column x1. Can not safely convert float64 to int64."
    )
    assert said == (
        "Failed to enforce schema of the data with schema '['x1': long (required)]'. "
        "Error: Incompatible input types for column x1. Can not safely convert float64 to int64."
    )
    assert worker.in_short("a\n  b") == "a b"
    assert len(worker.in_short("x" * 5000)) < 620


def test_worker__labels() -> None:
    frame, names = worker.predict(model_saying(LABELS), FEATURES, "multilabel")
    assert names is None
    assert frame.to_dict("list") == {
        "prediction_0": [True, False],
        "prediction_1": [False, False],
        "prediction_2": [True, True],
    }


def test_worker__labels_with_names() -> None:
    _, names = worker.predict(model_saying(pd.DataFrame(LABELS, columns=list("abc"))), FEATURES, "multilabel")
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize(
    "probabilities",
    [LABELS * 0.8, [np.column_stack([1 - column, column]) for column in LABELS.T * 0.8]],
    ids=["one array", "one to each label"],
)
def test_worker__labels_with_probabilities(probabilities: Any) -> None:
    frame, _ = worker.predict(model_saying(LABELS, probabilities), FEATURES, "multilabel")
    assert frame["probability_2"].tolist() == [0.8, 0.8]
    assert frame["probability_0"].tolist() == [0.8, 0]


def test_worker__probabilities_alone_give_labels_from_one_half() -> None:
    frame, _ = worker.predict(model_saying(np.array([[0.5, 0.2], [0.1, 0.9]])), FEATURES, "multilabel")
    assert frame["prediction_0"].tolist() == [True, False]
    assert frame["probability_1"].tolist() == [0.2, 0.9]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (np.array([1, 0]), r"shape \(2,\) for 2 rows"),
        (LABELS[:1], r"shape \(1, 3\) for 2 rows"),
        (LABELS * 3.5, "neither labels"),
        (np.array([[np.nan, 1], [0, 1]]), "neither labels"),
    ],
)
def test_worker__refuses_what_are_no_labels(said: Any, message: str) -> None:
    with pytest.raises(worker.FaultError, match=message):
        worker.predict(model_saying(said), FEATURES, "multilabel")


BOTH = {"probability_yes": [0.9, 0.2], "probability_no": [0.1, 0.8]}


@pytest.mark.parametrize(
    ("said", "classes", "labels"),
    [
        (BOTH, ["yes", "no"], ["yes", "no"]),
        ({"prediction": ["no", "no"], **BOTH}, ["yes", "no"], ["no", "no"]),
        ({"probability_true": [0.9, 0.2], "probability_false": [0.1, 0.8]}, [True, False], [True, False]),
        (
            {"prediction": [True, True], "probability_true": [0.9, 0.2], "probability_false": [0.1, 0.8]},
            [True, False],
            [1, 1],
        ),
        ({"probability_3": [0.9, 0.2], "probability_-1": [0.1, 0.8]}, [3, -1], [3, -1]),
        ({"prediction": [0, 0], "probability": [0.9, 0.2]}, None, [0, 0]),
        ({"probability": [0.9, 0.2]}, None, [1, 0]),
    ],
)
def test_worker__a_frame_in_the_format_of_files(said: dict[str, Any], classes: Any, labels: list[Any]) -> None:
    """Its columns say which class each is, whatever their order; `probability` alone is the positive one's."""
    model = model_saying(pd.DataFrame(said))
    frame, found = worker.predict(model, FEATURES[: len(labels)], "binary")
    assert found == classes
    known = [0, 1] if classes is None else classes
    assert [known[place] for place in frame["prediction"]] == labels
    assert frame["probability_0" if classes else "probability_1"].tolist() == [0.9, 0.2]


def test_worker__a_probability_beside_named_labels_must_say_of_which() -> None:
    said = pd.DataFrame({"prediction": ["yes", "no"], "probability": [0.9, 0.2]})
    with pytest.raises(worker.FaultError, match="does not say of which label"):
        worker.predict(model_saying(said), FEATURES[:2], "binary")


def test_worker__a_frame_of_several_labels_in_the_format_of_files() -> None:
    likely = {"probability_red": [0.9, 0.2], "probability_blue": [0.4, 0.6]}
    frame, names = worker.predict(model_saying(pd.DataFrame(likely)), FEATURES[:2], "multilabel")
    assert names == ["red", "blue"]
    assert frame["prediction_0"].tolist() == [True, False]
    assert frame["probability_1"].tolist() == [0.4, 0.6]
    given = {"prediction_blue": [0, 1], "prediction_red": [1, 1], **likely}
    frame, names = worker.predict(model_saying(pd.DataFrame(given)), FEATURES[:2], "multilabel")
    assert names == ["blue", "red"]
    assert frame["prediction_1"].tolist() == [True, True]
    assert frame["probability_0"].tolist() == [0.4, 0.6]


@pytest.mark.parametrize("said", [{"prediction_a": [1, 0], "probability_b": [0.5, 0.5]}, {"prediction_a": [2, 0]}])
def test_worker__a_frame_of_several_labels_that_cannot_be_meant(said: dict[str, Any]) -> None:
    with pytest.raises(worker.FaultError, match=r"other (labels|values)"):
        worker.predict(model_saying(pd.DataFrame(said)), FEATURES[:2], "multilabel")


@pytest.mark.parametrize("task", ["ranking", "forecasting"])
def test_worker__numbers(task: str) -> None:
    frame, classes = worker.predict(model_saying(np.array([[3], [1]])), FEATURES, task)
    assert (frame["prediction"].tolist(), classes) == ([3.0, 1.0], None)


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")  # remarks on type hints of its own
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")
def test_worker__runs_a_model_of_several_labels(tmp_path: Path) -> None:
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier

    features = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    truth = np.column_stack([features["a"] > 0, features["b"] > 0]).astype(int)
    native = MultiOutputClassifier(LogisticRegression()).fit(features, truth)
    mlflow.sklearn.save_model(native, tmp_path / "model", pip_requirements=["scikit-learn"])
    features.to_parquet(tmp_path / "features.parquet")
    job = Job("The candidate", tmp_path / "model", Path(sys.executable), tmp_path / "out")
    (said,) = predict_all(
        [job], tmp_path / "features.parquet", "multilabel", timeout=300, confinement=confinement(Isolation()), rows=40
    )
    found = outcome(ASKED, pl.DataFrame(truth, schema=["red", "blue"]).to_struct("y"), said)
    assert isinstance(found, Multilabel)
    assert (found.label == native.predict(features).astype(bool)).all()
    assert found.probability is not None
    assert found.probability[:, 1] == pytest.approx(native.predict_proba(features)[1][:, 1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["01234", "7"], [1234, 7]),
        (["0.50", None], [0.5, None]),
        (["1", "A12"], None),  # MLflow says what is wrong with it
        ([None, None], None),
        ([["1"], ["2"]], None),
        ([1, 2], None),
    ],
)
def test_as_numbers__only_of_texts_that_are_all_numbers(values: list[Any], expected: list[Any] | None) -> None:
    found = worker.as_numbers(pd.Series(values))
    assert (None if found is None else [None if each != each else each for each in found]) == expected  # noqa: PLR0124
