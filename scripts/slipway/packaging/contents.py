"""What goes into an image: the same bytes, names and times for the same version, whoever packages it and when."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slipway.containers.bases import Base
from slipway.containers.contexts import normalise, require_no_links
from slipway.containers.engines import Recipe
from slipway.registry.digests import DOWNLOAD_MARK, digest
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.runner import wheels
from slipway.runner.errors import GateError, InputError
from slipway.runner.wheels import Target

FORMAT = 1
"""Counted up where the same inputs would give another image."""

ROOT = "/opt/slipway"
USER = "65532:65532"
PORT = 8080
SERVING = ("fastapi", "uvicorn")
"""What `serve.py` imports beside MLflow. MLflow 3 requires both, so most locks have them."""

OLDEST_MLFLOW = 3
SERVE = Path(__file__).with_name("serve.py")
FOLDER, LOCK = "slipway", "requirements.txt"
LOCK_FILE, LOCK_TAG = "image-requirements.txt", "slipway.image_lock"
"""Where a version's run keeps the lock of its image, and the tag with its digest."""


@dataclass(frozen=True)
class Lock:
    """Packages with hashes. origin: `the training's lock`, or how it came about."""

    text: str
    origin: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Plan:
    """All that an image follows from.

    base: by digest. machine: its architecture; what lies in the base follows from both. epoch: seconds; every file and
    the image carry this time. inside: what lies in the base, once it was looked into.
    """

    model: str
    version: str
    model_digest: str
    base: str
    machine: str
    lock: Lock
    epoch: int
    labels: Mapping[str, str]
    inside: Base | None = None

    def on(self, found: Base) -> Plan:
        """The plan, once its base was looked into: it may be for another machine than this one."""
        return replace(self, inside=found, machine=found.target.machine)

    @property
    def found(self) -> Base:
        """What lies in the base. Only asked for where somebody has looked."""
        assert self.inside is not None
        return self.inside

    @property
    def digest(self) -> str:
        """SHA-256 over all of it (`sha256:…`)."""
        said = {
            "format": FORMAT,
            "model": [self.model, self.version, self.model_digest],
            "base": [self.base, self.machine],
            "lock": self.lock.digest,
            "serve": hashlib.sha256(SERVE.read_bytes()).hexdigest(),
            "epoch": self.epoch,
            "labels": dict(self.labels),
        }
        return f"sha256:{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}"

    @property
    def tag(self) -> str:
        """The image's tag: no two contents of a version share one."""
        return f"{self.version}-{self.digest.removeprefix('sha256:')[:12]}"

    @property
    def recipe(self) -> Recipe:
        """For the builder, under a name that another job of the machine does not use."""
        return Recipe(f"slipway-build:{self.tag.lower()}-{os.getpid()}", self.epoch, self.labels)

    @property
    def facts(self) -> dict[str, str]:
        """For a report's provenance."""
        target = self.inside.target if self.inside else None
        return {
            "base": self.base,
            "lock": f"{self.lock.digest} ({self.lock.origin})",
            "golden_digest": self.labels["slipway.golden"],
            **({"platform": f"Python {target.version}, {target.platform}"} if target else {}),
            "time_of_files": self.recipe.created,
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the container."""
        return {
            "HOME": "/tmp",  # noqa: S108 - the only folder that a container with a read-only root may have
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{ROOT}/site",
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "SLIPWAY_MODEL_NAME": self.model,
            "SLIPWAY_MODEL_VERSION": self.version,
        }


def plan_of(version: ModelVersion, base: str, lock: Lock, golden: str, source: str) -> Plan:
    """All that the image of a version follows from, made for a machine like this one. source: address of the
    repository, if there is one."""
    return Plan(
        model=version.model,
        version=version.version,
        model_digest=version.tags["slipway.model_digest"],
        base=base,
        machine=platform.machine(),
        lock=lock,
        epoch=epoch_of(version),
        labels=labels_of(version, base, lock, golden, source),
    )


def files_of(registry: Registry, version: ModelVersion, scratch: Path) -> Path:
    """The version's files, held to the digest that they were registered with. GateError where they are others."""
    registered = version.tags.get("slipway.model_digest", "")
    if not registered:
        raise InputError(
            f"{version.name.capitalize()} of `{version.model}` has no tag `slipway.model_digest`.",
            why="Without it nobody knows whether its files are those that were evaluated.",
            fix="Register the model by train-model.",
        )
    folder = registry.download(version, scratch / "registered")
    found = digest(folder)
    if found != registered:
        raise GateError(
            f"The files of {version.name} of `{version.model}` are not those that were registered.",
            why=f"They were registered as {registered}, and are {found}. Nothing was built.",
            fix="Find out who changed the files of a registered version. Train again, and package that.",
        )
    return folder


@dataclass(frozen=True)
class Wanted:
    """What a version needs to be served. settled: its lock, where no index need be asked for it.

    source: the file that says so; missing: what serving needs beside it. locked: text of the training's lock with
    hashes, if it has such a one.
    """

    settled: Lock | None
    source: Path
    missing: tuple[str, ...] = ()
    locked: str = ""
    origin: str = ""

    def resolve(self, target: Target, scratch: Path) -> Lock:
        """The lock: the settled one, or else one resolved now. Errors as `wheels.lock_for` has them, and GateError
        where the index has other files than were locked."""
        if self.settled:
            return self.settled
        extra, made = scratch / "serving.in", scratch / "resolved.txt"
        extra.write_text("".join(f"{line}\n" for line in self.missing), encoding="utf-8")
        wheels.lock_for(self.source, extra, made, target)
        resolved = made.read_text(encoding="utf-8")
        if self.locked:
            _require_same_files(self.locked, resolved)
        added = f" with {', '.join(sorted(self.missing))}" if self.missing else ""
        return Lock(resolved, f"{self.origin}{added}, resolved when it was packaged")


def wanted_by(registry: Registry, version: ModelVersion, model: Path, scratch: Path) -> Wanted:
    """What the model needs: the lock that it was trained and judged with, or else what is recorded.

    A lock with hashes is taken as it is where it has all that serving needs. InputError where nothing is recorded.
    """
    recorded, locked = model / LOCK, None
    if version.run_id:
        locked = registry.run_file(version.run_id, f"{FOLDER}/{LOCK}", scratch / "recorded")
    source = locked or recorded
    if not source.is_file():
        raise InputError(
            f"{version.name.capitalize()} of `{version.model}` has no recorded requirements.",
            why=f"Its run has no slipway/{LOCK}, and its folder no {LOCK}.",
            fix="Name the lock in `training.requirements` of the policy and train again, or log the model with "
            "`pip_requirements=`.",
        )
    text = source.read_text(encoding="utf-8")
    known = names_of(text)
    wanted = names_of(recorded.read_text(encoding="utf-8")) if recorded.is_file() else {}
    _require_mlflow(known | wanted)
    missing = [line for name, line in wanted.items() if name not in known] if locked else []
    if known.keys() & {"mlflow", "mlflow-skinny"} and "mlflow" in wanted and "mlflow" not in known:
        missing = [line for line in missing if names_of(line).keys() != {"mlflow"}]  # skinny is the same code
    missing += [name for name in SERVING if name not in known]
    hashed = locked is not None and "--hash=" in text
    if hashed and not missing:
        return Wanted(Lock(text, "the training's lock"), source)
    origin = "the training's lock" if locked else "the model's requirements"
    settled = _resolved_before(registry, version, scratch)
    return Wanted(settled, source, tuple(missing), text if hashed else "", origin)


def require_python(base: Base, image: str, model_python: str) -> None:
    """InputError where the base has another Python than the model was trained with."""
    wanted = ".".join(model_python.split(".")[:2])
    if wanted and wanted != base.target.version:
        raise InputError(
            f"The base image has Python {base.full_version}, and the model was trained with {model_python}.",
            why=f"Its packages and its files are for Python {wanted}: {image}.",
            fix=f"Set `packaging.base` to an image of Python {wanted}, by digest.",
        )


def _resolved_before(registry: Registry, version: ModelVersion, scratch: Path) -> Lock | None:
    """What was resolved when the version was packaged first: the index has gone on, and the image must not."""
    recorded = version.tags.get(LOCK_TAG)
    kept = registry.run_file(version.run_id, f"{FOLDER}/{LOCK_FILE}", scratch / "recorded") if recorded else None
    found = Lock(kept.read_text(encoding="utf-8"), "resolved when it was packaged first") if kept else None
    return found if found and found.digest == recorded else None


def names_of(text: str) -> dict[str, str]:
    """The requirements of a file by the name of their package. Options and addresses have none."""
    found: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        plain = re.sub(r"(^|\s)#.*|\s--hash=\S+", "", line).strip()
        try:
            found[canonicalize_name(Requirement(plain).name)] = plain
        except InvalidRequirement:
            continue
    return found


def _require_mlflow(known: Mapping[str, str]) -> None:
    said = known.get("mlflow") or known.get("mlflow-skinny")
    if said is None:
        raise InputError(
            "The model's recorded requirements do not have MLflow.",
            why="The image is served by MLflow's own scoring server.",
            fix="Add `mlflow-skinny` and `pandas` to the training's lock.",
        )
    pinned = re.search(r"==\s*(\d+)", said)
    if pinned and int(pinned[1]) < OLDEST_MLFLOW:
        raise InputError(
            f"The model requires {said}, whose scoring server is another one.",
            fix=f"Train with MLflow {OLDEST_MLFLOW} or newer.",
        )


def _require_same_files(locked: str, resolved: str) -> None:
    """What the training's lock had must be the same files now. GateError where the index has others."""
    before, after = hashes_of(locked), hashes_of(resolved)
    for requirement, hashes in after.items():
        if requirement in before and not hashes & before[requirement]:
            raise GateError(
                f"The index has other files of {requirement} than the training's lock.",
                why="None of their hashes is the same.",
                fix="Find out who published the version anew. Lock and train again.",
            )


def hashes_of(lock: str) -> dict[str, set[str]]:
    """The hashes (`sha256:…`) of each `name==version` in a lock."""
    found: dict[str, set[str]] = {}
    for line in re.sub(r"\\\n", " ", lock).splitlines():
        pinned = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", line)
        if pinned:
            found.setdefault(f"{canonicalize_name(pinned[1])}=={pinned[2]}", set()).update(
                re.findall(r"--hash=(\S+)", line)
            )
    return found


def epoch_of(version: ModelVersion) -> int:
    """The time that the image carries, in seconds: SOURCE_DATE_EPOCH of the job, or else that of the version's commit;
    of a version without a commit, when its training began. InputError where it cannot be told.

    https://reproducible-builds.org/specs/source-date-epoch/
    """
    given, commit = os.environ.get("SOURCE_DATE_EPOCH", ""), version.tags.get("slipway.commit", "")
    if given:
        if not given.isdecimal():
            raise InputError(f"SOURCE_DATE_EPOCH is `{given}`.", fix="Give whole seconds since 1970, or leave it out.")
        return int(given)
    if re.fullmatch(r"[0-9a-f]{40,64}", commit):
        show = ["git", "show", "--no-patch", "--format=%ct", commit]
        done = subprocess.run(show, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip().isdecimal():
            return int(done.stdout)
        raise InputError(
            f"The commit {commit[:12]} of the version is not in this clone.",
            why="Its time is the time of all files in the image, so that the same version gives the same image.",
            fix="Check out the repository with `fetch-depth: 0`, or set SOURCE_DATE_EPOCH.",
        )
    try:
        return int(datetime.fromisoformat(version.tags["slipway.started"]).timestamp())
    except (KeyError, ValueError) as error:
        raise InputError(
            "The version does not say from which commit it is, or when it was trained.",
            fix="Register the model by train-model, or set SOURCE_DATE_EPOCH.",
        ) from error


def write(plan: Plan, model: Path, folder: Path) -> Path:
    """Write the context of the build into `folder`, which must not exist; it holds a Containerfile without a RUN."""
    site, app = folder / "site", folder / "app"
    app.mkdir(parents=True)
    (app / LOCK).write_text(plan.lock.text, encoding="utf-8")
    shutil.copyfile(SERVE, app / SERVE.name)
    shutil.copytree(model, folder / "model", ignore=shutil.ignore_patterns(DOWNLOAD_MARK, "__pycache__"))
    wheels.install(app / LOCK, site, plan.found.target)
    shutil.rmtree(site / "bin", ignore_errors=True)  # commands whose first line names a Python of this machine
    require_no_links(folder)
    (folder / "Containerfile").write_text(containerfile(plan), encoding="utf-8")
    normalise(folder, plan.epoch)
    return folder


def containerfile(plan: Plan) -> str:
    """What a RUN would do was done before. Labels, which may be any text, are arguments of the builder."""
    return "\n".join(
        (
            f"FROM {plan.base}",
            f"COPY site {ROOT}/site",
            f"COPY model {ROOT}/model",
            f"COPY app {ROOT}",
            # One instruction for all: a builder makes a layer, if only an empty one, of each.
            f"ENV {' '.join(f'{name}={json.dumps(value)}' for name, value in plan.environment.items())}",
            f"WORKDIR {ROOT}",
            f"USER {USER}",
            f"EXPOSE {PORT}",
            "STOPSIGNAL SIGTERM",
            f"ENTRYPOINT {json.dumps([plan.found.python, f'{ROOT}/{SERVE.name}'])}",
            "CMD []",
            "",
        )
    )


def labels_of(version: ModelVersion, base: str, lock: Lock, golden: str, repository: str) -> dict[str, str]:
    """Labels of the image: OCI's own where there is one, the registry's tags under their names, and what it is held to.

    https://github.com/opencontainers/image-spec/blob/main/annotations.md
    """
    name, _, base_digest = base.partition("@")
    own: dict[str, Any] = {
        "slipway.model": version.model,
        "slipway.model_version": version.version,
        "slipway.lock": lock.digest,
        "slipway.golden": golden,
        "org.opencontainers.image.title": version.model,
        "org.opencontainers.image.version": version.version,
        "org.opencontainers.image.revision": version.tags.get("slipway.commit", ""),
        "org.opencontainers.image.source": repository,
        "org.opencontainers.image.base.name": name,
        "org.opencontainers.image.base.digest": base_digest,
    }
    return {name: value for name, value in sorted({**own, **facts_of(version)}.items()) if value}


def facts_of(version: ModelVersion) -> dict[str, str]:
    """The registry's tags that an image repeats, so that it can be held to them."""
    tags = version.tags
    names = ("slipway.model_digest", "slipway.commit", "slipway.policy_digest")
    datasets = sorted(name for name in tags if name.startswith("slipway.dataset."))
    return {name: tags[name] for name in (*names, *datasets) if tags.get(name)}
