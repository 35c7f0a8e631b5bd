"""DVC: versions as written in `.dvc` files and `dvc.lock`, read without starting DVC; pulls by DVC itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway.runner import commands, environments
from slipway.runner.errors import InputError, RemoteError


@dataclass(frozen=True)
class Tracked:
    """One output that DVC tracks. md5 ends with `.dir` for a folder."""

    file: Path
    out: Path
    md5: str

    def id_of(self, place: Path) -> str:
        """Identity of `place`, which is the output or lies inside of it."""
        inside = place.relative_to(self.out).as_posix()
        return f"md5:{self.md5}" if inside == "." else f"md5:{self.md5}#{inside}"


def find(place: Path) -> Tracked | None:
    """The tracked output that is `place` or contains it."""
    for folder in (place, *place.parents):
        for tracked in _outputs(folder):
            if tracked.out == folder:
                return tracked
    return None


def differs(tracked: Tracked) -> str:
    """How the work tree differs from the tracked version; empty where it does not."""
    if not tracked.out.exists():
        raise InputError(
            f"The dataset {tracked.out} is not here.",
            why=f"DVC tracks it in {tracked.file}, and it was not pulled.",
            fix=f"Run `dvc pull {tracked.out}`.",
        )
    found = _folder_md5(tracked.out) if tracked.out.is_dir() else _file_md5(tracked.out)
    return "" if found == tracked.md5 else f"it is {found}, tracked is {tracked.md5}"


def pull(tracked: Tracked) -> None:
    """Run `dvc pull` for one output, with the DVC on the PATH or else with the locked one of Slipway.

    Raises RemoteError with DVC's own words.
    """
    dvc = shutil.which("dvc") or str(environments.for_group("dvc").with_name("dvc"))
    commands.say(f"Pulling {tracked.out} with DVC")
    done = subprocess.run(
        [dvc, "pull", "--quiet", str(tracked.out)], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RemoteError(
            f"`dvc pull {tracked.out}` ended with {done.returncode}.",
            why=done.stderr.strip()[-2000:],
            fix="Check that the remote is reachable from the runner, that its credentials are in the job's `env:`, "
            "and that the version was pushed (`dvc push`). A remote on S3, GCS or Azure needs its DVC plugin: "
            "install DVC with it in a step before this one.",
        )


def _outputs(place: Path) -> Iterator[Tracked]:
    """What the tracking files beside `place` say."""
    beside = place.with_name(f"{place.name}.dvc") if place.name else None
    if beside and beside.is_file():
        for out in _read(beside).get("outs", []):
            yield _tracked(beside, out)
    lock = place.parent / "dvc.lock"
    for root in dict.fromkeys((lock, *(parent / "dvc.lock" for parent in place.parents))):
        if root.is_file():
            for stage in _read(root).get("stages", {}).values():
                for out in stage.get("outs", []):
                    yield _tracked(root, out)


def _tracked(file: Path, out: dict[str, Any]) -> Tracked:
    try:
        return Tracked(file, file.parent / out["path"], out["md5"])
    except KeyError as missing:
        raise InputError(
            f"{file} has an output without {missing}.",
            why="Only outputs that DVC identifies by md5 can be pinned.",
            fix="Track the data with `dvc add`, or run `dvc commit` to record its version.",
            file=str(file),
        ) from missing


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"The DVC file {file} cannot be read.", why=str(error), file=str(file)) from error
    return content if isinstance(content, dict) else {}


def _file_md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _folder_md5(folder: Path) -> str:
    """DVC's identity of a folder: md5 of the sorted list of its files, as JSON."""
    listed = [
        {"md5": _file_md5(file), "relpath": file.relative_to(folder).as_posix()}
        for file in folder.rglob("*")
        if file.is_file()
    ]
    listed.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    return hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"
