"""The training command inside of an MLflow run, and the one model that it made.

train-model and reproduce-model both come through here: a rebuild is made as the model was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slipway import datasets
from slipway.policy.training import Training
from slipway.registry.mlflow import LoggedModel, Registry
from slipway.runner import commands
from slipway.runner.errors import GateError, InputError
from slipway.training import command, provenance, telling
from slipway.training.places import Place
from slipway.training.provenance import Provenance
from slipway.training.stores import Store, store_for

KEPT_IN = "slipway"
"""Folder of the run's artifacts for provenance, statement, lock and log."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A command that ended well. files: of its model. started, finished: ISO 8601 in UTC."""

    logged: LoggedModel
    files: Path
    log: Path
    ended: command.Ended
    started: str
    finished: str


class CommandFailedError(GateError):
    """The command did not end well. ended: how."""

    def __init__(self, ended: command.Ended, what: str, *, why: str, fix: str) -> None:
        super().__init__(what, why=why, fix=fix)
        self.ended = ended


def fit(registry: Registry, training: Training, before: Provenance, run_id: str, place: Place, scratch: Path) -> Fitted:
    """Run the command that `before` names, from the current folder, and fetch the model that it logged or left.

    Raises:
        GateError: the command failed, or its time was over.
        InputError: it left no model, several, or one that was there before.
        RemoteError: MLflow refused something.
    """
    log = scratch / "training.log"
    earlier = _written(training)
    started = provenance.now()
    experiment = training.experiment or before.model
    with store_for(registry, run_id, experiment, scratch, offline=place.offline) as store:
        ended = _run(training, before, store, place, log)
    finished = provenance.now()
    registry.log_file(run_id, log, KEPT_IN)
    if not ended.succeeded:
        raise CommandFailedError(
            ended,
            f"The training command {ended.in_words(training.timeout_minutes * 60)}.",
            why=telling.last_lines(log),
            fix=f"See the step's log; it is also kept with the MLflow run {run_id}. No version was registered.",
        )
    if earlier and earlier == _written(training):
        raise InputError(
            f"The model folder {training.model} was there before the command ran, which did not write it anew.",
            why="A model that this command did not make would be registered as its work.",
            fix="Let the command write the folder whenever it runs (`dvc repro --force`), or remove it before.",
        )
    if training.model:
        place.require_own(Path(training.model))
    logged = _find_model(registry, run_id, training)
    files = registry.download_logged(logged, scratch / "model")
    return Fitted(logged=logged, files=files, log=log, ended=ended, started=started, finished=finished)


def _run(training: Training, before: Provenance, store: Store, place: Place, log: Path) -> command.Ended:
    """Run the user's command with an MLflow run handed to it, so that autologging lands in it."""
    told = {
        "MLFLOW_TRACKING_URI": store.uri,
        "MLFLOW_RUN_ID": store.run_id,
        "MLFLOW_EXPERIMENT_NAME": training.experiment or before.model,
        "SLIPWAY_COMMIT": before.commit,
        **datasets.variables(before.datasets),
    }
    if before.seed is not None:
        # Python does not start with a hash seed beyond 32 bits.
        told |= {"SLIPWAY_SEED": str(before.seed), "PYTHONHASHSEED": str(before.seed % 2**32)}
    commands.say(f"Training: {' '.join(before.command)}")
    arguments = command.in_run(before.command, store.run_id)
    return place.run(arguments, told, store.folders, timeout=training.timeout_minutes * 60, log=log)


def _written(training: Training) -> tuple[int, int] | None:
    """What tells one writing of the model folder from another; None where there is none."""
    try:
        state = (Path(training.model) / "MLmodel").stat() if training.model else None
    except OSError:
        return None
    return (state.st_ino, state.st_mtime_ns) if state else None


def _find_model(registry: Registry, run_id: str, training: Training) -> LoggedModel:
    """The one model of the run; a model folder that the command left is logged to the run first."""
    if training.model:
        registry.log_model_folder(run_id, Path(training.model))
    found = registry.logged_models(run_id)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"`{name}`" for name in sorted(model.name for model in found))
        raise InputError(
            f"The training command logged {len(found)} models ({names}), and one must be the candidate.",
            fix="Log one model per run; set `log_models=False` for autologging if the command logs its own.",
        )
    raise InputError(
        "The training command ended well and logged no model to its MLflow run.",
        why=f"The run {run_id} was handed to it as MLFLOW_RUN_ID, and `mlflow.start_run()` picks it up.",
        fix="Call `mlflow.<flavour>.log_model(...)` in the command, switch autologging on, or name the MLflow model "
        "folder that it writes in `training.model`.",
    )
