"""Real containers for the tests of packaging: a base image, a registry on the loopback, a store of images of our own.

The base image is a small Debian with Python, made once for each recipe and kept outside of the repository, with
nothing in it that names a mirror. Buildah and Podman get a storage and settings of the session's own, which also work
as root in a container without systemd.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store_doubles import Asked, HttpDouble, Said
from test_training_toy import LOCK

PROGRAMS = ("buildah", "podman", "runc", "skopeo", "docker-registry", "mmdebstrap")
PACKAGES = "python3-minimal,libpython3-stdlib,libstdc++6"
"""libpython3-stdlib is what `python3` needs beside its interpreter; wheels of C++ need libstdc++6."""

RECIPE = [
    *("mmdebstrap", "--quiet", "--mode=root", "--variant=essential", f"--include={PACKAGES}"),
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")),
    "--customize-hook=rm -rf $1/etc/apt/sources.list $1/etc/apt/sources.list.d $1/var/lib/apt/lists $1/var/log",
    "--customize-hook=rm -rf $1/usr/share/perl5 $1/usr/lib/x86_64-linux-gnu/perl-base",
    "bookworm",
]
CONTAINERFILE = (
    "FROM scratch\nADD rootfs.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
)

CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{short}/tmp"
lock_type = "file"
"""
"""Podman's locks lie in shared memory otherwise, where those of two stores on one machine are taken for the same."""

HEAVY = ("scikit-learn", "scipy", "joblib", "threadpoolctl", "skops", "pyarrow")
"""What a model of numpy alone does not need, of the lock that the toy's models share."""


def missing() -> list[str]:
    return [name for name in PROGRAMS if not shutil.which(name)]


def require_programs() -> None:
    """Skip where a program is missing; in CI that is a failure."""
    absent = missing()
    if os.geteuid() != 0:
        absent.append("root, as whom the base image is made")
    if absent:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"missing: {', '.join(absent)} (Debian packages)")


def without(lock: str, *names: str) -> str:
    """A lock without some packages."""
    parts = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    return "\n".join(part for part in parts if not part.startswith(tuple(f"{name}==" for name in names))) + "\n"


SMALL = without(LOCK, *HEAVY)


@dataclass(frozen=True)
class Containers:
    """A registry with the base image in it, and what programs must be told to reach it."""

    folder: Path
    host: str
    base: str
    environ: Mapping[str, str]

    def run(self, *command: str) -> str:
        done = subprocess.run(command, env={**os.environ, **self.environ}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, as the registry keeps them."""
        folder = self.folder / "registry/docker/registry/v2/repositories" / repository / "_manifests/tags"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def base_registry() -> Path:
    """Storage of a registry that has the base image, made anew where the recipe has changed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "slipway-tests")
    recipe = hashlib.sha256("\n".join([*RECIPE, CONTAINERFILE]).encode()).hexdigest()[:16]
    folder = cache / f"base-{recipe}"
    if not (folder / "complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        context = folder / "context"
        context.mkdir(parents=True)
        subprocess.run([*RECIPE, str(context / "rootfs.tar")], check=True, capture_output=True)
        (context / "Containerfile").write_text(CONTAINERFILE)
        with store(folder / "store") as environ:
            build = ["buildah", "bud", "--quiet", "--isolation", "chroot", "--timestamp", "0", "--identity-label=false"]
            subprocess.run(
                [*build, "--tag", "localhost/base", str(context)], env=environ, check=True, capture_output=True
            )
            with serving(folder / "registry") as host:
                push = ["buildah", "push", "--quiet", "--tls-verify=false", "--digestfile", str(folder / "digest")]
                subprocess.run(
                    [*push, "localhost/base", f"docker://{host}/base:1"], env=environ, check=True, capture_output=True
                )
        shutil.rmtree(context)
        (folder / "complete").touch()
    return folder


@contextlib.contextmanager
def store(folder: Path) -> Iterator[dict[str, str]]:
    """A store of images of its own: the environment for Buildah and Podman."""
    folder.mkdir(parents=True, exist_ok=True)
    # Podman cleans nothing up, silently, where its runroot's name has more than 50 characters.
    short = Path(tempfile.mkdtemp(prefix="slipway-", dir="/tmp"))
    files = {
        # Locks and exits of other stores of this machine are none of ours.
        "CONTAINERS_CONF": CONTAINERS.format(short=short),
        "CONTAINERS_STORAGE_CONF": f"""
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{short}/run"
""",
        "CONTAINERS_REGISTRIES_CONF": "".join(
            f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in ("127.0.0.1", "localhost")
        ),
    }
    environ = dict(os.environ)
    for name, text in files.items():
        file = folder / name.lower()
        file.write_text(text)
        environ[name] = str(file)
    try:
        yield environ
    finally:
        subprocess.run(["podman", "rm", "--all", "--force"], env=environ, capture_output=True, check=False)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        ours = (f"{folder}/", f"{short}/")
        for mount in sorted((each for each in mounts if each.startswith(ours)), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        for place in (folder, short):
            shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def serving(storage: Path, settings: str = "", host: str = "") -> Iterator[str]:
    """A registry with its storage in a folder: its host. settings: more of its configuration."""
    host = host or f"127.0.0.1:{free_port()}"
    storage.mkdir(parents=True, exist_ok=True)
    kept = f"{{filesystem: {{rootdirectory: '{storage}'}}, delete: {{enabled: true}}}}"
    said = f"version: 0.1\nlog: {{level: error}}\nstorage: {kept}\n"
    file = storage.with_name(f"{storage.name}-{host.rpartition(':')[2]}.yml")
    file.write_text(f"{said}http: {{addr: '{host}'}}\n{settings}")
    log = file.with_suffix(".log").open("w")
    environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(["docker-registry", "serve", str(file)], stdout=log, stderr=log, env=environ)
    try:
        answers(host, lambda: process.poll() is None)
        yield host
    finally:
        process.terminate()
        process.wait(10)
        log.close()


@dataclass
class Valve:
    """What stands before a registry and hands every request on, but for the one that `stops` says: that waits until
    whoever sent it is gone, and never arrives."""

    host: str = ""
    stops: Callable[[Asked], bool] = field(default=lambda _: False)
    reached: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def through(upstream: str) -> Iterator[Valve]:
    """A valve before the registry at this host."""
    import requests

    valve, session = Valve(), requests.Session()

    def answer(asked: Asked) -> Said:
        if valve.stops(asked):
            valve.reached.set()
            valve.gone.wait(120)
            return Said(503)
        address = f"http://{upstream}{asked.raw_path}"
        # With its Host the registry writes addresses that lead through here again.
        found = session.request(
            asked.method, address, params=asked.query, data=asked.body, headers=dict(asked.headers), timeout=60
        )
        dropped = {"connection", "transfer-encoding", *(["content-length"] if asked.method != "HEAD" else [])}
        kept = {name: value for name, value in found.headers.items() if name.lower() not in dropped}
        return Said(found.status_code, found.content, kept)

    with HttpDouble(answer) as double:
        valve.host = double.url.removeprefix("http://")
        yield valve
        valve.gone.set()


@contextlib.contextmanager
def serving_referrers(limit: int = 4 * 2**20) -> Iterator[str]:
    """A registry that has the referrers API, which the one of Debian lacks: its host. limit: bytes of a page."""
    program = shutil.which("referrers-registry")
    if program is None:
        missing_ = "missing: referrers-registry (`.ci/run` builds it from tests/referrers_registry)"
        (pytest.fail if "CI" in os.environ else pytest.skip)(missing_)
    host = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([program, host, str(limit)], stderr=subprocess.PIPE, text=True)
    try:
        answers(host, lambda: process.poll() is None)
        yield host
    finally:
        process.terminate()
        process.communicate(timeout=10)


def answers(host: str, lives: Callable[[], bool]) -> None:
    """Wait until a server takes connections."""
    name, _, port = host.partition(":")
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection((name, int(port)), timeout=1):
            return
        assert lives() and time.monotonic() < deadline, f"nothing listens on {host}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """What every test of packaging shares."""
    require_programs()
    made = base_registry()
    folder = tmp_path_factory.mktemp("containers")
    subprocess.run(["cp", "--archive", "--link", str(made / "registry"), str(folder / "registry")], check=True)
    digest = (made / "digest").read_text().strip()
    with store(folder / "store") as environ, serving(folder / "registry") as host:
        told = {
            name: environ[name] for name in ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF")
        }
        yield Containers(folder, host, f"{host}/base@{digest}", told)
