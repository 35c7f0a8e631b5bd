"""What current data are held against: the profile that a training left with its version, or one that is given."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import datasets, profiles
from slipway.data import declared, reading
from slipway.data.types import Types
from slipway.policy.source import SourcedPolicy, file_digest
from slipway.profiles import Profile
from slipway.registry import mlflow
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.runner.errors import InputError
from slipway.training import profiling

if TYPE_CHECKING:
    import polars as pl

PROFILE = f"slipway/{profiling.FILE}"
"""Where train-model keeps the profile, among the artifacts of the model's run."""


@dataclass(frozen=True)
class Reference:
    """What current data are held against. registered: the version it is of; None for a profile given as a file."""

    profile: Profile
    digest: str
    registered: ModelVersion | None = None

    @property
    def version(self) -> str:
        """Its version in the registry; empty for a profile that was given as a file."""
        return self.registered.version if self.registered else ""

    @property
    def model_digest(self) -> str:
        """Digest of the version's model; empty where it has none."""
        return self.registered.tags.get("slipway.model_digest", "") if self.registered else ""


def scan_like(profile: Profile, place: str, types: Types) -> pl.LazyFrame:
    """A dataset that is held against a profile: what was text there is read as text here.

    types: those that its schema declares, which count for the columns that the profile does not know.
    Raises InputError as `reading.scan` does.
    """
    known = [name for name, column in profile.columns.items() if column.kind != "empty"]
    return reading.scan(place, text_columns=profile.texts, types=types.but_for(known))


def rows_like(profile: Profile, sourced: SourcedPolicy, name: str, path: str = "") -> pl.LazyFrame:
    """The policy's dataset, or what lies at `path` instead, as `scan_like` reads it; brought where it is missing."""
    place = datasets.fetch_missing(path or sourced.policy.data[name].path)
    return scan_like(profile, place, declared.types_of(sourced, name, place))


def find_reference(model: str, tracking_uri: str, given: Path | None) -> Reference:
    """The profile in the file `given`, or that of the model's version in production.

    Raises InputError where there is none, or where it is not the one that the training left.
    """
    if given:
        return _read(given, str(given))
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
        found = _read(file, PROFILE)
    said = version.tags.get(profiling.TAG, found.digest)
    if said != found.digest:
        raise InputError(
            f"The profile of {version.name} of `{model}` is not the one that its training left.",
            why=f"It is {found.digest}, and the version's tag says {said}.",
            fix="Find out who changed it (`command: compare` of audit-trail), and train the model anew.",
        )
    return replace(found, registered=version)


def _read(path: Path, name: str) -> Reference:
    """A profile's file. name: for messages."""
    try:
        return Reference(profiles.read(path.read_bytes(), name=name), file_digest(path))
    except OSError as error:
        raise InputError(f"The profile {name} cannot be read.", why=str(error)) from error
