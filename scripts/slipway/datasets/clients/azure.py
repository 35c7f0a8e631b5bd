"""Reads Azure Blob Storage with its own SDK. Runs in the environment of requirements/azure.txt."""

from __future__ import annotations

import os
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from azure.core import MatchConditions, exceptions
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobProperties, BlobServiceClient

from slipway.datasets.clients import program
from slipway.runner.errors import InputError, SlipwayError

CREDENTIALS = (
    "Give the job credentials that may read the container: `azure/login` with OIDC and the role Storage Blob Data "
    "Reader, or AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_KEY or AZURE_STORAGE_CONNECTION_STRING in its `env:`."
)
LIMITS: dict[str, Any] = {
    "connection_timeout": program.CONNECT_SECONDS,
    "read_timeout": program.READ_SECONDS,
    "retry_total": 2,
    "retry_connect": 2,
    # Seconds; the SDK's own 15 have a job wait for 40 before it hears that nobody answers.
    "initial_backoff": 2,
}


@cache
def client(account: str) -> BlobServiceClient:
    """The client of an account: by connection string, key or signature where the job has one, else by its login."""
    if text := os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        found = BlobServiceClient.from_connection_string(text, **LIMITS)
        if found.account_name == account:
            return found
    url = f"https://{account}.blob.core.windows.net"
    credential = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    return BlobServiceClient(url, credential=credential or DefaultAzureCredential(), **LIMITS)


def stat(given: dict[str, Any]) -> dict[str, Any]:
    """One blob, in the version that is asked for, or else in its present one."""
    version = given["version"]
    try:
        blob = client(given["account"]).get_blob_client(given["bucket"], given["key"])
        return entry(blob.get_blob_properties(version_id=version or None))
    except exceptions.AzureError as error:
        raise explained(error, given, given["key"], version) from error


def listing(given: dict[str, Any]) -> dict[str, Any]:
    """Every version of every blob of a folder, and which blobs were deleted."""
    try:
        container = client(given["account"]).get_container_client(given["bucket"])
        blobs = list(container.list_blobs(name_starts_with=given["key"], include=["versions", "metadata"]))
    except exceptions.AzureError as error:
        raise explained(error, given, given["key"], "") from error
    # With a hierarchical namespace folders are listed, too.
    blobs = [blob for blob in blobs if (blob.metadata or {}).get("hdi_isfolder") != "true"]
    found: list[dict[str, Any]] = []
    for name, same in groupby(sorted(blobs, key=lambda blob: blob.name), key=lambda blob: blob.name):
        versions = [entry(blob) for blob in same]
        found += versions
        if not any(each["latest"] for each in versions):
            # When it was deleted is not told: after its last version.
            gone = {"name": name, "version": "deleted", "deleted": True}
            found.append({**gone, "order": max(each["order"] for each in versions), "latest": True})
    return {"objects": found}


def fetch(given: dict[str, Any]) -> dict[str, Any]:
    """Bring the blobs, each in its version; without versions, only if it is still what was listed."""

    def bring(wanted: dict[str, Any], file: Path) -> None:
        version = wanted["version"]
        same: dict[str, Any] = {"version_id": version}
        if not version:
            same = {"etag": wanted["etag"], "match_condition": MatchConditions.IfNotModified}
        try:
            blob = client(given["account"]).get_blob_client(given["bucket"], wanted["name"])
            with file.open("wb") as opened:
                blob.download_blob(**same).readinto(opened)
        except exceptions.AzureError as error:
            raise explained(error, given, wanted["name"], version) from error

    return program.fetch_all(given, bring)


def entry(blob: BlobProperties) -> dict[str, Any]:
    """A blob as the other adapters name it."""
    md5 = blob.content_settings.content_md5
    version = blob.version_id or ""
    return {
        "name": blob.name,
        "version": version,
        "etag": blob.etag or "",
        "size": blob.size,
        # A version's name is the time of its making.
        "order": version or blob.last_modified.isoformat(),
        "latest": not version or bool(blob.is_current_version),
        "md5": bytes(md5).hex() if md5 else "",
    }


def explained(error: exceptions.AzureError, given: dict[str, Any], key: str, version: str) -> SlipwayError:
    """What an error of the SDK means for the one who reads it."""
    place = f"az://{given['account']}/{given['bucket']}/{key}"
    why = next((line for line in str(error.message or error).splitlines() if line.strip()), type(error).__name__)
    code = str(getattr(error, "error_code", "") or "")
    status = getattr(error, "status_code", None) or 0
    if isinstance(error, exceptions.ClientAuthenticationError) or status in (401, 403):
        return program.denied(place, why, CREDENTIALS)
    if code == "ContainerNotFound":
        return InputError(f"There is no container `{given['bucket']}` in {given['account']}.", why=why, fix="Check it.")
    if isinstance(error, exceptions.ResourceModifiedError):
        return program.unreachable(f"{place} changed while it was fetched: what was listed", why, "Run the job again.")
    if version and (status in (400, 404)):
        return InputError(
            f"{place} has no version {version}.",
            why=f"It never had it, or the version was deleted for good (by a lifecycle rule, perhaps). {why}",
            fix="Pin a version that exists: `az storage blob list --include v` names them.",
        )
    if status == 404:
        fix = "Check the name; a folder is written with a `/` at its end."
        return InputError(f"There is no blob at {place}.", why=f"It never was there, or was deleted. {why}", fix=fix)
    if 400 <= status < 500:
        return InputError(f"{place} cannot be read.", why=why, fix=CREDENTIALS)
    return program.unreachable(f"The store of {place}", why, "Check the account's name and the network.")


if __name__ == "__main__":
    program.serve({"stat": stat, "list": listing, "fetch": fetch})
