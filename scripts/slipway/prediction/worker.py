"""Runs inside the model's own environment: loads one MLflow model and writes its predictions. Imports nothing of ours.

Arguments: model folder, features (parquet), output folder, task. Writes predictions.parquet with one row per feature
row (`prediction`, and `probability_<position>` where the model gives probabilities; for several labels to a row
`prediction_<position>`) and predictions.json with the list of classes. Exit code 3 with one line on stderr where the
model, and not Slipway, is at fault.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

MODEL_AT_FAULT = 3


class FaultError(Exception):
    """The model is at fault; the message says how. Not SystemExit, which a model's own code may raise."""


def main(model_folder: str, features_file: str, output: str, task: str) -> None:
    """Load, predict, write."""
    try:
        import mlflow.pyfunc
        import pandas as pd

        features = pd.read_parquet(features_file)
    except ImportError as error:
        fail(f"the model's environment lacks a package that predicting needs: {error}")
    started = time.monotonic()
    try:
        model = mlflow.pyfunc.load_model(model_folder)
    except (Exception, SystemExit) as error:
        fail(f"the model cannot be loaded: {type(error).__name__}: {error}")
    loaded = time.monotonic()
    features = features[wanted(model, list(features.columns))]
    try:
        frame, classes = predict(model, features, task)
    except FaultError:
        raise
    except (Exception, SystemExit) as error:
        fail(f"the model cannot predict the holdout: {type(error).__name__}: {error}")
    about = {
        "classes": classes,
        "load_seconds": loaded - started,
        "predict_seconds": time.monotonic() - loaded,
        "python": sys.version.split()[0],
    }
    frame.to_parquet(Path(output) / "predictions.parquet")
    (Path(output) / "predictions.json").write_text(json.dumps(about), encoding="utf-8")


def wanted(model: Any, columns: list[str]) -> list[str]:
    """The columns of the model's signature; all of them where it has none."""
    schema = model.metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        return columns
    names = [str(name) for name in schema.input_names()]
    required = [str(name) for name in schema.required_input_names()]
    missing = [name for name in required if name not in columns]
    if missing:
        fail(f"the holdout lacks columns that the model's signature requires: {', '.join(missing)}")
    return [name for name in names if name in columns]


def predict(model: Any, features: Any, task: str) -> tuple[Any, list[Any] | None]:
    """Predictions as a data frame, and the classes that the columns of probabilities belong to."""
    import numpy as np
    import pandas as pd

    said = model.predict(features)
    if task == "multilabel":
        return multilabel(model, features, said)
    values = said.to_numpy() if hasattr(said, "to_numpy") else np.asarray(said)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if len(values) != len(features):
        fail(f"the model gave {len(values)} predictions for {len(features)} rows")
    if task == "text":
        return pd.DataFrame({"prediction": texts(values)}), None
    if task in ("regression", "ranking", "forecasting"):
        return pd.DataFrame({"prediction": values.astype(float)}), None
    if values.ndim == 2:
        classes, probabilities = classes_of(model, values.shape[1]), values.astype(float)
        labels = np.asarray(classes)[probabilities.argmax(axis=1)]
    elif values.dtype.kind == "f" and task == "binary" and not set(np.unique(values)) <= {0.0, 1.0}:
        classes, probabilities = [False, True], np.column_stack([1 - values, values])
        labels = values >= 0.5
    else:
        labels, probabilities = values, probabilities_of(model, features)
        classes = classes_of(model, 0) if probabilities is not None else plain(sorted(set(values.tolist())))
    frame = pd.DataFrame({"prediction": positions(labels, classes)})
    for position in range(0 if probabilities is None else probabilities.shape[1]):
        frame[f"probability_{position}"] = probabilities[:, position]
    return frame, classes


def texts(values: Any) -> list[str]:
    """One text for each row."""
    found = plain(values)
    wrong = next((value for value in found if not isinstance(value, str)), None)
    if wrong is not None or None in found:
        fail(f"the model must answer every row with a text, and one answer is of the type {type(wrong).__name__}")
    return found


def multilabel(model: Any, features: Any, said: Any) -> tuple[Any, list[str] | None]:
    """`prediction_<position>` (true or false), `probability_<position>` where there are any; names of the labels."""
    import numpy as np
    import pandas as pd

    values = said.to_numpy() if hasattr(said, "to_numpy") else np.asarray(said)
    if values.ndim != 2 or len(values) != len(features):
        fail(f"the model gave predictions of the shape {values.shape} for {len(features)} rows of several labels")
    values = values.astype(float)
    if np.isin(values, (0, 1)).all():
        labels, probabilities = values == 1, multilabel_probabilities_of(model, features, values.shape)
    elif ((values >= 0) & (values <= 1)).all():
        labels, probabilities = values >= 0.5, values
    else:
        fail("the model gave neither labels (0 or 1) nor probabilities")
    frame = pd.DataFrame({f"prediction_{place}": labels[:, place] for place in range(values.shape[1])})
    for place in range(0 if probabilities is None else values.shape[1]):
        frame[f"probability_{place}"] = probabilities[:, place]
    names = list(said.columns) if hasattr(said, "columns") else []
    return frame, names if names and all(isinstance(name, str) for name in names) else None


def multilabel_probabilities_of(model: Any, features: Any, shape: tuple[int, int]) -> Any:
    """What predict_proba says: one array, or one of two classes to each label. Nothing where it fits no label."""
    import numpy as np

    native = native_model(model)
    if not hasattr(native, "predict_proba"):
        return None
    said = native.predict_proba(features)
    if isinstance(said, list):
        if not all(each.shape == (shape[0], 2) for each in said):
            return None
        said = np.column_stack([each[:, 1] for each in said])
    return said if said.shape == shape else None


def probabilities_of(model: Any, features: Any) -> Any:
    """What the native model's predict_proba says, where it has one."""
    native = native_model(model)
    if not hasattr(native, "predict_proba") or not hasattr(native, "classes_"):
        return None
    return native.predict_proba(features)


def classes_of(model: Any, count: int) -> list[Any]:
    """The native model's classes in the order of its probabilities; 0, 1, … where it names none."""
    native = native_model(model)
    return plain(native.classes_) if hasattr(native, "classes_") else list(range(count))


def native_model(model: Any) -> Any:
    """The model inside of MLflow's wrapper."""
    try:
        return model.get_raw_model()
    except Exception:  # flavours without a native model raise what they like
        return None


def positions(labels: Any, classes: list[Any]) -> list[int]:
    """Each label's position in the classes."""
    place = {value: position for position, value in enumerate(classes)}
    return [place[value] for value in plain(labels)]


def plain(values: Any) -> list[Any]:
    """As values that JSON knows."""
    return [value.item() if hasattr(value, "item") else value for value in values]


def fail(message: str) -> Any:
    """End: the model is at fault."""
    raise FaultError(" ".join(message.split())[:2000])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FaultError as fault:
        print(fault, file=sys.stderr)
        sys.exit(MODEL_AT_FAULT)
