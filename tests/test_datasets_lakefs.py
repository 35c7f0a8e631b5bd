"""Datasets in lakeFS: its own SDK against a double of the server.

The server is a Go program that the module proxy does not hand out, so it cannot be built here. The double gives the
answers of lakeFS's published description; the SDK is generated from it and refuses an answer that lacks a field.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from slipway import datasets
from slipway.datasets import content
from slipway.runner.errors import RemoteError
from store_doubles import Asked, HttpDouble, Said, free_port, refusal, warm_client

SECRET = "not-a-real-secret"
OLD, NEW = "1" * 64, "2" * 64


@dataclass
class LakeFs:
    """One repository, `flights`, with two commits: objects by commit and path."""

    files: dict[str, dict[str, str]]
    refs: dict[str, str]
    status: int = 0
    collected: set[str] = field(default_factory=set)
    refs_read: set[str] = field(default_factory=set)

    def answer(self, asked: Asked) -> Said:
        login = base64.b64decode(asked.headers.get("authorization", "").removeprefix("Basic ")).decode()
        if login != f"AKIAIOSF:{SECRET}":
            return said({"message": "error authenticating request"}, 401)
        if self.status:
            return said({"message": "something is wrong"}, self.status)
        parts = asked.path.removeprefix("/api/v1/").split("/")
        if parts == ["config"]:
            storage = {"blockstore_type": "local", "blockstore_namespace_example": "local://x", "import_support": False}
            patterns = {"blockstore_namespace_ValidityRegex": "^local://", "import_validity_regex": "^local://"}
            signing = {"pre_sign_support": False, "pre_sign_support_ui": False}
            return said({"storage_config": {**storage, **patterns, **signing}, "version_config": {"version": "1"}})
        if parts[1] != "flights":
            return said({"message": "repository not found"}, 404)
        if len(parts) == 2:
            known = {"id": "flights", "creation_date": 1, "default_branch": "main", "storage_namespace": "local://x"}
            return said(known)
        commit = self.refs.get(parts[3], parts[3])
        if commit not in self.files:
            return said({"message": "not found"}, 404)
        if parts[2] == "commits":
            made = {
                "id": commit,
                "parents": [],
                "committer": "c",
                "message": "m",
                "creation_date": 1,
                "meta_range_id": "r",
            }
            return said(made)
        self.refs_read.add(parts[3])
        return self.objects(asked, self.files[commit], "/".join(parts[5:]))

    def objects(self, asked: Asked, files: dict[str, str], what: str) -> Said:
        if what == "ls":
            after, prefix = asked.query.get("after", ""), asked.query.get("prefix", "")
            names = [name for name in sorted(files) if name.startswith(prefix) and name > after]
            page = {
                "has_more": len(names) > 1,
                "max_per_page": 1,
                "results": 1,
                "next_offset": names[0] if names else "",
            }
            return said({"pagination": page, "results": [stats(name, files) for name in names[:1]]})
        name = asked.query["path"]
        if name not in files:
            return said({"message": "path not found"}, 404)
        if name in self.collected:
            return said({"message": "resource gone"}, 410)
        if what == "stat":
            return said(stats(name, files))
        body = files[name].encode()
        if "range" not in asked.headers:
            return Said(200, body)
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) if last else len(body), len(body) - 1)
        content_range = f"bytes {start}-{stop}/{len(body)}"
        return Said(206, body[start : stop + 1], {"Content-Range": content_range})


def said(body: object, status: int = 200) -> Said:
    return Said(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def stats(name: str, files: dict[str, str]) -> dict[str, object]:
    found = {"path": name, "path_type": "object", "physical_address": f"local://x/{name}", "checksum": "etag-of-it"}
    return {**found, "mtime": 1, "size_bytes": len(files[name].encode())}


@pytest.fixture(autouse=True)
def credentials(data_job: None, environments_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(warm_client("lakefs", environments_cache)))
    monkeypatch.setenv("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "AKIAIOSF")
    monkeypatch.setenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[LakeFs]:
    old = {
        "train/a.csv": "x\n1\n",
        "train/deep/b.csv": "x\n2\n",
        "o d/ü?#%.csv": "x\n3\n",
        "train/empty": "",
        "top.csv": "4",
    }
    found = LakeFs(
        {OLD: old, NEW: {**old, "train/a.csv": "x\n9\n"}}, {"main": NEW, "v1": OLD, "main~1": OLD, OLD[:8]: OLD}
    )
    with HttpDouble(found.answer) as double:
        monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", double.url)
        yield found


def read(place: str) -> dict[str, str]:
    folder = Path(place)
    return {file.relative_to(folder).as_posix(): file.read_text() for file in content.files_of(place)}


def test_identify__a_pinned_object(lake: LakeFs) -> None:
    path = f"lakefs://flights/{OLD}/train/a.csv"
    found = datasets.identify(path)
    assert found == datasets.DatasetVersion(path=path, kind="lakefs", id=OLD, immutable=True, pinned=path)
    place = datasets.fetch_missing(path)
    assert (Path(place).name, Path(place).read_text()) == ("a.csv", "x\n1\n")
    assert set(datasets.identify(path).digest) == {"sha256"}


@pytest.mark.parametrize("ref", ["main", "v1", "main~1", OLD[:8]])
def test_identify__what_moves_is_used_as_it_is_now(lake: LakeFs, ref: str) -> None:
    """Objects are read at the commit: what lies uncommitted on the branch, or comes meanwhile, is not in it."""
    commit = lake.refs[ref]
    path = f"lakefs://flights/{ref}/train"
    found = datasets.identify(path)
    pinned = f"lakefs://flights/{commit}/train"
    assert (found.id, found.immutable, found.pinned) == (commit, False, pinned)
    assert found.remark == f"names the moving `{ref}`, now at {commit}. Write `{pinned}` in the policy."
    lake.refs[ref] = OLD if commit == NEW else NEW
    first = "x\n9\n" if commit == NEW else "x\n1\n"
    assert read(datasets.fetch_missing(path)) == {"a.csv": first, "deep/b.csv": "x\n2\n", "empty": ""}
    assert lake.refs_read == {commit}
    assert datasets.identify(pinned).immutable


@pytest.mark.parametrize("path", ["", "/train/", "/o%20d/%C3%BC%3F%23%25.csv"])
def test_fetch__whole_repositories_folders_and_odd_names(lake: LakeFs, path: str) -> None:
    where = f"lakefs://flights/{OLD}{path}"
    place = datasets.fetch_missing(where)
    if path == "":
        assert read(place) == lake.files[OLD]
    elif path == "/train/":
        assert sorted(read(place)) == ["a.csv", "deep/b.csv", "empty"]
    else:
        assert Path(place).read_text() == "x\n3\n"


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("none/main/a.csv", "lakeFS has no `main` in the repository `none`, or not all of its objects."),
        ("flights/none/a.csv", "lakeFS has no `none` in the repository `flights`, or not all of its objects."),
        (f"flights/{'c' * 64}/a.csv", f"lakeFS has no `{'c' * 64}` in the repository `flights`"),
        (f"flights/{OLD}/none.csv", f"There are no data at lakefs://flights/{OLD}/none.csv."),
        (f"flights/{OLD}/none/", f"There are no data at lakefs://flights/{OLD}/none/."),
        ("flights", "The dataset lakefs://flights names no branch, tag or commit."),
        ("flights/main/a?ref=main", "The dataset lakefs://flights/main/a?ref=main has `ref` after the `?`."),
    ],
)
def test_fetch__bad_addresses(lake: LakeFs, path: str, what: str) -> None:
    failure = refusal(f"lakefs://{path}")
    assert failure.what.startswith(what)
    assert failure.fix


def test_fetch__an_object_that_was_collected(lake: LakeFs) -> None:
    path = f"lakefs://flights/{OLD}/train/"
    datasets.identify(path)
    lake.collected.add("train/a.csv")
    failure = refusal(path)
    assert "garbage collection" in failure.fix


def test_fetch__refused(lake: LakeFs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", "wrong-one")
    failure = refusal("lakefs://flights/main/top.csv")
    assert failure.what == "Access to the lakeFS repository `flights` was refused."
    assert (failure.why, "LAKECTL_CREDENTIALS_ACCESS_KEY_ID" in failure.fix) == ("error authenticating request", True)
    monkeypatch.delenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")
    assert refusal("lakefs://flights/main/top.csv").what == "There are no credentials for lakeFS."


def test_fetch__a_server_that_breaks(lake: LakeFs) -> None:
    lake.status = 500
    failure = refusal("lakefs://flights/main/top.csv", RemoteError)
    assert failure.what.startswith("The lakeFS server http://127.0.0.1:")
    assert failure.what.endswith(" did not answer.")


def test_fetch__a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    failure = refusal("lakefs://flights/main/top.csv", RemoteError)
    assert failure.what.endswith(" did not answer.")
    assert "LAKECTL_SERVER_ENDPOINT_URL" in failure.fix
