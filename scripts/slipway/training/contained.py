"""A training command in a container: its image by digest, the lock's packages above it, and no more of this machine
than the command needs."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from slipway.containers import bases, contexts, engines
from slipway.containers.bases import Base
from slipway.containers.engines import Builder, Recipe
from slipway.containers.work import Work
from slipway.datasets import without_glob
from slipway.policy.source import file_digest
from slipway.policy.training import Container
from slipway.runner import commands, context, environments, wheels
from slipway.runner.errors import InputError, RemoteError
from slipway.training import command, provenance, repository, telling
from slipway.training.command import Ended

FORMAT = 1
"""Counted up where the same lock and base would give another image."""

ENVIRONMENT = "/opt/slipway/environment"
INSIDE = Path(__file__).with_name("inside.py")
LATER = 60.0
"""Seconds after the time limit at which a container ends by itself, should nobody be there to end it."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
NOT_FOUND = 127
OF_ENGINE = 125
"""Exit code of `run` where not the command failed, but the engine."""


@dataclass(frozen=True)
class Contained:
    """A container. named: its image in the policy. image: what is run, by what tells its content, since a name could be
    given to another image; with a lock it was built above `named`. tag: of what was built; empty without a lock."""

    builder: Builder
    named: str
    image: str
    inside: Base
    rules: Container
    lock: Path | None
    tag: str = ""

    @cached_property
    def _said(self) -> str:
        python = f"{ENVIRONMENT}/bin/python" if self.lock else self.inside.python
        return self.builder.run(self.image, python, "-I", "-c", provenance.FREEZE)

    def environment(self) -> provenance.Environment:
        """As it is installed in the image."""
        return provenance.environment_of(self._said, self.lock)

    def base(self) -> provenance.Base:
        """The image by the policy's digest, and what tells the one that runs."""
        return provenance.Base(kind="container", image=self.named, id=self.image)

    def machine(self) -> dict[str, str]:
        """This one's processor and settings, and the container's platform."""
        return {**provenance.describe_machine(), "platform": str(json.loads(self._said)[2])}

    @property
    def offline(self) -> bool:
        """Whether the policy denies it the network."""
        return self.rules.network == "deny"

    def require_own(self, folder: Path) -> None:
        """InputError where what the command left is a link, or holds one: it could lead to what the command was not to
        read."""
        place, git = folder.resolve(), repository.git_folder().resolve()
        if not place.is_relative_to(repository.top().resolve()) or place.is_relative_to(git):
            raise InputError(
                f"{folder} leads out of the repository.", fix="Let the command write a folder inside of it."
            )
        contexts.require_no_links(folder)

    def run(
        self, arguments: Sequence[str], told: Mapping[str, str], folders: Sequence[Path], *, timeout: float, log: Path
    ) -> Ended:
        """Run the command from the current folder in a container of its own, which is gone afterwards.

        RemoteError where the engine fails, InputError where the image does not have the program.
        """
        with tempfile.TemporaryDirectory(prefix="slipway-container-", dir=log.parent) as folder:
            own = Path(folder).resolve()
            work = self._work(arguments, told, folders, timeout, own)
            environ = command.environ_for(told)
            ended = command.run(
                self.builder.command(work),
                environ,
                timeout=timeout,
                log=log,
                elsewhere=lambda: self.builder.end(work.name),
            )
            return _as_told(own / "ended.json", ended, arguments[0], log)

    def _work(
        self, arguments: Sequence[str], told: Mapping[str, str], folders: Sequence[Path], timeout: float, own: Path
    ) -> Work:
        for name in ("home", "temp"):
            (own / name).mkdir()
        shutil.copyfile(INSIDE, own / INSIDE.name)
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        first = [self.inside.python, "-I", str(own / INSIDE.name), str(own / "ended.json"), str(timeout + LATER)]
        top = repository.top()
        writable = outermost([top, *folders, own])
        return Work(
            name=f"slipway-training-{secrets.token_hex(8)}",
            image=self.image,
            arguments=[*first, ",".join(map(str, allowed)), *arguments],
            folder=Path.cwd(),
            writable=[*writable, *outside(writable, repository.linked_caches())],
            readable=[*protected(top, writable), *outside(writable, [*repository.git_folders(), *data(told)])],
            settings={"HOME": str(own / "home"), "TMPDIR": str(own / "temp"), "USER": "slipway"},
            handed=[*told, "PYTHONUNBUFFERED", *handed(self.rules)],
            network=not self.offline,
            devices=self.rules.devices,
        )


def made(rules: Container, image: str, lock: Path | None, *, anew: bool = False) -> Contained:
    """The container of an image, which is pulled, with the packages of a lock above it.

    anew: build it although this machine has one of the same image and lock already.

    Raises InputError where no engine is there, where a package of the lock has no wheel for the image's Python, where
    the lock has no hashes, or the clone keeps a token; RemoteError where the image cannot be pulled or has no Python,
    or the index does not answer.
    """
    builder = engines.choose("auto")
    if kept := repository.kept_credentials():
        raise InputError(
            f"The clone keeps credentials in its settings ({', '.join(kept)}), and the container can read them.",
            why="A training in a container is handed no token of the job's.",
            fix="Set `persist-credentials: false` for actions/checkout.",
        )
    inside = bases.look_into(builder, image)
    tag = built(builder, image, inside, lock, anew=anew) if lock else ""
    return Contained(builder, image, builder.identity(tag or image), inside, rules, lock, tag)


def built(builder: Builder, image: str, inside: Base, lock: Path, *, anew: bool) -> str:
    """The name of an image with the packages of a lock above another, made where it is absent."""
    if "--hash=" not in lock.read_text(encoding="utf-8"):
        raise InputError(
            f"{lock} has no hashes, and a container is built from it.",
            why="A container that is pinned by digest would be filled with packages that nothing pins.",
            fix=f"Lock them: `uv pip compile --generate-hashes requirements.in -o {lock}`.",
        )
    made_from = [str(FORMAT), image, inside.target.platform, inside.full_version, file_digest(lock)]
    key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:16]
    name = f"slipway-training:{key}{f'-{secrets.token_hex(4)}' if anew else ''}"
    recipe = Recipe(name, 0, {"slipway.lock": file_digest(lock), "org.opencontainers.image.base.name": image})
    if builder.identity(builder.name_of(recipe)):
        return builder.name_of(recipe)
    commands.say(f"Building the container of {lock.name} above {image} with {builder.name}")
    with tempfile.TemporaryDirectory(prefix="slipway-context-") as folder:
        context = write(Path(folder).resolve() / "context", inside, lock, image)
        return builder.build_here(context, recipe)


def write(folder: Path, inside: Base, lock: Path, image: str) -> Path:
    """The context of the build: a virtual environment, made here for the image's Python. No command runs in it."""
    environment = folder / "environment"
    site = environment / "lib" / f"python{inside.target.version}" / "site-packages"
    programs = environment / "bin"
    for each in (site, programs):
        each.mkdir(parents=True)
    wheels.install(lock, site, inside.target)
    contexts.require_no_links(folder)
    place_programs(site / "bin", programs)
    for name in ("python", "python3"):
        (programs / name).symlink_to(inside.real_python)
    home = Path(inside.real_python).parent
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {inside.full_version}\n"
    (environment / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    path = json.dumps(f"{ENVIRONMENT}/bin:{inside.path}")
    lines = [f"FROM {image}", f"COPY environment {ENVIRONMENT}", f"ENV PATH={path} VIRTUAL_ENV={ENVIRONMENT}", ""]
    (folder / "Containerfile").write_text("\n".join(lines), encoding="utf-8")
    contexts.normalise(folder, 0)
    return folder


def place_programs(found: Path, programs: Path) -> None:
    """Packages' commands, whose first line names a Python of this machine: it is to name the environment's."""
    for each in sorted(found.iterdir()) if found.is_dir() else ():
        content = each.read_bytes()
        first, line_end, rest = content.partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            content = f"#!{ENVIRONMENT}/bin/python".encode() + line_end + rest
        (programs / each.name).write_bytes(content)
        (programs / each.name).chmod(0o755)
    shutil.rmtree(found, ignore_errors=True)


def handed(rules: Container) -> Iterator[str]:
    """Names of the job's variables that the command needs. Neither the job's tokens nor our inputs are among them."""
    there = command.environ_for({})
    yield from (name for name in (*provenance.NUMERICAL, *provenance.THREADS) if name in there)
    if rules.network == "allow":
        yield from (name for name in there if name.startswith("MLFLOW_") or name.upper() in PROXIES)
    for name in rules.variables:
        if name in there:
            yield name
        else:
            commands.say(f"`training.container.variables` names {name}, which the command cannot be handed.")


def data(told: Mapping[str, str]) -> Iterator[Path]:
    """Where datasets lie, also where a link leads to them."""
    for name, value in told.items():
        if name.startswith("SLIPWAY_DATA_"):
            place = without_glob(value)
            yield from (place, place.resolve())


def protected(top: Path, writable: Sequence[Path]) -> list[Path]:
    """What lies in folders that a command may write, and is run or read by later steps outside of the container."""
    ours = [environments.REPOSITORY, *(context.cache() / each for each in ("environments", "uv"))]
    found = [top / ".git", *ours]
    return [each for each in found if each.exists() and each not in writable and inside_of(each, writable)]


def outside(writable: Sequence[Path], paths: Sequence[Path]) -> list[Path]:
    """Those that are there and do not lie in one of some folders."""
    return [each for each in dict.fromkeys(paths) if each.exists() and not inside_of(each, writable)]


def outermost(paths: Sequence[Path]) -> list[Path]:
    """Folders without those that lie in another one of them."""
    known = list(dict.fromkeys(paths))
    return [each for each in known if not any(each != other and each.is_relative_to(other) for other in known)]


def inside_of(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a path is one of some folders, or lies in one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _as_told(answer: Path, ended: Ended, program: str, log: Path) -> Ended:
    """How the command ended, by what the container's first process says. Where that cannot be, because the command
    wrote it or killed that process, the engine's own word counts."""
    said = _said(answer)
    if "missing" in said and ended.code == NOT_FOUND:
        raise InputError(
            f"The command `{program}` cannot be run in the container: {str(said['missing'])[:500]}.",
            fix="Take an image that has it, or name the requirements that bring it in `training.requirements`.",
        )
    code, peak = said.get("code"), said.get("peak_memory")
    if isinstance(code, int) and isinstance(peak, int) and ended.code in (None, code if code >= 0 else 128 - code):
        return replace(ended, code=None if ended.code is None else code, peak_memory=peak)
    if ended.code == OF_ENGINE:
        raise RemoteError(
            "The container could not be started.",
            why=telling.last_lines(log),
            fix="See what the engine says: often a device is not there, or a folder may not be mounted.",
        )
    code = 128 - ended.code if ended.code is not None and ended.code > 128 else ended.code
    return replace(ended, code=code, peak_memory=0)


def _said(answer: Path) -> Mapping[str, object]:
    """What the first process says, or whoever wrote in its place."""
    try:
        said = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
