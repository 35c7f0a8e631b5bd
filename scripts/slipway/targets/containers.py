"""A version's server as a container of the version's image, run by Podman or Docker."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.policy.deployment import ContainerTarget as Rule
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.redaction import without_secrets
from slipway.targets.embedded import EmbeddedTarget
from slipway.targets.gateways import Builtin
from slipway.targets.kept import Place
from slipway.targets.models import Launch
from slipway.targets.processes import environ_of
from slipway.targets.protocol import Servable

ENGINES = ("podman", "docker")
BY_DIGEST = re.compile(r"[^\s@-][^\s@]*@sha256:[0-9a-f]{64}")
INSIDE = 8080
"""The port that an image's server listens on."""

CONFINED = (
    *("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--pids-limit", "1024"),
    # Never the machine's own network, whatever the engine's settings say: there the port would be open to all.
    *("--network", "bridge"),
)
"""As package-model has tried it, but for the network: one port of it is published, on the loopback."""

RESTARTS = "on-failure:5"
"""A server that breaks is started again by the engine, but not for ever."""

OF_PODMAN = ("--http-proxy=false", "--read-only-tmpfs=false")

PASSED_ON = (
    *("HOME", "USER", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR"),
    *("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "REGISTRY_AUTH_FILE"),
    *("CONTAINER_HOST", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("DBUS_SESSION_BUS_ADDRESS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""What an engine sees of the job's environment beside the usual: where its store and settings lie, and how to reach a
registry. Podman's monitor outlives the job with it."""

PULL_SECONDS, CALL_SECONDS = 3_600, 120


@dataclass(frozen=True)
class Containers:
    """Servers that are containers of one engine, known by a name that follows from their folder."""

    name: str

    def identity(self, servable: Servable) -> str:
        """The image, by digest."""
        if not servable.image:
            raise InputError(
                f"Version {servable.version} of `{servable.model}` has no image.",
                why="The target runs containers, and none was packaged.",
                fix="Run package-model on it first.",
            )
        if not BY_DIGEST.fullmatch(servable.image):
            raise InputError(
                f"The image `{servable.image[:300]}` is not named by its digest.",
                why="A tag can be another image tomorrow.",
                fix="Give `repository@sha256:…`, as package-model records it.",
            )
        return servable.image

    def prepare(self, servable: Servable, folder: Path) -> Launch:
        """Pull the image."""
        image = self.identity(servable)
        if self._run("image", "inspect", image).returncode:
            self._do("pull", "--quiet", image, seconds=PULL_SECONDS, fix=PULL_FIX)
        (folder / "image").write_text(image, encoding="utf-8")

        def launch(port: int) -> None:
            self._run("rm", "--force", _called(folder))
            own = OF_PODMAN if self.name == "podman" else ()
            options = ["--detach", "--name", _called(folder), "--pull", "never", "--restart", RESTARTS, *CONFINED, *own]
            self._do("run", *options, "--publish", f"127.0.0.1:{port}:{INSIDE}", image)

        return launch

    def alive(self, folder: Path) -> bool:
        """Whether the container runs, or is just being started again."""
        found = self._run("container", "inspect", "--format", "{{.State.Status}}", _called(folder))
        return found.returncode == 0 and found.stdout.strip() in ("running", "restarting")

    def last_words(self, folder: Path) -> str:
        """The end of what it wrote. An engine may tell it some moments after it has told that the container ended."""
        for seconds in (0.0, 0.5, 1.0, 2.0):
            time.sleep(seconds)
            found = self._run("logs", "--tail", "50", _called(folder))
            if said := (found.stdout + found.stderr)[-4_000:].strip():
                return said
        return ""

    def end(self, folder: Path, seconds: float) -> None:
        """End the container, and remove it."""
        self._run("stop", "-t", f"{seconds:.0f}", _called(folder), seconds=seconds + CALL_SECONDS)
        self._run("rm", "--force", _called(folder))

    def remove(self, folder: Path) -> None:
        """Remove the image, unless something else uses it, and the folder."""
        image = folder / "image"
        if image.is_file():
            self._run("rmi", image.read_text(encoding="utf-8"))
        shutil.rmtree(folder, ignore_errors=True)

    def _do(self, *arguments: str, seconds: float = CALL_SECONDS, fix: str = "") -> str:
        done = self._run(*arguments, seconds=seconds)
        if done.returncode:
            raise RemoteError(
                f"`{self.name} {arguments[0]}` failed.",
                why=without_secrets(done.stderr.strip() or done.stdout.strip())[-1_500:],
                fix=fix,
            )
        return done.stdout

    def _run(self, *arguments: str, seconds: float = CALL_SECONDS) -> subprocess.CompletedProcess[str]:
        return run(self.name, *arguments, seconds=seconds)


PULL_FIX = (
    "Check that the machine reaches the registry, that the job is logged in where it is private, and that the image is "
    "still there."
)


def run(engine: str, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run an engine's command. RemoteError where it does not end in time."""
    environ: Mapping[str, Any] = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command: Sequence[str] = [engine, *arguments]
    try:
        return subprocess.run(
            command,
            env=environ_of(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise RemoteError(f"`{engine} {arguments[0]}` did not end within {seconds:g} s.") from late


def target(rule: Rule, *, model: str, ready_seconds: float) -> EmbeddedTarget:
    """The target that the policy describes."""
    place = Place(Path(rule.folder).resolve())
    return EmbeddedTarget(
        shown=f"container, http://127.0.0.1:{rule.port}",
        model=model,
        port=rule.port,
        ready_seconds=ready_seconds,
        place=place,
        servers=Containers(_engine(rule, place)),
        gateway=Builtin(place.folder / "gateway", rule.port, place.folder / "environments"),
    )


def _engine(rule: Rule, place: Place) -> str:
    """The engine that is asked for; with `auto` the one that serves already, or the first that works."""
    kept = place.read()
    serving = kept.servers if kept and kept.versions and kept.servers in ENGINES else ""
    tried = (serving or ENGINES) if rule.engine == "auto" else rule.engine
    for engine in (tried,) if isinstance(tried, str) else tried:
        if shutil.which(engine) and run(engine, "version", seconds=CALL_SECONDS).returncode == 0:
            return engine
    raise InputError(
        "No engine of containers works on this machine."
        if not isinstance(tried, str)
        else f"{tried} does not work on this machine.",
        why="It is not installed, or its daemon cannot be reached.",
        fix="Install it (`apt-get install podman`), and try `podman version` or `docker version` as the runner's user.",
    )


def _called(folder: Path) -> str:
    """The name of a version's container: one that was killed before it wrote anything down leaves it to be found."""
    return f"slipway-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:24]}"
