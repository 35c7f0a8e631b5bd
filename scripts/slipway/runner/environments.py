"""Python environments, built by uv: one for each lock, made once per job and reused by every later stage."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from slipway.runner import commands, locking
from slipway.runner.context import cache
from slipway.runner.errors import InputError, RemoteError

REPOSITORY = Path(__file__).resolve().parents[3]
LOCKS = REPOSITORY / "requirements"
OLDEST_PYTHON = (3, 11)
NO_BUILDS = (
    "A model's packages are installed from wheels only: building one from source runs its code before the model is "
    "confined. Put a wheel of it on your index, or say `builds: allow` under `evaluation.isolation`."
)

PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("NETRC", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
    *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "CMAKE_ARGS", "CUDA_HOME"),
    *("CARGO_HOME", "RUSTUP_HOME", "MACOSX_DEPLOYMENT_TARGET", "SDKROOT", "DEVELOPER_DIR"),
)
"""What an installer sees of the job's environment, beside the settings below: where things lie, how to reach the
network, with what to compile. A package that is built from source runs its own code with it: no token is among it."""

PASSED_ON_SETTINGS = (
    *("UV_CACHE", "UV_CONCURRENT", "UV_CONFIG_FILE", "UV_CREDENTIALS_DIR", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX"),
    *("UV_FIND_LINKS", "UV_HTTP", "UV_INDEX", "UV_INSECURE_HOST", "UV_KEYRING", "UV_LINK_MODE", "UV_NATIVE_TLS"),
    *("UV_NO_CACHE", "UV_NO_INDEX", "UV_OFFLINE", "UV_REQUEST", "UV_SYSTEM_CERTS"),
    *("PIP_CACHE", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX"),
    *("PIP_FIND_LINKS", "PIP_INDEX", "PIP_KEYRING", "PIP_NO_CACHE", "PIP_NO_INDEX", "PIP_PROXY", "PIP_RETRIES"),
    *("PIP_TIMEOUT", "PIP_TRUSTED_HOST"),
)
"""How variables begin by which uv and pip reach an index and keep what they downloaded; an index's credentials are
among them. Every other one of theirs is set for the caller's own installs: UV_CONSTRAINT, UV_SYSTEM_PYTHON or PIP_USER
would lead ours elsewhere or break them."""

WHEELS_ONLY_OPTIONS = frozenset(
    (
        *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host"),
        *("--hash", "--require-hashes", "--only-binary", "--prefer-binary", "--pre"),
    )
)
CONSTRAINTS = frozenset(("-c", "--constraint"))
"""What a lock may say where nothing is built. Past uv's `--no-build` go `--editable` and `--no-binary`, and another
file (`--requirement`) could hold these; a file of constraints beside it, as MLflow writes one, is looked into."""


def for_group(group: str) -> Path:
    """The interpreter of a stage's own environment (`requirements/<group>.txt`)."""
    lock = LOCKS / f"{group}.txt"
    if not lock.is_file():
        known = ", ".join(sorted(path.stem for path in LOCKS.glob("*.txt")))
        raise InputError(f"There is no group of requirements named `{group}`.", fix=f"Choose one of: {known}.")
    return for_lock(lock)


def enter(group: str, package: str) -> None:
    """Have this process go on as a Python of the group's environment, where `package` is not in its own.

    The stage starts anew there, with the same inputs: it must not have done anything yet.
    """
    if importlib.util.find_spec(package):
        return
    python = str(for_group(group))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(python, [python, *sys.argv], clean_environ())  # noqa: S606 - there is no shell to be started


def for_lock(lock: Path, *, builds: bool = True) -> Path:
    """The interpreter of an environment that holds what `lock` (a requirements file) lists; made if absent.

    builds: whether a package may be built from source, which runs its code. Without it only wheels are installed, and
    no code of any package runs before the environment's Python is started.

    The folder's name is a digest of the lock, the interpreter and the platform, so a changed lock is a new
    environment and an unchanged one costs nothing. A half-built environment is never used: the mark that
    completes it is written last.

    Raises:
        InputError: the running Python is too old, the lock cannot be read, or asks to build what may not be built.
        RemoteError: a package could not be downloaded, does not match its hash, or has no wheel and may not be built.
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
    _made_once(folder, lambda: _build(folder, lock.resolve(), hashed=b"--hash=" in content, builds=builds))
    return folder / "bin" / "python"


def fresh(lock: Path, folder: Path, python: str) -> Path:
    """The interpreter of a new environment in `folder`, made from `lock` by the interpreter `python`.

    Nobody has used it before, so it holds what the lock says and nothing else. Raises RemoteError as `for_lock` does.
    """
    _build(folder, lock.resolve(), hashed=b"--hash=" in lock.read_bytes(), builds=True, python=python)
    return folder / "bin" / "python"


def python_version(python: str) -> str:
    """The version of an interpreter; empty where it does not work."""
    command = [python, "-I", "-S", "-c", "import platform; print(platform.python_version())"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


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


def _build(folder: Path, lock: Path, *, hashed: bool, builds: bool, python: str = sys.executable) -> None:
    if not builds:
        require_wheels_only(lock)
    uv = find_uv()
    commands.say(f"Building the environment of {lock.name}")
    run_installer([uv, "venv", "--quiet", "--python", python, str(folder)], folder)
    install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(lock)]
    if hashed:
        install += ["--require-hashes", "--no-deps"]
    run_installer(install if builds else [*install, "--no-build"], folder, "" if builds else NO_BUILDS)


def require_wheels_only(lock: Path, allowed: frozenset[str] = WHEELS_ONLY_OPTIONS | CONSTRAINTS) -> None:
    """Raises InputError where the lock, or the constraints that it names, could make uv build or name a secret."""
    try:
        text = lock.read_text(encoding="utf-8-sig")  # uv reads UTF-16, too
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The requirements {lock.name} cannot be read.", why=str(error), fix=NO_BUILDS) from error
    for line in text.splitlines():
        words = re.sub(r"(^|[ \t])#.*", "", line).split()
        for place, word in enumerate(words):
            option, _, value = word.partition("=")
            # uv puts the job's variables in: an address with one would carry an index's password to anybody.
            if (option.startswith("-") and option not in allowed) or "${" in word:
                raise InputError(
                    f"A model's requirements ({lock.name}) may not hold `{word[:100]}`.",
                    why="It can build a package from source, or read a variable of the job.",
                    fix=NO_BUILDS,
                )
            if option in CONSTRAINTS:
                # A plain name: uv would understand an address or a variable otherwise than we do.
                named = re.fullmatch(r"[\w.-]+", value or "".join(words[place + 1 : place + 2]), re.ASCII)
                require_wheels_only(lock.with_name(named.group() if named else "constraints"), WHEELS_ONLY_OPTIONS)


def find_uv() -> str:
    """The uv on the PATH, or the hash-locked one of requirements/uv.txt, installed by pip beside the environments."""
    found = shutil.which("uv")
    if found:
        return found
    lock = LOCKS / "uv.txt"
    folder = cache() / "uv" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    # An environment made by uv has no pip; the Python that it was made from usually has.
    pip = [os.path.realpath(sys.executable), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    install = [*pip, "--require-hashes", "--no-deps", "--target", str(folder), "-r", str(lock)]
    _made_once(folder, lambda: run_installer(install, folder))
    return str(folder / "bin" / "uv")


def run_installer(command: list[str], folder: Path, fix: str = "") -> None:
    """Run a package installer that fills `folder`. fix: what else to do about a failure."""
    environ = {
        name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(PASSED_ON_SETTINGS)
    }
    # The cache is often on another disk than the job's folder; without this uv warns on every install.
    environ.setdefault("UV_LINK_MODE", "copy" if on_other_disk(folder.parent) else "hardlink")
    # uv reads the settings of the folder it stands in and of those above, which may be the caller's repository.
    nowhere = folder.anchor
    done = subprocess.run(
        command, cwd=nowhere, env=environ, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RemoteError(
            f"The packages of an environment could not be installed ({Path(command[0]).name} ended with "
            f"{done.returncode}).",
            why=(done.stderr or done.stdout).strip()[-2000:],
            fix="If a package could not be downloaded, check the runner's access to the package index and run the "
            "job again. If a hash differs, the file on the index is not the one that was locked: do not go on. "
            f"{fix}".strip(),
        )


def on_other_disk(folder: Path) -> bool:
    """Whether uv's cache and `folder` are on different file systems, so that hard links between them fail."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache")
    return cache.exists() and cache.stat().st_dev != folder.stat().st_dev


def _made_once(folder: Path, make: Callable[[], None]) -> None:
    """Have `make` fill `folder` unless that was done before; the mark that completes it is written last."""
    complete = folder / "slipway-complete"
    with locking.alone(folder.with_suffix(".lock")):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make()
            complete.touch()
