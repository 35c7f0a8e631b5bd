"""The profile that new data are held against: what the version in production learned from, or a profile's file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from slipway import profiles
from slipway.policy.source import file_digest
from slipway.profiles import Profile
from slipway.registry import mlflow
from slipway.registry.mlflow import Registry
from slipway.runner.errors import InputError
from slipway.training import profiling

PROFILE = f"slipway/{profiling.FILE}"
"""Where train-model keeps the profile, among the artifacts of the model's run."""


@dataclass(frozen=True)
class Reference:
    """What data are held against. version: in the registry, empty for a profile that was given as a file."""

    profile: Profile
    digest: str
    version: str = ""
    model_digest: str = ""


def of_production(model: str, tracking_uri: str = "") -> Reference:
    """The profile of the version in production.

    Raises InputError where there is none, or where it is not the one that the training left.
    """
    registry = Registry(tracking_uri)
    version = registry.by_alias(model, mlflow.PRODUCTION)
    if version is None:
        raise InputError(
            f"No version of `{model}` is in production, so there is nothing to hold the data against.",
            fix="Release one (the alias `production` in the registry), or give a profile.",
        )
    with tempfile.TemporaryDirectory() as scratch:
        file = registry.run_file(version.run_id, PROFILE, Path(scratch)) if version.run_id else None
        if file is None:
            raise InputError(
                f"{version.name} of `{model}` has no profile of what it learned from.",
                fix="Train it with train-model, which keeps one, or make one with scripts/profile_data.py from its "
                "training data and give it.",
            )
        found = of_file(file, PROFILE)
    said = version.tags.get(profiling.TAG, found.digest)
    if said != found.digest:
        raise InputError(
            f"The profile of {version.name} of `{model}` is not the one that its training left.",
            why=f"It is {found.digest}, and the version's tag says {said}.",
            fix="Find out who changed it (`command: compare` of audit-trail), and train the model anew.",
        )
    return replace(found, version=version.version, model_digest=version.tags.get("slipway.model_digest", ""))


def of_file(path: Path, name: str) -> Reference:
    """A profile's file. name: for messages. Raises InputError where it cannot be read."""
    try:
        return Reference(profiles.read(path.read_bytes(), name=name), file_digest(path))
    except OSError as error:
        raise InputError(f"The profile {name} cannot be read.", why=str(error)) from error
