"""Truth and predictions of any number of labels to each row, label by label in one order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import polars as pl

from slipway.evaluation.outcomes import Booleans, Floats, Multilabel
from slipway.policy.evaluation import Evaluation
from slipway.prediction.process import Predictions
from slipway.runner.errors import GateError, InputError


def outcomes(evaluation: Evaluation, truth: pl.Series, named: dict[str, Predictions]) -> dict[str, Multilabel]:
    """Each model's outcome. truth: a struct of one column to each label, or lists of flags, or lists of names.

    Raises InputError where the target is none of these, GateError where a model's labels are others.
    """
    if truth.dtype == pl.List(pl.String):
        labels = _all_names(truth, named)
        flags: Booleans = np.stack([truth.list.contains(label).to_numpy() for label in labels], axis=1)
        return {name: _outcome(name, evaluation, flags, said, _own(said, labels)) for name, said in named.items()}
    columns = _columns(evaluation, truth)
    flags = np.stack([_flags(column) for column in columns], axis=1)
    names = [column.name for column in columns] if isinstance(truth.dtype, pl.Struct) else []
    return {
        name: _outcome(name, evaluation, flags, said, _places(name, said, names, len(columns)))
        for name, said in named.items()
    }


def _all_names(truth: pl.Series, named: dict[str, Predictions]) -> list[str]:
    for name, said in named.items():
        if not said.classes:
            raise GateError(
                f"{name} does not name its labels, and the target holds names.",
                fix="Let the model answer with a data frame of one column to each label, or name one target column "
                "to each label in the policy, in the model's order.",
            )
    occurring = truth.explode().drop_nulls().unique().to_list()
    return sorted({*occurring, *(label for said in named.values() for label in said.classes or [])})


def _columns(evaluation: Evaluation, truth: pl.Series) -> list[pl.Series]:
    """One column to each label."""
    if isinstance(truth.dtype, pl.Struct):
        return truth.struct.unnest().get_columns()
    if not isinstance(truth.dtype, pl.List | pl.Array):
        raise InputError(
            f"The target `{evaluation.target}` is {truth.dtype}, and the task is multilabel.",
            fix="Name one column to each label (`target: [a, b]`), or one column of lists.",
        )
    lists = truth.cast(pl.List(truth.dtype.inner)) if isinstance(truth.dtype, pl.Array) else truth
    lengths = lists.list.len().unique().to_list()
    if len(lengths) != 1 or not lengths[0]:
        raise InputError(
            f"The lists of the target `{evaluation.target}` have different lengths, or none.",
            fix="Give every row a flag (0 or 1) for each label, or the labels' names as text.",
        )
    return [lists.list.get(place).alias(f"label {place}") for place in range(lengths[0])]


def _flags(column: pl.Series) -> Booleans:
    values = column.unique()
    if values.null_count() or not (values.dtype == pl.Boolean or values.dtype.is_numeric()):
        values = pl.Series([-1])
    if not values.cast(pl.Float64).is_in([0.0, 1.0]).all():
        raise InputError(
            f"The target `{column.name}` holds other values than 0 and 1, or true and false.",
            fix="A multilabel target says of each label whether a row has it; rows without a known outcome are left "
            "out of the holdout.",
        )
    return column.cast(pl.Boolean).to_numpy()


def _own(said: Predictions, labels: list[str]) -> list[int | None]:
    """Where the model answers each label; nowhere for one that it does not know."""
    classes = said.classes or []
    return [classes.index(label) if label in classes else None for label in labels]


def _places(name: str, said: Predictions, names: list[str], count: int) -> list[int | None]:
    """Where the model answers each label: by name where both have names that fit, else in the same order."""
    answered = sum(column.startswith("prediction_") for column in said.frame.columns)
    if said.classes and set(names) & set(said.classes):
        lacking = [label for label in names if label not in said.classes]
        if lacking or len(said.classes) != len(names):
            raise GateError(
                f"{name} answers other labels than the target has: {_shown(said.classes)} instead of {_shown(names)}.",
                fix="Train on the same labels as the policy's `target` names.",
            )
        return _own(said, names)
    if answered != count:
        raise GateError(f"{name} answers {answered} labels, and the target has {count}.")
    return list(range(count))


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(map(str, listed[:5])) + ("…" if len(listed) > 5 else "")


def _outcome(
    name: str, evaluation: Evaluation, truth: Booleans, said: Predictions, places: list[int | None]
) -> Multilabel:
    probability: Floats | None = None
    if any(column.startswith("probability_") for column in said.frame.columns):
        probability = np.stack([_column(said, "probability", place) for place in places], axis=1)
    if evaluation.threshold is None:
        label = np.stack([_column(said, "prediction", place) for place in places], axis=1) > 0
    elif probability is None:
        raise GateError(f"{name} gives no probabilities, and the policy sets a threshold.", fix="Take `threshold` out.")
    else:
        label = probability >= evaluation.threshold
    return Multilabel(truth, label, probability)


def _column(said: Predictions, kind: str, place: int | None) -> Floats:
    if place is None:
        return np.zeros(said.frame.height)
    return cast(Floats, said.frame[f"{kind}_{place}"].cast(pl.Float64).to_numpy())
