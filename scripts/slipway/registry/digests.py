"""Digests of a model's files: of every byte, and of what the model is, whenever and wherever it was saved."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

DOWNLOAD_MARK = "registered_model_meta"
"""A file that MLflow writes into every copy it downloads, with the address asked for. It is no part of the model."""

BOOKKEEPING = frozenset({"MLmodel", DOWNLOAD_MARK})
"""Files that hold times and ids of the logging, which differ between two equal models."""

ARCHIVES = (".skops", ".npz")
"""Zip files, whose entries carry the time at which they were written."""


def digest(folder: Path, *, payload_only: bool = False) -> str:
    """SHA-256 over names and bytes of a model's files; `payload_only` leaves out times and ids of the saving."""
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in (BOOKKEEPING if payload_only else {DOWNLOAD_MARK}):
            with file.open("rb") as opened:
                content = _payload(opened, name) if payload_only else _bytes(opened)
            whole.update(f"{name}\0{content}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 (hexadecimal) of every file of a model by name, in the order in which `digest` takes them."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name != DOWNLOAD_MARK:
            with file.open("rb") as opened:
                found[name] = _bytes(opened)
    return found


def listing(digests: Mapping[str, str]) -> str:
    """The list of a model's files whose SHA-256 is the digest of the folder: name, NUL, digest, line end."""
    return "".join(f"{name}\0{content}\n" for name, content in digests.items())


def _bytes(opened: IO[bytes]) -> str:
    return hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type] # an entry of a zip file reads alike


def _payload(opened: IO[bytes], name: str) -> str:
    """Digest of a file; of an archive's entries, where it is an archive."""
    if not name.endswith(ARCHIVES) or not zipfile.is_zipfile(opened):
        opened.seek(0)
        return _bytes(opened)
    whole = hashlib.sha256()
    with zipfile.ZipFile(opened) as archive:
        places = _places(archive)
        for entry in sorted(archive.namelist(), key=lambda entry: _numbered(entry, places)):
            if entry == "schema.json":
                content = hashlib.sha256(_numbered(archive.read(entry).decode(), places).encode()).hexdigest()
            else:
                with archive.open(entry) as inner:
                    content = _payload(inner, entry)
            whole.update(f"{_numbered(entry, places)}\0{content}\n".encode())
    return whole.hexdigest()


def _places(archive: zipfile.ZipFile) -> dict[str, str]:
    """skops calls objects by their address in memory: addresses, and their numbers in order of appearance."""
    schema = archive.read("schema.json").decode() if "schema.json" in archive.namelist() else ""
    return {address: str(n) for n, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}


def _numbered(text: str, places: dict[str, str]) -> str:
    return re.sub(r"\d+", lambda found: places.get(found[0], found[0]), text)
