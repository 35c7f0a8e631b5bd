"""DVC: versions as written in `.dvc` files and `dvc.lock`, read without starting DVC; pulls by DVC itself."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.runner import commands, environments
from slipway.runner.errors import InputError, RemoteError
from slipway.runner.redaction import without_secrets

NEVER_DATA = frozenset({".git", ".hg", ".dvc"})
"""Folders that DVC never counts to an output."""


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


def in_use() -> bool:
    """Whether this repository, or the folder we stand in, has DVC set up."""
    here = Path.cwd()
    return any((folder / ".dvc" / "config").is_file() for folder in (here, *here.parents))


def find(place: Path) -> Tracked | None:
    """The tracked output that is `place` or contains it."""
    for folder in (place, *place.parents):
        for file, out in _outputs(folder):
            if out["out"] == folder:
                return _tracked(file, out)
    return None


def differs(tracked: Tracked) -> str:
    """How the work tree differs from the tracked version; empty where it does not."""
    if not tracked.out.exists():
        raise InputError(
            f"The dataset {tracked.out} is not here.",
            why=f"DVC tracks it in {tracked.file}, and it was not pulled.",
            fix=f"Run `dvc pull {tracked.out}`.",
        )
    found = _file_md5(tracked.out) if tracked.out.is_file() else _folder_md5(tracked)
    return "" if found == tracked.md5 else f"it is {found}, tracked is {tracked.md5}"


def pull(tracked: Tracked) -> None:
    """Run `dvc pull` for one output, with the DVC on the PATH or else with the locked one of Slipway.

    Raises RemoteError with DVC's own words.
    """
    dvc = shutil.which("dvc") or str(environments.for_group(group_for(tracked)).with_name("dvc"))
    commands.say(f"Pulling {tracked.out} with DVC")
    done = subprocess.run(
        [dvc, "pull", str(tracked.out)], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RemoteError(
            f"`dvc pull {tracked.out}` ended with {done.returncode}.",
            why=without_secrets(done.stderr.strip()[-2000:]),
            fix="Check that the remote is reachable from the runner, that its credentials are in the job's `env:`, "
            "and that the version was pushed (`dvc push`). A remote on GCS, Azure or another system than S3 needs its "
            "DVC plugin: install DVC with it in a step before this one.",
        )


def group_for(tracked: Tracked) -> str:
    """The group of requirements whose DVC can reach the remotes of this repository, and the source of an import."""
    settings = configparser.RawConfigParser(strict=False)
    for folder in (Path.cwd() / tracked.file).parents:
        files = [folder / ".dvc" / name for name in ("config", "config.local")]
        if files[0].is_file():
            with contextlib.suppress(configparser.Error, OSError):
                settings.read(files, encoding="utf-8")
            break
    addresses = [settings[section].get("url", "") for section in settings.sections()]
    deps = _read(tracked.file).get("deps")
    addresses += [str(_mapping(dep).get("path", "")) for dep in (deps if isinstance(deps, list) else [])]
    return "dvc-s3" if any(address.startswith("s3://") for address in addresses) else "dvc"


def _outputs(place: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What the tracking files beside and above `place` say: the file, and an output with its path as `out`."""
    beside = place.with_name(f"{place.name}.dvc") if place.name else None
    if beside and beside.is_file():
        content = _read(beside)
        yield from _located(beside, content, content)
    for lock in (parent / "dvc.lock" for parent in place.parents):
        if lock.is_file():
            definitions = _read(lock.with_name("dvc.yaml")) if lock.with_name("dvc.yaml").is_file() else {}
            for name, stage in _mapping(_read(lock).get("stages")).items():
                # A stage that is made in a loop is called `name@item`.
                defined = _mapping(_mapping(definitions.get("stages")).get(str(name).partition("@")[0]))
                yield from _located(lock, stage, _mapping(defined.get("do")) or defined)


def _located(file: Path, stage: Any, defined: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The outputs of a stage; their paths start at the stage's own working folder."""
    outs = _mapping(stage).get("outs")
    for out in outs if isinstance(outs, list) else []:
        if isinstance(out, dict) and "path" in out:
            place = os.path.normpath(file.parent / str(defined.get("wdir", ".")) / str(out["path"]))
            yield file, {**out, "out": Path(place)}


def _mapping(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def versions_in(text: str) -> set[str]:
    """The md5 of every output in the text of a `.dvc` file or `dvc.lock`."""
    import yaml

    try:
        content = _mapping(yaml.safe_load(text))
    except yaml.YAMLError:
        return set()
    stages = [content, *_mapping(content.get("stages")).values()]
    outs = [out for stage in stages for out in _mapping(stage).get("outs") or [] if isinstance(out, dict)]
    return {md5 for out in outs if (md5 := _md5(out))}


def _md5(out: Mapping[str, Any]) -> str:
    """The output's md5. Pushed to a remote that keeps versions, a folder has it for every file, and none of its own."""
    if out.get("md5"):
        return str(out["md5"])
    files = out.get("files")
    listed = [_mapping(file) for file in files] if isinstance(files, list) else []
    if not listed or not all(file.get("md5") and file.get("relpath") for file in listed):
        return ""
    return _listing_md5([{"md5": str(file["md5"]), "relpath": str(file["relpath"])} for file in listed])


def _tracked(file: Path, out: Mapping[str, Any]) -> Tracked:
    md5 = _md5(out)
    if not md5:
        raise InputError(
            f"{file} has an output without 'md5'.",
            why="Only outputs that DVC identifies by md5 can be pinned.",
            fix="Track the data with `dvc add`, or run `dvc commit` to record its version.",
            file=str(file),
        )
    return Tracked(file, out["out"], md5)


def _read(file: Path) -> dict[str, Any]:
    # Not at the top: the programs that read remote data share this package, and have no yaml.
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"The DVC file {file} cannot be read.", why=str(error), file=str(file)) from error
    return _mapping(content)


def _file_md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _folder_md5(tracked: Tracked) -> str:
    """DVC's identity of a folder, without what `.dvcignore` names where only that makes it the tracked one."""
    folder = tracked.out
    listed = [
        {"md5": _file_md5(file), "relpath": file.relative_to(folder).as_posix()}
        for file in folder.rglob("*")
        if file.is_file() and not NEVER_DATA.intersection(file.relative_to(folder).parts[:-1])
    ]
    found = _listing_md5(listed)
    ignored = _ignored(folder) if found != tracked.md5 else set()
    return _listing_md5([entry for entry in listed if entry["relpath"] not in ignored]) if ignored else found


def _listing_md5(listed: list[dict[str, str]]) -> str:
    """md5 of the list of files in order of their paths, as JSON."""
    ordered = sorted(listed, key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(ordered).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _ignored(folder: Path) -> set[str]:
    """Files of the folder that `.dvcignore` files name. Their patterns are those of git, which reads them for us."""
    options = ("--others", "--ignored", "--exclude-per-directory=.dvcignore", "-z")
    try:
        done = subprocess.run(["git", "ls-files", *options], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return set()
    return set(os.fsdecode(done.stdout).split("\0")) if done.returncode == 0 else set()
