"""Python environments, built by uv: one for each lock, made once per job and reused by every later stage."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.runner import commands
from slipway.runner.context import cache
from slipway.runner.errors import InputError, RemoteError

REPOSITORY = Path(__file__).resolve().parents[3]
LOCKS = REPOSITORY / "requirements"
OLDEST_PYTHON = (3, 11)


def for_group(group: str) -> Path:
    """The interpreter of a stage's own environment (`requirements/<group>.txt`)."""
    lock = LOCKS / f"{group}.txt"
    if not lock.is_file():
        known = ", ".join(sorted(path.stem for path in LOCKS.glob("*.txt")))
        raise InputError(f"There is no group of requirements named `{group}`.", fix=f"Choose one of: {known}.")
    return for_lock(lock)


def for_lock(lock: Path) -> Path:
    """The interpreter of an environment that holds what `lock` (a requirements file) lists; built if absent.

    The folder's name is a digest of the lock, the interpreter and the platform, so a changed lock is a new
    environment and an unchanged one costs nothing. A half-built environment is never used: the mark that
    completes it is written last.

    Raises:
        InputError: the running Python is too old, or the lock cannot be read.
        RemoteError: a package could not be downloaded or does not match its hash.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise InputError(
            f"Slipway needs Python {'.'.join(map(str, OLDEST_PYTHON))} or newer; this is {platform.python_version()}.",
            fix="Put actions/setup-python before this step.",
        )
    try:
        content = lock.read_bytes()
    except OSError as error:
        raise InputError(f"The requirements file {lock} cannot be read.", why=str(error)) from error
    folder = cache() / "environments" / environment_digest(content)
    python = folder / "bin" / "python"
    complete = folder / "slipway-complete"
    with _locked(folder.with_suffix(".lock")):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, lock.resolve(), hashed=b"--hash=" in content)
            complete.touch()
    return python


def environment_digest(lock: bytes) -> str:
    """Digest of all that an environment is made from."""
    made_from = [platform.python_version(), platform.machine(), sys.platform, os.path.realpath(sys.executable)]
    return hashlib.sha256("\n".join(made_from).encode() + b"\n" + lock).hexdigest()[:16]


def clean_environ() -> dict[str, str]:
    """The environment for a Python process of another environment.

    Drops what would lead it back into this one, and PYTHONDONTWRITEBYTECODE, which makes every later
    process compile the same modules again (measured: 2.5 times the start-up).
    """
    ours = {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _build(folder: Path, lock: Path, *, hashed: bool) -> None:
    uv = find_uv()
    commands.say(f"Building the environment of {lock.name}")
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], cwd=folder.parent)
    install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(lock)]
    _run([*install, "--require-hashes", "--no-deps"] if hashed else install, cwd=folder.parent)


def find_uv() -> str:
    """The uv on the PATH, or the hash-locked one of requirements/uv.txt, installed by pip beside the environments."""
    found = shutil.which("uv")
    if found:
        return found
    folder = cache() / "uv" / hashlib.sha256((LOCKS / "uv.txt").read_bytes()).hexdigest()[:16]
    uv = folder / "bin" / "uv"
    with _locked(folder.with_suffix(".lock")):
        if not uv.exists():
            lock = str(LOCKS / "uv.txt")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
            _run([*pip, "--disable-pip-version-check", "--target", str(folder), "-r", lock], cwd=folder.parent)
    return str(uv)


def _run(command: list[str], *, cwd: Path) -> None:
    """Run a package installer; `cwd` is ours, because a pyproject.toml in the caller's folder could redirect uv."""
    # UV_SYSTEM_PYTHON, UV_PROJECT_ENVIRONMENT and the like, set for the caller's own use of uv, would break ours.
    dropped = {"UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_NO_DEPS", "UV_TARGET", "UV_PREFIX"}
    environ = {name: value for name, value in clean_environ().items() if name not in dropped}
    # The cache is often on another disk than the job's folder; without this uv warns on every install.
    environ.setdefault("UV_LINK_MODE", "copy" if on_other_disk(cwd) else "hardlink")
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RemoteError(
            f"The packages of an environment could not be installed ({Path(command[0]).name} ended with "
            f"{done.returncode}).",
            why=(done.stderr or done.stdout).strip()[-2000:],
            fix="If a package could not be downloaded, check the runner's access to the package index and run the "
            "job again. If a hash differs, the file on the index is not the one that was locked: do not go on.",
        )


def on_other_disk(folder: Path) -> bool:
    """Whether uv's cache and `folder` are on different file systems, so that hard links between them fail."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache")
    return cache.exists() and cache.stat().st_dev != folder.stat().st_dev


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """One builder at a time; a second one waits and then finds the work done."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
