"""Runs inside the model's own environment: loads one MLflow model and predicts with it. Imports nothing of ours.

    worker.py MODEL OUTPUT predict TASK ROWS FEATURES...   writes predictions-0.parquet, -1, … and predictions.json
    worker.py MODEL OUTPUT serve FEATURES                  answers a request for each line of standard input

Features are parquet files. docs/predictions.md describes what is written. ROWS are positions in the first file, `3,17`,
or nothing: what the model answers for them, asked as its server is, is written to golden.json. A line to `serve` is
`START STOP`; the answer is `done` once the model has predicted these rows, and `ready` is said once, after loading.
Exit code 3 with one line on stderr where the model, and not Slipway, is at fault.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

MODEL_AT_FAULT = 3


class FaultError(Exception):
    """The model is at fault; the message says how. Not SystemExit, which a model's own code may raise."""


def main(model_folder: str, output: str, mode: str, *arguments: str) -> None:
    """Load, then predict or serve."""
    # What a model prints must not reach whoever reads our answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # What is imported stays until the end. Not to look through it again and again for what could be freed saves a
    # third of the start.
    gc.disable()
    try:
        import mlflow.pyfunc
        import pandas as pd
    except ImportError as error:
        fail(f"the model's environment lacks a package that predicting needs: {error}")
    gc.freeze()
    gc.enable()
    started = time.monotonic()
    try:
        model = mlflow.pyfunc.load_model(model_folder)
    except (Exception, SystemExit) as error:
        fail(f"the model cannot be loaded: {type(error).__name__}: {error}")
    loaded = time.monotonic() - started
    task, rows, *files = arguments if mode == "predict" else ("", "", *arguments)
    try:
        features = [as_trained(model, pd.read_parquet(file)) for file in files]
        if mode == "serve":
            serve(model, features[0], answers)
            return
        if rows:
            keep_golden(model, features[0], [int(row) for row in rows.split(",")], Path(output))
        predict_files(model, features, task, Path(output), loaded)
    except FaultError:
        raise
    except ImportError as error:
        fail(f"the model's environment lacks a package that predicting needs: {error}")
    except (Exception, SystemExit) as error:
        fail(f"the model cannot predict the holdout: {type(error).__name__}: {in_short(str(error))}")


def predict_files(model: Any, files: list[Any], task: str, output: Path, load_seconds: float) -> None:
    """Write each file's predictions, and then what is to be known of all of them."""
    about: dict[str, Any] = {"classes": [], "predict_seconds": [], "load_seconds": load_seconds}
    for place, features in enumerate(files):
        begun = time.monotonic()
        frame, classes = predict(model, features, task)
        about["predict_seconds"].append(time.monotonic() - begun)
        about["classes"].append(classes)
        frame.to_parquet(output / f"predictions-{place}.parquet")
    (output / "predictions.json").write_text(json.dumps({**about, "python": sys.version.split()[0]}), encoding="utf-8")


def serve(model: Any, features: Any, answers: Any) -> None:
    """Predict the rows that each line of standard input names."""
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        first, last = map(int, line.split())
        said(model, features.iloc[first:last] if hasattr(features, "iloc") else features[first:last])
        print("done", file=answers, flush=True)


def keep_golden(model: Any, features: Any, rows: list[int], output: Path) -> None:
    """Write a request of some rows, as MLflow's scoring server takes it, and the answer that the server would give.

    A model whose rows or answers JSON cannot carry has none, and is judged all the same.
    """
    import io

    try:
        import mlflow.pyfunc.scoring_server

        scoring_server: Any = mlflow.pyfunc.scoring_server

        chosen = features.iloc[rows] if hasattr(features, "iloc") else features[rows]
        answer = io.StringIO()
        scoring_server.predictions_to_json(model.predict(chosen), answer)
        said = {"request": as_request(model, chosen), "answer": json.loads(answer.getvalue())}
        text = json.dumps(said, allow_nan=False)
    except (Exception, SystemExit) as error:  # whatever a model's own code raises
        text = json.dumps({"absent": f"{type(error).__name__}: {in_short(str(error))}"})
    (output / "golden.json").write_text(text, encoding="utf-8")


def as_request(model: Any, features: Any) -> dict[str, Any]:
    """Rows in the form in which MLflow's scoring server reads them back without a loss."""
    schema = model.metadata.get_input_schema()
    if not hasattr(features, "columns"):
        return {"inputs": features.tolist()}
    if schema is not None and schema.is_tensor_spec():
        return {"inputs": {str(name): [plain_value(each) for each in features[name]] for name in features.columns}}
    rows = [[plain_value(value) for value in row] for row in features.itertuples(index=False, name=None)]
    return {"dataframe_split": {"columns": list(map(str, features.columns)), "data": rows}}


def plain_value(value: Any) -> Any:
    """One value as JSON has it; what is missing becomes null, a time its ISO form."""
    import pandas as pd

    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [plain_value(each) for each in value]
    if value is None or value is pd.NaT or value is pd.NA or value != value:  # noqa: PLR0124 - NaN alone differs
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


# What the model is given ---------------------------------------------------------------------------------------------


def as_trained(model: Any, features: Any) -> Any:
    """The columns that the model was trained on, in its order and types, as far as it says so."""
    schema = model.metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        names = remembered_names(native_model(model))
        chosen = features[names] if names and set(names) <= set(features.columns) else features
        if schema is not None and schema.is_tensor_spec():
            return as_tensor(schema, chosen)
        return with_categories(model, chosen)
    names = [str(name) for name in schema.input_names()]
    required = [str(name) for name in schema.required_input_names()]
    missing = [name for name in required if name not in features.columns]
    if missing:
        fail(f"the holdout lacks columns that the model's signature requires: {', '.join(missing)}")
    chosen = features[[name for name in names if name in features.columns]]
    return with_categories(model, chosen if schema.is_tensor_spec() else with_numbers(schema, chosen))


def as_tensor(schema: Any, features: Any) -> Any:
    """A signature of one unnamed tensor, as that of a model that was trained on an array."""
    (spec,) = schema.inputs
    if len(spec.shape) == 2 and spec.shape[1] not in (-1, features.shape[1]):
        fail(
            f"the model's signature has {spec.shape[1]} columns without names, and the holdout has {features.shape[1]}:"
            " log the model with a signature that names its columns"
        )
    return features.to_numpy(dtype=spec.type)


def with_numbers(schema: Any, features: Any) -> Any:
    """Numbers in the width that the signature names, as MLflow's own server reads them; it refuses wider ones.

    Text that a schema declares (codes such as `01234`) is a number to a model that was trained on numbers.
    """
    widths = {"float": "float32", "double": "float64", "integer": "int32", "long": "int64"}
    wider = {"float": "fiu", "double": "fiu", "integer": "iu", "long": "iu"}
    for spec in schema.inputs:
        kind = getattr(spec.type, "name", "")
        if spec.name not in features.columns or kind not in widths:
            continue
        if (numbers := as_numbers(features[spec.name])) is not None:
            features = features.assign(**{spec.name: numbers})
        dtype = features[spec.name].dtype
        if dtype.kind in wider[kind] and str(dtype) != widths[kind]:
            features = features.assign(**{spec.name: features[spec.name].astype(widths[kind])})
    return features


def as_numbers(values: Any) -> Any:
    """A column of texts that are all numbers, as numbers; None for any other."""
    import pandas as pd

    known = values.dropna()
    if values.dtype.kind not in "OU" or known.empty or not known.map(type).eq(str).all():
        return None
    numbers = pd.to_numeric(values, errors="coerce")
    return None if (numbers.isna() & values.notna()).any() else numbers


def with_categories(model: Any, features: Any) -> Any:
    """Text as categories for a model of LightGBM or XGBoost that was trained on categories; it refuses text."""
    if not knows_categories(native_model(model)):
        return features
    text = [name for name in features.columns if features[name].dtype.kind in "OU"]
    return features.astype(dict.fromkeys(text, "category"))


def knows_categories(native: Any) -> bool:
    """Whether a model of LightGBM or XGBoost was trained on categories. Their scikit-learn interfaces hold another."""
    if hasattr(native, "booster_"):
        native = native.booster_
    elif hasattr(native, "get_booster"):
        native = native.get_booster()
    return bool(getattr(native, "pandas_categorical", None)) or "c" in (getattr(native, "feature_types", None) or [])


def remembered_names(native: Any) -> list[str]:
    """The names of the columns that a native model was trained on, where it remembers them."""
    for attribute in ("feature_names_in_", "feature_names", "feature_name"):
        found = getattr(native, attribute, None)
        found = found() if callable(found) else found
        if found is not None:
            return [str(name) for name in found]
    return []


# What the model says -------------------------------------------------------------------------------------------------


def said(model: Any, features: Any) -> Any:
    """The model's answer, as MLflow gives it, but for two kinds that MLflow's wrapper cannot ask.

    It makes one column of each output of ONNX, which cannot hold the probabilities of several classes. It takes
    categories neither past a signature (where they are text) nor to a booster of XGBoost.
    """
    native = native_model(model)
    if "onnx" in model.metadata.flavors:
        return run_session(native, features)
    if not knows_categories(native):
        return model.predict(features)
    if "xgboost" in model.metadata.flavors and not hasattr(native, "get_booster"):
        import xgboost

        return native.predict(xgboost.DMatrix(features, enable_categorical=True))
    return native.predict(features)


def run_session(session: Any, features: Any) -> dict[str, Any]:
    """The outputs of an ONNX session by name: one input of all columns, or one input for each column."""
    import numpy as np

    types = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(bool)": "bool"}
    inputs = session.get_inputs()

    def feed(asked: Any, values: Any) -> Any:
        given = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
        if asked.type == "tensor(string)":
            return given.astype(str).astype(object)
        return given.astype(types.get(asked.type, given.dtype))

    if len(inputs) == 1 and inputs[0].name not in getattr(features, "columns", ()):
        feeds = {inputs[0].name: feed(inputs[0], features)}
    else:
        columns = {each.name: feed(each, features[each.name]) for each in inputs}
        feeds = {
            each.name: columns[each.name].reshape(-1, 1) if len(each.shape) == 2 else columns[each.name]
            for each in inputs
        }
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def predict(model: Any, features: Any, task: str) -> tuple[Any, list[Any] | None]:
    """Predictions as a data frame, and the classes that the columns of probabilities belong to.

    The classes are None for numbers, and for a binary model that names none: then they are negative and positive.
    """
    import numpy as np
    import pandas as pd

    if task == "multilabel":
        return multilabel(model, features, said(model, features))
    labels, values, named = parts(said(model, features))
    answered = labels if values is None else values
    if len(answered) != len(features):
        fail(f"the model gave {len(answered)} predictions for {len(features)} rows")
    if task == "text":
        return pd.DataFrame({"prediction": texts(answered)}), None
    if task in ("regression", "ranking", "forecasting"):
        return pd.DataFrame({"prediction": np.asarray(answered).astype(float)}), None
    classes = named or classes_of(model)
    places: Any = None
    if values is None and is_probability(labels, task):
        values, places = np.column_stack([1 - labels, labels]), (labels >= 0.5).astype(int)
    elif values is None:
        values = probabilities_of(model, features)
    elif labels is None:
        places = values.argmax(axis=1)
    if places is None:
        places = meant_positions(labels, classes)
    classes = named_classes(classes, labels, values, task, by_label=places is None)
    if places is None:
        places = positions(labels, [0, 1] if classes is None else classes)
    frame = pd.DataFrame({"prediction": places})
    if values is not None and are_probabilities(values):
        for position in range(values.shape[1]):
            frame[f"probability_{position}"] = values[:, position]
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

    columns = [str(name) for name in getattr(said, "columns", ())]
    if columns and all(name.startswith(("prediction_", "probability_")) for name in columns):
        return multilabel_frame(said, columns)
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


def multilabel_frame(said: Any, columns: list[str]) -> tuple[Any, list[str]]:
    """A frame with the columns of docs/predictions.md: labels, probabilities or both, by the labels' names."""
    import pandas as pd

    given = [name.removeprefix("prediction_") for name in columns if name.startswith("prediction_")]
    likely = [name.removeprefix("probability_") for name in columns if name.startswith("probability_")]
    if given and likely and set(given) != set(likely):
        fail("the model names other labels in its columns `prediction_<label>` than in `probability_<label>`")
    names, frame = given or likely, pd.DataFrame(index=range(len(said)))
    for place, name in enumerate(names):
        if likely:
            frame[f"probability_{place}"] = said[f"probability_{name}"].to_numpy(dtype=float)
        if not given:
            frame[f"prediction_{place}"] = frame[f"probability_{place}"] >= 0.5
            continue
        flags = said[f"prediction_{name}"].to_numpy(dtype=float)
        if not set(flags.tolist()) <= {0.0, 1.0}:
            fail(f"the model gives other values than 0 and 1 in `prediction_{name}`")
        frame[f"prediction_{place}"] = flags == 1
    return frame, names


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


def meant_positions(labels: Any, classes: list[Any] | None) -> Any:
    """Labels as they are where a classifier answers with numbers, by which it means positions in a list of names."""
    if not classes or labels.dtype.kind not in "iuf" or set(labels.tolist()) & set(classes):
        return None
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        fail(f"the model answers with numbers from {labels.min()} to {labels.max()} and names {len(classes)} classes")
    return labels.astype(int)


def named_classes(classes: Any, labels: Any, values: Any, task: str, *, by_label: bool) -> list[Any] | None:
    """The classes that positions and scores belong to; without scores, the labels that occur."""
    if values is None:
        return plain(sorted(set(labels.tolist()))) if by_label else classes
    if classes is None:
        return None if task == "binary" and values.shape[1] == 2 else list(range(values.shape[1]))
    if len(classes) != values.shape[1]:
        fail(f"the model names {len(classes)} classes and gives {values.shape[1]} columns of scores")
    return list(classes)


def parts(answer: Any) -> tuple[Any, Any, list[Any] | None]:
    """What the forms of answers have in common: labels or numbers (rows,), scores (rows, classes), classes.

    An array, a series, a frame (of scores, or with the columns of docs/predictions.md), or named outputs.
    """
    import numpy as np

    columns = [str(name) for name in getattr(answer, "columns", ())]
    if "prediction" in columns or any(name.startswith("probability") for name in columns):
        return frame_parts(answer, columns)
    if isinstance(answer, dict):
        found = [output_parts(output) for output in answer.values()]
        labels = next((label for label, _, _ in found if label is not None), None)
        values, classes = next(((value, named) for _, value, named in found if value is not None), (None, None))
        return labels, values, classes
    values = answer.to_numpy() if hasattr(answer, "to_numpy") else np.asarray(answer)
    return output_parts(values)


def frame_parts(answer: Any, columns: list[str]) -> tuple[Any, Any, list[Any] | None]:
    """A frame with the columns of docs/predictions.md. Its names of classes are texts; the labels say what of."""
    import numpy as np

    labels = answer["prediction"].to_numpy() if "prediction" in columns else None
    names = [name.removeprefix("probability_") for name in columns if name.startswith("probability_")]
    if names:
        values = answer[[f"probability_{name}" for name in names]].to_numpy(dtype=float)
        return labels, values, typed(names, labels)
    if "probability" not in columns:
        return labels, None, None
    positive = answer["probability"].to_numpy(dtype=float)
    if labels is None:
        return positive, None, None
    if labels.dtype.kind not in "biuf":
        fail("the column `probability` does not say of which label: name `probability_<class>` for both")
    return labels, np.column_stack([1 - positive, positive]), None


def typed(names: list[str], labels: Any) -> list[Any]:
    """Names of classes as values of the labels' type; without labels as what all of them can be read as."""
    kind = labels.dtype.kind if labels is not None else ""
    if kind == "b" or (not kind and set(names) <= {"true", "false"}):
        return [name == "true" for name in names]
    if kind in ("i", "u") or (not kind and all(name.removeprefix("-").isdecimal() for name in names)):
        return [int(name) for name in names]
    return list(names)


def output_parts(output: Any) -> tuple[Any, Any, list[Any] | None]:
    """One output: labels or numbers, or scores; converters of scikit-learn write scores as a mapping for each row."""
    import numpy as np

    if isinstance(output, list) and output and isinstance(output[0], dict):
        classes = list(output[0])
        return None, np.array([[row[name] for name in classes] for row in output], dtype=float), plain(classes)
    values = np.asarray(output)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim > 2:
        fail(f"the model's answer has {values.ndim} dimensions; a number, a label or one score a class is known")
    return (None, values.astype(float), None) if values.ndim == 2 else (values, None, None)


def is_probability(values: Any, task: str) -> bool:
    """Whether these numbers are the probability of the positive class, and not labels."""
    import numpy as np

    if task != "binary" or values.dtype.kind != "f":
        return False
    known = values[~np.isnan(values)]
    if (known == np.round(known)).all() and len(known) == len(values):
        return False
    if known.min(initial=0) < 0 or known.max(initial=0) > 1:
        fail("the model gives scores outside of 0 to 1: it must give labels or probabilities")
    return True


def are_probabilities(values: Any) -> bool:
    """Whether the scores of each row are shares of 1; others (logits, margins) serve for the label only."""
    import numpy as np

    # Not a number counts as one: whoever reads it says how many rows have none.
    sums = np.nan_to_num(values.sum(axis=1), nan=1.0, posinf=1.0, neginf=1.0)
    return not (values[np.isfinite(values)] < 0).any() and bool((abs(sums - 1) < 1e-3).all())


def probabilities_of(model: Any, features: Any) -> Any:
    """What the native model's predict_proba says, where it has one."""
    native = native_model(model)
    if not hasattr(native, "predict_proba") or not hasattr(native, "classes_"):
        return None
    return native.predict_proba(features)


def classes_of(model: Any) -> list[Any] | None:
    """The classes in the order of the scores: as the model's metadata, the native model or ONNX's nodes name them."""
    described = getattr(model.metadata, "metadata", None) or {}
    if isinstance(described.get("classes"), list):
        return plain(described["classes"])
    native = native_model(model)
    if hasattr(native, "classes_"):
        return plain(native.classes_)
    return onnx_classes(model) if "onnx" in model.metadata.flavors else None


def onnx_classes(model: Any) -> list[Any] | None:
    """The labels that a converted classifier carries in the attributes of its nodes."""
    import onnx

    found = onnx.load(str(Path(sys.argv[1]) / model.metadata.flavors["onnx"]["data"]), load_external_data=False)
    for node in reversed(found.graph.node):
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_") and (attribute.ints or attribute.strings):
                return [*attribute.ints] or [each.decode() for each in attribute.strings]
    return None


def native_model(model: Any) -> Any:
    """The model inside of MLflow's wrapper."""
    try:
        return model.get_raw_model()
    except Exception:  # flavours without a native model raise what they like
        return None


def positions(labels: Any, classes: list[Any]) -> list[int]:
    """Each label's position in the classes."""
    place = {value: position for position, value in enumerate(classes)}
    unknown = [value for value in plain(labels) if value not in place]
    if unknown:
        fail(f"the model answers {unknown[0]!r}, which is none of its classes")
    return [place[value] for value in plain(labels)]


def plain(values: Any) -> list[Any]:
    """As values that JSON knows."""
    return [value.item() if hasattr(value, "item") else value for value in values]


def in_short(message: str) -> str:
    """Without the rows that MLflow quotes where types do not fit; of what is long the beginning and the end."""
    quoted, told = message.partition("of data '"), message.rpartition("' with schema")
    if quoted[1] and told[1] and len(quoted[0]) < len(told[0]):
        message = f"{quoted[0]}of the data with schema{told[2]}"
    message = " ".join(message.split())
    return message if len(message) <= 600 else f"{message[:200]} … {message[-400:]}"


def fail(message: str) -> Any:
    """End: the model is at fault."""
    raise FaultError(" ".join(message.split())[:2000])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FaultError as fault:
        print(fault, file=sys.stderr)
        sys.exit(MODEL_AT_FAULT)
