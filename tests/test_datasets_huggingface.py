"""Datasets on the Hugging Face Hub: `huggingface_hub` itself against a double of the Hub's API.

The Hub cannot be run here. The double answers as the Hub's own client expects it: names of fields and headers are
those that `huggingface_hub` reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from slipway import datasets
from slipway.datasets import address, content, huggingface
from slipway.datasets.commits import Place
from slipway.runner.errors import InputError, RemoteError
from store_doubles import Asked, HttpDouble, Said, free_port, refusal

TOKEN = "hf_not-a-real-token"
OLD, NEW = "a" * 40, "b" * 40


@dataclass
class Hub:
    """One dataset repository, `team/flights`, with two commits."""

    files: dict[str, dict[str, str]]
    refs: dict[str, str]
    in_lfs: frozenset[str] = frozenset({"train/b.csv"})
    token: str = ""
    error: str = ""
    damaged: bool = False
    pages: list[str] = field(default_factory=list)

    def answer(self, asked: Asked) -> Said:
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Said(401, b"{}", {"X-Error-Message": "Invalid username or password."})
        if self.error:
            return Said(403, b"{}", {"X-Error-Code": self.error, "X-Error-Message": "Ask for access."})
        parts = asked.raw_path.strip("/").split("/")
        if parts[:2] == ["api", "datasets"]:
            repository, kind, ref, path = "/".join(parts[2:4]), parts[4], parts[5], "/".join(parts[6:])
        elif parts[0] == "datasets":
            repository, kind, ref, path = "/".join(parts[1:3]), parts[3], parts[4], "/".join(parts[5:])
        else:
            return Said(404)
        if repository != "team/flights":
            return Said(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        ref, path = unquote(ref), unquote(path)
        commit = self.refs.get(ref, ref)
        if commit not in self.files:
            return Said(404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {ref}"})
        return getattr(self, kind.replace("-", "_"))(asked, commit, path)  # type: ignore[no-any-return]

    def revision(self, _: Asked, commit: str, __: str) -> Said:
        said = {"id": "team/flights", "sha": commit, "private": False, "tags": [], "siblings": []}
        return Said(200, json.dumps(said).encode())

    def paths_info(self, asked: Asked, commit: str, _: str) -> Said:
        body = asked.body.decode()
        wanted = [unquote(each.partition("=")[2].replace("+", " ")) for each in body.split("&") if "paths=" in each]
        if body.startswith("{"):
            wanted = json.loads(body)["paths"]
        files = self.files[commit]
        said = [self.entry(commit, path) for path in wanted if path in files]
        said += [
            {"type": "directory", "path": path, "oid": "0" * 40}
            for path in wanted
            if any(each.startswith(f"{path}/") for each in files)
        ]
        return Said(200, json.dumps(said).encode())

    def tree(self, asked: Asked, commit: str, path: str) -> Said:
        """One file a page, so that whoever reads only the first one is found out."""
        assert asked.query["recursive"] in ("true", "True")
        names = sorted(name for name in self.files[commit] if not path or name.startswith(f"{path}/"))
        at = int(asked.query.get("cursor", "0"))
        headers = {}
        if at + 1 < len(names):
            url = f"http://{asked.headers['host']}{asked.raw_path}?recursive=true&cursor={at + 1}"
            headers["Link"] = f'<{url}>; rel="next"'
        folder = {"type": "directory", "path": "train/deep", "oid": "0" * 40, "size": 0}
        return Said(
            200, json.dumps([folder, *(self.entry(commit, each) for each in names[at : at + 1])]).encode(), headers
        )

    def entry(self, commit: str, path: str) -> dict[str, object]:
        body = self.files[commit][path].encode()
        blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        lfs = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
        found = {"type": "file", "path": path, "oid": blob, "size": len(body)}
        return {**found, "lfs": lfs} if path in self.in_lfs else found

    def resolve(self, _: Asked, commit: str, path: str) -> Said:
        body = self.files[commit][path]
        if self.damaged:
            body = body[::-1]
        digest = hashlib.sha256(self.files[commit][path].encode()).hexdigest()
        return Said(200, body.encode(), {"X-Repo-Commit": commit, "ETag": f'"{digest}"'})


@pytest.fixture(autouse=True)
def job(data_job: None) -> None:
    pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    old = {
        "train/a.csv": "x\n1\n",
        "train/b.csv": "x\n2\n",
        "train/deep/c.csv": "x\n3\n",
        "o d/ü?#%.csv": "x\n4\n",
        "top.csv": "5",
    }
    found = Hub(
        {OLD: old, NEW: {**old, "train/a.csv": "x\n9\n"}}, {"main": NEW, "refs/convert/parquet": OLD, "v1": OLD}
    )
    with HttpDouble(found.answer) as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        yield found


def read(place: str) -> dict[str, str]:
    folder = Path(place)
    return {file.relative_to(folder).as_posix(): file.read_text() for file in content.files_of(place)}


def test_identify__a_pinned_file(hub: Hub) -> None:
    path = f"hf://datasets/team/flights@{OLD}/train/a.csv"
    found = datasets.identify(path)
    assert found == datasets.DatasetVersion(path=path, kind="huggingface", id=OLD, immutable=True, pinned=path)
    place = datasets.fetch_missing(path)
    assert Path(place).name == "a.csv"
    assert Path(place).read_text() == "x\n1\n"
    assert datasets.identify(path).digest == {"gitCommit": OLD, "sha256": hashlib.sha256(b"x\n1\n").hexdigest()}


@pytest.mark.parametrize("at", ["", "@main", "@v1", "@refs%2Fconvert%2Fparquet"])
def test_identify__what_moves_is_used_as_it_is_now(hub: Hub, at: str) -> None:
    """Tags move, too: whoever may write can put them elsewhere."""
    path = f"hf://datasets/team/flights{at}/train"
    commit = hub.refs[unquote(at.removeprefix("@")) or "main"]
    found = datasets.identify(path)
    pinned = f"hf://datasets/team/flights@{commit}/train"
    assert (found.id, found.immutable, found.pinned) == (commit, False, pinned)
    assert found.remark.endswith(f"now at {commit}. Write `{pinned}` in the policy.")
    hub.refs |= dict.fromkeys(hub.refs, OLD if commit == NEW else NEW)
    first = "x\n9\n" if commit == NEW else "x\n1\n"
    assert read(datasets.fetch_missing(path)) == {"a.csv": first, "b.csv": "x\n2\n", "deep/c.csv": "x\n3\n"}
    assert datasets.identify(pinned).immutable


def test_identify__a_commit_that_is_cut_short_is_not_pinned(hub: Hub) -> None:
    hub.refs[OLD[:7]] = OLD
    found = datasets.identify(f"hf://datasets/team/flights@{OLD[:7]}/top.csv")
    assert (found.immutable, found.id) == (False, OLD)


@pytest.mark.parametrize("path", ["", "/", "/train/", "/o%20d/%C3%BC%3F%23%25.csv", "/o d/ü%3F%23%25.csv"])
def test_fetch__whole_repositories_folders_and_odd_names(hub: Hub, path: str) -> None:
    where = f"hf://datasets/team/flights@{OLD}{path}"
    found = datasets.identify(where)
    place = datasets.fetch_missing(where)
    if path in ("", "/"):
        assert read(place) == hub.files[OLD]
    elif path == "/train/":
        assert sorted(read(place)) == ["a.csv", "b.csv", "deep/c.csv"]
    else:
        assert Path(place).read_text() == "x\n4\n"
    assert datasets.identify(found.pinned).immutable


@pytest.mark.parametrize("name", ["train/a.csv", "train/b.csv"])
def test_fetch__damaged_content_is_found_out(hub: Hub, name: str) -> None:
    """One file by git's digest, one by that of LFS; the size is right both times."""
    hub.damaged = True
    failure = refusal(f"hf://datasets/team/flights@{OLD}/{name}", RemoteError)
    assert failure.what == f"`{name}` did not arrive whole."


def test_fetch__with_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = TOKEN
    path = f"hf://datasets/team/flights@{OLD}/top.csv"
    failure = refusal(path)
    assert failure.what == "Access to the dataset team/flights was refused."
    assert "HF_TOKEN" in failure.fix
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert Path(datasets.fetch_missing(path)).read_text() == "5"


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("team/none@main/a.csv", "There is no dataset team/none that this job may read."),
        ("team/flights@none/a.csv", "The dataset team/flights has no revision `none`."),
        (f"team/flights@{'c' * 40}/a.csv", f"The dataset team/flights has no revision `{'c' * 40}`."),
        (f"team/flights@{OLD}/none.csv", f"There are no data at hf://datasets/team/flights@{OLD}/none.csv."),
        (f"team/flights@{OLD}/Train", f"There are no data at hf://datasets/team/flights@{OLD}/Train."),
        ("flights", "The dataset hf://datasets/flights is not the address of a dataset on the Hub."),
        ("team/flights@/a.csv", "The dataset hf://datasets/team/flights@/a.csv is not the address of a dataset"),
        ("team/fli ghts@main/a.csv", "`team/fli ghts` is not the name of a dataset."),
        ("team/flights?revision=main", "The dataset hf://datasets/team/flights?revision=main has `revision` after"),
    ],
)
def test_fetch__bad_addresses(hub: Hub, path: str, what: str) -> None:
    failure = refusal(f"hf://datasets/{path}")
    assert failure.what.startswith(what)
    assert failure.fix


def test_fetch__a_model_is_no_dataset(hub: Hub) -> None:
    assert "is not the address of a dataset" in refusal("hf://team/flights@main/a.csv").what


def test_fetch__a_gated_dataset(hub: Hub) -> None:
    hub.error = "GatedRepo"
    failure = refusal("hf://datasets/team/flights@main/a.csv")
    assert failure.what == "Access to the dataset team/flights was refused."
    assert "accepted the conditions" in failure.fix


def test_fetch__a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    failure = refusal("hf://datasets/team/flights@main/a.csv", RemoteError)
    assert failure.what == f"The Hub at {url} did not answer."


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("hf://datasets/a/b", Place("a/b", "main", "")),
        ("hf://datasets/a/b@refs%2Fpr%2F1/x@y/z", Place("a/b", "refs/pr/1", "x@y/z")),
        ("hf://datasets/a/b@v1.0/data/", Place("a/b", "v1.0", "data/")),
    ],
)
def test_split__and_back(written: str, place: Place) -> None:
    assert huggingface.STORE.split(address.parse(written)) == place
    assert huggingface.STORE.split(address.parse(huggingface.STORE.pinned(place))) == place
    assert quote("refs/pr/1", safe="") in huggingface.STORE.pinned(Place("a/b", "refs/pr/1", ""))


def test_inputs__are_errors_of_the_user() -> None:
    with pytest.raises(InputError):
        address.parse("hf://")
