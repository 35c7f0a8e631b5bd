"""The policy's section `training`: how a candidate is made, and in what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from slipway.policy.images import ImageByDigest
from slipway.policy.strict import NUMBER, Strict

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
Device = Annotated[str, Field(pattern=r"^[A-Za-z0-9/][A-Za-z0-9._/:=-]*$", max_length=200)]


class Container(Strict):
    """What a training command runs in."""

    image: ImageByDigest | None = None
    """The image, with `python3` in it, by digest; `packaging.base` by default. With `training.requirements` another one
    is built above it from the lock, where this machine does not have that yet."""

    network: Literal["allow", "deny"] = "allow"
    """Whether the command has the runner's network, or none. Without one it logs to a store of its own, and Slipway
    carries over what it logged."""

    variables: tuple[Variable, ...] = ()
    """Variables of the job that the command is handed beside MLflow's and Slipway's; none by default."""

    devices: tuple[Device, ...] = ()
    """Devices that the command may use, as the engine names them (`nvidia.com/gpu=all`); none by default."""


class Training(Strict):
    """How a candidate is made."""

    command: str | Annotated[list[str], Field(min_length=1)]
    """The command, run without a shell from the repository's root: `python train.py`, `dvc repro`, `mlflow run .`."""

    requirements: str | None = None
    """A requirements file (best: hash-locked) from which Slipway builds the command's Python environment.
    Without it the command runs with the Python that the job has on its PATH."""

    parameters: str | None = None
    """A YAML or JSON file of parameters; logged to the run and kept in the provenance."""

    model: str | None = None
    """Where the command leaves an MLflow model folder, if it does not log the model to the run itself."""

    code: Annotated[list[str], Field(min_length=1)] | None = None
    """Files and folders of the repository that the model follows from. Where they, the data, the environment and the
    policy are as in an earlier training, that one is reused. By default everything in the repository."""

    seed: Annotated[int, NUMBER] | None = None
    """Exported to the command as SLIPWAY_SEED and PYTHONHASHSEED, and kept in the provenance."""

    timeout_minutes: Annotated[FiniteFloat, Field(gt=0, le=7200), NUMBER] = 350
    """The command is stopped after this time; below GitHub's own limit of 6 hours by default."""

    experiment: str | None = None
    """The MLflow experiment; the model's name by default."""

    container: Container | None = None
    """The container that the command runs in; on the runner itself by default."""
