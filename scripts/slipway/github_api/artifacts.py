"""Artifacts of a run: found by the run's id, fetched into memory up to a limit, held to the digest that GitHub has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from github import Github
from github.WorkflowRun import WorkflowRun
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from slipway.github_api.client import SECONDS_TO_ANSWER
from slipway.runner.errors import InputError, RemoteError

LARGEST = 4 * 1024 * 1024
"""Bytes of an artifact. The reports of a gate take a few kilobytes."""

PAGE = 100


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact as GitHub's API tells of it. digest: `sha256:…`, or nothing on servers that keep none."""

    id: int
    size: int
    expired: bool
    digest: str


def find(hub: Github, run: WorkflowRun, name: str) -> Artifact | None:
    """The newest artifact of this name that the run's current attempt has uploaded; None where there is none.

    Raises InputError where the run has more of them than attempts can explain.
    """
    # Asked for by name: a fork can upload thousands of others, and each page costs one of 1,000 calls an hour.
    asked = {"name": name, "per_page": str(PAGE)}
    _, page = hub.requester.requestJsonAndCheck("GET", f"{run.url}/artifacts", parameters=asked)
    if page["total_count"] > PAGE:
        raise InputError(f"The run has {page['total_count']:,} artifacts of the name {name}.")
    of_run = [each for each in page["artifacts"] if each["name"] == name and _is_of(each, run)]
    if not of_run:
        return None
    newest = max(of_run, key=lambda each: int(each["id"]))
    return Artifact(
        id=int(newest["id"]),
        size=int(newest["size_in_bytes"]),
        expired=bool(newest["expired"]),
        digest=str(newest.get("digest") or ""),
    )


def fetch(hub: Github, repository_url: str, artifact: Artifact) -> bytes:
    """The artifact's zip archive, in memory.

    Raises InputError where it is larger than `LARGEST`, whatever GitHub or the storage say of its size, and where it
    has another digest than GitHub keeps; RemoteError where the storage does not answer. The storage gets no token.
    """
    if artifact.size > LARGEST:
        raise _too_large(f"GitHub says that it has {artifact.size:,} bytes.")
    url = f"{repository_url}/actions/artifacts/{artifact.id}/zip"
    # PyGithub does not follow this redirect by itself; the address it leads to is signed, and needs no token.
    headers, _ = hub.requester.requestBlobAndCheck("GET", url)
    content = _streamed(_storage_address(str(headers.get("location", "")), repository_url))
    if artifact.digest and artifact.digest.lower() != f"sha256:{hashlib.sha256(content).hexdigest()}":
        raise InputError(
            "The artifact is not used.",
            why="What the storage sent has not the digest that GitHub keeps of it.",
            fix="Run the job again; if it persists, something between runner and storage alters what it carries.",
        )
    return content


def _storage_address(location: str, repository_url: str) -> str:
    """The address that GitHub redirects to, unless it would be fetched over a line that anybody can read."""
    scheme = urlsplit(location).scheme
    if not location or (scheme != "https" and scheme != urlsplit(repository_url).scheme):
        raise RemoteError("GitHub gave no usable address of the artifact.", fix="Run the job again.")
    return location


def _streamed(url: str) -> bytes:
    try:
        with requests.Session() as session:
            retry = Retry(total=3, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504), redirect=0)
            for scheme in ("https://", "http://"):
                session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
            # An `auth` of its own keeps requests from looking for a password in a .netrc.
            with session.get(
                url, stream=True, allow_redirects=False, timeout=SECONDS_TO_ANSWER, auth=lambda asked: asked
            ) as answer:
                if answer.status_code != 200:
                    raise RemoteError(
                        f"The storage of artifacts answered with {answer.status_code}.", fix="Run the job again."
                    )
                return _limited(answer)
    except (requests.RequestException, HTTPError) as error:
        # Not in its own words: they hold the signed address, with which anybody who reads the log could download.
        raise RemoteError(
            "The storage of artifacts did not send the artifact, or broke off.",
            why=type(error).__name__,
            fix="Check that the runner reaches it, and run the job again.",
        ) from None


def _limited(answer: requests.Response) -> bytes:
    content = bytearray()
    # Raw: what a server declares as compressed would be unpacked to any size.
    while part := answer.raw.read(64 * 1024, decode_content=False):
        content += part
        if len(content) > LARGEST:
            raise _too_large("The storage sends more.")
    return bytes(content)


def _is_of(told: dict[str, object], run: WorkflowRun) -> bool:
    """Whether an artifact is the run's, and no earlier attempt's: those of all attempts are listed together."""
    made_by = told.get("workflow_run")
    return (
        isinstance(made_by, dict)
        and made_by.get("id") == run.id
        and str(told.get("created_at") or "") >= run.raw_data["run_started_at"]
    )


def _too_large(why: str) -> InputError:
    return InputError(f"The artifact is larger than {LARGEST:,} bytes and is not fetched.", why=why)
