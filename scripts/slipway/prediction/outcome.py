"""Sets a model's predictions beside the truth, class by class, and refuses what cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from slipway.evaluation.outcomes import (
    Binary,
    Floats,
    Integers,
    Multiclass,
    Multilabel,
    Outcome,
    Prices,
    Regression,
)
from slipway.policy.evaluation import Evaluation
from slipway.prediction import keyed, multilabel
from slipway.prediction.process import Predictions
from slipway.runner.errors import GateError, InputError

WHOLE = 1e-3
"""How far from 1 the probabilities of a row may be together: single precision and rounded files are as far."""

SHOWN = 5
"""Rows that a sentence names."""


def outcomes(
    evaluation: Evaluation, truth: pl.Series, named: dict[str, Predictions], keys: pl.DataFrame | None = None
) -> dict[str, Outcome]:
    """Each model's outcome over the same rows. `named` maps what to call a model in messages to its predictions.

    keys: `evaluation.keys`, the columns beside the truth that ranking and forecasting need.
    Raises InputError where the target cannot be what the policy says, GateError where a model's answers are unusable.
    """
    _check_truth(evaluation, truth)
    for name, predictions in named.items():
        _check_predictions(name, predictions, len(truth))
    if evaluation.task == "multilabel":
        return {**multilabel.outcomes(evaluation, truth, named)}
    if evaluation.task in ("ranking", "forecasting"):
        assert keys is not None
        of_task = keyed.rankings if evaluation.task == "ranking" else keyed.forecasts
        return {**of_task(evaluation, truth, named, keys)}
    if evaluation.task == "regression":
        return {name: _regression(truth, predictions) for name, predictions in named.items()}
    if evaluation.task == "binary":
        positive = positive_label(evaluation, truth)
        return {name: _binary(name, evaluation, truth, positive, said) for name, said in named.items()}
    known = set(truth.unique().to_list())
    for name, predictions in named.items():
        _check_classes(name, predictions.classes or [], known)
        _check_sums(name, predictions)
    classes = _all_classes(known, named.values())
    return {name: _multiclass(truth, classes, predictions) for name, predictions in named.items()}


def unheard(
    evaluation: Evaluation, truth: pl.Series, named: dict[str, Predictions], judged: Mapping[str, Outcome]
) -> Iterator[str]:
    """What a reader should know where the policy's threshold decides: that a model's own labels say otherwise.

    judged: what `outcomes` made of the same predictions.
    """
    if evaluation.threshold is None:
        return
    own = outcomes(evaluation.model_copy(update={"threshold": None}), truth, named)
    for name, outcome in own.items():
        by_threshold = judged[name]
        if isinstance(outcome, Binary | Multilabel) and isinstance(by_threshold, Binary | Multilabel):
            differ = outcome.label != by_threshold.label
            rows = int(differ.any(axis=1).sum() if differ.ndim == 2 else differ.sum())
            if rows:
                yield (
                    f"The policy's `threshold` of {evaluation.threshold:g} decides: the labels of {name} differ from "
                    f"it in {rows:,} of {len(differ):,} rows, and were not looked at."
                )


def positive_label(evaluation: Evaluation, truth: pl.Series) -> Any:
    """The policy's positive label, or the greater of the two that occur.

    Raises InputError where the target does not settle it: with one label alone, the negatives could pass for positives.
    """
    labels = sorted(truth.unique().to_list())
    if len(labels) > 2:
        shown = ", ".join(map(str, labels[:5]))
        raise InputError(
            f"The target `{evaluation.target}` has {len(labels)} values ({shown}…), and the task is binary.",
            fix="Set `task: multiclass` (or `regression`), or name another target.",
        )
    shown = " and ".join(map(repr, labels))
    if evaluation.positive is None and len(labels) == 1 and labels[0] is not True:
        raise InputError(
            f"Every row of the holdout has the target {shown}, and the policy does not say which label is positive.",
            fix="Take a holdout with both classes, and set `positive` in the policy.",
        )
    if evaluation.positive is None:
        return labels[-1]
    same_type = type(evaluation.positive) is type(labels[0])
    if not same_type or (evaluation.positive not in labels and len(labels) == 2):
        raise InputError(
            f"The positive label {evaluation.positive!r} does not occur in the target `{evaluation.target}`, whose "
            f"values are {shown}.",
            fix='Correct `positive` in the policy; mind its type: `1`, `"1"` and `true` are three labels.',
        )
    return evaluation.positive


def cluster_positions(values: pl.Series) -> Integers:
    """Positions 0..n-1 of each row's cluster. values: (rows,). Rows without a value form a cluster together."""
    return keyed.positions(values)


def _check_truth(evaluation: Evaluation, truth: pl.Series) -> None:
    if truth.is_empty():
        raise InputError("The holdout has no rows.", fix="Name a dataset with rows under `evaluation.holdout`.")
    absent = _without_number(truth)
    if absent:
        raise InputError(
            f"The target `{evaluation.target}` is missing or infinite in {absent:,} of {len(truth):,} rows of the "
            "holdout.",
            fix="Leave rows without a known outcome out of the holdout.",
        )
    if evaluation.task in ("regression", "ranking", "forecasting") and not truth.dtype.is_numeric():
        raise InputError(
            f"The target `{evaluation.target}` is {truth.dtype}, and the task is {evaluation.task}.",
            fix="Set `task: binary` or `multiclass`, or name a numeric target.",
        )
    if evaluation.task in ("binary", "multiclass") and truth.dtype.is_float():
        raise InputError(
            f"The target `{evaluation.target}` is {truth.dtype}: classes must be text, whole numbers or true/false.",
            fix="Set `task: regression`, or cast the target when the data are prepared.",
        )


def _check_predictions(name: str, predictions: Predictions, rows: int) -> None:
    frame = predictions.frame
    if frame.height != rows:
        raise GateError(f"{name} gave {frame.height:,} predictions for {rows:,} rows.")
    for column in frame.get_columns():
        bad = _without_number(column)
        if bad:
            where = ", ".join(map(str, _places_without_number(column).head(SHOWN)))
            what = column.name.partition("_")[0]
            raise GateError(
                f"{name} gave no finite {what} for {bad:,} of {rows:,} rows.",
                why="A model that answers NaN, infinity or nothing for some rows must not serve them.",
                fix=f"Look at these rows' features: row {where}{' and others' if bad > SHOWN else ''} of the holdout, "
                "counted from 0. Missing values that the pipeline does not impute are the usual cause.",
            )
        if column.name.startswith("probability"):
            outside = int((~column.is_between(-WHOLE, 1 + WHOLE)).sum())
            if outside:
                raise GateError(f"{name} gives probabilities below 0 or above 1 in {outside:,} of {rows:,} rows.")


def _without_number(values: pl.Series) -> int:
    return len(_places_without_number(values))


def _places_without_number(values: pl.Series) -> pl.Series:
    """Positions of what is missing, NaN or infinite."""
    absent = values.is_null()
    return (absent | ~values.is_finite().fill_null(False) if values.dtype.is_float() else absent).arg_true()


def _regression(truth: pl.Series, predictions: Predictions) -> Regression:
    said = predictions.frame["prediction"].cast(pl.Float64).to_numpy()
    return Regression(truth.cast(pl.Float64).to_numpy(), said)


def _binary(name: str, evaluation: Evaluation, truth: pl.Series, positive: Any, predictions: Predictions) -> Binary:
    classes = _both_classes(truth, positive) if predictions.classes is None else predictions.classes
    if len(classes) > 2:
        raise GateError(f"{name} knows {len(classes)} classes, and the task is binary.")
    _check_classes(name, classes, {positive, *truth.unique().to_list()})
    place = classes.index(positive) if positive in classes else -1
    column = f"probability_{place}"
    # As 64-bit floats for both models: where log_loss clips would differ between them otherwise. A share may lie above
    # 1 by as little as its row's sum may.
    given = column in predictions.frame.columns
    probability = np.clip(predictions.frame[column].cast(pl.Float64).to_numpy(), 0, 1) if given else None
    label = predictions.frame["prediction"].to_numpy() == place
    if evaluation.threshold is not None:
        if probability is None:
            raise GateError(
                f"{name} gives no probabilities, and the policy sets a threshold.", fix="Take `threshold` out."
            )
        label = probability >= evaluation.threshold
    costs = Prices(**evaluation.costs.model_dump()) if evaluation.costs else None
    return Binary((truth == positive).to_numpy(), label, probability, costs)


def _both_classes(truth: pl.Series, positive: Any) -> list[Any]:
    """The classes of a model that names none, and says of each row how probable the greater of the two labels is."""
    labels = sorted({positive, *truth.unique().to_list()})
    if len(labels) == 2:
        return labels
    return [False, True] if positive in (False, True) else [None, positive]


def _check_sums(name: str, predictions: Predictions) -> None:
    """The model's own process wrote them: were every class certain in every row, each row would be right at no risk."""
    columns = [column for column in predictions.frame.columns if column.startswith("probability_")]
    if not columns:
        return
    if columns != [f"probability_{place}" for place in range(len(predictions.classes or []))]:
        raise GateError(f"{name} gives {len(columns)} columns of probabilities that are not those of its classes.")
    wrong = int(((predictions.frame.select(pl.sum_horizontal(columns)).to_series() - 1).abs() > WHOLE).sum())
    if wrong:
        raise GateError(f"{name} gives probabilities that do not add up to 1 in {wrong:,} rows.")


def _check_classes(name: str, classes: list[Any], known: set[Any]) -> None:
    if len(set(classes)) < len(classes):
        raise GateError(f"{name} names a class twice: {', '.join(map(repr, classes[:5]))}.")
    if not known & set(classes):
        shown = ", ".join(map(repr, classes[:5])) or "no class"
        raise GateError(
            f"{name} answers with {shown}, none of which is a value of the target.",
            fix="Train on the same target, with the same type, as the holdout's.",
        )


def _all_classes(known: set[Any], predictions: Iterable[Predictions]) -> list[Any]:
    found = known.union(*(set(each.classes or []) for each in predictions))
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
