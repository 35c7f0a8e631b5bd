"""Datasets in Google Cloud Storage: its own SDK, led to a double by STORAGE_EMULATOR_HOST.

The emulators on PyPI give the newest body for every generation; this double keeps them apart.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pytest

from slipway import datasets
from slipway.datasets import content
from slipway.runner.errors import RemoteError
from store_doubles import Asked, HttpDouble, Said, free_port, refusal, warm_client


@dataclass
class Blob:
    """One generation of one object; `gone` is when it stopped to be the present one."""

    name: str
    generation: int
    body: bytes
    gone: int | None = None


@dataclass
class Gcs:
    """Buckets with or without versioning. Generations count up, and are also the time."""

    versioning: dict[str, bool]
    blobs: dict[str, list[Blob]] = field(default_factory=dict)
    now: int = 1_000
    status: int = 0
    damaged: bool = False

    def put(self, bucket: str, name: str, body: str) -> str:
        self.delete(bucket, name)
        self.blobs.setdefault(bucket, []).append(Blob(name, self.now, body.encode()))
        return str(self.now)

    def delete(self, bucket: str, name: str) -> None:
        self.now += 1
        for blob in [each for each in self.blobs.get(bucket, []) if each.name == name and each.gone is None]:
            blob.gone = self.now
            if not self.versioning[bucket]:
                self.blobs[bucket].remove(blob)

    def answer(self, asked: Asked) -> Said:
        if self.status:
            return said({"error": {"code": self.status, "message": "no"}}, self.status)
        parts = asked.raw_path.removeprefix("/download").removeprefix("/storage/v1/b/").split("/")
        bucket, name = parts[0], unquote(parts[2]) if len(parts) > 2 else ""
        if bucket not in self.versioning:
            return said({"error": {"code": 404, "message": "The specified bucket does not exist."}}, 404)
        blobs = self.blobs.get(bucket, [])
        if not name:
            return self.listing(asked, blobs)
        wanted = asked.query.get("generation")
        found = [
            blob
            for blob in blobs
            if blob.name == name and (blob.generation == int(wanted) if wanted else blob.gone is None)
        ]
        if not found:
            return said({"error": {"code": 404, "message": f"No such object: {bucket}/{name}"}}, 404)
        if asked.query.get("alt") == "media":
            return Said(200, found[0].body[::-1] if self.damaged else found[0].body)
        return said(metadata(found[0]))

    @staticmethod
    def listing(asked: Asked, blobs: list[Blob]) -> Said:
        """Two objects a page, as a reader of the first page only would not expect."""
        versions = asked.query.get("versions", "").lower() == "true"
        found = [blob for blob in blobs if versions or blob.gone is None]
        found = sorted(
            (blob for blob in found if blob.name.startswith(asked.query.get("prefix", ""))),
            key=lambda blob: (blob.name, blob.generation),
        )
        at = int(asked.query.get("pageToken", "0"))
        page: dict[str, object] = {"kind": "storage#objects", "items": [metadata(blob) for blob in found[at : at + 2]]}
        return said({**page, "nextPageToken": str(at + 2)} if at + 2 < len(found) else page)


def said(body: object, status: int = 200) -> Said:
    return Said(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def metadata(blob: Blob) -> dict[str, object]:
    md5 = base64.b64encode(hashlib.md5(blob.body).digest()).decode()
    found = {"kind": "storage#object", "name": blob.name, "size": str(len(blob.body)), "md5Hash": md5, "etag": "e"}
    times = {"timeCreated": time(blob.generation)} | ({"timeDeleted": time(blob.gone)} if blob.gone else {})
    return {**found, **times, "generation": str(blob.generation), "metageneration": "1"}


def time(number: int) -> str:
    return f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"


@pytest.fixture(autouse=True)
def job(data_job: None, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(warm_client("gcs", environments_cache)))


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    found = Gcs({"kept": True, "loose": False})
    with HttpDouble(found.answer) as double:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", double.url)
        yield found


def read(place: str) -> dict[str, str]:
    folder = Path(place)
    return {file.relative_to(folder).as_posix(): file.read_text() for file in content.files_of(place)}


def test_identify__a_pinned_object(gcs: Gcs) -> None:
    old = gcs.put("kept", "d/a.csv", "1")
    gcs.put("kept", "d/a.csv", "2")
    path = f"gs://kept/d/a.csv?generation={old}"
    found = datasets.identify(path)
    assert found == datasets.DatasetVersion(path=path, kind="gcs", id=old, immutable=True, pinned=path)
    place = datasets.fetch_missing(path)
    assert (Path(place).name, Path(place).read_text()) == ("a.csv", "1")


@pytest.mark.parametrize("bucket", ["kept", "loose"])
def test_identify__an_object_without_a_generation(gcs: Gcs, bucket: str) -> None:
    first = gcs.put(bucket, "a.csv", "1")
    path = f"gs://{bucket}/a.csv"
    found = datasets.identify(path)
    assert (found.id, found.immutable, found.pinned) == (first, False, f"{path}?generation={first}")
    assert found.remark == f"names no version, so it can change under its name. Write `{found.pinned}` in the policy."
    second = gcs.put(bucket, "a.csv", "2")
    if bucket == "kept":
        assert Path(datasets.fetch_missing(path)).read_text() == "1"
    else:
        failure = refusal(path)
        assert failure.what == f"{path} has no generation {first}."
        assert f"keeps only the newest generation, which is {second}." in failure.why
        assert "gcloud storage buckets update gs://loose --versioning" in failure.fix


@pytest.mark.parametrize("key", ["a b.csv", "ünï/ö.csv", "question?.csv", "sharp#1.csv", "per%20cent.csv", "a+b&c.csv"])
def test_identify__odd_names(gcs: Gcs, key: str) -> None:
    generation = gcs.put("kept", key, key)
    written = "gs://kept/" + key.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
    found = datasets.identify(written)
    assert found.id == generation
    assert Path(datasets.fetch_missing(written)).read_text() == key
    assert datasets.identify(found.pinned).immutable


def test_identify__a_pinned_folder_is_found_again_in_its_past(gcs: Gcs) -> None:
    for name in ("d/a.csv", "d/in/b.csv", "d/gone.csv", "d/back.csv", "else.csv"):
        gcs.put("kept", name, name)
    gcs.delete("kept", "d/gone.csv")
    gcs.delete("kept", "d/back.csv")
    found = datasets.identify("gs://kept/d/")
    assert (found.immutable, found.pinned) == (False, f"gs://kept/d/?versions={found.id}")
    gcs.put("kept", "d/back.csv", "again")
    gcs.put("kept", "d/a.csv", "new")
    gcs.delete("kept", "d/in/b.csv")
    assert datasets.identify(found.pinned).immutable
    assert read(datasets.fetch_missing(found.pinned)) == {"a.csv": "d/a.csv", "in/b.csv": "d/in/b.csv"}
    assert read(datasets.fetch_missing("gs://kept/d/?versions=" + found.id)) == {
        "a.csv": "d/a.csv",
        "in/b.csv": "d/in/b.csv",
    }


def test_fetch__damaged_content_is_found_out(gcs: Gcs) -> None:
    gcs.put("kept", "a.csv", "12")
    gcs.damaged = True
    assert refusal("gs://kept/a.csv", RemoteError).what == "`a.csv` did not arrive whole."


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("kept/none.csv", "There is no object at gs://kept/none.csv."),
        ("kept/d", "There is no object at gs://kept/d."),
        ("kept/none/", "There are no data at gs://kept/none/."),
        ("none/a.csv", "There is no bucket `none`."),
        ("none/a/", "There is no bucket `none`."),
        ("kept/d/a.csv?generation=7", "gs://kept/d/a.csv has no generation 7."),
        ("kept/d/a.csv?generation=latest", "`latest` is not a generation."),
        ("kept/d/a.csv?versionId=7", "The dataset gs://kept/d/a.csv?versionId=7 has `versionId` after the `?`."),
        ("kept/gone.csv", "There is no object at gs://kept/gone.csv."),
    ],
)
def test_fetch__bad_addresses(gcs: Gcs, path: str, what: str) -> None:
    gcs.put("kept", "d/a.csv", "1")
    gcs.put("kept", "gone.csv", "1")
    gcs.delete("kept", "gone.csv")
    failure = refusal(f"gs://{path}")
    assert failure.what == what
    assert failure.fix


@pytest.mark.parametrize("path", ["gs://kept/a.csv", "gs://kept/a/"])
def test_fetch__refused(gcs: Gcs, path: str) -> None:
    gcs.status = 403
    failure = refusal(path)
    assert failure.what == f"Access to {path} was refused."
    assert "storage.objects.get" in failure.fix


@pytest.mark.parametrize("answers", [True, False])
def test_fetch__a_server_that_does_not_answer_or_breaks(
    gcs: Gcs, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    gcs.status = 500
    if not answers:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    assert refusal("gs://kept/a.csv", RemoteError).what == "The store of gs://kept/a.csv did not answer."
