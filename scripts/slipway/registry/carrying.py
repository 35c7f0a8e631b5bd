"""What a run logged to one store, carried over to a run of another: for a command that does not reach the team's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slipway.registry.mlflow import Registry, default_store, local_path, talking
from slipway.runner.errors import InputError

BATCH = 1_000
"""Values that MLflow takes at once: https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch"""

OWN_TAGS = "mlflow."
"""How tags begin that MLflow sets by itself: they speak of the store that they lie in."""


def carry(source: Registry, run_id: str, target: Registry, into: str, folder: Path, scratch: Path) -> None:
    """Add parameters, metrics with their history, tags, files and models of one run to another.

    folder: of the source, which the command could write to as it liked. Runs below it, traces and datasets are left
    behind. A parameter that the other run has already keeps its value.

    Raises InputError where the source leads out of its folder: it is read with more rights than the command had.
    """
    from mlflow.entities import Metric

    require_plain_files(folder)
    require_inside(folder, source.places(run_id))
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
            files = scratch / "carried"
            files.mkdir()
            target.client.log_artifacts(into, source.client.download_artifacts(run_id, "", str(files)))
    for number, each in enumerate(source.logged_models(run_id)):
        with default_store(source.uri):  # where MLflow looks a model up by its identifier
            model = source.download_logged(each, scratch / f"carried-model-{number}")
        target.log_model_folder(into, model, each.name)


def require_plain_files(folder: Path) -> None:
    """InputError where anything in a folder is neither a file nor a folder."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(
                f"The command left {path.relative_to(folder)}, which is no plain file.",
                why="A link could lead to any file of the machine, which would be kept with the run.",
                fix="Let the command write plain files.",
            )


def require_inside(folder: Path, places: Iterable[str]) -> None:
    """InputError where an address of a store leads out of its folder."""
    for place in places:
        path = local_path(place)
        if path is None or not path.is_relative_to(folder):
            raise InputError(
                f"The command's store of its own names {place[:200]}, which lies elsewhere.",
                why="Any file of the machine could be named so, and would be kept with the run.",
                fix="Let the command log through MLflow only.",
            )
