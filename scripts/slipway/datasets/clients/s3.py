"""Reads S3 with boto3. Runs in the environment of requirements/s3.txt."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, NoCredentialsError

from slipway.datasets.clients import program
from slipway.runner.errors import InputError, SlipwayError

CREDENTIALS = (
    "Give the job credentials that may read the bucket: `aws-actions/configure-aws-credentials` with an OIDC role, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its `env:`. They need s3:GetObject and s3:GetObjectVersion, for a "
    "folder also s3:ListBucketVersions."
)
ENDPOINT = "Check the network, AWS_REGION and, for a store of your own, AWS_ENDPOINT_URL_S3."


@cache
def client() -> Any:
    """The client, with the job's credentials where there are any: public buckets need none."""
    session = boto3.Session()
    settings: dict[str, Any] = {} if session.get_credentials() else {"signature_version": UNSIGNED}
    return session.client(
        "s3",
        config=Config(
            connect_timeout=program.CONNECT_SECONDS,
            read_timeout=program.READ_SECONDS,
            retries={"mode": "standard", "max_attempts": 3},
            max_pool_connections=10 * program.AT_ONCE,
            **settings,
        ),
    )


def stat(given: dict[str, Any]) -> dict[str, Any]:
    """One object, in the version that is asked for, or else in its present one."""
    bucket, key, version = given["bucket"], given["key"], given["version"]
    if version == "null":
        raise InputError(
            f"`null` is no version of s3://{bucket}/{key}.",
            why="Whatever is written next without versioning takes its place under that name.",
            fix="Switch versioning on, write the object once more, and pin the version that it gets.",
        )
    try:
        said = client().head_object(
            Bucket=bucket, Key=key, ChecksumMode="ENABLED", **({"VersionId": version} if version else {})
        )
    except (ClientError, BotoCoreError) as error:
        raise explained(error, bucket, key, version) from error
    return {
        "name": key,
        "version": kept(said.get("VersionId")),
        "etag": said["ETag"].strip('"'),
        "size": said["ContentLength"],
        "sha256": whole_sha256(said),
    }


def listing(given: dict[str, Any]) -> dict[str, Any]:
    """Every version of every object of a folder, and the marks of deleted ones."""
    found: list[dict[str, Any]] = []
    try:
        for page in (
            client().get_paginator("list_object_versions").paginate(Bucket=given["bucket"], Prefix=given["key"])
        ):
            # Per object the newest comes first: turned round, versions of the same second stay in their order.
            for deleted, each in [(False, one) for one in page.get("Versions", [])] + [
                (True, one) for one in page.get("DeleteMarkers", [])
            ]:
                found.append(
                    {
                        "name": each["Key"],
                        "version": kept(each["VersionId"]),
                        "etag": each.get("ETag", "").strip('"'),
                        "size": each.get("Size", 0),
                        "order": each["LastModified"].isoformat(),
                        "latest": each["IsLatest"],
                        "deleted": deleted,
                    }
                )
    except (ClientError, BotoCoreError) as error:
        raise explained(error, given["bucket"], given["key"], "") from error
    return {"objects": found[::-1]}


def fetch(given: dict[str, Any]) -> dict[str, Any]:
    """Bring the objects, each in its version; without versions, only if it is still what was listed."""
    bucket = given["bucket"]

    def bring(entry: dict[str, Any], file: Path) -> None:
        try:
            if entry["version"]:
                client().download_file(bucket, entry["name"], str(file), ExtraArgs={"VersionId": entry["version"]})
                return
            said = client().get_object(Bucket=bucket, Key=entry["name"], IfMatch=f'"{entry["etag"]}"')
            with file.open("wb") as opened:
                for chunk in said["Body"].iter_chunks(1 << 20):
                    opened.write(chunk)
        except (ClientError, BotoCoreError) as error:
            raise explained(error, bucket, entry["name"], entry["version"]) from error

    return program.fetch_all(given, bring)


def kept(version: str | None) -> str:
    """The version; nothing for `null`, which a bucket without versioning gives to whatever comes next."""
    return "" if version in (None, "null") else str(version)


def whole_sha256(said: dict[str, Any]) -> str:
    """The object's SHA-256, if its uploader left it; that of an upload in parts is one of digests."""
    text = str(said.get("ChecksumSHA256", ""))
    return base64.b64decode(text).hex() if text and "-" not in text else ""


def explained(error: ClientError | BotoCoreError, bucket: str, key: str, version: str) -> SlipwayError:
    """What an error of boto3 means for the one who reads it."""
    place = f"s3://{bucket}/{key}"
    if isinstance(error, NoCredentialsError):
        return InputError(f"There are no credentials for {place}.", fix=CREDENTIALS)
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return program.unreachable(f"The store of {place}", str(error), ENDPOINT)
    if not isinstance(error, ClientError):
        return InputError(f"{place} cannot be read.", why=str(error), fix=ENDPOINT)
    code = str(error.response.get("Error", {}).get("Code", ""))
    meta = error.response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    why = str(error)
    if code == "NoSuchBucket" or (status == 404 and not bucket_exists(bucket)):
        return InputError(f"There is no bucket `{bucket}`.", why=why, fix="Check its name, and AWS_ENDPOINT_URL_S3.")
    if status in (401, 403):
        found = client().meta.config.signature_version is not UNSIGNED
        return program.denied(place, why if found else f"No credentials were found. {why}", CREDENTIALS)
    if status == 412:
        return program.unreachable(f"{place} changed while it was fetched: what was listed", why, "Run the job again.")
    if meta.get("HTTPHeaders", {}).get("x-amz-delete-marker") == "true" or code in ("MethodNotAllowed", "405"):
        return InputError(
            f"{place} was deleted" + (f" by the version {version}." if version else "."),
            why="Its present version is a delete marker." if not version else "That version is a delete marker.",
            fix="Restore it, or pin an earlier version: `aws s3api list-object-versions` names them.",
        )
    if version and (status in (400, 404) or code in ("NoSuchVersion", "InvalidArgument")):
        return InputError(
            f"{place} has no version {version}.",
            why=f"It never had it, or the version was deleted for good (by a lifecycle rule, perhaps). {why}",
            fix="Pin a version that exists: `aws s3api list-object-versions` names them.",
        )
    if status == 404:
        fix = "Check the key; a folder is written with a `/` at its end."
        return InputError(f"There is no object at {place}.", why=why, fix=fix)
    if 400 <= status < 500:
        return InputError(f"{place} cannot be read.", why=why, fix=CREDENTIALS)
    return program.unreachable(f"The store of {place}", why, ENDPOINT)


def bucket_exists(bucket: str) -> bool:
    """Whether there is such a bucket, as far as we are told."""
    try:
        client().head_bucket(Bucket=bucket)
    except ClientError as error:
        return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404)
    except BotoCoreError:
        return True
    return True


if __name__ == "__main__":
    program.serve({"stat": stat, "list": listing, "fetch": fetch})
