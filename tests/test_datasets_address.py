"""Addresses of data, versions as URIs, and the past of a folder: pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import datasets
from slipway.datasets import address, objects
from slipway.datasets.objects import Entry
from slipway.datasets.version import DatasetVersion
from slipway.runner.errors import InputError

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(path=NAMES, value=NAMES)
def test_join__is_what_parse_reads(path: str, value: str) -> None:
    """Whatever an object is called, the address that is offered for the policy leads back to it."""
    found = address.parse(address.join("s3", "bucket", path, versionId=value))
    assert (found.scheme, found.host, found.path, found.query) == ("s3", "bucket", path, {"versionId": value})


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("s3://b/k", True), ("S3://b/k", True), ("data/train.csv", False), ("s3:/b/k", False), ("C://x", True)],
)
def test_is_remote(path: str, is_one: bool) -> None:
    assert address.is_remote(path) is is_one


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("s3://b/d/train.csv?versionId=1", "train"),
        ("s3://b/d/", "d"),
        ("s3://b/", "data"),
        ("hf://datasets/a/b@main/x.parquet", "x"),
        ("data/a?.csv", "data"),
        ("data/train.csv", "train"),
    ],
)
def test_name_of(path: str, name: str) -> None:
    assert datasets.name_of(path) == name


@pytest.mark.parametrize("text", ["s3://[b/k", "s3://b\u2100/k"])
def test_parse__a_place_that_no_address_can_have(text: str) -> None:
    with pytest.raises(InputError, match="names no place"):
        address.parse(text)


def test_only__tells_no_value_of_what_is_not_known() -> None:
    """A signature makes an address work without a password: it may be in the policy, and need not be in the log."""
    signed = address.parse("az://account/container/blob?sv=2026&sig=c2VjcmV0")
    with pytest.raises(InputError, match=r"has `sv` after the `\?`") as refused:
        address.only(signed, "versionId")
    assert "c2VjcmV0" not in str(refused.value)
    with pytest.raises(InputError) as refused:
        address.parse("az://account/container/blob?sig=c2VjcmV0&sig=c2VjcmV0")
    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "uri", "digest"),
    [
        (("a b#.csv", "git", "f00d", False), "git:a%20b%23.csv?oid=f00d", {"gitBlob": "f00d"}),
        (("data", "git", "f00d", True), "git:data?oid=f00d", {"gitTree": "f00d"}),
        (("a.csv", "dvc", "md5:f00d", False), "dvc:a.csv?md5=f00d", {"md5": "f00d"}),
        (("data", "dvc", "md5:f00d.dir", False), "dvc:data?md5=f00d.dir", {}),
        (("a.csv", "lfs", "sha256:f00d", False), "git-lfs:a.csv?sha256=f00d", {"sha256": "f00d"}),
        (("a.csv", "file", "sha256:f00d", False), "file:a.csv?sha256=f00d", {}),
        (("s3://b/ü.csv", "s3", "etag:1", False), "s3://b/%C3%BC.csv", {}),
    ],
)
def test_version__as_uri_and_digest(version: tuple[str, str, str, bool], uri: str, digest: dict[str, str]) -> None:
    path, kind, identity, tree = version
    found = DatasetVersion(path=path, kind=kind, id=identity, immutable=True, tree=tree)
    assert (found.uri, found.digest) == (uri, digest)


@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12),
    at=st.integers(0, 11),
)
def test_past__holds_every_state_that_there_was(events: list[tuple[str, bool]], at: int) -> None:
    """Played forwards with one event a second, whatever the folder was is found again backwards."""
    listed: list[Entry] = []
    states: list[dict[str, Entry]] = [{}]
    for second, (name, deleted) in enumerate(events):
        listed = [Entry(**{**vars(each), "latest": each.latest and each.name != name}) for each in listed]
        entry = Entry(name=name, version=str(second), order=f"{second:04}", deleted=deleted)
        listed.append(entry)
        state = dict(states[-1])
        state.pop(name, None)
        states.append(state if deleted else {**state, name: entry})
    wanted = objects.set_digest(states[min(at, len(events) - 1)].values())
    assert wanted in {objects.set_digest(state) for state in objects.past(listed)}


def test_set_digest__depends_on_names_and_versions_alone() -> None:
    first = [Entry(name="a", version="1", order="1"), Entry(name="b", version="2", order="2")]
    again = [Entry(name="b", version="2", size=7), Entry(name="a", version="1", latest=False)]
    assert objects.set_digest(first) == objects.set_digest(again)
    assert objects.set_digest(first) != objects.set_digest([Entry(name="a", version="2"), Entry(name="b", version="1")])
