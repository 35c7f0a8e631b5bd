"""The user's git repository: which commit is checked out, and whether the work tree is exactly that commit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.runner import environments
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Checkout:
    """commit: full id of HEAD. changes: paths that differ from it, untracked ones included."""

    commit: str
    changes: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether the commit alone says what the code was."""
        return not self.changes


def look(folder: Path = Path()) -> Checkout:
    """The checkout around `folder`, all of it: a command can import from beside the folder it starts in.

    Slipway's own files inside of it (a reusable workflow checks them out into the workspace) do not count as changes.

    Raises InputError where there is no git, no repository or no commit.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
    options = ("--porcelain", "--untracked-files=all", "--ignore-submodules=none", "-z")
    status = _git(folder, "status", *options, "--", ":/", *exclude_own(folder))
    changes, entries = [], iter(status.split("\0"))
    for entry in entries:
        if entry:
            changes.append(entry[3:])
            if {"R", "C"} & set(entry[:2]):
                next(entries, None)  # the old name of a renamed file follows as an entry of its own
    return Checkout(commit, tuple(changes))


def tree(paths: Sequence[str] | None, folder: Path = Path()) -> str:
    """Digest of what is committed at some paths (relative to `folder`), or everywhere.

    Raises InputError where a path holds nothing: a name that was misspelt would make different code look alike.
    """
    if paths is None:
        return _git(folder, "rev-parse", "HEAD^{tree}").strip()
    listed = {path: _git(folder, "ls-tree", "-r", "-z", "HEAD", "--", path) for path in paths}
    for path, said in listed.items():
        if not said:
            raise InputError(
                f"`training.code` names {path}, where nothing is committed.", fix="Correct the path in the policy."
            )
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


ALLOW_DIRTY = "To train anyway, set `allow-dirty-tree: true`; the model is then marked as not rebuildable."


def require_clean(
    checkout: Checkout,
    *,
    allow_dirty: bool,
    why: str = "The model could not be rebuilt from its commit.",
    otherwise: str = ALLOW_DIRTY,
) -> None:
    """Raise InputError where the work tree differs from the commit, unless the caller allows it by name.

    why, otherwise: what is wrong with that, and what can be done beside a commit, for the reader.
    """
    if checkout.clean or allow_dirty:
        return
    shown = ", ".join(checkout.changes[:5]) + (f" and {len(checkout.changes) - 5} more" * (len(checkout.changes) > 5))
    raise InputError(
        f"The work tree differs from commit {checkout.commit[:12]}: {shown}.",
        why=why,
        fix=f"Commit the changes, or list generated files in .gitignore. {otherwise}".strip(),
    )


def git_folder(folder: Path = Path()) -> Path:
    """The repository's git directory, that of the clone also in a work tree which was added to it."""
    return Path(_git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir").strip())


def top(folder: Path = Path()) -> Path:
    """The outermost folder of the work tree."""
    return Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n"))


def git_folders(folder: Path = Path()) -> list[Path]:
    """Where git keeps the repository: its git directory, and those of others whose objects it borrows."""
    own = git_folder(folder)
    borrowed = own / "objects" / "info" / "alternates"
    lines = borrowed.read_text(encoding="utf-8").splitlines() if borrowed.is_file() else []
    return [own, *((own / "objects" / line).resolve() for line in lines if line)]


def kept_credentials(folder: Path = Path()) -> list[str]:
    """Names of the clone's own settings that hold a token, as actions/checkout leaves one by default."""
    names = _git(folder, "config", "--local", "--name-only", "--list").splitlines()
    return sorted({name for name in names if name.startswith("http.") and name.endswith(".extraheader")})


def linked_caches(folder: Path = Path()) -> list[Path]:
    """What links of this name lead to: DVC's cache, where it is shared with other work trees."""
    links = {each / ".dvc" / "cache" for each in (folder, top(folder))}
    return sorted({each.resolve() for each in links if each.is_symlink()})


def exclude_own(folder: Path = Path()) -> list[str]:
    """Pathspecs that leave out Slipway's own files, where a workflow checked them out inside of the repository."""
    root = top(folder)
    own = environments.REPOSITORY
    inside = own != root and own.is_relative_to(root)
    return [f":(top,exclude){own.relative_to(root).as_posix()}"] if inside else []


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise InputError("git is not installed.", fix="Install git on the runner.") from error
    if done.returncode:
        raise InputError(
            f"`git {arguments[0]}` failed.",
            why=done.stderr.strip(),
            fix="Run the step inside of a checkout with at least one commit (actions/checkout comes first).",
        )
    return done.stdout
