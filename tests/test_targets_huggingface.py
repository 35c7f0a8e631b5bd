"""The target `huggingface`: `huggingface_hub` itself, started as the stages do, against a double of the Hub's API.

The Hub cannot be run here. The double keeps commits, branches and tags, takes commits in the lines that the Hub's own
client sends, and refuses one whose parent is no longer the branch's head.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

import remote_kit
from remote_kit import servable, shares
from slipway.policy.deployment import TargetRule
from slipway.runner.errors import ConflictError, InputError, RemoteError
from slipway.targets.protocol import Servable, Target
from store_doubles import Asked, HttpDouble, Said

TOKEN = "hf_not-a-real-token"
LARGE = ".skops"
"""Files of this ending are kept in LFS."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Hub:
    """One model repository, `team/flights`."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {".gitattributes": b"*"}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    headers: list[dict[str, Any]] = field(default_factory=list)
    gated: bool = False
    url: str = ""

    def answer(self, asked: Asked) -> Said:
        if asked.path.startswith("/objects/"):
            self.objects[asked.path.removeprefix("/objects/")] = asked.body
            return Said(200)
        if self.gated:
            return Said(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Ask for access."})
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Said(401, b"{}", {"X-Error-Message": "Invalid username or password."})
        parts = [unquote(each) for each in asked.raw_path.strip("/").split("/")]
        if parts[:2] == ["api", "agent-harnesses"]:
            return Said(404)
        if parts[:4] == ["api", "models", "team", "flights"]:
            kind, rest, body = parts[4], parts[5:], asked.body
            said = getattr(self, kind.replace("-", "_"))(asked, *rest[:1], body)
            return said if isinstance(said, Said) else Said(200, json.dumps(said).encode())
        if parts[:3] == ["team", "flights", "resolve"]:
            return self.resolve(parts[3], "/".join(parts[4:]))
        if parts[:5] == ["team", "flights.git", "info", "lfs", "objects"]:
            return Said(200, json.dumps(self.batch(json.loads(asked.body))).encode())
        return Said(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def at(self, revision: str) -> str:
        return self.branches.get(revision) or self.tags.get(revision) or revision

    def refs(self, _: Asked, __: bytes) -> Any:
        def listed(kind: str, known: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": at} for name, at in known.items()]

        return {"branches": listed("heads", self.branches), "tags": listed("tags", self.tags), "converts": []}

    def branch(self, asked: Asked, name: str, body: bytes) -> Any:
        if asked.method == "DELETE":
            del self.branches[name]
            return {}
        if name in self.branches:
            return Said(409, b"{}", {"X-Error-Message": "Reference already exists"})
        said = json.loads(body or b"{}")
        self.branches[name] = self.at(said.get("startingPoint", "main"))
        return {}

    def tag(self, asked: Asked, revision: str, body: bytes) -> Any:
        assert asked.method == "POST"
        said = json.loads(body)
        if said["tag"] in self.tags:
            return Said(409, b"{}", {"X-Error-Message": "Tag already exists"})
        self.tags[said["tag"]] = self.at(revision)
        return {}

    def preupload(self, _: Asked, __: str, body: bytes) -> Any:
        files = json.loads(body)["files"]
        return {
            "files": [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for each in files
            ]
        }

    def batch(self, body: dict[str, Any]) -> Any:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.url}/objects/{each['oid']}"}}} for each in body["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def commit(self, _: Asked, revision: str, body: bytes) -> Any:
        head = self.branches[revision]
        files = dict(self.commits[head])
        for line in body.splitlines():
            said = json.loads(line)
            value = said["value"]
            match said["key"]:
                case "header":
                    self.headers.append(value)
                    if value.get("parentCommit", head) != head:
                        return Said(412, b"{}", {"X-Error-Message": "A commit has happened since."})
                case "file":
                    assert value["encoding"] == "base64"
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
                case other:
                    raise AssertionError(other)
        made = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[made], self.branches[revision] = files, made
        return {"commitUrl": f"{self.url}/team/flights/commit/{made}", "commitOid": made, "hookOutput": ""}

    def revision(self, _: Asked, revision: str, __: bytes) -> Any:
        commit = self.at(revision)
        siblings = [{"rfilename": name} for name in self.commits[commit]]
        return {"id": "team/flights", "sha": commit, "private": False, "tags": [], "siblings": siblings}

    def paths_info(self, _: Asked, revision: str, body: bytes) -> Any:
        text = body.decode()
        if text.startswith("{"):
            wanted = json.loads(text)["paths"]
        else:
            wanted = [unquote(each.partition("=")[2]) for each in text.split("&") if each.startswith("paths=")]
        files = self.commits[self.at(revision)]
        return [self.entry(name, files[name]) for name in wanted if name in files]

    def tree(self, _: Asked, revision: str, __: bytes) -> Any:
        return [self.entry(name, content) for name, content in self.commits[self.at(revision)].items()]

    def entry(self, name: str, content: bytes) -> dict[str, Any]:
        found = {"type": "file", "path": name, "oid": hashlib.sha1(content).hexdigest(), "size": len(content)}
        lfs = {"oid": digest(content), "size": len(content), "pointerSize": 130}
        return {**found, "lfs": lfs} if name.endswith(LARGE) else found

    def resolve(self, revision: str, path: str) -> Said:
        commit = self.at(revision)
        if path not in self.commits[commit]:
            return Said(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        content = self.commits[commit][path]
        return Said(200, content, {"X-Repo-Commit": commit, "ETag": f'"{digest(content)}"'})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, data_job: None) -> Iterator[Hub]:
    found = Hub()
    with HttpDouble(found.answer) as double:
        found.url = double.url
        for name, value in {"HF_ENDPOINT": double.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def version(tmp_path: Path) -> Any:
    """Makes versions: a small file, one in LFS, and what is given beside them."""

    def make(number: str, **more: str) -> Servable:
        folder = tmp_path / number
        folder.mkdir(exist_ok=True)
        files = {"MLmodel": f"version: {number}\n", "model.skops": f"weights {number}", **more}
        for name, content in files.items():
            (folder / name).write_text(content)
        return servable(number, named="", fetch=lambda: folder)

    return make


def target_of(**said: Any) -> Target:
    return remote_kit.target_of("huggingface", repository="team/flights", **said)


def test_release__two_versions_and_back(hub: Hub, version: Any) -> None:
    target = target_of()
    assert target.state() == ()
    assert (target.splits, target.answers, target.url) == (False, False, f"{hub.url}/team/flights/tree/production")
    target.start(version("7", **{"old.pkl": "pickled"}))
    assert shares(target) == {"7": 0.0}
    assert hub.branches["slipway/7"] == hub.tags["v7"]
    assert hub.headers[-1]["description"] == base64.b64encode(b"May run code when loaded: old.pkl").decode() or (
        hub.headers[-1]["description"] == "May run code when loaded: old.pkl"
    )
    target.set_traffic({"7": 1})
    assert shares(target) == {"7": 1.0}
    target.start(version("8"))
    target.set_traffic({"8": 1})
    assert shares(target) == {"7": 0.0, "8": 1.0}
    there = hub.commits[hub.branches["production"]]
    assert there == hub.commits[hub.tags["v8"]]
    assert (there["model.skops"], "old.pkl" in there) == (b"weights 8", False)
    assert json.loads(there["slipway.json"])["model_digest"] == f"sha256:{8:064d}"
    assert [each.identity for each in target.state() if each.share] == [f"sha256:{8:064d}"]
    target.set_traffic({"7": 1})
    assert hub.commits[hub.branches["production"]] == hub.commits[hub.tags["v7"]]
    with pytest.raises(InputError, match="Version 7 is what consumers get"):
        target.stop("7")
    target.stop("8")
    assert (shares(target), sorted(hub.tags)) == ({"7": 1.0}, ["v7", "v8"])


def test_calls__can_be_repeated(hub: Hub, version: Any) -> None:
    target, seven = target_of(), version("7")
    target.start(seven)
    made = len(hub.commits)
    target.start(seven)
    target.stop("7")
    target.stop("7")
    assert target.state() == ()
    target.start(seven)  # from its tag
    for _ in range(2):
        target.set_traffic({"7": 1})
    assert (shares(target), len(hub.commits)) == ({"7": 1.0}, made)
    with pytest.raises(ConflictError, match="names other files"):
        target.start(Servable("flights", "7", "sha256:other", "", seven.fetch, seven.python))


def test_set_traffic__somebody_else_was_there(hub: Hub, version: Any) -> None:
    target = target_of()
    for each in ("7", "8"):
        target.start(version(each))
    target.set_traffic({"7": 1})
    hub.commits["f" * 40] = {**hub.commits[hub.branches["production"]], "README.md": b"by hand"}
    hub.branches["production"] = "f" * 40
    with pytest.raises(ConflictError, match="Somebody else changed"):
        target.set_traffic({"8": 1})
    assert hub.branches["production"] == "f" * 40
    with pytest.raises(InputError, match="serves one version at a time"):
        target.set_traffic({"7": 0.9, "8": 0.1})
    with pytest.raises(InputError, match="does not have version 9"):
        target_of().set_traffic({"9": 1})
    with pytest.raises(InputError, match="answers no requests"):
        target.answer("7", {})


def test_access__refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated = True
    with pytest.raises(RemoteError, match="does not let the job use") as caught:
        target_of().state()
    assert "gated" in caught.value.fix
    hub.gated = False
    with pytest.raises(InputError, match="There is no model repository team/none"):
        remote_kit.target_of("huggingface", repository="team/none").state()
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises((RemoteError, InputError)) as refused:
        target_of().state()
    assert "HF_TOKEN" in refused.value.fix and "hf_another" not in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [{"repository": "flights"}, {"repository": "a/b/c"}, {"branch": "slipway/7"}, {"branch": "../x"}, {"branch": ""}],
)
def test_policy__bad_values(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TargetRule.model_validate({"huggingface": {"repository": "team/flights", **said}})
