"""Reads lakeFS with its own SDK. Runs in the environment of requirements/lakefs.txt."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import lakefs
from lakefs import exceptions
from lakefs.client import Client
from urllib3.exceptions import HTTPError

from slipway.datasets.clients import program
from slipway.runner.errors import InputError, RemoteError, SlipwayError

CREDENTIALS = (
    "Put LAKECTL_SERVER_ENDPOINT_URL, LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY into "
    "the job's `env:`, from secrets. The key must be allowed fs:ReadRepository, fs:ReadCommit, fs:ReadObject and "
    "fs:ListObjects."
)
CHUNK = 64 << 20


@cache
def client() -> Client:
    """The client, with the job's credentials."""
    try:
        return Client()
    except exceptions.NoAuthenticationFound as error:
        raise InputError("There are no credentials for lakeFS.", fix=CREDENTIALS) from error


def resolve(given: dict[str, Any]) -> dict[str, Any]:
    """The commit that the reference is at, and the objects at the path: one object, or all of a folder."""
    repository, ref, path = given["repository"], given["ref"], given["path"]
    try:
        source = lakefs.Repository(repository, client())
        commit = source.ref(ref).get_commit().id
        at = source.ref(commit)
        if path and not path.endswith("/"):
            try:
                return {"commit": commit, "folder": False, "objects": [entry(at.object(path).stat())]}
            except exceptions.NotFoundException:
                path += "/"
        listed = [entry(each) for each in at.objects(prefix=path)]
    except (exceptions.LakeFSException, HTTPError, OSError) as error:
        raise explained(error, repository, ref) from error
    return {"commit": commit, "folder": True, "objects": [each for each in listed if not each["name"].endswith("/")]}


def fetch(given: dict[str, Any]) -> dict[str, Any]:
    """Bring the objects of the commit."""
    repository, ref = given["repository"], given["ref"]

    def bring(wanted: dict[str, Any], file: Path) -> None:
        left = wanted["size"]
        try:
            with file.open("wb") as opened:
                if left:
                    reader = lakefs.Repository(repository, client()).ref(ref).object(wanted["name"]).reader("rb")
                    while left > 0 and (chunk := reader.read(min(left, CHUNK))):
                        opened.write(chunk)
                        left -= len(chunk)
        except (exceptions.LakeFSException, HTTPError, OSError) as error:
            raise explained(error, repository, ref) from error

    return program.fetch_all(given, bring)


def entry(said: Any) -> dict[str, Any]:
    """An object as the other adapters name it. Its checksum is its store's, and often no digest of the content."""
    if said.size_bytes is None:
        raise RemoteError(f"lakeFS does not tell the size of `{said.path}`.", fix="Upload the object once more.")
    return {"name": said.path, "size": said.size_bytes}


def explained(error: Exception, repository: str, ref: str) -> SlipwayError:
    """What an error of lakeFS means for the one who reads it."""
    why = said(error)
    server = client().config.host
    # 410 is the answer for an object that was deleted for good.
    if isinstance(error, exceptions.NotFoundException) or getattr(error, "status_code", 0) == 410:
        return InputError(
            f"lakeFS has no `{ref}` in the repository `{repository}`, or not all of its objects.",
            why=why,
            fix="Check the names of the repository and of the branch, tag or commit. Objects of an old commit may have "
            "been deleted for good by garbage collection: pin a newer one, or keep them longer.",
        )
    if isinstance(error, (exceptions.NotAuthorizedException, exceptions.ForbiddenException)):
        return program.denied(f"the lakeFS repository `{repository}`", why, CREDENTIALS)
    if isinstance(error, exceptions.BadRequestException):
        return InputError(f"lakeFS does not understand `{repository}` at `{ref}`.", why=why, fix="Check both names.")
    fix = "Check the network and LAKECTL_SERVER_ENDPOINT_URL; run the job again."
    return program.unreachable(f"The lakeFS server {server}", why, fix)


def said(error: Exception) -> str:
    """The server's own message, or else the exception's."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error)


if __name__ == "__main__":
    program.serve({"resolve": resolve, "fetch": fetch})
