"""Which version of a dataset it is, and how to fetch exactly that. One versioning system a module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from slipway.datasets import address, dvc, git, lfs
from slipway.datasets.content import content_digest, files_of, link_out, without_glob
from slipway.datasets.version import DatasetVersion
from slipway.runner.errors import GateError, PolicyError

__all__ = [
    "DatasetVersion",
    "bring",
    "changed_since",
    "content_digest",
    "fetch_missing",
    "files_of",
    "identify",
    "name_of",
    "require_pinned",
    "variables",
    "without_glob",
]


def identify(path: str) -> DatasetVersion:
    """The version of the data at `path`: of a URI by its system; of a file, folder or glob by what tracks it.

    Data that no system tracks, or that differ from what is tracked, are identified by their content and marked
    as mutable, and so is a URI that names no version: the remark says how to pin it. Raises InputError where there is
    nothing at `path`, or the tracking file cannot be read.
    """
    if address.is_remote(path):
        from slipway.datasets import remote  # a module for each store: data in the repository need none of them

        return remote.identify(path)
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
    if link := link_out(path):
        remark = (
            f"goes through the link {link}, and no commit keeps what that leads to, so it can change under its name. "
            "Name the data themselves, and track those."
        )
        return DatasetVersion(path=path, kind="file", id=content_digest(path), immutable=False, remark=remark)
    pointers = lfs.committed(place)
    if pointers and files_of(path):
        return lfs.identify(path, pointers)
    committed = git.object_id(place)
    if committed and files_of(path):
        return DatasetVersion(
            path=path, kind="git", id=committed, immutable=True, tracked_by=str(place), tree=place.is_dir()
        )
    if git.object_id_at("HEAD", place):
        remark = f"differs from the commit. Commit it, or bring the committed one back: `git checkout -- {place}`."
    else:
        with_dvc = f"Run `dvc add {place}` and commit {place}.dvc."
        advice = with_dvc if dvc.in_use() else "Commit it, or have DVC track it (docs/datasets.md)."
        remark = f"is not versioned, so it can change under its name. {advice}"
    return DatasetVersion(path=path, kind="file", id=content_digest(path), immutable=False, remark=remark)


def name_of(path: str) -> str:
    """What a dataset without a name of its own is called: after its file or folder."""
    place = address.parse(path).path.rstrip("/") if address.is_remote(path) else without_glob(path)
    return Path(place).stem or "data"


def changed_since(commit: str, version: DatasetVersion) -> bool:
    """Whether `commit` names another version of the dataset than `version`, or none.

    The address of remote data stands in the policy: no change of the repository alters what lies there.
    """
    if address.is_remote(version.path):
        return False
    if version.kind == "dvc":
        md5 = version.id.removeprefix("md5:").partition("#")[0]
        return md5 not in dvc.versions_in(git.text_at(commit, version.tracked_by))
    if version.kind == "lfs":
        return lfs.changed_since(commit, version)
    return version.kind != "git" or git.object_id_at(commit, Path(version.tracked_by)) != version.id


def fetch_missing(path: str) -> str:
    """Where to read the dataset from, once it is there.

    Remote data are fetched in exactly the version that `identify` tells; what DVC or Git LFS track and is missing is
    pulled.
    """
    if address.is_remote(path):
        from slipway.datasets import remote

        return str(remote.fetch(path))
    place = without_glob(path)
    if place.exists():
        lfs.bring(path)
    elif tracked := dvc.find(place):
        dvc.pull(tracked)
    return path


def bring(paths: Mapping[str, str], on_mutable: str) -> dict[str, DatasetVersion]:
    """The versions of all datasets, once they are here; those that `require_pinned` refuses are not fetched."""
    for path in paths.values():
        if not address.is_remote(path):
            fetch_missing(path)
    versions = {name: identify(path) for name, path in paths.items()}
    require_pinned(versions, on_mutable)
    for name, path in paths.items():
        if address.is_remote(path):
            fetch_missing(path)
            # Its content has a digest now.
            versions[name] = identify(path)
    return versions


def require_pinned(versions: Mapping[str, DatasetVersion], on_mutable: str) -> None:
    """The reproducibility gate: raise GateError where a dataset can change under its name and the policy forbids it."""
    loose = {name: version for name, version in versions.items() if not version.immutable}
    if not loose or on_mutable != "fail":
        return
    counted = "A dataset" if len(loose) == 1 else f"{len(loose)} datasets"
    raise GateError(
        f"{counted} can change without a change of name: {', '.join(f'`{name}`' for name in loose)}.",
        why="The policy says `mutable_data: fail`: a model trained on them could not be rebuilt. Nothing was trained.",
        fix="\n" + "\n".join(f"- `{name}` ({version.path}) {version.remark}" for name, version in loose.items()),
    )


def variables(versions: Mapping[str, DatasetVersion]) -> dict[str, str]:
    """Where every dataset lies that `bring` brought: SLIPWAY_DATA_TRAIN for `train`, as an absolute path."""
    from slipway.datasets import remote

    found: dict[str, str] = {}
    for name, version in versions.items():
        variable = "SLIPWAY_DATA_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        if variable in found:
            raise PolicyError(
                f"Two datasets would be handed to the command as {variable}.",
                fix="Give them names that differ in more than case and punctuation.",
            )
        place = remote.resolve(version.path).place if address.is_remote(version.path) else version.path
        found[variable] = str(Path.cwd() / place)
    return found
