"""What every client program shares: what it brings, and how it says what went wrong."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from slipway.runner import programs
from slipway.runner.errors import InputError, RemoteError

AT_ONCE = 8
"""Transfers side by side."""

CONNECT_SECONDS = 10
READ_SECONDS = 60

HASHES: dict[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "md5": partial(hashlib.md5, usedforsecurity=False)}


def serve(actions: dict[str, programs.Action]) -> None:
    """Answer the one request."""
    # For SDKs that set no limit of their own.
    socket.setdefaulttimeout(READ_SECONDS)
    programs.serve(actions)


def fetch_all(given: dict[str, Any], fetch: Callable[[dict[str, Any], Path], None]) -> dict[str, Any]:
    """Bring every object of the request into its folder, and hold each to the size and digest that were announced."""
    folder = Path(given["into"])
    wanted: Sequence[dict[str, Any]] = given["objects"]

    def bring(entry: dict[str, Any]) -> None:
        file = folder / entry["file"]
        file.parent.mkdir(parents=True, exist_ok=True)
        fetch(entry, file)
        verify(entry, file)
        file.chmod(0o444)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(bring, entry) for entry in wanted]
        try:
            for each in running:
                each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {"files": len(wanted)}


def verify(entry: dict[str, Any], file: Path) -> None:
    """Raise RemoteError where the file is not what the listing announced."""
    found = {"size": str(file.stat().st_size)}
    announced = {"size": str(entry["size"])}
    if entry.get("git_blob"):
        announced["git_blob"] = entry["git_blob"]
        found["git_blob"] = git_blob(file)
    for algorithm, started in HASHES.items():
        if entry.get(algorithm):
            announced[algorithm] = entry[algorithm]
            with file.open("rb") as opened:
                found[algorithm] = hashlib.file_digest(opened, started).hexdigest()
    if found != announced:
        raise RemoteError(
            f"`{entry['name']}` did not arrive whole.",
            why=f"Announced were {announced}, received {found}.",
            fix="Run the job again. If it happens again, the object is damaged in its store.",
        )


def git_blob(file: Path) -> str:
    """The id that git gives to the file's content."""
    hasher = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hasher).hexdigest()


def denied(what: str, why: str, fix: str) -> InputError:
    """The system knows who asks and refuses, or does not know."""
    return InputError(f"Access to {what} was refused.", why=why, fix=fix)


def unreachable(what: str, why: str, fix: str) -> RemoteError:
    """The system did not answer, or not to the point."""
    return RemoteError(f"{what} did not answer.", why=why, fix=fix)
