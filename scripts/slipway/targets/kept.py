"""What a target of this machine keeps on disk: which versions it has, and the traffic. Written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from slipway.runner.errors import ConflictError, InputError

WAIT_SECONDS = 60.0
"""How long another run may hold the folder. It never does so while it waits for a model."""


class Part(BaseModel):
    """Base of the types: no undeclared keys, never changed after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Version(Part):
    """One version.

    port: of its server, on the loopback. identity: digest of its files or its image. ready: whether it has answered
    since it was last started. leaving: whether it is being taken away. bounds: for its predictions' histogram, from
    what it answered.
    """

    port: int
    identity: str
    ready: bool = False
    leaving: bool = False
    bounds: tuple[FiniteFloat, ...] = ()


class Kept(Part):
    """All of it. gateway, servers: their kinds. bounds: of the histogram that predictions are counted in now."""

    schema_version: Literal[1] = 1
    model: str
    port: int
    gateway: str
    servers: str
    versions: dict[str, Version] = Field(default_factory=dict)
    shares: dict[str, Annotated[FiniteFloat, Field(ge=0, le=1)]] = Field(default_factory=dict)
    bounds: tuple[FiniteFloat, ...] = ()

    def but(self, **other: Any) -> Kept:
        """With other values."""
        return self.model_copy(update=other)

    def having(self, name: str, version: Version) -> Kept:
        """With one version as it is now."""
        return self.but(versions={**self.versions, name: version})

    def without(self, name: str) -> Kept:
        """Without one version."""
        return self.but(versions={each: version for each, version in self.versions.items() if each != name})


@dataclass(frozen=True)
class Place:
    """The folder of a target."""

    folder: Path

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return self.folder / "state.json"

    def version(self, name: str) -> Path:
        """The folder of a version."""
        return self.folder / "versions" / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time. ConflictError where another one keeps at it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise InputError(
                f"The target's folder {self.folder} cannot be used.",
                why=str(error),
                fix="Let `folder` name one that the runner's user can write to.",
            ) from error
        with lock:
            self._require_ours()
            give_up = time.monotonic() + WAIT_SECONDS
            while not _free(lock.fileno()):
                if time.monotonic() > give_up:
                    raise ConflictError(
                        f"Another run works with {self.folder}, and has not ended after {WAIT_SECONDS:g} s.",
                        fix="Wait for it, and run the job again.",
                    )
                time.sleep(0.02)
            yield

    def _require_ours(self) -> None:
        """InputError where others could change what a run goes by."""
        found = self.folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise InputError(
                f"Others can write to the target's folder {self.folder}.",
                why=f"It belongs to user {found.st_uid}, with the mode {stat.S_IMODE(found.st_mode):o}.",
                fix="Let it belong to the runner's user, with the mode 700.",
            )

    def read(self) -> Kept | None:
        """What is kept; None where there is nothing yet. InputError where it cannot be read."""
        try:
            return Kept.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise InputError(
                f"What the target keeps in {self.file} cannot be read.",
                why=str(error)[:500],
                fix="Restore the file; or end the processes that `process.json` names in the folders below it, remove "
                "the folder, and deploy again.",
            ) from error

    def write(self, kept: Kept) -> None:
        """Keep this instead. InputError where it cannot be written: all stays as it was."""
        beside = self.file.with_suffix(".new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(kept.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.file)
        except OSError as error:
            raise unwritable(self.folder, error) from error


def unwritable(folder: Path, error: OSError) -> InputError:
    """The error for a folder that takes no more."""
    return InputError(
        f"The target cannot write to {folder}.",
        why=str(error)[:500],
        fix="Look at the free space and the rights there (`df -h`, `ls -ld`), and run the job again.",
    )


def _free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
