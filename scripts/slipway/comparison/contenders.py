"""The two that are compared: versions of a registry, the base branch's model, or ready-made predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slipway.comparison import base_branch
from slipway.policy.evaluation import Baseline
from slipway.policy.source import file_digest
from slipway.registry import mlflow
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Subject
from slipway.runner import environments
from slipway.runner.context import Run
from slipway.runner.errors import InputError

Role = Literal["candidate", "production"]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One of the two. Exactly one of `registered`, `commit` and `predictions` says what it is.

    name: for sentences ("version 4"). id: what it is, by digest. payload: digest of the model alone, without what a
    training writes beside it; equal for two trainings of the same model.
    """

    role: Role
    name: str
    id: str
    payload: str = ""
    registered: ModelVersion | None = None
    commit: str = ""
    predictions: Path | None = None

    @property
    def version(self) -> str:
        """Its version in the registry; empty where it has none."""
        return self.registered.version if self.registered else ""

    @property
    def called(self) -> str:
        """For the start of a sentence."""
        return f"{'The candidate' if self.role == 'candidate' else 'Production'} ({self.name})"

    @property
    def subject(self) -> Subject:
        """As something that the report speaks of."""
        return Subject(role=self.role, name=self.version or self.name, id=self.id)


@dataclass(frozen=True)
class Files:
    """A model's files, and the Python that it predicts with."""

    model: Path
    python: Path


def of_version(role: Role, version: ModelVersion) -> Contender:
    """A registered version."""
    digest = version.tags.get("slipway.model_digest", "")
    payload = version.tags.get("slipway.payload_digest", version.source)
    return Contender(role=role, name=version.name, id=digest, payload=payload, registered=version)


def of_commit(role: Role, commit: str) -> Contender:
    """The model that a commit's training command makes."""
    return Contender(role=role, name=f"base branch at {commit[:12]}", id=f"git:{commit}", commit=commit)


def of_file(role: Role, predictions: Path) -> Contender:
    """Predictions that another system made. InputError where there is no such file."""
    if not predictions.is_file():
        raise InputError(
            f"There is no file of predictions at {predictions}.",
            fix=f"Check `{role}-predictions`; docs/predictions.md says what such a file holds.",
        )
    digest = file_digest(predictions)
    return Contender(role=role, name=predictions.name, id=digest, payload=digest, predictions=predictions)


def files(
    contender: Contender, registry: Registry | None, model: str, policy: Path, scratch: Path, *, builds: bool = False
) -> Files:
    """Bring a contender's model here and make the environment that it was trained in.

    builds: whether a registered model's packages may be built from source. The base branch's own may: its command ran
    here, with all that belongs to it.

    Raises InputError or RemoteError where it cannot be had.
    """
    folder = scratch / contender.role
    if contender.commit:
        made = base_branch.rebuild(contender.commit, model, policy, folder)
        return Files(made.model, environments.for_lock(made.lock or made.model / "requirements.txt"))
    version = contender.registered
    assert registry is not None
    assert version is not None
    found = registry.download(version, folder / "model")
    # The lock that the model was trained with; MLflow's own list for a model that came another way.
    lock = registry.run_file(version.run_id, "slipway/requirements.txt", folder) if version.run_id else None
    return Files(found, environments.for_lock(lock or found / "requirements.txt", builds=builds))


def open_registry(
    tracking_uri: str, baseline: Baseline, candidate_file: Path | None, production_file: Path | None
) -> Registry | None:
    """The registry; None where neither of the two models is in it."""
    production_elsewhere = production_file or baseline == "base-branch"
    return None if candidate_file and production_elsewhere else Registry(tracking_uri)


def find_candidate(registry: Registry | None, model: str, version: str, file: Path | None) -> Contender:
    """What is to be judged: ready-made predictions, or a registered version."""
    if file or registry is None:
        return of_file("candidate", file or Path())
    return of_version("candidate", registry.candidate(model, version))


def find_production(
    registry: Registry | None, model: str, baseline: Baseline, file: Path | None, run: Run
) -> Contender | None:
    """What it is compared with; None before the first release."""
    if file:
        return of_file("production", file)
    if baseline == "base-branch" or registry is None:
        return of_commit("production", base_branch.base_commit(run))
    return in_production(registry, model)


def in_production(registry: Registry, model: str) -> Contender | None:
    """What the registry says is in production; None before the first release."""
    found = registry.by_alias(model, mlflow.PRODUCTION)
    return of_version("production", found) if found else None
