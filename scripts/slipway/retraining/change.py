"""What a refresh of the data changed in the repository: taken as a patch on one machine, made a commit on another.

The command that refreshes has the keys of the data store and no right to push; whoever pushes runs nothing of it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from slipway.runner.errors import InputError

PATCH = "refresh.patch"
"""Its name beside the report of refresh-data."""

ORDINARY = ("100644", "100755", "000000")
"""Modes of files that may be changed: no links, which lead elsewhere, and no submodules. The last one is no file."""

AUTHOR = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
"""As whom GitHub shows what workflows commit. https://github.com/actions/checkout#push-a-commit-using-the-built-in-token"""


@dataclass(frozen=True)
class Changed:
    """One file. status: git's letter (A added, M changed, D removed, T another type)."""

    path: str
    status: str
    mode: str


@dataclass(frozen=True)
class Commit:
    """A commit that no branch has yet, and what it changes."""

    id: str
    tree: str
    changed: tuple[Changed, ...]


def taken(*, without: Sequence[str] = (), folder: Path = Path()) -> bytes:
    """What the work tree has other than HEAD, as a patch; ignored files are left out. The index stays as it is.

    without: pathspecs of what is not ours to take.

    Raises InputError where git cannot tell.
    """
    with _index(folder) as git:
        git("read-tree", "HEAD")
        git("add", "--all", "--", ":/", *without)
        options = ("--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        return git("-c", "core.quotePath=true", "diff", "--cached", *options, "HEAD")


def committed(patch: bytes, *, base: str, message: str, when: datetime, folder: Path = Path()) -> Commit:
    """The patch on top of `base`. Neither work tree nor index nor a branch is touched.

    The same patch, message and time make the same commit, so a step that is run again pushes nothing new.

    Raises InputError where it does not apply, changes nothing, or makes a link or a submodule.
    """
    date = f"{int(when.timestamp())} +0000"
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _who(date)}
    with _index(folder, who) as git:
        git("read-tree", base)
        git("apply", "--cached", "--whitespace=nowarn", given=patch)
        tree = git("write-tree").decode().strip()
        changed = tuple(_changed(git("diff-tree", "-r", "-z", "--no-renames", "--raw", base, tree)))
        if not changed:
            raise InputError("The patch changes nothing.", fix="Run refresh-data on the commit that is checked out.")
        for each in changed:
            if each.mode not in ORDINARY:
                raise InputError(
                    f"The refresh makes {each.path} a link or a submodule.",
                    why="What it points at would not be in the commit.",
                    fix="Let `retraining.refresh.command` write ordinary files.",
                )
        made = git("commit-tree", tree, "-p", base, given=message.encode(errors="replace")).decode().strip()
    return Commit(made, tree, changed)


def outside(commit: Commit, base: str, patterns: Sequence[str], folder: Path = Path()) -> tuple[str, ...]:
    """The changed files that none of `patterns` matches, as git matches them (`:(glob)`)."""
    inside = [f":(top,exclude,glob){pattern}" for pattern in patterns]
    with _index(folder) as git:
        said = git("diff-tree", "-r", "-z", "--no-renames", "--name-only", base, commit.tree, "--", ":/", *inside)
    return tuple(_texts(said))


def text_at(commit: str, path: str, folder: Path = Path()) -> str | None:
    """A file of a commit, path from the repository's root; None where it has none or it is no UTF-8."""
    with _index(folder) as git:
        try:
            return git("show", f"{commit}:{path}").decode()
        except (InputError, UnicodeDecodeError):
            return None


def _who(date: str) -> tuple[tuple[str, str], ...]:
    return (("NAME", AUTHOR[0]), ("EMAIL", AUTHOR[1]), ("DATE", date))


def _changed(raw: bytes) -> Iterator[Changed]:
    parts = iter(_texts(raw))
    for facts in parts:  # ":<old mode> <new mode> <old object> <new object> <status>", then the path
        _, mode, *_, status = facts.split()
        yield Changed(next(parts), status, mode)


def _texts(raw: bytes) -> list[str]:
    return [each for each in raw.decode(errors="replace").split("\0") if each]


class _Git:
    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder, self.environ = folder, environ

    def __call__(self, *arguments: str, given: bytes | None = None) -> bytes:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environ, input=given, capture_output=True, check=False
        )
        if done.returncode:
            name = next(each for each in arguments if not each.startswith("-") and "=" not in each)
            raise InputError(
                f"`git {name}` failed on the change of the retraining.",
                why=" ".join(done.stderr.decode(errors="replace").split())[:500],
                fix="Check out the commit that was refreshed, and run the job again.",
            )
        return done.stdout


@contextmanager
def _index(folder: Path, environ: dict[str, str] | None = None) -> Iterator[_Git]:
    """Git with an index of its own: the user's stays as it is."""
    with tempfile.TemporaryDirectory(prefix="slipway-index-") as scratch:
        own = {"GIT_INDEX_FILE": str(Path(scratch) / "index"), "LC_ALL": "C"}
        yield _Git(folder, {**os.environ, **own, **(environ or {})})
