"""Reads Google Cloud Storage with its own SDK. Runs in the environment of requirements/gcs.txt.

STORAGE_EMULATOR_HOST leads it to an emulator, without credentials.
"""

from __future__ import annotations

import base64
import os
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import requests
from google.api_core import exceptions
from google.auth import exceptions as auth_exceptions
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from slipway.datasets.clients import program
from slipway.runner.errors import InputError, SlipwayError

CREDENTIALS = (
    "Give the job credentials that may read the bucket: `google-github-actions/auth` with workload identity, or "
    "GOOGLE_APPLICATION_CREDENTIALS in its `env:`. They need storage.objects.get, for a folder storage.objects.list."
)
LIMITS: dict[str, Any] = {
    "timeout": (program.CONNECT_SECONDS, program.READ_SECONDS),
    "retry": DEFAULT_RETRY.with_timeout(5.0),
}
FAILURES = (exceptions.GoogleAPIError, auth_exceptions.GoogleAuthError, requests.RequestException, OSError)


@cache
def client() -> storage.Client:
    """The client, with the job's credentials where there are any: public buckets need none."""
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return storage.Client.create_anonymous_client()
    try:
        # Reading needs no project, and the credentials of a runner often name none.
        return storage.Client(project=os.environ.get("GOOGLE_CLOUD_PROJECT") or "none")
    except auth_exceptions.DefaultCredentialsError:
        return storage.Client.create_anonymous_client()


def stat(given: dict[str, Any]) -> dict[str, Any]:
    """One object, in the generation that is asked for, or else in its present one."""
    bucket, key, version = given["bucket"], given["key"], given["version"]
    if version and not version.isdecimal():
        raise InputError(f"`{version}` is not a generation.", fix="A generation is a number: 1700000000000000.")
    try:
        blob = client().bucket(bucket).get_blob(key, generation=int(version) if version else None, **LIMITS)
        if blob is None:
            raise missing(bucket, key, version)
    except FAILURES as error:
        raise explained(error, f"gs://{bucket}/{key}") from error
    return entry(blob)


def missing(bucket: str, key: str, version: str) -> SlipwayError:
    """What is not there: the bucket, the object, or this generation of it."""
    place = f"gs://{bucket}/{key}"
    try:
        present = client().bucket(bucket).get_blob(key, **LIMITS)
        # A missing bucket answers like a missing object; a listing tells them apart, where it is allowed.
        next(iter(client().list_blobs(bucket, max_results=1, **LIMITS)), None)
    except exceptions.NotFound as error:
        return InputError(f"There is no bucket `{bucket}`.", why=error.message, fix="Check its name.")
    except exceptions.Forbidden:
        present = None
    if not version:
        fix = "Check the name; a folder is written with a `/` at its end."
        return InputError(f"There is no object at {place}.", why="It never was there, or was deleted.", fix=fix)
    return InputError(
        f"{place} has no generation {version}.",
        why="It never had it, or it is gone: a bucket without versioning keeps only the newest generation"
        + (f", which is {present.generation}." if present else ", and the object was deleted."),
        fix=f"Pin a generation that exists (`gcloud storage ls --all-versions {place}`), and have the bucket keep "
        f"them: `gcloud storage buckets update gs://{bucket} --versioning`.",
    )


def listing(given: dict[str, Any]) -> dict[str, Any]:
    """Every generation of every object of a folder, and when objects were deleted."""
    bucket, key = given["bucket"], given["key"]
    try:
        blobs = list(client().list_blobs(bucket, prefix=key, versions=True, **LIMITS))
    except exceptions.NotFound as error:
        raise InputError(f"There is no bucket `{bucket}`.", why=error.message, fix="Check its name.") from error
    except FAILURES as error:
        raise explained(error, f"gs://{bucket}/{key}") from error
    found: list[dict[str, Any]] = []
    ordered = sorted(blobs, key=lambda blob: (blob.name, blob.generation))
    for name, same in groupby(ordered, key=lambda blob: blob.name):
        versions = list(same)
        for number, blob in enumerate(versions):
            found.append(entry(blob))
            follows = versions[number + 1].time_created if number + 1 < len(versions) else None
            if blob.time_deleted and (follows is None or blob.time_deleted < follows):
                gone = {"name": name, "version": f"deleted after {blob.generation}", "deleted": True}
                found.append({**gone, "order": blob.time_deleted.isoformat(), "latest": follows is None})
    return {"objects": found}


def fetch(given: dict[str, Any]) -> dict[str, Any]:
    """Bring the objects, each in its generation. The SDK holds them to their checksum."""
    bucket = given["bucket"]

    def bring(wanted: dict[str, Any], file: Path) -> None:
        blob = client().bucket(bucket).blob(wanted["name"], generation=int(wanted["version"]))
        try:
            # Raw: what is stored as gzip is kept so, and its digest is of those bytes.
            blob.download_to_filename(str(file), raw_download=True, **LIMITS)
        except exceptions.NotFound as error:
            raise missing(bucket, wanted["name"], wanted["version"]) from error
        except FAILURES as error:
            raise explained(error, f"gs://{bucket}/{wanted['name']}") from error

    return program.fetch_all(given, bring)


def entry(blob: storage.Blob) -> dict[str, Any]:
    """An object as the other adapters name it."""
    return {
        "name": blob.name,
        "version": str(blob.generation),
        "etag": blob.etag or "",
        "size": blob.size or 0,
        "order": blob.time_created.isoformat() if blob.time_created else "",
        "latest": blob.time_deleted is None,
        "md5": base64.b64decode(blob.md5_hash).hex() if blob.md5_hash else "",
    }


def explained(error: Exception, place: str) -> SlipwayError:
    """What an error of the SDK means for the one who reads it."""
    if isinstance(error, SlipwayError):
        return error
    why = str(getattr(error, "message", "") or error)
    if isinstance(error, (exceptions.Unauthorized, exceptions.Forbidden)):
        anonymous = client()._credentials.__class__.__name__ == "AnonymousCredentials"
        return program.denied(place, f"No credentials were found. {why}" if anonymous else why, CREDENTIALS)
    if isinstance(error, auth_exceptions.GoogleAuthError) and not isinstance(error, auth_exceptions.TransportError):
        return program.denied(place, why, CREDENTIALS)
    if isinstance(error, exceptions.ClientError) and not isinstance(error, exceptions.TooManyRequests):
        return InputError(f"{place} cannot be read.", why=why, fix="Check the bucket's and the object's name.")
    return program.unreachable(f"The store of {place}", why, "Check the network, then run the job again.")


if __name__ == "__main__":
    program.serve({"stat": stat, "list": listing, "fetch": fetch})
