"""Where a training command logs to: the team's store, or one of its own where it has no way to that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.registry.carrying import carry
from slipway.registry.mlflow import Registry, default_store
from slipway.runner import commands
from slipway.runner.errors import SlipwayError


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
    uri = f"sqlite:///{folder.resolve()}/mlflow.db"
    with default_store(uri):
        own = Registry(uri)
    inner = own.start_run(experiment, "in a container without network", {})
    try:
        yield Store(own.uri, inner, (folder.resolve(),))
    except BaseException:
        try:
            carry(own, inner, registry, run_id, folder.resolve(), scratch)
        except SlipwayError as failure:  # what ended the command says more
            commands.warning(str(failure), title=failure.title)
        raise
    carry(own, inner, registry, run_id, folder.resolve(), scratch)
