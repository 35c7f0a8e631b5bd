"""Where a ledger lies: which repository holds its branch, how to reach it, and where the entries wait meanwhile."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slipway.ledger.git import Setting
from slipway.runner.context import Run, home
from slipway.runner.errors import InputError
from slipway.runner.inputs import NO_SECRET, Secret

BRANCH = "slipway-ledger"
REACHING = r"^(credential|http|url|ssh|core\.sshcommand)\b"
"""Settings of the user's clone that may be needed to reach its remote."""


ADDRESS = re.compile(r"[^/]*:")
"""What git takes for an address: `https://…`, `host:path`. Anything else is a path on this machine."""


@dataclass(frozen=True)
class Place:
    """upstream: address of the repository whose branch is the ledger. store: our own git directory, where entries are
    made and wait if the upstream cannot be reached. The user's clone, index and work tree are never touched."""

    upstream: str
    store: Path
    branch: str = BRANCH
    clone: str = ""
    """Address of the user's clone, which has a ledger of its own from before it had a remote. Empty without one."""

    settings: tuple[Setting, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The upstream without user name and password, for people."""
        parts = urlsplit(self.upstream)
        if parts.hostname is None:
            return self.upstream
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=host, query="", fragment="").geturl()


def find(run: Run, *, folder: Path = Path(), remote: str = "", token: Secret = NO_SECRET) -> Place:
    """The place of the ledger.

    `remote` names it: a remote of the clone in `folder`, an address, or a path. Otherwise it is the workflow's own
    repository where a token for it is given, else `origin` of the clone, else the clone itself.

    Raises InputError where there is none of these.
    """
    clone = _git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
    upstream = _upstream(folder, clone, remote, run if token else Run())
    if not upstream:
        raise InputError(
            "There is no repository for the ledger.",
            why="`remote` and `github-token` were not given, and this folder is no clone.",
            fix="Give `github-token` in a workflow, or run inside of a clone.",
        )
    upstream, password = _without_password(upstream)
    store = _store(clone, upstream)
    settings = _reaching(folder) if clone else ()
    # GitHub takes a token as the password of any user. https://docs.github.com/rest/authentication
    user = f"x-access-token:{token.reveal()}" if token else password
    if user and urlsplit(upstream).scheme in ("http", "https"):
        basic = base64.b64encode(user.encode()).decode()
        # For this very address: it counts before what the clone says of the host, and the empty value drops that.
        key = f"http.{upstream}.extraheader"
        settings += ((key, ""), (key, f"Authorization: Basic {basic}"))
    own = Path(clone).as_uri() if clone else ""
    return Place(upstream, store, settings=settings, clone=own if own != upstream else "")


def _upstream(folder: Path, clone: str, remote: str, run: Run) -> str:
    if not remote and run.repository:
        return f"{run.server_url}/{run.repository}"
    named = _git(folder, "remote", "get-url", "--", remote or "origin") if clone else ""
    found = named or remote or clone
    if not found or ADDRESS.match(found):
        return found
    path = (folder / found).resolve()
    if not named and remote and not path.exists() and not _store(clone, path.as_uri()).exists():
        raise InputError(
            f"`remote` is `{remote}`, which is no remote of this clone, no address and no path that exists.",
            fix="Check its spelling: `git remote` lists the clone's remotes.",
        )
    # As an address git fetches only what is asked for; from a path it would copy everything.
    return path.as_uri()


def _store(clone: str, upstream: str) -> Path:
    """Where entries for an upstream are made and wait."""
    digest = hashlib.sha256(upstream.removesuffix(".git").encode()).hexdigest()[:12]
    return (Path(clone) / "slipway" if clone else home()) / f"ledger-{digest}.git"


def _without_password(address: str) -> tuple[str, str]:
    """A web address without user and password, which must not stand on a command line, and these as `user:password`."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return address, ""
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host).geturl(), unquote(user)


def _reaching(folder: Path) -> tuple[Setting, ...]:
    said = _git(folder, "config", "--null", "--get-regexp", REACHING, whole=True)
    pairs = [entry.partition("\n") for entry in said.split("\0") if entry]
    # A name alone means true; an empty value would mean false.
    return tuple((key, value if equals else "true") for key, equals, value in pairs)


def _git(folder: Path, *arguments: str, whole: bool = False) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise InputError("git is not installed.", fix="Install git on the runner.") from error
    said = done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else ""
    return said if whole else said.rstrip("\n")
