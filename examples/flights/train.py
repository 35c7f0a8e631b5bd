"""Train the model of late arrivals that params.yaml describes, and leave it in build/model."""

from __future__ import annotations

import re
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

TARGET = "late"
MODEL = Path("build/model")
"""Where slipway.yml says that the model is found."""


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    columns = [column for kind in params["features"].values() for column in kind]
    flights = pd.read_parquet("data/train", columns=[*columns, TARGET])
    known, late = flights[columns], flights[TARGET]

    with mlflow.start_run():  # the run of MLFLOW_RUN_ID, if there is one
        mlflow.log_params({"seed": params["seed"], "columns": " ".join(columns), **params["model"]})
        model = pipeline(params).fit(known, late)
        mlflow.log_metrics(fit_quality(late, model.predict_proba(known)[:, 1]))
    save_model(model, known.head())


def pipeline(params: dict[str, Any]) -> Pipeline:
    """From the columns of a flight to the probability that it arrives late."""
    features, model = params["features"], params["model"]
    one_hot = OneHotEncoder(handle_unknown="ignore")
    curve = make_pipeline(StandardScaler(), PolynomialFeatures(model["degree"], include_bias=False))
    slope = StandardScaler()
    inputs = [
        ("categories", one_hot, features["categories"]),
        ("curves", curve, features["curves"]),
        ("numbers", slope, features["numbers"]),
    ]
    classifier = LogisticRegression(C=1 / model["penalty"], solver="newton-cholesky", random_state=params["seed"])
    return Pipeline([("inputs", ColumnTransformer(inputs)), ("classifier", classifier)])


def fit_quality(late: pd.Series, probability: Any) -> dict[str, float]:
    """How well the model fits what it has seen; how good it is, only the holdout can say."""
    return {"train_roc_auc": roc_auc_score(late, probability), "train_log_loss": log_loss(late, probability)}


def save_model(model: Pipeline, example: pd.DataFrame) -> None:
    """Leave it with the columns it expects and the packages it needs (MLflow cannot read their hashes)."""
    lock = Path("requirements.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^(\S+==.*?) \\$", lock, flags=re.MULTILINE)
    warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")  # schema.yml lets none of them be null
    shutil.rmtree(MODEL, ignore_errors=True)
    mlflow.sklearn.save_model(model, MODEL, input_example=example, pip_requirements=packages)
    settle(MODEL / "model.skops")


def settle(archive: Path) -> None:
    """Write a skops archive anew without what differs between two savings of one model, so that its bytes are the same.

    That is the time of each entry, and the objects' addresses in memory, by which skops calls them and their files.
    """
    with zipfile.ZipFile(archive) as saved:
        entries = {name: saved.read(name) for name in saved.namelist()}
    schema = entries["schema.json"].decode()
    places = {address: str(n) for n, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}

    def numbered(text: str) -> str:
        return re.sub(r"\d+", lambda found: places.get(found[0], found[0]), text)

    entries = {numbered(name): content for name, content in entries.items()}
    entries["schema.json"] = numbered(schema).encode()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as settled:
        for name in sorted(entries):
            settled.writestr(zipfile.ZipInfo(name), entries[name], zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
