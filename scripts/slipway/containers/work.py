"""A user's command in a container: what it has of this machine, in the words of Podman and Docker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway.runner.errors import InputError

OF_ROOT = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
"""Powers that root keeps where the job runs as root: over files, which may be another user's."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A command in a container of its own, which sees files of this machine under the names that they have here.

    name: of the container. writable, readable: files and folders. settings: variables whose values are no secrets.
    handed: variables of the environment that the engine is called with. network: whether it has the machine's own, or
    none but a loopback.
    """

    name: str
    image: str
    arguments: Sequence[str]
    folder: Path
    writable: Sequence[Path] = ()
    readable: Sequence[Path] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    handed: Sequence[str] = ()
    network: bool = True
    devices: Sequence[str] = ()


def options_of(work: Work) -> list[str]:
    """Options of `run`, without those that say as whom. InputError where a path cannot be mounted."""
    options = ["--name", work.name, "--log-driver", "none", "--pids-limit", "-1", "--shm-size", str(half_memory())]
    options += ["--network", "host" if work.network else "none", "--workdir", str(work.folder)]
    options += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
    mounts = {**dict.fromkeys(work.readable, ",readonly"), **dict.fromkeys(work.writable, "")}
    for path, how in sorted(mounts.items()):  # a folder comes before what lies in it
        options += ["--mount", f"type=bind,source={mountable(path)},target={path}{how}"]
    for name in work.handed:  # without a value: a command line can be read by every process of the machine
        options += ["--env", name]
    for name, value in work.settings.items():
        options += ["--env", f"{name}={value}"]
    for device in work.devices:
        options += ["--device", device]
    return options


def as_user(user: int, group: int) -> list[str]:
    """Options by which a container's processes are this user's."""
    powers = [part for power in OF_ROOT for part in ("--cap-add", power)] if user == 0 else []
    return ["--user", f"{user}:{group}", *powers]


def mountable(path: Path) -> str:
    """A path as the option for mounts takes it. InputError where it cannot stand there."""
    text = str(path)
    if any(sign in text for sign in ',"\n'):
        raise InputError(
            f"{text!r} cannot be handed to a container.",
            why="Its name holds a comma, a quotation mark or a line end.",
            fix="Give the folder another name.",
        )
    return text


def half_memory() -> int:
    """Bytes of /dev/shm, by which loaders of data hand rows on: what Linux itself gives, not an engine's 64 MB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
