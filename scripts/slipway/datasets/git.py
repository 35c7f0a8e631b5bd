"""Plain git: data that are committed with the code."""

from __future__ import annotations

import os
import subprocess
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
    return _git("show", f"{commit}:./{path}") or ""


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
