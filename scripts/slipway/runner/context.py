"""What the runner says about the run: repository, commit, event, addresses, and where to write."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.runner import commands
from slipway.runner.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt of one workflow run; every field is empty outside of GitHub Actions.

    https://docs.github.com/actions/reference/workflows-and-actions/variables#default-environment-variables
    """

    repository: str = ""
    sha: str = ""
    ref: str = ""
    event_name: str = ""
    event: dict[str, Any] = field(default_factory=dict)
    run_id: int = 0
    attempt: int = 0
    workflow_ref: str = ""
    actor: str = ""
    actor_id: str = ""
    triggering_actor: str = ""
    server_url: str = "https://github.com"
    api_url: str = "https://api.github.com"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Run:
        """Read the run from the default variables and the event's file."""
        environ = os.environ if environ is None else environ
        return cls(
            repository=environ.get("GITHUB_REPOSITORY", ""),
            sha=environ.get("GITHUB_SHA", ""),
            ref=environ.get("GITHUB_REF", ""),
            event_name=environ.get("GITHUB_EVENT_NAME", ""),
            event=_event(environ.get("GITHUB_EVENT_PATH", "")),
            run_id=_whole(environ.get("GITHUB_RUN_ID", "")),
            attempt=_whole(environ.get("GITHUB_RUN_ATTEMPT", "")),
            workflow_ref=environ.get("GITHUB_WORKFLOW_REF", ""),
            actor=environ.get("GITHUB_ACTOR", ""),
            actor_id=environ.get("GITHUB_ACTOR_ID", ""),
            triggering_actor=environ.get("GITHUB_TRIGGERING_ACTOR", ""),
            server_url=environ.get("GITHUB_SERVER_URL") or "https://github.com",
            api_url=environ.get("GITHUB_API_URL") or "https://api.github.com",
        )

    @property
    def url(self) -> str:
        """The run's page, or nothing outside of GitHub Actions."""
        if not (self.repository and self.run_id):
            return ""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}"

    @property
    def pull_request(self) -> dict[str, Any]:
        """The event's pull request; empty for every other event."""
        found = self.event.get("pull_request")
        return found if isinstance(found, dict) else {}

    @property
    def base_sha(self) -> str:
        """The commit of the base branch that the pull request was opened against or last synchronised with."""
        base = self.pull_request.get("base")
        return str(base.get("sha") or "") if isinstance(base, dict) else ""

    @property
    def head_sha(self) -> str:
        """The commit that people look at: the pull request's head, or the pushed commit.

        In a pull request GITHUB_SHA is a merge commit that exists for this run only.
        """
        head = self.pull_request.get("head")
        return str(head.get("sha") or "") if isinstance(head, dict) else self.sha


def require_commit(said: str) -> None:
    """InputError for what is no commit's id, as the input `commit`: it would name what was not judged."""
    if said and not re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", said):
        raise InputError(
            f"`commit` is `{said}`, which is no commit's id.",
            fix="Give the `commit` output of actions/checkout, or leave it empty.",
        )


def require_default_branch(run: Run) -> None:
    """InputError in a run of another branch or a tag, whose policy nobody has reviewed. Outside of GitHub all may."""
    repository = run.event.get("repository")
    default = str(repository.get("default_branch") or "") if isinstance(repository, dict) else ""
    if default and run.ref != f"refs/heads/{default}":
        raise InputError(
            f"This run is of `{run.ref[:200] or 'no branch'}`, and what is served is decided by runs of `{default}`.",
            why="The policy is that of the run's commit: on another branch it may ask for no approval.",
            fix=f"Start the workflow on `{default}`.",
        )


def export_credentials(environ: MutableMapping[str, str]) -> None:
    """Set the variables that SLIPWAY_CREDENTIALS lists, one NAME=value a line, and mask their values.

    A reusable workflow can take any number of secrets through one, since it cannot know what a team's stores need.
    """
    for number, line in enumerate(environ.pop("SLIPWAY_CREDENTIALS", "").splitlines(), start=1):
        name, separator, value = line.strip().partition("=")
        if not line.strip():
            continue
        if not separator or not name.isidentifier():
            raise InputError(
                f"Line {number} of the secret `credentials` is not of the form NAME=value.",
                fix="Write one variable a line, without quotes and without `export`.",
            )
        commands.mask(value)
        environ[name] = value


def home(environ: Mapping[str, str] | None = None) -> Path:
    """Where Slipway keeps what it makes: SLIPWAY_HOME, the job's temporary folder, or `.slipway` locally.

    The job's folder is emptied by the runner before and after every job; the user's checkout stays clean.
    """
    environ = os.environ if environ is None else environ
    if environ.get("SLIPWAY_HOME"):
        return Path(environ["SLIPWAY_HOME"]).resolve()
    if environ.get("RUNNER_TEMP"):
        return Path(environ["RUNNER_TEMP"]).resolve() / "slipway"
    return Path(".slipway").resolve()


def keep_out_of_git() -> None:
    """On a person's machine what we make lies in the checkout: train-model must not take it for uncommitted changes."""
    local = Path(".slipway").resolve()
    ignore = local / ".gitignore"
    if local.is_dir() and home() == local and not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def cache(environ: Mapping[str, str] | None = None) -> Path:
    """Where what may outlive a job is kept, environments above all: SLIPWAY_CACHE, or else `home`."""
    environ = os.environ if environ is None else environ
    return Path(environ["SLIPWAY_CACHE"]).resolve() if environ.get("SLIPWAY_CACHE") else home(environ)


def report_file(model: str, stage: str) -> Path:
    """Where a stage leaves its report if it is not told; later stages of the job find it there."""
    # A report of an untrusted run names the model: its name may become a folder's, never a way out of ours.
    folder = re.sub(r"[^\w .-]", "_", model)[:100].strip(" .") or "model"
    if folder != model:  # `a/b` and `a_b` are two models
        folder += f"-{hashlib.sha256(model.encode(errors='replace')).hexdigest()[:8]}"
    return home() / "reports" / folder / f"{stage}.json"


def _event(path: str) -> dict[str, Any]:
    if not path or not Path(path).is_file():
        return {}
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The event file {path} cannot be read.", why=str(error)) from error
    return event if isinstance(event, dict) else {}


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
