"""The programs that build an image and run it: Buildah, Podman, and Docker Buildx, each behind the same few calls.

Buildah and Podman need no daemon and share their images; GitHub's Ubuntu runners have both. A build ends as an OCI
image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md), whose digest is the image's
wherever it goes: what `docker inspect` or `podman images` call a digest may be another one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from slipway.packaging import contents
from slipway.packaging.layout import Layout
from slipway.runner.errors import InputError, RemoteError, SlipwayError
from slipway.runner.inputs import variable
from slipway.runner.redaction import without_secrets
from slipway.runner.wheels import Target

BuilderName = Literal["auto", "buildah", "podman", "docker"]

CONFINED = (
    *("--network", "none", "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *("--pids-limit", "1024"),
)
"""How a container is tried: nothing but its own loopback, nothing that it could write, none of root's powers."""

PROBE = """
import json, os, platform, sys
libc, version = platform.libc_ver()
if not libc and any(name.startswith("ld-musl") for name in os.listdir("/lib")):
    libc = "musl"
packages = []
try:
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as file:
        for part in file.read().split("\\n\\n"):
            said = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line and line[0] != " ")
            if said.get("Status", "").endswith(" installed"):
                packages.append(["deb", said["Package"], said["Version"], said.get("Architecture", "")])
except OSError:
    pass
release = {}
try:
    with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
        release = dict(line.strip().replace('"', "").split("=", 1) for line in file if "=" in line)
except OSError:
    pass
print(json.dumps({"python": sys.executable, "version": "%d.%d" % sys.version_info[:2],
    "full": platform.python_version(),
    "machine": platform.machine(), "libc": libc, "libc_version": version, "packages": packages,
    "system": release.get("ID", ""), "system_version": release.get("VERSION_ID", "")}))
"""
"""Asked of the base image's Python, from 3.8 on."""


@dataclass(frozen=True)
class Base:
    """What is in a base image. packages: the system's own, as kind, name, version and architecture."""

    python: str
    full_version: str
    target: Target
    system: str
    system_version: str
    packages: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class Built:
    """An image that was built: by what name the builder's own store knows it, and its layout."""

    name: str
    layout: Layout


class Builder(Protocol):
    """Builds images, and runs them."""

    name: str

    def version(self) -> str:
        """As the program tells it."""

    def pull(self, image: str) -> None:
        """Bring an image here. RemoteError where that fails."""

    def build(self, context: Path, plan: contents.Plan, layout: Path) -> Built:
        """Build the image of a context, without any cache, and write its layout."""

    def run(self, image: str, *arguments: str) -> str:
        """Run something once in an image, confined; what it printed."""

    def start(self, image: str) -> str:
        """Start a container of an image, confined; its identifier."""

    def inside(self, container: str, code: str, given: str, seconds: float) -> str:
        """Run Python code in a running container, with `given` as its standard input; what it printed."""

    def log(self, container: str) -> str:
        """The end of what a container wrote."""

    def stop(self, container: str, seconds: int) -> int:
        """SIGTERM, and after so many seconds SIGKILL; the exit code."""

    def size(self, image: str) -> int:
        """Bytes of an image, unpacked."""

    def remove(self, *, container: str = "", image: str = "") -> None:
        """Take a container or an image out of the store, if it is there."""


class _Engine:
    """What the command lines of Podman and Docker have in common."""

    name = ""
    engine = ""
    """The program that runs containers."""

    running: Sequence[str] = ()
    """Options of `run` that only this one has."""

    def version(self) -> str:
        """As the program tells it."""
        return said(self.engine, "--version").strip()

    def pull(self, image: str) -> None:
        """Bring an image here."""
        if not _succeeds(self.engine, "image", "inspect", image):
            said(
                self.engine, "pull", "--quiet", image, what=f"The base image {image} could not be pulled.", fix=PULL_FIX
            )

    def run(self, image: str, *arguments: str) -> str:
        """Run something once, confined."""
        entry, *rest = arguments
        command = [self.engine, "run", "--rm", *CONFINED, *self.running, "--entrypoint", entry, image, *rest]
        return said(*command, what=f"{entry} could not be run in {image}.", fix=NO_PYTHON)

    def start(self, image: str) -> str:
        """Start a container, confined."""
        started = said(
            self.engine, "run", "--detach", *CONFINED, *self.running, image, what="The image could not be started."
        )
        return started.strip().splitlines()[-1]

    def inside(self, container: str, code: str, given: str, seconds: float) -> str:
        """Run Python code in a container."""
        command = [self.engine, "exec", "--interactive", container, "python3", "-I", "-c", code]
        return said(*command, given=given, seconds=seconds, what="The container ended, or could not be asked.")

    def log(self, container: str) -> str:
        """The end of what a container wrote."""
        done = subprocess.run(
            [self.engine, "logs", container], capture_output=True, text=True, errors="replace", check=False
        )
        return (done.stdout + done.stderr)[-4_000:].strip()

    def stop(self, container: str, seconds: int) -> int:
        """SIGTERM, later SIGKILL; the exit code."""
        said(self.engine, "stop", "--time", str(seconds), container)
        return int(said(self.engine, "container", "inspect", "--format", "{{.State.ExitCode}}", container))

    def size(self, image: str) -> int:
        """Bytes of an image, unpacked."""
        return int(said(self.engine, "image", "inspect", "--format", "{{.Size}}", image))

    def remove(self, *, container: str = "", image: str = "") -> None:
        """Take a container or an image away."""
        for command in (["rm", "--force", container] if container else [], ["rmi", "--force", image] if image else []):
            if command:
                subprocess.run([self.engine, *command], capture_output=True, check=False)


PULL_FIX = (
    "Check the digest (`skopeo inspect docker://…`), that the runner reaches the registry, and that the job is logged "
    "in where it is private. Old digests are deleted by some registries: take the one of a newer image then."
)
NO_PYTHON = "The base image must have `python3` on its PATH: take one of Python, by digest."


class Podman(_Engine):
    """Podman alone."""

    name = engine = "podman"
    running = ("--http-proxy=false", "--read-only-tmpfs=false", "--pull", "never")
    builder: tuple[str, ...] = ("podman", "build")

    def build(self, context: Path, plan: contents.Plan, layout: Path) -> Built:
        """Build without a cache, and write the layout."""
        name = f"localhost/{_own(plan)}"
        program = self.builder[0]
        options = [
            "--format",
            "oci",
            "--identity-label=false",
            "--layers",
            "--no-cache",
            "--pull-never" if program == "buildah" else "--pull=never",
        ]
        command = [*self.builder, "--quiet", *options, "--timestamp", str(plan.epoch), "--tag", name]
        said(
            *command,
            *_labels(plan),
            "--file",
            str(context / "Containerfile"),
            str(context),
            what="The image could not be built.",
        )
        said(program, "push", "--quiet", name, f"oci:{layout}", what="The image could not be written.")
        return Built(name, Layout.of(layout))


class Buildah(Podman):
    """Buildah builds, Podman runs."""

    name = "buildah"
    builder = ("buildah", "bud")

    def version(self) -> str:
        """As the program tells it."""
        return f"{said('buildah', '--version').strip()}, {super().version()}"


class Docker(_Engine):
    """Docker with Buildx, whose driver must be able to write OCI layouts (the containerd store, or `docker-container`).

    https://docs.docker.com/build/exporters/oci-docker/, https://docs.docker.com/build/ci/github-actions/reproducible-builds/
    """

    name = engine = "docker"

    def version(self) -> str:
        """As the program tells it."""
        return f"{super().version()}, {said('docker', 'buildx', 'version').strip()}"

    def build(self, context: Path, plan: contents.Plan, layout: Path) -> Built:
        """Build without a cache, and write the layout."""
        name = _own(plan)
        options = ["--no-cache", "--provenance=false", "--sbom=false", "--build-arg", f"SOURCE_DATE_EPOCH={plan.epoch}"]
        outputs = ["--output", f"type=oci,dest={layout},tar=false,rewrite-timestamp=true"]
        outputs += ["--output", f"type=docker,name={name},rewrite-timestamp=true"]
        command = ["docker", "buildx", "build", "--quiet", *options, *outputs, *_labels(plan)]
        said(*command, "--file", str(context / "Containerfile"), str(context), what="The image could not be built.")
        return Built(name, Layout.of(layout))


def choose(wanted: BuilderName) -> Builder:
    """The builder that is asked for, or the first that is there. InputError where there is none."""
    found: dict[str, Builder] = {}
    podman = shutil.which("podman") is not None
    if podman and shutil.which("buildah"):
        found["buildah"] = Buildah()
    if podman:
        found["podman"] = Podman()
    if shutil.which("docker") and wanted in ("auto", "docker") and _succeeds("docker", "buildx", "version"):
        found["docker"] = Docker()
    chosen = next(iter(found.values()), None) if wanted == "auto" else found.get(wanted)
    if chosen is None:
        which = "No builder of images is" if wanted == "auto" else f"The builder `{wanted}` is not"
        raise InputError(
            f"{which} on this machine.",
            why="Buildah needs Podman beside it, which runs what it built; Docker needs Buildx.",
            fix="Install them (`apt-get install buildah podman`), or run the job on a runner of GitHub's with Ubuntu.",
        )
    return chosen


def look_into(builder: Builder, base: str) -> Base:
    """Pull a base image and ask its Python. RemoteError or InputError where it cannot be had or has none."""
    builder.pull(base)
    told: dict[str, Any] = json.loads(builder.run(base, "python3", "-I", "-c", PROBE))
    target = Target(str(told["version"]), str(told["machine"]), str(told["libc"]), str(told["libc_version"]))
    packages = tuple((str(a), str(b), str(c), str(d)) for a, b, c, d in told["packages"])
    return Base(
        str(told["python"]), str(told["full"]), target, str(told["system"]), str(told["system_version"]), packages
    )


def require_python(base: Base, image: str, model_python: str) -> None:
    """InputError where the base has another Python than the model was trained with."""
    wanted = ".".join(model_python.split(".")[:2])
    if wanted and wanted != base.target.version:
        raise InputError(
            f"The base image has Python {base.full_version}, and the model was trained with {model_python}.",
            why=f"Its packages and its files are for Python {wanted}: {image}.",
            fix=f"Set `packaging.base` to an image of Python {wanted}, by digest.",
        )


@contextmanager
def started(builder: Builder, image: str) -> Iterator[str]:
    """A running container, which is gone afterwards whatever happens."""
    container = builder.start(image)
    try:
        yield container
    finally:
        builder.remove(container=container)


def said(*command: str, what: str = "", fix: str = "", given: str = "", seconds: float = 3_600) -> str:
    """What a program printed. RemoteError where it fails, InputError where the disk is full."""
    try:
        done = subprocess.run(
            command,
            input=given,
            env=environ(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise RemoteError(f"{command[0]} {command[1]} did not end within {seconds:g} s.", fix=fix) from late
    if done.returncode == 0:
        return done.stdout
    raise failed(command, done.returncode, without_secrets(done.stderr.strip() or done.stdout.strip()), what, fix)


def failed(command: Sequence[str], code: int, why: str, what: str, fix: str) -> SlipwayError:
    """The error for a program that failed, in its own last words."""
    if "no space left on device" in why.lower():
        return InputError(
            "The runner's disk is full.",
            why=why[-500:],
            fix="Free some space (an image needs some four times the size of its packages), or take a larger runner.",
        )
    doing = what or f"{command[0]} {command[1]} failed."
    return RemoteError(doing, why=f"{command[0]} ended with {code}: {why[-1_500:]}", fix=fix)


def environ() -> Mapping[str, str]:
    """The job's environment without the inputs, among which are the tokens."""
    return {name: value for name, value in os.environ.items() if not name.startswith(variable(""))}


def _own(plan: contents.Plan) -> str:
    """A name that another job of the machine does not use; the image does not have it."""
    return f"slipway-build:{plan.tag.lower()}-{os.getpid()}"


def _labels(plan: contents.Plan) -> Iterator[str]:
    for name, value in plan.labels.items():
        yield from ("--label", f"{name}={value}")
    for name, value in (("created", plan.created),):
        yield from ("--label", f"org.opencontainers.image.{name}={value}")


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, env=environ(), capture_output=True, check=False).returncode == 0
