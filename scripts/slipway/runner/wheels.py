"""Packages for another Python than the runner's: wheels only, each held to a hash, put into a plain folder by uv."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.runner.environments import find_uv, require_wheels_only, run_installer
from slipway.runner.errors import InputError, RemoteError

MANYLINUX = (17, 28, *range(31, 41))
"""Minor versions of glibc 2 that uv knows platforms for."""


@dataclass(frozen=True)
class Target:
    """The Python that the packages are for. version: `3.11`. libc: `glibc` or `musl`, and its version (`2.36`)."""

    version: str
    machine: str
    libc: str
    libc_version: str = ""

    @property
    def platform(self) -> str:
        """As uv calls it. InputError where no wheels are made for it."""
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(self.machine, self.machine)
        if self.libc == "musl":
            return f"{machine}-unknown-linux-musl"
        found = re.fullmatch(r"2\.(\d+)", self.libc_version)
        fitting = [minor for minor in MANYLINUX if found and minor <= int(found[1])]
        if machine not in ("x86_64", "aarch64") or not fitting:
            raise InputError(
                f"No wheels are made for {machine} with {self.libc or 'an unknown C library'} {self.libc_version}.",
                fix="Take a base image for x86-64 or 64-bit ARM whose glibc is 2.17 or newer, or one with musl.",
            )
        return f"{machine}-manylinux_2_{fitting[-1]}"

    @property
    def options(self) -> list[str]:
        """For uv."""
        return ["--python", sys.executable, "--python-version", self.version, "--python-platform", self.platform]


def lock_for(requirements: Path, extra: Path, output: Path, target: Target) -> None:
    """Resolve what two files require to one lock with hashes. Versions that the first one pins stay.

    Raises InputError where a package has no wheel, or the files ask for what could build or name a secret; RemoteError
    where the index does not have what is required.
    """
    require_wheels_only(requirements)
    options = ["--generate-hashes", "--no-build", "--no-emit-index-url", "--no-annotate", "--no-header"]
    files = [str(requirements.resolve()), str(extra.resolve()), "--output-file", str(output.resolve())]
    _uv(["pip", "compile", "--quiet", *target.options, *options, *files], output.parent, target)


def install(lock: Path, folder: Path, target: Target) -> None:
    """Put the packages of a lock with hashes into `folder`. No code of any of them runs. Errors as for `lock_for`."""
    require_wheels_only(lock)
    options = ["--require-hashes", "--no-deps", "--no-build", "--link-mode", "copy"]
    into = ["--target", str(folder.resolve()), "-r", str(lock.resolve())]
    _uv(["pip", "install", "--quiet", *target.options, *options, *into], folder.parent, target)


def _uv(arguments: list[str], folder: Path, target: Target) -> None:
    try:
        run_installer([find_uv(), *arguments], folder)
    except RemoteError as failure:
        said = " ".join(failure.why.split())
        if "No space left on device" in said:
            raise InputError(
                "The runner's disk is full.", why=said[-500:], fix="Free some space, or take a larger runner."
            ) from failure
        if re.search(r"no (usable )?wheels|no-build|source distribution|building", said, re.IGNORECASE):
            raise InputError(
                f"A package of the lock has no wheel for Python {target.version} on {target.platform}.",
                why=said[-1500:],
                fix="A package that is built from source would bring a compiler and run its code. Put a wheel of it on "
                "your index, or take a base image for which there is one.",
            ) from failure
        if re.search(r"not found in the package registry|no version of|unsatisfiable|404", said, re.IGNORECASE):
            raise RemoteError(
                "The package index does not have what the model requires.",
                why=said[-1500:],
                fix="A version that was deleted or withdrawn cannot be installed again: put it on an index of yours, "
                "or train with one that exists.",
            ) from failure
        raise
