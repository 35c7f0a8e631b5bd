"""Git LFS: files whose commit holds a pointer, the digest of the content. Identified without git-lfs being there.

A pointer in the work tree is not data: without this check a model would be trained on three lines of text.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.datasets import content, git
from slipway.datasets.version import DatasetVersion
from slipway.runner import commands
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.redaction import without_secrets

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
LARGEST_POINTER = 1024
POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-\d-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n?"
)


LONGEST_ARGUMENT = 100_000
"""Bytes; Linux takes 128 KiB (MAX_ARG_STRLEN)."""


@dataclass(frozen=True)
class Pointer:
    """What a commit holds of a file in LFS. oid: SHA-256 of the content."""

    oid: str
    size: int


def read_pointer(text: bytes) -> Pointer | None:
    """The pointer, if `text` is one."""
    found = POINTER.fullmatch(text)
    return Pointer(found.group(1).decode(), int(found.group(2))) if found else None


def committed(place: Path) -> dict[Path, Pointer]:
    """The files at `place` that the commit holds as pointers."""
    return {
        file: pointer
        for file, text in git.small_files(place, LARGEST_POINTER).items()
        if (pointer := read_pointer(text)) is not None
    }


def identify(path: str, pointers: Mapping[Path, Pointer]) -> DatasetVersion:
    """The version of data of which some are in LFS: the content's own digest, or the folder's tree of pointers."""
    place = content.without_glob(path)
    wanted = set(content.files_of(path))
    # What a glob leaves out may also lie there as a pointer.
    found = {file: _differs(file, pointer, or_pointer=file not in wanted) for file, pointer in pointers.items()}
    # Where git-lfs is not installed, git takes every file in LFS for a changed one.
    changed = {file: state for file, state in git.changes(place).items() if file not in found or state[0] != " "}
    wrong = next((f"{file} {how}" for file, how in found.items() if how), "") or next(
        (f"{file} differs from the commit" for file in changed), ""
    )
    if wrong:
        remark = f"differs from what Git LFS tracks: {wrong}. Commit it, or run `git lfs pull` and `git checkout`."
        return DatasetVersion(path=path, kind="file", id=content.content_digest(path), immutable=False, remark=remark)
    one = pointers.get(place)
    return DatasetVersion(
        path=path,
        kind="lfs",
        id=f"sha256:{one.oid}" if one else git.object_id_at("HEAD", place),
        immutable=True,
        tracked_by=str(place),
        tree=one is None,
    )


def changed_since(commit: str, version: DatasetVersion) -> bool:
    """Whether `commit` holds another pointer, or other pointers."""
    if version.tree:
        return git.object_id_at(commit, Path(version.tracked_by)) != version.id
    return version.id.removeprefix("sha256:") not in git.text_at(commit, version.tracked_by)


def only_pointers(path: str) -> list[Path]:
    """The files at `path` that are pointers in the work tree: their content is not here."""
    try:
        return [file for file in content.files_of(path) if _is_pointer(file)]
    except InputError:
        return []


def bring(path: str) -> None:
    """Have git-lfs replace pointers by their content, where it is installed.

    Raises InputError where pointers remain, RemoteError with git-lfs's own words where it fails.
    """
    lacking = only_pointers(path)
    if not lacking:
        return
    if _run("version").returncode == 0:
        commands.say(f"Pulling {path} with Git LFS")
        for patterns in _arguments(map(_pattern, git.from_root(lacking))):
            done = _run("pull", "--include", patterns, "--exclude", "")
            if done.returncode:
                raise RemoteError(
                    f"`git lfs pull` of {path} ended with {done.returncode}.",
                    why=without_secrets(done.stderr.strip()[-2000:]),
                    fix="Check that the LFS server is reachable, that the checkout kept its credentials, and that the "
                    "content was pushed (`git lfs push`).",
                )
        lacking = only_pointers(path)
    if lacking:
        raise InputError(
            f"Only the Git LFS pointer of {lacking[0]} is here, not its content.",
            why=f"{len(lacking)} of the files at {path} are pointers of about 130 bytes: the checkout left LFS out.",
            fix="Set `lfs: true` for actions/checkout, or run `git lfs pull` in a step before this one.",
        )


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(
            ["git", "lfs", *arguments], env=environ, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(["git"], 127, "", "git is not installed")


def _arguments(patterns: Iterable[str]) -> Iterator[str]:
    """Patterns with commas between them, as few lists as fit into one argument each."""
    listed: list[str] = []
    length = 0
    for pattern in patterns:
        size = len(os.fsencode(pattern)) + 1
        if listed and length + size > LONGEST_ARGUMENT:
            yield ",".join(listed)
            listed, length = [], 0
        listed.append(pattern)
        length += size
    yield ",".join(listed)


def _pattern(name: str) -> str:
    """A path from the repository's root as git-lfs takes it: signs of patterns, and commas, which end one, as `?`."""
    return re.sub(r"[*?\[\],\\]", "?", f"/{name}")


def _is_pointer(file: Path) -> bool:
    return file.stat().st_size < LARGEST_POINTER and read_pointer(file.read_bytes()) is not None


def _differs(file: Path, pointer: Pointer, *, or_pointer: bool) -> str:
    """How the file in the work tree is not the content of its pointer (`or_pointer`: nor that); empty where it is."""
    if not file.is_file():
        return "is not here"
    if or_pointer and _is_pointer(file):
        return "" if read_pointer(file.read_bytes()) == pointer else "is another pointer"
    if file.stat().st_size == pointer.size and content.sha256_of(file) == pointer.oid:
        return ""
    return "is a pointer" if _is_pointer(file) else "is not the content of its pointer"
