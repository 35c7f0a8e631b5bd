"""Predictions as files: ready-made ones of any system, read strictly, and our own, written in the same format.

docs/predictions.md describes the format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from slipway.policy.evaluation import Evaluation
from slipway.prediction.holdout import Holdout
from slipway.prediction.outcome import positive_label
from slipway.prediction.process import Predictions
from slipway.runner.errors import InputError

SUFFIXES = (".parquet", ".csv")
BYTES = 8 * 2**30
PREFIX = "probability_"
LABEL = "prediction_"
EVEN = 0.5
"""From here on a label is given where the file says only how probable it is."""

DOCUMENTED = "docs/predictions.md describes the format."


def read_predictions(path: Path, holdout: Holdout, evaluation: Evaluation) -> Predictions:
    """The predictions of `path` (parquet or CSV) in the order of the holdout's rows.

    Rows are joined by `evaluation.key`, or counted off in the holdout's order where the policy names none. Raises
    InputError where a row is missing, extra or twice there, or where a label, a class or a probability cannot be one.
    Missing values are left: `outcome.outcomes` counts and refuses them, as for every model.
    """
    keys = [evaluation.key] if isinstance(evaluation.key, str) else list(evaluation.key or ())
    table = _table(path, len(holdout.truth), joined=bool(keys))
    table = _by_key(path, table, holdout, keys) if keys else _by_order(path, table, holdout)
    if evaluation.task == "multilabel":
        return _labels(path, table)
    numbers = evaluation.task in ("regression", "ranking", "forecasting")
    if (numbers or evaluation.task == "text") and "prediction" not in table.columns:
        _refuse(path, "has no column `prediction`")
    if evaluation.task == "text":
        if table["prediction"].dtype != pl.String:
            _refuse(path, f"has {table['prediction'].dtype} in `prediction`, and the task is text")
        return Predictions(table.select("prediction"), None)
    if numbers:
        return Predictions(pl.DataFrame({"prediction": _numbers(path, table["prediction"])}), None)
    return _classes(path, table, holdout.truth, evaluation)


def write_predictions(path: Path, predictions: Predictions, keys: pl.DataFrame | None = None) -> None:
    """Write `predictions` with labels in their own form. keys: columns that name each row, if there are any.

    The classes of a binary model that names none are its positions: 0, negative, and 1, positive.
    """
    frame, classes = predictions.frame, predictions.classes
    if classes is not None:
        label = pl.Series("prediction", [classes[place] for place in frame["prediction"]], strict=False)
        names = {f"{PREFIX}{place}": f"{PREFIX}{_text(each)}" for place, each in enumerate(classes)}
        frame = frame.with_columns(label).rename({old: new for old, new in names.items() if old in frame.columns})
    (frame if keys is None else pl.concat([keys, frame], how="horizontal")).write_parquet(path)


def _table(path: Path, rows: int, *, joined: bool) -> pl.DataFrame:
    """The file's rows; of a CSV every value as text, since only the holdout says what it is."""
    if path.suffix not in SUFFIXES or not path.is_file():
        raise InputError(f"There is no file of predictions {path}.", fix=f"Name a parquet or CSV file. {DOCUMENTED}")
    if path.stat().st_size > BYTES:
        _refuse(path, f"is larger than {BYTES:,} bytes")
    try:
        lazy = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path, infer_schema=False)
        found = int(lazy.select(pl.len()).collect().item())
        # Before anything is read: a small file can unfold to any number of rows. A join says which rows are wrong.
        if found != rows and not (joined and found <= 2 * rows):
            _refuse(path, f"has {found:,} rows, and the holdout has {rows:,}", "Each row needs one prediction.")
        return lazy.collect()
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} cannot be read.", why=str(error)[:500], fix=DOCUMENTED) from error


def _by_key(path: Path, table: pl.DataFrame, holdout: Holdout, keys: list[str]) -> pl.DataFrame:
    schema = pl.scan_parquet(holdout.features).collect_schema()
    absent = [name for name in keys if name not in schema]
    if absent:
        raise InputError(
            f"The holdout has no column `{absent[0]}`, which `evaluation.key` names.",
            fix=f"Its columns are: {', '.join(schema)[:500]}.",
        )
    absent = [name for name in keys if name not in table.columns]
    if absent:
        _refuse(path, f"has no column `{absent[0]}`, by which the policy joins predictions")
    own = pl.read_parquet(holdout.features, columns=keys)
    if own.is_duplicated().any():
        raise InputError(
            f"`evaluation.key` ({', '.join(keys)}) does not name one row of the holdout.",
            why=f"{own.is_duplicated().sum():,} rows share theirs with another: {_shown(own, own.is_duplicated())}.",
            fix="Add the column that tells them apart.",
        )
    theirs = table.select(_like(path, table[name], schema[name]) for name in keys)
    for found, what in (
        (theirs.is_duplicated(), "has rows twice"),
        (_unmatched(theirs, own, keys), "has rows that the holdout does not have"),
        (_unmatched(own, theirs, keys), "lacks rows of the holdout"),
    ):
        if found.any():
            shown = _shown(own if what.startswith("lacks") else theirs, found)
            _refuse(path, f"{what}: {found.sum():,}, among them {shown}")
    place = theirs.with_row_index("place")
    order = own.join(place, on=keys, how="left", maintain_order="left", nulls_equal=True)["place"]
    return table[order]


def _unmatched(these: pl.DataFrame, those: pl.DataFrame, keys: list[str]) -> pl.Series:
    marked = those.with_columns(found=pl.lit(True))
    joined = these.join(marked, on=keys, how="left", maintain_order="left", nulls_equal=True)
    return joined["found"].is_null()


def _by_order(path: Path, table: pl.DataFrame, holdout: Holdout) -> pl.DataFrame:
    """In the holdout's order; columns of the holdout that came along must prove it."""
    schema = pl.scan_parquet(holdout.features).collect_schema()
    shared = [name for name in table.columns if name in schema and name != "prediction"]
    shared = [name for name in shared if not name.startswith(PREFIX)]
    own = pl.read_parquet(holdout.features, columns=shared) if shared else pl.DataFrame()
    for name in shared:
        same = _like(path, table[name], schema[name]).eq_missing(own[name])
        if not same.all():
            _refuse(
                path,
                f"is in another order than the holdout: `{name}` differs in {(~same).sum():,} of {len(same):,} rows",
                "Put it into the holdout's order, or name under `evaluation.key` the columns to join by.",
            )
    return table


def _classes(path: Path, table: pl.DataFrame, truth: pl.Series, evaluation: Evaluation) -> Predictions:
    """Labels and class names as values of the target's own type."""
    labels = {*truth.drop_nulls().unique().to_list()}
    if evaluation.positive is not None:
        if labels and not truth.dtype.is_float():
            positive_label(evaluation, truth.drop_nulls())  # a wrong `positive` is no fault of the file
        labels.add(evaluation.positive)
    by_text = {_text(label): label for label in labels}
    columns = [name for name in table.columns if name.startswith(PREFIX)]
    declared = [_label(path, name.removeprefix(PREFIX), by_text, truth.dtype) for name in columns]
    if len(set(declared)) < len(declared):
        _refuse(path, "has two columns of probabilities for one class")
    probabilities = [_numbers(path, table[name]).cast(pl.Float64) for name in columns]
    if "probability" in table.columns:
        if columns or evaluation.task != "binary" or len(labels) != 2:
            _refuse(path, "has a column `probability`, which is for two classes and has no others beside it")
        given = _numbers(path, table["probability"]).cast(pl.Float64)
        negative, positive = sorted(labels, key=lambda label: (label == evaluation.positive, label))
        declared, probabilities = [negative, positive], [1 - given, given]
    _check_probabilities(path, probabilities)
    if "prediction" in table.columns:
        text = _as_text(table["prediction"])
        found = {each: _label(path, each, by_text, truth.dtype) for each in sorted(text.drop_nulls().unique())}
        classes = declared or sorted({*labels, *found.values()}, key=lambda label: (str(type(label)), label))
        known = {*classes} if declared else labels
        unknown = sorted(each for each, label in found.items() if label not in known)
        if unknown:
            _refuse(
                path,
                f"predicts {', '.join(map(repr, unknown[:5]))}, which is no class",
                f"The classes are {', '.join(map(_text, sorted(known, key=str)[:20]))}. A class that the holdout does "
                f"not have is declared by columns `{PREFIX}<class>` for all classes.",
            )
        place = {each: classes.index(label) for each, label in found.items()}
        position = text.replace_strict(place, default=None, return_dtype=pl.Int64)
    elif probabilities:
        classes = declared
        scores = np.column_stack([each.to_numpy() for each in probabilities])
        position = pl.Series(np.nan_to_num(scores, nan=-1.0).argmax(axis=1))
    else:
        _refuse(path, f"has neither a column `prediction` nor columns `{PREFIX}<class>`")
    named = {f"{PREFIX}{place}": each for place, each in enumerate(probabilities)}
    return Predictions(pl.DataFrame({"prediction": position, **named}), classes)


def _labels(path: Path, table: pl.DataFrame) -> Predictions:
    """Any number of labels to a row: whether each is given, its probability, or both. Their names are the columns'."""
    given = [name.removeprefix(LABEL) for name in table.columns if name.startswith(LABEL)]
    likely = [name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX)]
    labels = given or likely
    if not labels:
        _refuse(path, f"has neither columns `{LABEL}<label>` nor columns `{PREFIX}<label>`")
    if given and likely and {*given} != {*likely}:
        odd = min({*given} ^ {*likely})
        _refuse(path, f"has only one of `{LABEL}{odd}` and `{PREFIX}{odd}`", "Give both for every label, or one kind.")
    frame = {}
    for place, label in enumerate(labels):
        if likely:
            probability = _numbers(path, table[f"{PREFIX}{label}"]).cast(pl.Float64)
            if (probability.is_finite() & ((probability < 0) | (probability > 1))).any():
                _refuse(path, f"has probabilities below 0 or above 1 in `{PREFIX}{label}`")
            frame[f"{PREFIX}{place}"] = probability
        said = _flags(path, table[f"{LABEL}{label}"]) if given else probability >= EVEN
        frame[f"{LABEL}{place}"] = said
    return Predictions(pl.DataFrame(frame), labels)


def _flags(path: Path, values: pl.Series) -> pl.Series:
    """Yes and no, in the ways that tools write them. Missing ones are counted later, for every model alike."""
    known = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
    text = _as_text(values).str.to_lowercase()
    wrong = text.drop_nulls().filter(~text.drop_nulls().is_in(list(known)))
    if len(wrong):
        _refuse(path, f"has {wrong[0]!r} in `{values.name}`, which must be 0 or 1")
    return text.replace_strict(known, default=None, return_dtype=pl.Boolean)


def _check_probabilities(path: Path, probabilities: list[pl.Series]) -> None:
    """Shares of one. Missing and infinite ones are counted later, for every model alike."""
    if not probabilities:
        return
    if len(probabilities) < 2:
        _refuse(path, "has probabilities of one class only", f"Give `{PREFIX}<class>` for every class.")
    scores = np.column_stack([each.to_numpy() for each in probabilities])
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(scores).all(axis=1)
        outside = int((((scores < 0) | (scores > 1)).any(axis=1) & finite).sum())
        unequal = int(((abs(scores.sum(axis=1) - 1) > 1e-3) & finite).sum())
    if outside:
        _refuse(path, f"has probabilities below 0 or above 1 in {outside:,} rows")
    if unequal:
        _refuse(path, f"has probabilities that do not add up to 1 in {unequal:,} rows")


def _label(path: Path, text: str, by_text: dict[str, Any], dtype: pl.DataType) -> Any:
    """The label that a text stands for: one of the target's, or another of its type."""
    if text in by_text:
        return by_text[text]
    if dtype.is_integer():
        try:
            return int(text.removesuffix(".0"))  # other tools write whole numbers as floats where some are missing
        except ValueError:
            _refuse(path, f"has the class {text!r}, and the target holds whole numbers")
    if dtype == pl.Boolean:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        _refuse(path, f"has the class {text!r}, and the target holds true and false")
    return text


def _text(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _as_text(values: pl.Series) -> pl.Series:
    return values.cast(pl.String, strict=False)


def _numbers(path: Path, values: pl.Series) -> pl.Series:
    if values.dtype.is_numeric():
        return values
    numbers = values.cast(pl.String, strict=False).replace("", None).cast(pl.Float64, strict=False)
    wrong = numbers.is_null() & values.is_not_null() & (values.cast(pl.String, strict=False) != "")
    if wrong.any():
        _refuse(path, f"has no number in {wrong.sum():,} rows of `{values.name}`")
    return numbers


def _like(path: Path, values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A column of the file as the holdout's type."""
    try:
        if values.dtype == pl.String and dtype == pl.Boolean:
            return values.str.to_lowercase().replace_strict({"true": True, "false": False}, return_dtype=pl.Boolean)
        if values.dtype == pl.String and isinstance(dtype, pl.datatypes.TemporalType):
            return values.str.strptime(dtype, strict=True)
        return values.cast(dtype)
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{path} has a column `{values.name}` that is not {dtype}, as in the holdout.", why=str(error)[:300]
        ) from error


def _shown(frame: pl.DataFrame, marked: pl.Series) -> str:
    """The first rows that are marked, as people write them."""
    rows = frame.filter(marked).unique(maintain_order=True).head(3).rows()
    return "; ".join(", ".join(map(str, row)) for row in rows)


def _refuse(path: Path, what: str, fix: str = "") -> NoReturn:
    raise InputError(f"{path} {what}.", fix=" ".join(filter(None, (fix, DOCUMENTED))))
