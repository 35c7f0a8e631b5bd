"""Plain git: data that are committed with the code."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path


def object_id(place: Path) -> str:
    """The blob or tree of `place` at HEAD, or nothing where it is not committed exactly as it lies here."""
    if _git("status", "--porcelain", "--ignored", "--", str(place)) != "":
        return ""
    return object_id_at("HEAD", place)


def object_id_at(commit: str, place: Path) -> str:
    """The blob or tree of `place` at a commit, or nothing."""
    return (
        _git("rev-parse", "--verify", "--quiet", f"{commit}:./{Path(os.path.relpath(place)).as_posix()}") or ""
    ).strip()


def text_at(commit: str, path: str) -> str:
    """Text of a file at a commit, or nothing."""
    return _git("show", f"{commit}:./{Path(os.path.relpath(path)).as_posix()}") or ""


def changes(place: Path) -> dict[Path, str]:
    """What differs from HEAD at `place`, ignored files included: git's two letters for index and work tree."""
    said = _git("status", "--porcelain", "--ignored", "--no-renames", "-z", "--", str(place)) or ""
    above = (_git("rev-parse", "--show-cdup") or "").strip()
    return {_here(place, above + line[3:]): line[:2] for line in said.split("\0") if line}


def small_files(place: Path, largest: int) -> dict[Path, bytes]:
    """Contents of the files of the index at `place` that are smaller than `largest` bytes."""
    files = [line.partition("\t") for line in (_git("ls-files", "--stage", "-z", "--", str(place)) or "").split("\0")]
    blobs = {_here(place, name): entry.split()[1] for entry, _, name in files if name}
    if not blobs:
        return {}
    sizes = (_git("cat-file", "--batch-check=%(objectname) %(objectsize)", given=_lines(blobs.values())) or "").split(
        "\n"
    )
    small = {
        name for name, _, size in (line.partition(" ") for line in sizes) if size.isdecimal() and int(size) < largest
    }
    texts = _batch(sorted(small))
    return {file: texts[name] for file, name in blobs.items() if name in texts}


def from_root(files: Iterable[Path]) -> list[str]:
    """The files' paths from the root of the repository."""
    below = (_git("rev-parse", "--show-prefix") or "").removesuffix("\n")
    return [os.path.normpath(below + os.path.relpath(file)) for file in files]


def _here(place: Path, name: str) -> Path:
    """A path that git said, written as `place` is: absolute or from here."""
    path = os.path.normpath(Path.cwd() / name)
    return Path(path if place.is_absolute() else os.path.relpath(path))


def _batch(names: list[str]) -> dict[str, bytes]:
    """Contents of many objects, by one process."""
    said, found, at = _bytes("cat-file", "--batch", given=_lines(names).encode()), {}, 0
    while at < len(said):
        end = said.index(b"\n", at)
        name, _, size = said[at:end].decode().split(" ")
        found[name] = said[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _git(*arguments: str, given: str = "") -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], input=given, capture_output=True, text=True, errors="surrogateescape", check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _bytes(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["git", *arguments], input=given, capture_output=True, check=True).stdout
