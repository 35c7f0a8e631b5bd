"""Files of a dataset on this machine, and what their bytes add up to."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from slipway.runner.errors import InputError

GLOB = frozenset("*?[")
CHUNK = 16 << 20
"""Bytes hashed at a time: large, since between two of them other threads may keep this one waiting."""


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


def link_out(path: str) -> Path | None:
    """The first file by which data at `path` lie outside of what git keeps there; None where there is none."""
    place = without_glob(path)
    if place.is_symlink():
        return place
    inside = place.resolve()
    # Of a glob a file below a linked folder counts, too; without one no link to a folder is followed.
    links = files_of(path) if GLOB & set(path) else (each for each in place.rglob("*") if each.is_symlink())
    return next((each for each in links if not each.resolve().is_relative_to(inside)), None)


def content_digest(path: str) -> str:
    """SHA-256 over names and bytes of all files at `path`."""
    place = without_glob(path)
    return f"sha256:{_over(place, files_of(path))}"


def sha256_of(place: Path) -> str:
    """SHA-256 of a file's bytes, or over names and bytes of a folder's files."""
    if place.is_dir():
        return _over(place, sorted(file for file in place.rglob("*") if file.is_file()))
    return _sha256(place)


def _over(place: Path, files: list[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        name = file.relative_to(place).as_posix() if place.is_dir() else ""
        # Names are bytes to Linux; those that are no UTF-8 come back as they are.
        whole.update(os.fsencode(name) + f"\0{_sha256(file)}\n".encode())
    return whole.hexdigest()


def _sha256(file: Path) -> str:
    # Not more than a small file needs, and enough for one whose size the file system does not tell.
    whole, chunk = hashlib.sha256(), memoryview(bytearray(min(CHUNK, max(file.stat().st_size, 1 << 16))))
    with file.open("rb", buffering=0) as opened:
        while read := opened.readinto(chunk):
            whole.update(chunk[:read])
    return whole.hexdigest()
