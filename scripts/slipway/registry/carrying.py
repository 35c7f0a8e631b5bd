"""What a run logged to one store, carried over to a run of another: for a command that does not reach the team's."""

from __future__ import annotations

from pathlib import Path

from slipway.registry.mlflow import Registry, default_store, talking

BATCH = 1_000
"""Values that MLflow takes at once: https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch"""

OWN_TAGS = "mlflow."
"""How tags begin that MLflow sets by itself: they speak of the store that they lie in."""


def carry(source: Registry, run_id: str, target: Registry, into: str, scratch: Path) -> None:
    """Add parameters, metrics with their history, tags, files and models of one run to another.

    Runs below it, traces and datasets are left behind. A parameter that the other run has already keeps its value.
    """
    from mlflow.entities import Metric

    with talking(f"read the MLflow run {run_id}"):
        data = source.client.get_run(run_id).data
        histories = [source.client.get_metric_history(run_id, name) for name in data.metrics]
        metrics = [Metric(m.key, m.value, m.timestamp, m.step) for history in histories for m in history]
    tags = {name: value for name, value in data.tags.items() if not name.startswith(OWN_TAGS)}
    target.log(into, tags=tags, parameters=data.params)
    with talking(f"log to the MLflow run {into}"):
        for start in range(0, len(metrics), BATCH):
            target.client.log_batch(into, metrics=metrics[start : start + BATCH])
        if source.client.list_artifacts(run_id):
            folder = scratch / "carried"
            folder.mkdir()
            target.client.log_artifacts(into, source.client.download_artifacts(run_id, "", str(folder)))
    for number, each in enumerate(source.logged_models(run_id)):
        with default_store(source.uri):  # where MLflow looks a model up by its identifier
            files = source.download_logged(each, scratch / f"carried-model-{number}")
        target.log_model_folder(into, files, each.name)
