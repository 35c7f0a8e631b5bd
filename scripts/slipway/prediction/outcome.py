"""Sets a model's predictions beside the truth, class by class, and refuses what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from slipway.evaluation.outcomes import Binary, Floats, Integers, Multiclass, Outcome, Regression
from slipway.policy import Evaluation
from slipway.prediction.process import Predictions
from slipway.runner.errors import GateError, InputError


def outcomes(evaluation: Evaluation, truth: pl.Series, named: dict[str, Predictions]) -> dict[str, Outcome]:
    """Each model's outcome over the same rows. `named` maps what to call a model in messages to its predictions.

    Raises InputError where the target cannot be what the policy says, GateError where a model's answers are unusable.
    """
    _check_truth(evaluation, truth)
    for name, predictions in named.items():
        _check_predictions(name, predictions, len(truth))
    if evaluation.task == "regression":
        return {name: _regression(truth, predictions) for name, predictions in named.items()}
    if evaluation.task == "binary":
        positive = positive_label(evaluation, truth)
        return {name: _binary(name, evaluation, truth, positive, said) for name, said in named.items()}
    classes = _all_classes(truth, named.values())
    return {name: _multiclass(truth, classes, predictions) for name, predictions in named.items()}


def positive_label(evaluation: Evaluation, truth: pl.Series) -> Any:
    """The policy's positive label, or the greater of the two that occur."""
    labels = sorted(truth.unique().to_list())
    if len(labels) > 2:
        shown = ", ".join(map(str, labels[:5]))
        raise InputError(
            f"The target `{evaluation.target}` has {len(labels)} values ({shown}…), and the task is binary.",
            fix="Set `task: multiclass` (or `regression`), or name another target.",
        )
    if evaluation.positive is None:
        return labels[-1]
    if evaluation.positive not in labels and len(labels) == 2:
        raise InputError(
            f"The positive label `{evaluation.positive}` does not occur in the target `{evaluation.target}`, whose "
            f"values are {labels[0]!r} and {labels[1]!r}.",
            fix='Correct `positive` in the policy; mind its type: `1`, `"1"` and `true` are three labels.',
        )
    return evaluation.positive


def cluster_positions(values: pl.Series) -> Integers:
    """Positions 0..n-1 of each row's cluster. values: (rows,). Rows without a value form a cluster together."""
    return values.cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1


def _check_truth(evaluation: Evaluation, truth: pl.Series) -> None:
    absent = truth.null_count() + (int(truth.is_nan().sum()) if truth.dtype.is_float() else 0)
    if absent:
        raise InputError(
            f"The target `{evaluation.target}` is missing in {absent:,} of {len(truth):,} rows of the holdout.",
            fix="Leave rows without a known outcome out of the holdout.",
        )
    if evaluation.task == "regression" and not truth.dtype.is_numeric():
        raise InputError(
            f"The target `{evaluation.target}` is {truth.dtype}, and the task is regression.",
            fix="Set `task: binary` or `multiclass`, or name a numeric target.",
        )
    if evaluation.task != "regression" and truth.dtype.is_float():
        raise InputError(
            f"The target `{evaluation.target}` is {truth.dtype}: classes must be text, whole numbers or true/false.",
            fix="Set `task: regression`, or cast the target when the data are prepared.",
        )


def _check_predictions(name: str, predictions: Predictions, rows: int) -> None:
    frame = predictions.frame
    if frame.height != rows:
        raise GateError(f"{name} gave {frame.height:,} predictions for {rows:,} rows.")
    for column in frame.get_columns():
        bad = column.null_count() + (int((~column.is_finite()).sum() or 0) if column.dtype.is_float() else 0)
        if bad:
            what = "prediction" if column.name == "prediction" else "probability"
            raise GateError(
                f"{name} gave no finite {what} for {bad:,} of {rows:,} rows.",
                why="A model that answers NaN, infinity or nothing for some rows must not serve them.",
                fix="Look at these rows' features: missing values that the pipeline does not impute are the usual cause.",
            )


def _regression(truth: pl.Series, predictions: Predictions) -> Regression:
    said = predictions.frame["prediction"].cast(pl.Float64).to_numpy()
    return Regression(truth.cast(pl.Float64).to_numpy(), said)


def _binary(name: str, evaluation: Evaluation, truth: pl.Series, positive: Any, predictions: Predictions) -> Binary:
    classes = predictions.classes or []
    if len(classes) > 2:
        raise GateError(f"{name} knows {len(classes)} classes, and the task is binary.")
    if positive not in classes and not set(classes) & set(truth.unique().to_list()):
        raise GateError(
            f"{name} answers with {', '.join(map(repr, classes))}, none of which is a value of the target.",
            fix="Train on the same target, with the same type, as the holdout's.",
        )
    place = classes.index(positive) if positive in classes else -1
    column = f"probability_{place}"
    probability = predictions.frame[column].to_numpy() if column in predictions.frame.columns else None
    label = predictions.frame["prediction"].to_numpy() == place
    if evaluation.threshold is not None:
        if probability is None:
            raise GateError(
                f"{name} gives no probabilities, and the policy sets a threshold.", fix="Take `threshold` out."
            )
        label = probability >= evaluation.threshold
    return Binary((truth == positive).to_numpy(), label, probability)


def _all_classes(truth: pl.Series, predictions: Sequence[Predictions] | Any) -> list[Any]:
    found = set(truth.unique().to_list()).union(*(set(each.classes or []) for each in predictions))
    return sorted(found, key=lambda value: (str(type(value)), value))


def _multiclass(truth: pl.Series, classes: list[Any], predictions: Predictions) -> Multiclass:
    place = {label: position for position, label in enumerate(classes)}
    own = np.array([place[label] for label in predictions.classes or []], dtype=np.int64)
    said = own[predictions.frame["prediction"].to_numpy()]
    probability: Floats | None = None
    columns = [name for name in predictions.frame.columns if name.startswith("probability_")]
    if columns:
        # A class that this model does not know has probability 0.
        probability = np.zeros((len(truth), len(classes)))
        probability[:, own] = predictions.frame.select(columns).to_numpy()
    positions = np.array([place[label] for label in truth.to_list()], dtype=np.int64)
    return Multiclass(positions, said, len(classes), probability)
