"""Keeps versions in a model repository of the Hugging Face Hub. Runs in requirements/huggingface.txt.

Consumers pin a branch, `production` by default. A version is a tag, and a branch of its own while it is kept ready.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    constants,
    errors,
    hf_hub_download,
)

from slipway.runner import programs
from slipway.runner.errors import ConflictError, InputError, RemoteError, SlipwayError

NOTE, STAGED, TAG = "slipway.json", "slipway/", "v"
"""What says which version the files are, and how a version's branch and tag begin."""

PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt")
"""Endings of files that may run code when they are loaded, unlike skops and safetensors."""

RIGHTS = (
    "Put a token that may write to the repository into the job's `env:` as HF_TOKEN; for a gated repository its "
    "account must have been given access on the repository's page."
)
AGAIN = "Run the job again: it starts from what is there now."


class Hub:
    """One repository, and whoever asks for it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.name, self.branch = given["settings"]["repository"], given["settings"]["branch"]
        self.model, self.api = given["model"], HfApi()
        with self.talking():
            refs = self.api.list_repo_refs(self.name)
        self.branches = {each.name: each.target_commit for each in refs.branches}
        self.tags = {each.name: each.target_commit for each in refs.tags}

    def note(self, revision: str) -> dict[str, str]:
        """What a commit says that it is; empty where it says nothing. InputError where it is another model's."""
        with self.talking():
            try:
                file = hf_hub_download(self.name, NOTE, revision=revision)
            except errors.EntryNotFoundError:
                return {}
        try:
            said = dict(json.loads(Path(file).read_text(encoding="utf-8")))
        except ValueError:
            return {}
        if said.get("model") != self.model:
            raise InputError(
                f"The repository {self.name} has versions of the model `{said.get('model')}`.",
                fix="Give each model a repository of its own.",
            )
        return said

    def served(self) -> list[dict[str, Any]]:
        """The version that consumers get, and those kept ready."""
        found: dict[str, dict[str, Any]] = {}
        for name, commit in self.branches.items():
            if name.startswith(STAGED) and self.tags.get(f"{TAG}{name.removeprefix(STAGED)}") == commit:
                found[name.removeprefix(STAGED)] = {"share": 0.0, "identity": self.note(commit).get("model_digest", "")}
        if live := self.branches.get(self.branch):
            said = self.note(live)
            found[said.get("version", f"commit {live[:12]}")] = {
                "share": 1.0,
                "identity": said.get("model_digest", ""),
            }
        return [{"version": version, "health": "ready", **each} for version, each in found.items()]

    def files(self, revision: str) -> set[str]:
        """The paths in a commit."""
        with self.talking():
            return set(self.api.list_repo_files(self.name, revision=revision))

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Turn what the client raises into our errors."""
        try:
            yield
        except (SlipwayError, errors.EntryNotFoundError):
            raise
        except Exception as error:
            raise self.explained(error) from error

    def explained(self, error: Exception) -> Exception:
        """What an error of the Hub means for the one who reads it; what is none of its own stays as it is."""
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if isinstance(error, errors.GatedRepoError) or status in (401, 403):
            return RemoteError(f"The Hub does not let the job use the repository {self.name}.", why=why, fix=RIGHTS)
        if isinstance(error, errors.RepositoryNotFoundError):
            return InputError(
                f"There is no model repository {self.name} that this job may use.",
                why=f"There is none of this name at {constants.ENDPOINT}, or it is private.",
                fix=f"Create it: `hf repo create {self.name}`. {RIGHTS}",
            )
        if isinstance(error, errors.HFValidationError):
            return InputError(f"`{self.name}` is not the name of a repository.", why=why, fix="Write `owner/name`.")
        if status in (409, 412):
            return ConflictError(f"Somebody else changed the repository {self.name} meanwhile.", why=why, fix=AGAIN)
        if isinstance(error, (errors.HfHubHTTPError, OSError)) or type(error).__module__.startswith("http"):
            fix = "Check the network and HF_ENDPOINT, and run the job again."
            return RemoteError(f"The Hub at {constants.ENDPOINT} did not take a request.", why=why, fix=fix)
        return error


def state(given: dict[str, Any]) -> dict[str, Any]:
    """What consumers get, and what is kept ready."""
    return said(Hub(given))


def start(given: dict[str, Any]) -> dict[str, Any]:
    """Upload the version's files as one commit on a branch of its own, and tag it."""
    hub, version = Hub(given), given["version"]
    branch, tag = f"{STAGED}{version}", f"{TAG}{version}"
    if commit := hub.tags.get(tag):
        if hub.note(commit).get("model_digest") != given["model_digest"]:
            raise ConflictError(
                f"The tag {tag} of {hub.name} names other files than those that are registered.",
                why=f"Registered is {given['model_digest']}.",
                fix="A tag that was given is never moved. Find out who pushed it, and delete it.",
            )
        if hub.branches.get(branch) != commit:
            with hub.talking():
                if branch in hub.branches:
                    hub.api.delete_branch(hub.name, branch=branch)
                hub.api.create_branch(hub.name, branch=branch, revision=commit)
        return said(Hub(given))
    folder = Path(given["folder"])
    files = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}
    pickles = sorted(name for name in files if name.lower().endswith(PICKLES))
    note = {"model": hub.model, "version": version, "model_digest": given["model_digest"], "pickles": pickles}
    adds: list[Any] = [CommitOperationAdd(name, file) for name, file in sorted(files.items())]
    adds.append(CommitOperationAdd(NOTE, json.dumps(note, indent=2).encode()))
    with hub.talking():
        if branch not in hub.branches:
            hub.api.create_branch(hub.name, branch=branch)
    deletes = [
        CommitOperationDelete(each) for each in sorted(hub.files(branch) - files.keys() - {NOTE, ".gitattributes"})
    ]
    told = f"May run code when loaded: {', '.join(pickles)}"[:1_000] if pickles else ""
    with hub.talking():
        made = hub.api.create_commit(
            hub.name, [*deletes, *adds], revision=branch, commit_message=f"Version {version}", commit_description=told
        )
        hub.api.create_tag(hub.name, tag=tag, revision=made.oid, tag_message=given["model_digest"])
    return said(Hub(given))


def set_traffic(given: dict[str, Any]) -> dict[str, Any]:
    """Give the consumers' branch the files of a version: one commit on what was there, so that nobody's is lost."""
    hub = Hub(given)
    wanted = [version for version, share in given["shares"].items() if share]
    before = hub.branches.get(hub.branch, "")
    if given["seen"] and given["seen"] != f"at {before}":
        raise ConflictError(f"Somebody else changed the branch {hub.branch} of {hub.name} meanwhile.", fix=AGAIN)
    if not wanted:
        if before:
            with hub.talking():
                hub.api.delete_branch(hub.name, branch=hub.branch)
        return said(Hub(given))
    (version,) = wanted
    commit = hub.tags.get(f"{TAG}{version}")
    if commit is None:
        raise InputError(f"{hub.name} does not have version {version}.", fix="Start the version first.")
    if not before:
        with hub.talking():
            hub.api.create_branch(hub.name, branch=hub.branch, revision=commit)
    elif hub.note(before).get("version") != version:
        files = hub.files(commit)
        gone = [CommitOperationDelete(each) for each in sorted(hub.files(before) - files)]
        copies = [CommitOperationCopy(each, each, src_revision=commit) for each in sorted(files)]
        with hub.talking():
            hub.api.create_commit(
                hub.name,
                [*gone, *copies],
                revision=hub.branch,
                parent_commit=before,
                commit_message=f"Version {version}",
            )
    return said(Hub(given))


def stop(given: dict[str, Any]) -> dict[str, Any]:
    """Take a version's branch away. Its tag stays: whoever pinned it keeps it, and it can come back."""
    hub, version = Hub(given), given["version"]
    live = hub.branches.get(hub.branch)
    if live and hub.note(live).get("version") == version:
        raise InputError(f"Version {version} is what consumers get, so it is not stopped.", fix="Set another first.")
    if f"{STAGED}{version}" in hub.branches:
        with hub.talking():
            hub.api.delete_branch(hub.name, branch=f"{STAGED}{version}")
    return said(Hub(given))


def said(hub: Hub) -> dict[str, Any]:
    """The answer to every action."""
    url = f"{constants.ENDPOINT}/{hub.name}/tree/{hub.branch}"
    return {"served": hub.served(), "seen": f"at {hub.branches.get(hub.branch, '')}", "url": url}


ACTIONS = {"state": state, "start": start, "set_traffic": set_traffic, "stop": stop}

if __name__ == "__main__":
    programs.serve(ACTIONS)
