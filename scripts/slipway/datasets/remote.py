"""Data that lie in another system: which version it is, and a copy of exactly that for this job.

A version is resolved once per job: what validate-data checked is what train-model trains on and evaluate-model judges
by, also where the policy names a moving place. The copy is complete or absent: it is made beside its place and renamed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from slipway.datasets import address as addresses
from slipway.datasets import azure, content, gcs, huggingface, lakefs, objects, s3
from slipway.datasets.address import Address
from slipway.datasets.version import DatasetVersion
from slipway.runner import commands, context, environments, locking, programs

CLIENTS = Path(__file__).with_name("clients")

THIS_PROCESS = secrets.token_hex(8)
"""Stands for the job where no job is: on a person's machine each process resolves for itself."""


class System(Protocol):
    """One kind of place where versions of data are kept."""

    @property
    def kind(self) -> str:
        """Its name, which is also that of its client program."""

    @property
    def group(self) -> str:
        """The group of requirements that its client needs."""

    def identify(self, address: Address, call: objects.Call) -> tuple[DatasetVersion, dict[str, Any]]:
        """The version that the address names, or the one that it has now, and what `fetch` needs to bring it."""


SYSTEMS: dict[str, System] = {
    "s3": s3.STORE,
    "gs": gcs.STORE,
    "az": azure.STORE,
    "lakefs": lakefs.STORE,
    "hf": huggingface.STORE,
}
"""By the scheme of the address."""


@dataclass(frozen=True)
class Resolved:
    """A dataset's version, and what its client needs to bring exactly that."""

    version: DatasetVersion
    request: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the copy of this version lies, once it is complete."""
        version = self.version
        named = version.pinned or f"{version.path}\n{version.id}"
        return context.home() / "datasets" / hashlib.sha256(named.encode()).hexdigest()[:32]

    @property
    def place(self) -> Path:
        """What is read: the one file, or the folder."""
        return self.folder / "data" / self.inside

    @property
    def inside(self) -> str:
        """The one file in the copy that the address names; empty where it names a folder."""
        return "" if self.request["folder"] else str(self.request["objects"][0]["file"])


def resolve(path: str) -> Resolved:
    """The version that `path` (a URI) names or has now; asked once per job.

    Raises InputError for an address that names nothing, RemoteError where its system does not answer.
    """
    known = _remembered(path)
    if known.is_file():
        said = json.loads(known.read_text(encoding="utf-8"))
        return Resolved(DatasetVersion(**said["version"]), said["request"])
    address = addresses.parse(path)
    system = SYSTEMS[address.scheme]
    version, request = system.identify(address, lambda action, given: call(system, action, given))
    objects.no_conflicts(request["objects"])
    found = Resolved(version, request)
    _write(known, {"version": dataclasses.asdict(version), "request": request})
    return found


def identify(path: str) -> DatasetVersion:
    """The version; with the digest of its content, once its copy is here."""
    found = resolve(path)
    kept = found.folder / "version.json"
    if not kept.is_file():
        return found.version
    return dataclasses.replace(found.version, sha256=json.loads(kept.read_text(encoding="utf-8"))["sha256"])


def fetch(path: str) -> Path:
    """The place of the job's copy of the dataset, brought if it is not here.

    A copy that was changed since it was brought is brought again.
    """
    found = resolve(path)
    with locking.alone(found.folder.with_suffix(".lock")):
        if not _is_whole(found):
            shutil.rmtree(found.folder, ignore_errors=True)
            _bring(found)
    return found.place


def _bring(found: Resolved) -> None:
    parent = found.folder.parent
    # What a killed fetch left; the lock says that nobody is at it.
    for left in parent.glob(f"partial-{found.folder.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"partial-{found.folder.name}-", dir=parent))
    wanted = found.request["objects"]
    size = sum(each["size"] for each in wanted) / 1e6
    commands.say(f"Fetching {found.version.path} ({len(wanted)} files, {size:,.1f} MB) at {found.version}")
    try:
        address = addresses.parse(found.version.path)
        call(SYSTEMS[address.scheme], "fetch", {**found.request, "into": str(partial / "data")})
        digest = _digest(partial / "data", found)
        _write(partial / "version.json", {**dataclasses.asdict(found.version), "sha256": digest})
        partial.rename(found.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_whole(found: Resolved) -> bool:
    """Whether the copy is here, as it was brought."""
    kept = found.folder / "version.json"
    if not (kept.is_file() and found.place.exists()):
        return False
    announced = json.loads(kept.read_text(encoding="utf-8"))["sha256"]
    return bool(announced == _digest(found.folder / "data", found))


def _digest(data: Path, found: Resolved) -> str:
    return content.sha256_of(data / found.inside)


def call(system: System, action: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the system's client answers. It runs apart, in its own environment; credentials reach it by theirs alone."""
    python = environments.for_group(system.group)
    return programs.call(
        python, CLIENTS / f"{system.kind}.py", action, given, broke=f"The program that reads {system.kind}"
    )


def _remembered(path: str) -> Path:
    """The file that keeps what this job found for `path`."""
    on_runner = [os.environ.get(name, "") for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB")]
    job = os.environ.get("SLIPWAY_JOB") or ("-".join(on_runner) if all(on_runner) else THIS_PROCESS)
    named = hashlib.sha256(f"{job}\n{path}".encode()).hexdigest()[:32]
    return context.home() / "datasets" / "resolved" / f"{named}.json"


def _write(file: Path, said: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    beside.write_text(json.dumps(said), encoding="utf-8")
    beside.replace(file)
