"""Where a training command logs to: the team's store, or one of its own where it has no way to that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.registry.carrying import carry
from slipway.registry.mlflow import Registry


@dataclass(frozen=True)
class Store:
    """An MLflow store and the run in it. folders: of this machine that it lies in; none for a server."""

    uri: str
    run_id: str
    folders: tuple[Path, ...]


@contextmanager
def store_for(registry: Registry, run_id: str, experiment: str, scratch: Path, *, offline: bool) -> Iterator[Store]:
    """The team's store with its run; offline: one below `scratch` for this command alone, and what was logged there is
    carried over to the run, however the command ends."""
    if not offline:
        yield Store(registry.uri, run_id, registry.folders(run_id))
        return
    folder = scratch / "store"
    folder.mkdir()
    own = _opened(f"sqlite:///{folder.resolve()}/mlflow.db")
    inner = own.start_run(experiment, "in a container without network", {})
    try:
        yield Store(own.uri, inner, (folder.resolve(),))
    finally:
        carry(own, inner, registry, run_id, scratch)


def _opened(uri: str) -> Registry:
    """A store that does not become MLflow's default, as one that is opened does."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        return Registry(uri)
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
