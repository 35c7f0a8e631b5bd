"""The job on the cluster: try penalties in parallel tasks, fit the best, and log it to the run that it was handed."""

from __future__ import annotations

import os
from importlib.metadata import version

import mlflow
import pandas as pd
import ray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

TARGET = "target"
PENALTIES = (0.01, 0.1, 1.0, 10.0)
SERVED_WITH = ("mlflow-skinny", "pandas", "scikit-learn", "skops")


def main() -> None:
    ray.init()  # the cluster that runs this job
    rows = pd.read_csv(os.environ["SLIPWAY_DATA_TRAIN"])
    known, truth = rows.drop(columns=TARGET), rows[TARGET]
    shared = ray.put((known, truth))
    scores = ray.get([score.remote(shared, penalty) for penalty in PENALTIES])
    best = PENALTIES[scores.index(max(scores))]
    print("ROC AUC by penalty:", dict(zip(PENALTIES, scores, strict=True)), flush=True)
    with mlflow.start_run():  # the run of MLFLOW_RUN_ID
        mlflow.log_params({"penalty": best, "ray": ray.__version__, "nodes": len(ray.nodes())})
        mlflow.log_metric("cross_validated_roc_auc", max(scores))
        packages = [f"{name}=={version(name)}" for name in SERVED_WITH]
        best_model = model(best).fit(known, truth)
        mlflow.sklearn.log_model(best_model, name="model", input_example=known.head(), pip_requirements=packages)


@ray.remote
def score(shared: tuple[pd.DataFrame, pd.Series], penalty: float) -> float:
    """ROC AUC in five folds."""
    known, truth = shared
    return float(cross_val_score(model(penalty), known, truth, cv=5, scoring="roc_auc").mean())


def model(penalty: float) -> Pipeline:
    """A logistic regression on standardised columns."""
    seed = int(os.environ.get("SLIPWAY_SEED", "0"))
    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, random_state=seed))


if __name__ == "__main__":
    main()
