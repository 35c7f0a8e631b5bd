"""The programs that build an image and run it: Buildah, Podman, and Docker Buildx, each behind the same few calls.

Buildah and Podman need no daemon and share their images; GitHub's Ubuntu runners have both. A build ends as an OCI
image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md), whose digest is the image's
wherever it goes: what `docker inspect` or `podman images` call a digest may be another one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from slipway.containers.layout import Layout
from slipway.containers.programs import environ, said, succeeds
from slipway.containers.work import Work, as_user, options_of
from slipway.runner.errors import InputError

BuilderName = Literal["auto", "buildah", "podman", "docker"]

CONFINED = (
    *("--network", "none", "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *("--pids-limit", "1024"),
)
"""How a container is tried: nothing but its own loopback, nothing that it could write, none of root's powers."""


@dataclass(frozen=True)
class Recipe:
    """What an image is built with beside its context. name: in the builder's own store; no part of the image.

    epoch: seconds; every file and the image carry this time.
    """

    name: str
    epoch: int
    labels: Mapping[str, str]

    @property
    def created(self) -> str:
        """The time that the image carries, as OCI's annotations write it."""
        return f"{datetime.fromtimestamp(self.epoch, UTC):%Y-%m-%dT%H:%M:%SZ}"


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

    def build(self, context: Path, recipe: Recipe, layout: Path) -> Built:
        """Build the image of a context, without any cache, and write its layout."""

    def build_here(self, context: Path, recipe: Recipe) -> str:
        """The same without a layout: an image that stays on this machine. Its name as `name_of` gives it."""

    def name_of(self, recipe: Recipe) -> str:
        """The name of an image of this recipe in the builder's own store."""

    def identity(self, image: str) -> str:
        """What tells the content of an image here from any other's (`sha256:…`); empty where there is no such image.

        It is the digest of the image's configuration, which names each layer by its unpacked content; of Docker with
        containerd's store that of its manifest.
        """

    def command(self, work: Work) -> list[str]:
        """The command line that does some work, attached: its output is the work's, and SIGTERM reaches it."""

    def end(self, container: str) -> None:
        """Kill a container at once and take it away, if it is there."""

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
    """Options of `run` that only this one has, where an image is tried."""

    working: Sequence[str] = ()
    """The same where a command works in it."""

    def version(self) -> str:
        """As the program tells it."""
        return said(self.engine, "--version").strip()

    def pull(self, image: str) -> None:
        """Bring an image here."""
        if not succeeds(self.engine, "image", "inspect", image):
            said(self.engine, "pull", "--quiet", image, what=f"The image {image} could not be pulled.", fix=PULL_FIX)

    def identity(self, image: str) -> str:
        """The digest of its configuration."""
        ask = [self.engine, "image", "inspect", "--format", "{{.Id}}", image]
        done = subprocess.run(ask, env=environ(), capture_output=True, text=True, check=False)
        return f"sha256:{done.stdout.strip().removeprefix('sha256:')}" if done.returncode == 0 else ""

    def name_of(self, recipe: Recipe) -> str:
        """As it is."""
        return recipe.name

    def command(self, work: Work) -> list[str]:
        """The command line of an attached container."""
        program, *rest = work.arguments
        options = [*options_of(work), *self.as_whom(), *self.working]
        return [self.engine, "run", "--rm", *options, "--entrypoint", program, work.image, *rest]

    def as_whom(self) -> list[str]:
        """Options by which files that a container writes belong to the job's user."""
        return as_user(os.getuid(), os.getgid())

    def end(self, container: str) -> None:
        """Kill a container and take it away."""
        for command in (["kill", "--signal", "KILL", container], ["rm", "--force", container]):
            subprocess.run([self.engine, *command], env=environ(), capture_output=True, check=False)

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
        command = [self.engine, "logs", container]
        done = subprocess.run(command, env=environ(), capture_output=True, text=True, errors="replace", check=False)
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
                subprocess.run([self.engine, *command], env=environ(), capture_output=True, check=False)


PULL_FIX = (
    "Check the digest (`skopeo inspect docker://…`), that the runner reaches the registry, and that the job is logged "
    "in where it is private. Old digests are deleted by some registries: take the one of a newer image then."
)
NO_PYTHON = "The base image must have `python3` on its PATH: take one of Python, by digest."


class Podman(_Engine):
    """Podman alone."""

    name = engine = "podman"
    # A setting of the machine could hand all of the job's variables in.
    running = ("--env-host=false", "--http-proxy=false", "--read-only-tmpfs=false", "--pull", "never")
    # A label of SELinux would keep the container from the user's files, or change theirs.
    working = ("--env-host=false", "--http-proxy=false", "--pull", "never", "--security-opt", "label=disable")
    builder: tuple[str, ...] = ("podman", "build")

    def build(self, context: Path, recipe: Recipe, layout: Path) -> Built:
        """Build without a cache, and write the layout."""
        name = self.build_here(context, recipe)
        said(self.builder[0], "push", "--quiet", name, f"oci:{layout}", what="The image could not be written.")
        return Built(name, Layout.of(layout))

    def build_here(self, context: Path, recipe: Recipe) -> str:
        """Build without a cache."""
        name = self.name_of(recipe)
        never = "--pull-never" if self.builder[0] == "buildah" else "--pull=never"
        options = ["--format", "oci", "--identity-label=false", "--layers", "--no-cache", never]
        command = [*self.builder, "--quiet", *options, "--timestamp", str(recipe.epoch), "--tag", name]
        file = ["--file", str(context / "Containerfile"), str(context)]
        said(*command, *_labels(recipe), *file, what="The image could not be built.")
        return name

    def name_of(self, recipe: Recipe) -> str:
        """On a host that no registry has."""
        return f"localhost/{recipe.name}"

    def as_whom(self) -> list[str]:
        """Without root's powers Podman maps users: the job's own stays who it is."""
        return super().as_whom() if os.getuid() == 0 else [*super().as_whom(), "--userns", "keep-id"]


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

    def build(self, context: Path, recipe: Recipe, layout: Path) -> Built:
        """Build without a cache, and write the layout."""
        self._build(context, recipe, "--output", f"type=oci,dest={layout},tar=false,rewrite-timestamp=true")
        return Built(recipe.name, Layout.of(layout))

    def build_here(self, context: Path, recipe: Recipe) -> str:
        """Build without a cache."""
        self._build(context, recipe)
        return recipe.name

    def _build(self, context: Path, recipe: Recipe, *outputs: str) -> None:
        options = ["--no-cache", "--provenance=false", "--sbom=false"]
        options += ["--build-arg", f"SOURCE_DATE_EPOCH={recipe.epoch}"]
        here = ["--output", f"type=docker,name={recipe.name},rewrite-timestamp=true"]
        command = ["docker", "buildx", "build", "--quiet", *options, *outputs, *here, *_labels(recipe)]
        said(*command, "--file", str(context / "Containerfile"), str(context), what="The image could not be built.")

    def as_whom(self) -> list[str]:
        """Of an engine without root's powers the container's root is the job's user.

        https://docs.docker.com/engine/security/rootless/
        """
        rootless = "name=rootless" in said("docker", "info", "--format", "{{.SecurityOptions}}")
        return as_user(0, 0) if rootless else super().as_whom()


def choose(wanted: BuilderName) -> Builder:
    """The builder that is asked for, or the first that is there. InputError where there is none."""
    found: dict[str, Builder] = {}
    podman = shutil.which("podman") is not None
    if podman and shutil.which("buildah"):
        found["buildah"] = Buildah()
    if podman:
        found["podman"] = Podman()
    if shutil.which("docker") and wanted in ("auto", "docker") and succeeds("docker", "buildx", "version"):
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


@contextmanager
def started(builder: Builder, image: str) -> Iterator[str]:
    """A running container, which is gone afterwards whatever happens."""
    container = builder.start(image)
    try:
        yield container
    finally:
        builder.remove(container=container)


def _labels(recipe: Recipe) -> Iterator[str]:
    for name, value in {**recipe.labels, "org.opencontainers.image.created": recipe.created}.items():
        yield from ("--label", f"{name}={value}")
