"""Datasets in Azure Blob Storage: its own SDK, led to a double by a connection string with an endpoint of its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from slipway import datasets
from slipway.datasets import content
from slipway.runner.errors import RemoteError
from store_doubles import Asked, HttpDouble, Said, free_port, refusal, warm_client

KEY = base64.b64encode(b"not a real key").decode()


@dataclass
class Blob:
    """One version of one blob; without a version in an account that keeps none."""

    name: str
    version: str
    body: bytes
    current: bool = True


@dataclass
class Account:
    """The account `team` with the container `data`."""

    versioning: bool = True
    blobs: list[Blob] = field(default_factory=list)
    error: tuple[int, str] = (0, "")
    damaged: bool = False
    writes: int = 0

    def put(self, name: str, body: str) -> str:
        self.delete(name)
        self.writes += 1
        version = f"2026-01-01T00:00:{self.writes:02}.1234567Z" if self.versioning else ""
        self.blobs.append(Blob(name, version, body.encode()))
        return version

    def delete(self, name: str) -> None:
        for blob in [each for each in self.blobs if each.name == name and each.current]:
            blob.current = False
            if not self.versioning:
                self.blobs.remove(blob)

    def answer(self, asked: Asked) -> Said:
        if self.error[0]:
            return failure(*self.error)
        _, account, container, *rest = asked.path.split("/")
        assert account == "team" and asked.headers["authorization"].startswith("SharedKey team:")
        if container != "data":
            return failure(404, "ContainerNotFound")
        if asked.query.get("comp") == "list":
            return self.listing(asked)
        wanted = asked.query.get("versionid")
        found = [each for each in self.blobs if each.name == "/".join(rest)]
        found = [each for each in found if (each.version == wanted if wanted else each.current)]
        if not found:
            return failure(404, "BlobNotFound")
        return self.content(asked, found[0])

    def content(self, asked: Asked, blob: Blob) -> Said:
        headers = {
            "ETag": etag(blob),
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "x-ms-blob-type": "BlockBlob",
            "Content-MD5": base64.b64encode(hashlib.md5(blob.body).digest()).decode(),
        }
        if asked.headers.get("if-match", etag(blob)) != etag(blob):
            return failure(412, "ConditionNotMet")
        if blob.version:
            headers["x-ms-version-id"] = blob.version
            if blob.current:
                headers["x-ms-is-current-version"] = "true"
        if asked.method == "HEAD":
            return Said(200, b"", {**headers, "Content-Length": str(len(blob.body))})
        body = blob.body[::-1] if self.damaged else blob.body
        size = len(body)
        return (
            Said(206, body, {**headers, "Content-Range": f"bytes 0-{size - 1}/{size}"})
            if size
            else Said(200, b"", headers)
        )

    def listing(self, asked: Asked) -> Said:
        """One blob a page."""
        versions = "versions" in asked.query.get("include", "")
        named = [each for each in self.blobs if each.name.startswith(asked.query.get("prefix", ""))]
        found = sorted((each for each in named if versions or each.current), key=lambda each: (each.name, each.version))
        at = int(asked.query.get("marker") or 0)
        marker = str(at + 1) if at + 1 < len(found) else ""
        blobs = "".join(map(listed, found[at : at + 1]))
        # The SDK asks for the next page with the prefix of this answer.
        prefix = f"<Prefix>{escape(asked.query.get('prefix', ''))}</Prefix>"
        text = (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="data">'
            f"{prefix}<Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        )
        return Said(200, text.encode(), {"Content-Type": "application/xml"})


def listed(blob: Blob) -> str:
    version = f"<VersionId>{blob.version}</VersionId>" if blob.version else ""
    current = "<IsCurrentVersion>true</IsCurrentVersion>" if blob.version and blob.current else ""
    md5 = base64.b64encode(hashlib.md5(blob.body).digest()).decode()
    return (
        f"<Blob><Name>{escape(blob.name)}</Name>{version}{current}<Properties>"
        f"<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>{escape(etag(blob))}</Etag>"
        f"<Content-Length>{len(blob.body)}</Content-Length><Content-MD5>{md5}</Content-MD5>"
        "<BlobType>BlockBlob</BlobType></Properties></Blob>"
    )


def etag(blob: Blob) -> str:
    return f'"{hashlib.md5(blob.body).hexdigest()}"'


def failure(status: int, code: str) -> Said:
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>No.</Message></Error>'
    return Said(status, text.encode(), {"x-ms-error-code": code, "Content-Type": "application/xml"})


def connect(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    text = f"DefaultEndpointsProtocol=http;AccountName=team;AccountKey={KEY};BlobEndpoint={url}/team;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)


@pytest.fixture(autouse=True)
def job(data_job: None, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(warm_client("azure", environments_cache)))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    found = Account()
    with HttpDouble(found.answer) as double:
        connect(monkeypatch, double.url)
        yield found


def read(place: str) -> dict[str, str]:
    folder = Path(place)
    return {file.relative_to(folder).as_posix(): file.read_text() for file in content.files_of(place)}


def test_identify__a_pinned_blob(account: Account) -> None:
    old = account.put("d/a.csv", "1")
    account.put("d/a.csv", "2")
    path = f"az://team/data/d/a.csv?versionId={old}"
    found = datasets.identify(path)
    assert found == datasets.DatasetVersion(path=path, kind="azure", id=old, immutable=True, pinned=path)
    place = datasets.fetch_missing(path)
    assert (Path(place).name, Path(place).read_text()) == ("a.csv", "1")


def test_identify__a_blob_without_a_version(account: Account) -> None:
    first = account.put("a.csv", "1")
    path = "az://team/data/a.csv"
    found = datasets.identify(path)
    assert (found.id, found.immutable, found.pinned) == (first, False, f"{path}?versionId={first}")
    account.put("a.csv", "2")
    assert Path(datasets.fetch_missing(path)).read_text() == "1"
    assert datasets.identify(found.pinned).immutable


def test_identify__an_account_that_keeps_no_versions(account: Account) -> None:
    account.versioning = False
    account.put("d/a.csv", "1")
    for path in ("az://team/data/d/a.csv", "az://team/data/d/"):
        found = datasets.identify(path)
        assert (found.immutable, found.pinned) == (False, "")
        assert "--account-name team --enable-versioning true" in found.remark
    assert read(datasets.fetch_missing("az://team/data/d/")) == {"a.csv": "1"}
    account.put("d/a.csv", "2")
    refused = refusal("az://team/data/d/a.csv", RemoteError)
    assert "changed while it was fetched" in refused.what


@pytest.mark.parametrize("key", ["a b.csv", "ünï/ö.csv", "question?.csv", "sharp#1.csv", "per%20cent.csv", "a+b&c.csv"])
def test_identify__odd_names(account: Account, key: str) -> None:
    version = account.put(key, key)
    written = "az://team/data/" + key.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
    found = datasets.identify(written)
    assert found.id == version
    assert Path(datasets.fetch_missing(written)).read_text() == key
    assert datasets.identify(found.pinned).immutable


def test_identify__a_pinned_folder_is_found_again_in_its_past(account: Account) -> None:
    for name in ("d/a.csv", "d/in/b.csv", "d/gone.csv", "else.csv"):
        account.put(name, name)
    account.delete("d/gone.csv")
    found = datasets.identify("az://team/data/d/")
    assert (found.immutable, found.pinned) == (False, f"az://team/data/d/?versions={found.id}")
    account.put("d/a.csv", "new")
    account.put("d/more.csv", "new")
    assert datasets.identify(found.pinned).immutable
    assert read(datasets.fetch_missing(found.pinned)) == {"a.csv": "d/a.csv", "in/b.csv": "d/in/b.csv"}


def test_fetch__damaged_content_is_found_out(account: Account) -> None:
    account.put("a.csv", "12")
    account.damaged = True
    assert refusal("az://team/data/a.csv", RemoteError).what == "`a.csv` did not arrive whole."


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("team/data/none.csv", "There is no blob at az://team/data/none.csv."),
        ("team/data/none/", "There are no data at az://team/data/none/."),
        ("team/none/a.csv", "There is no container `none` in team."),
        ("team/none/a/", "There is no container `none` in team."),
        ("team/data", "The dataset az://team/data names no container."),
        ("team/data/a.csv?versionId=2020", "az://team/data/a.csv has no version 2020."),
        (
            "team/data/a.csv?generation=1",
            "The dataset az://team/data/a.csv?generation=1 has `generation` after the `?`.",
        ),
    ],
)
def test_fetch__bad_addresses(account: Account, path: str, what: str) -> None:
    account.put("a.csv", "1")
    failed = refusal(f"az://{path}")
    assert failed.what == what
    assert failed.fix


def test_fetch__refused(account: Account) -> None:
    account.error = (403, "AuthorizationFailure")
    failed = refusal("az://team/data/a.csv")
    assert failed.what == "Access to az://team/data/a.csv was refused."
    assert KEY not in str(failed)


@pytest.mark.parametrize("answers", [True, False])
def test_fetch__a_server_that_does_not_answer_or_breaks(
    account: Account, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    account.error = (500, "InternalError")
    if not answers:
        connect(monkeypatch, f"http://127.0.0.1:{free_port()}")
    assert refusal("az://team/data/a.csv", RemoteError).what == "The store of az://team/data/a.csv did not answer."
