"""Train with a ZenML pipeline on the active stack, then collect the model from its artifact store into build/model.

The steps may run anywhere the stack says, and need not reach MLflow: what they made is fetched from the artifact store.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from zenml import pipeline, step

TARGET = "target"
SERVED_WITH = ("mlflow-skinny", "pandas", "scikit-learn", "skops")


@step(enable_cache=False)
def read(path: str) -> Annotated[pd.DataFrame, "rows"]:
    """The training data."""
    return pd.read_csv(path)


@step(enable_cache=False)
def fit(rows: pd.DataFrame, penalty: float, seed: int) -> Annotated[Pipeline, "model"]:
    """A logistic regression on standardised columns."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, random_state=seed))
    return model.fit(rows.drop(columns=TARGET), rows[TARGET])


@pipeline(enable_cache=False)
def training(path: str, penalty: float, seed: int) -> None:
    """From data to a model."""
    fit(read(path), penalty, seed)


def main() -> int:
    # What Slipway sends where the workflow is cancelled or the time is over ends this command as Ctrl+C would.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data = os.environ["SLIPWAY_DATA_TRAIN"]
    run = training(data, penalty=1.0, seed=int(os.environ.get("SLIPWAY_SEED", "0")))
    if run is None or run.status != "completed":
        print(f"The pipeline run ended as {run.status if run else 'nothing'}", flush=True)
        return 1
    model = run.steps["fit"].outputs["model"][0].load()
    shutil.rmtree("build/model", ignore_errors=True)
    Path("build").mkdir(exist_ok=True)
    packages = [f"{name}=={version(name)}" for name in SERVED_WITH]
    example = pd.read_csv(data, nrows=5).drop(columns=TARGET)
    mlflow.sklearn.save_model(model, "build/model", input_example=example, pip_requirements=packages)
    mlflow.MlflowClient().set_tag(os.environ["MLFLOW_RUN_ID"], "slipway.job", f"zenml:{run.pipeline.name}/{run.id}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
