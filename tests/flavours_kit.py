"""Makes models of several libraries with what each library itself predicts. Runs in an environment that holds them all.

Argument: a folder. Writes <task>/features.parquet, <task>/<name> (an MLflow model) and <task>/expected.json with the
labels and probabilities that the library's own predict gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.onnx
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import onnx
import pandas as pd
import skl2onnx
import xgboost
from mlflow.models import infer_signature
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

draw = np.random.default_rng(3)
ROWS = 300
NUMBERS = pd.DataFrame({"x1": draw.normal(size=ROWS), "x2": draw.normal(size=ROWS)})
MIXED = NUMBERS.assign(
    x2=NUMBERS.x2.where(draw.random(ROWS) > 0.1),  # some are missing
    place=draw.choice(["JFK", "EWR", "LGA"], ROWS),
    count=draw.integers(0, 9, ROWS),
)
SCORE = 2 * NUMBERS.x1 + NUMBERS.x2 + draw.normal(size=ROWS)
KINDS = np.array(["a", "b", "c"])[(SCORE > -1).astype(int) + (SCORE > 1).astype(int)]
PLACES = np.searchsorted(["a", "b", "c"], KINDS)
LATE = (SCORE > 0).astype(int).to_numpy()


def classes(labels: Any, probabilities: Any) -> Any:
    return {"labels": np.asarray(labels).tolist(), "probabilities": np.asarray(probabilities).tolist()}


def task(folder: Path, features: Any, models: Any) -> None:
    folder.mkdir(parents=True)
    features.to_parquet(folder / "features.parquet", index=False)
    expected = {}
    for name, (module, model, said, more) in models.items():
        module.save_model(model, str(folder / name), pip_requirements=[], **more)
        expected[name] = said
    (folder / "expected.json").write_text(json.dumps(expected))


def own(model: Any, features: Any, to_label: Any = None) -> Any:
    probabilities = model.predict_proba(features)
    labels = model.predict(features)
    return classes([to_label[each] for each in labels] if to_label else labels, probabilities)


def boosters(features: Any, target: Any, objective: Any, **more: Any) -> Any:
    of_text = features.astype({name: "category" for name in features if features[name].dtype == "str"})
    data = xgboost.DMatrix(of_text, target, enable_categorical=True)
    parameters = {"objective": objective[0], "max_depth": 3, **more}
    xgb = xgboost.train(parameters, data, 10)
    lgb = lightgbm.train({"objective": objective[1], "verbose": -1, **more}, lightgbm.Dataset(of_text, target), 10)
    return of_text, xgb, xgb.predict(data), lgb, lgb.predict(of_text)


def signed(features: Any) -> Any:
    return {"signature": infer_signature(features)}


def binary(folder: Path) -> None:
    of_text, xgb, xgb_said, lgb, lgb_said = boosters(MIXED, LATE, ("binary:logistic", "binary"))
    both = [np.column_stack([1 - said, said]) for said in (xgb_said, lgb_said)]
    tree = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(of_text, LATE)
    boosted = xgboost.XGBClassifier(n_estimators=10, enable_categorical=True).fit(of_text, LATE)
    encode = make_column_transformer((OneHotEncoder(), ["place"]), remainder="passthrough")
    pipe = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10)).fit(MIXED, LATE)
    pickled = {"serialization_format": "cloudpickle"}
    task(
        folder,
        MIXED,
        {
            "sklearn": (mlflow.sklearn, pipe, own(pipe, MIXED), pickled),
            "sklearn with a signature": (mlflow.sklearn, pipe, own(pipe, MIXED), {**pickled, **signed(MIXED)}),
            "xgboost": (mlflow.xgboost, boosted, own(boosted, of_text), {}),
            "xgboost with a signature": (mlflow.xgboost, boosted, own(boosted, of_text), signed(of_text)),
            "xgboost booster": (mlflow.xgboost, xgb, classes((xgb_said >= 0.5).astype(int), both[0]), {}),
            "lightgbm": (mlflow.lightgbm, tree, own(tree, of_text), {}),
            "lightgbm with a signature": (mlflow.lightgbm, tree, own(tree, of_text), signed(of_text)),
            "lightgbm booster": (mlflow.lightgbm, lgb, classes((lgb_said >= 0.5).astype(int), both[1]), {}),
        },
    )


def multiclass(folder: Path) -> None:
    of_text, xgb, xgb_said, lgb, lgb_said = boosters(MIXED, PLACES, ("multi:softprob", "multiclass"), num_class=3)
    named = {"metadata": {"classes": ["a", "b", "c"]}}
    names = ["a", "b", "c"]
    hard = xgboost.train(
        {"objective": "multi:softmax", "num_class": 3},
        xgboost.DMatrix(of_text, PLACES, enable_categorical=True),
        10,
    )
    hard_said = hard.predict(xgboost.DMatrix(of_text, enable_categorical=True)).astype(int)
    tree = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(of_text, KINDS)
    boosted = xgboost.XGBClassifier(n_estimators=10, enable_categorical=True).fit(of_text, PLACES)
    task(
        folder,
        MIXED,
        {
            "xgboost": (mlflow.xgboost, boosted, own(boosted, of_text, names), named),
            "xgboost booster": (
                mlflow.xgboost,
                xgb,
                classes([names[each] for each in xgb_said.argmax(axis=1)], xgb_said),
                named,
            ),
            "xgboost labels": (mlflow.xgboost, hard, classes([names[each] for each in hard_said], []), named),
            "lightgbm": (mlflow.lightgbm, tree, own(tree, of_text), {}),
            "lightgbm booster": (
                mlflow.lightgbm,
                lgb,
                classes([names[each] for each in lgb_said.argmax(axis=1)], lgb_said),
                named,
            ),
        },
    )


def onnx_models(folder: Path) -> None:
    narrow = NUMBERS.astype("float32")
    binary_model = make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS.to_numpy(), LATE)
    many = make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS.to_numpy(), KINDS)
    line = LinearRegression().fit(NUMBERS.to_numpy(), SCORE)
    one_input = [("X", FloatTensorType([None, 2]))]

    def converted(model: Any, zipmap: Any = False, inputs: Any = one_input) -> Any:
        options = {id(model): {"zipmap": zipmap}} if hasattr(model, "predict_proba") else None
        return skl2onnx.to_onnx(model, initial_types=inputs, options=options)

    binary_said = own(binary_model, NUMBERS.to_numpy())
    signature = {"signature": infer_signature(narrow)}
    arrays = {"signature": infer_signature(narrow.to_numpy())}
    task(
        folder / "onnx binary",
        NUMBERS,
        {
            "arrays": (mlflow.onnx, converted(binary_model), binary_said, {}),
            "mappings": (mlflow.onnx, converted(binary_model, zipmap=True), binary_said, {}),
            "a signature of float32": (mlflow.onnx, converted(binary_model), binary_said, signature),
            "a tensor's signature": (mlflow.onnx, converted(binary_model), binary_said, arrays),
        },
    )
    many_said = own(many, NUMBERS.to_numpy())
    task(
        folder / "onnx multiclass",
        NUMBERS,
        {
            "arrays": (mlflow.onnx, converted(many), many_said, {}),
            "mappings": (mlflow.onnx, converted(many, zipmap=True), many_said, {}),
        },
    )
    said = {"labels": line.predict(NUMBERS.to_numpy()).tolist(), "probabilities": []}
    task(folder / "onnx regression", NUMBERS, {"line": (mlflow.onnx, converted(line), said, {})})
    columns = [("x1", FloatTensorType([None, 1])), ("place", StringTensorType([None, 1]))]
    frame = MIXED[["x1", "place"]]
    mixed = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["place"]), remainder="passthrough"), LogisticRegression()
    ).fit(frame, LATE)
    task(
        folder / "onnx columns",
        frame,
        {"one input a column": (mlflow.onnx, converted(mixed, inputs=columns), own(mixed, frame), {})},
    )


def regression(folder: Path) -> None:
    _, xgb, xgb_said, lgb, lgb_said = boosters(MIXED, SCORE, ("reg:squarederror", "regression"))
    said = [{"labels": each.tolist(), "probabilities": []} for each in (xgb_said, lgb_said)]
    task(
        folder,
        MIXED,
        {"xgboost": (mlflow.xgboost, xgb, said[0], {}), "lightgbm": (mlflow.lightgbm, lgb, said[1], {})},
    )


if __name__ == "__main__":
    place = Path(sys.argv[1])
    assert onnx.__version__
    binary(place / "binary")
    multiclass(place / "multiclass")
    regression(place / "regression")
    onnx_models(place)
