"""Reads the Hugging Face Hub with huggingface_hub. Runs in the environment of requirements/huggingface.txt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, errors
from huggingface_hub.hf_api import RepoFile

from slipway.datasets.clients import program
from slipway.runner.errors import InputError, SlipwayError

CREDENTIALS = (
    "Put a token that may read the dataset into the job's `env:` as HF_TOKEN; for a gated dataset its account must "
    "have accepted the conditions on the dataset's page."
)


def resolve(given: dict[str, Any]) -> dict[str, Any]:
    """The commit that the revision is at, and the files at the path: one file, or all of a folder."""
    repository, ref, path = given["repository"], given["ref"], given["path"].rstrip("/")
    api = HfApi()
    try:
        commit = api.dataset_info(repository, revision=ref, timeout=program.READ_SECONDS).sha
        at = {"revision": commit, "repo_type": "dataset"}
        found = api.get_paths_info(repository, [path], **at) if path else []
        if path and not found:
            return {"commit": commit, "folder": False, "objects": []}
        one = bool(found) and isinstance(found[0], RepoFile)
        listed = found if one else api.list_repo_tree(repository, path or None, recursive=True, **at)
        files = [each for each in listed if isinstance(each, RepoFile)]
    except Exception as error:
        raise explained(error, repository, ref) from error
    return {"commit": commit, "folder": not one, "objects": [entry(each) for each in files]}


def fetch(given: dict[str, Any]) -> dict[str, Any]:
    """Bring the files of the commit."""
    repository, ref = given["repository"], given["ref"]
    hub = Path(given["into"]).with_name("hub")

    def bring(wanted: dict[str, Any], file: Path) -> None:
        try:
            arrived = HfApi().hf_hub_download(
                repository, wanted["name"], repo_type="dataset", revision=ref, local_dir=hub
            )
        except Exception as error:
            raise explained(error, repository, ref) from error
        Path(arrived).replace(file)

    said = program.fetch_all(given, bring)
    # What the Hub's client noted of its downloads is no part of the copy.
    shutil.rmtree(hub, ignore_errors=True)
    return said


def entry(file: RepoFile) -> dict[str, Any]:
    """A file as the other adapters name it. Its digest: of the content in LFS, else git's own."""
    digest = {"sha256": file.lfs.sha256} if file.lfs else {"git_blob": file.blob_id}
    return {"name": file.path, "size": file.size, **digest}


def explained(error: Exception, repository: str, ref: str) -> Exception:
    """What an error of the Hub means for the one who reads it; what is none of its own stays as it is."""
    place = f"the dataset {repository}"
    if isinstance(error, SlipwayError):
        return error
    # The first line says it; those after it hold the address and general advice.
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, errors.GatedRepoError):
        return program.denied(place, why, CREDENTIALS)
    if isinstance(error, errors.RepositoryNotFoundError):
        why = f"There is none of this name at {constants.ENDPOINT}, or it is private and the token may not read it."
        return InputError(f"There is no dataset {repository} that this job may read.", why=why, fix=CREDENTIALS)
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(
            f"The dataset {repository} has no revision `{ref}`.",
            why="It never had it, or the branch or tag was deleted.",
            fix="Write a commit id from the dataset's history; a `/` in a branch is written %2F.",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return InputError(f"{place} does not have that file at {ref}.".capitalize(), why=why, fix="Check the path.")
    if isinstance(error, errors.HFValidationError):
        return InputError(f"`{repository}` is not the name of a dataset.", why=why, fix="Write it as `owner/name`.")
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return program.denied(place, why, CREDENTIALS)
    if (
        isinstance(error, (errors.HfHubHTTPError, OSError))
        or "httpx" in type(error).__module__
        or "httpcore" in type(error).__module__
    ):
        fix = "Check the network, HF_ENDPOINT and HF_HUB_OFFLINE; run the job again."
        return program.unreachable(f"The Hub at {constants.ENDPOINT}", why, fix)
    return error


if __name__ == "__main__":
    program.serve({"resolve": resolve, "fetch": fetch})
