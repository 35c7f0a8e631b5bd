"""Which version of a dataset lies in the work tree, and how to fetch exactly that. One versioning system a module."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from slipway.datasets import dvc, git
from slipway.runner.errors import InputError

GLOB = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class DatasetVersion:
    """A dataset's identity.

    immutable: whether `id` names this content for ever. If not, `remark` says what to do about it.
    """

    path: str
    kind: str
    id: str
    immutable: bool
    remark: str = ""
    tracked_by: str = ""
    """The file that holds the version: a `.dvc` file, `dvc.lock`, or the data themselves in git."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def in_words(self) -> str:
        """Path, system and identity, for people."""
        return f"{self.path} {self.kind} {self.id}"


def identify(path: str) -> DatasetVersion:
    """The version of the file, folder or glob at `path`, by the system that tracks it: DVC, then git.

    Data that no system tracks, or that differ from what is tracked, are identified by their content and marked
    as mutable. Raises InputError where there is nothing at `path`, or the tracking file cannot be read.
    """
    place = without_glob(path)
    tracked = dvc.find(place)
    if tracked:
        changed = dvc.differs(tracked)
        if not changed:
            return DatasetVersion(
                path=path, kind="dvc", id=tracked.id_of(place), immutable=True, tracked_by=str(tracked.file)
            )
        remark = f"differs from what {tracked.file} tracks: {changed}. Run `dvc add {tracked.out}` (or `dvc repro`)."
        return DatasetVersion(path=path, kind="file", id=content_digest(path), immutable=False, remark=remark)
    committed = git.object_id(place)
    if committed and files_of(path):
        return DatasetVersion(path=path, kind="git", id=committed, immutable=True, tracked_by=str(place))
    remark = f"is not versioned, so it can change under its name. Run `dvc add {place}` and commit {place}.dvc."
    return DatasetVersion(path=path, kind="file", id=content_digest(path), immutable=False, remark=remark)


def changed_since(commit: str, version: DatasetVersion) -> bool:
    """Whether `commit` names another version of the dataset than `version`, or none."""
    if version.kind == "dvc":
        md5 = version.id.removeprefix("md5:").partition("#")[0]
        return md5 not in git.text_at(commit, version.tracked_by)
    return version.kind != "git" or git.object_id_at(commit, Path(version.tracked_by)) != version.id


def fetch_missing(path: str) -> None:
    """Pull the dataset with DVC where DVC tracks it and it is not there; do nothing in every other case."""
    place = without_glob(path)
    if place.exists():
        return
    tracked = dvc.find(place)
    if tracked:
        dvc.pull(tracked)


def without_glob(path: str) -> Path:
    """The part of `path` before the first component with a wildcard."""
    parts: list[str] = []
    for part in Path(path).parts:
        if GLOB & set(part):
            break
        parts.append(part)
    return Path(os.path.normpath(Path(*parts))) if parts else Path()


def files_of(path: str) -> list[Path]:
    """The file, or all files of the folder or glob, in order of their names. InputError where there are none."""
    place = without_glob(path)
    if GLOB & set(path):
        found = list(place.glob(os.path.relpath(os.path.normpath(path), place)))
    else:
        found = list(place.rglob("*")) if place.is_dir() else [place]
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise InputError(
            f"There are no data at {path}.",
            fix="Check the path (it is relative to the repository's root) and the step that brings the data.",
        )
    return files


def content_digest(path: str) -> str:
    """SHA-256 over names and bytes of all files at `path`."""
    place = without_glob(path)
    whole = hashlib.sha256()
    for file in files_of(path):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        name = file.relative_to(place).as_posix() if place.is_dir() else ""
        whole.update(f"{name}\0{content}\n".encode())
    return f"sha256:{whole.hexdigest()}"
