"""Any single byte that is altered, and anything that is taken out, put in, moved, cut or rewritten, is found."""

from __future__ import annotations

import functools
import itertools
import os
import random
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_kit import clone, draft, ledger
from slipway.ledger import place
from slipway.ledger.commit import commit_text
from slipway.ledger.entries import chained, digest, read
from slipway.ledger.git import Git
from slipway.ledger.verification import BadEntry, records, unmet
from slipway.runner.errors import InputError

LENGTH = 6


@functools.cache
def written() -> tuple[Git, tuple[str, ...]]:
    """A ledger of a beginning and five entries with evidence, and its commits; it ends with the process."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-ledger-"))
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    found = ledger(clone(folder / "up.git", folder / "clone").path)
    for number in range(1, LENGTH):
        files = {"report.json": f'{{"number": {number}}}'.encode(), "provenance.json": b"{}"}
        found.append([draft(number, files, model="flights", reasons=("because", "ü"))])
    return found.git, tuple(found.commits())


@pytest.fixture
def git() -> Git:
    return written()[0]


def problem(git: Git, commits: list[str] | tuple[str, ...]) -> str:
    """What verification says first; empty where it says nothing."""
    try:
        assert sum(1 for _ in records(git, list(commits))) == len(commits)
    except BadEntry as bad:
        return str(bad)
    return ""


def rebuilt(
    git: Git, commits: tuple[str, ...], start: int, alter: Callable[[int, dict[str, bytes]], None]
) -> list[str]:
    """The ledger with every commit from `start` on made anew, as whoever may push could with git alone."""
    made = list(commits[:start])
    for number in range(start, len(commits)):
        listed = git.run("ls-tree", commits[number]).decode().splitlines()
        files = {line.split("\t")[1]: git.run("cat-file", "blob", line.split()[2]) for line in listed}
        alter(number, files)
        lines = "".join(f"100644 blob {git.store(raw)}\t{name}\n" for name, raw in sorted(files.items()))
        tree = git.line("mktree", given=lines.encode())
        _, _, message = git.run("cat-file", "commit", commits[number]).partition(b"\nauthor ")
        parents = [f"parent {made[-1]}"] if made else []
        text = "\n".join([f"tree {tree}", *parents]).encode() + b"\nauthor " + message
        made.append(git.store(text, "commit"))
    return made


def test_records__what_was_written() -> None:
    git, commits = written()
    found = list(records(git, commits))
    assert [record.entry.sequence for record in found] == list(range(LENGTH))
    assert sorted(found[-1].files) == ["provenance.json", "report.json"]
    assert git.run("cat-file", "blob", found[-1].files["report.json"]) == b'{"number": 5}'
    assert found[2].digest == digest(git.run("show", f"{commits[2]}:entry.json"))
    # By means of every machine: `git show <commit>:entry.json | sha256sum`.
    raw = git.run("show", f"{commits[2]}:entry.json")
    said = subprocess.run(["sha256sum"], input=raw, capture_output=True, check=True)
    assert found[2].digest == f"sha256:{said.stdout.decode().split()[0]}"
    assert all(later.entry.previous == earlier.digest for earlier, later in itertools.pairwise(found))


def test_records__in_batches_as_at_once(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(records(git, written()[1]))
    monkeypatch.setattr("slipway.ledger.verification.BATCH", 2)
    assert list(records(git, written()[1])) == expected


@given(st.integers(0, LENGTH - 1), st.sampled_from(["entry.json", "report.json", "provenance.json"]), st.data())
@settings(max_examples=60)
def test_records__one_byte_of_a_file(number: int, name: str, data: st.DataObject) -> None:
    git, commits = written()

    def alter(at: int, files: dict[str, bytes]) -> None:
        if at == number and name in files:
            raw = bytearray(files[name])
            position = data.draw(st.integers(0, len(raw) - 1))
            raw[position] ^= data.draw(st.integers(1, 255))
            files[name] = bytes(raw)

    altered = rebuilt(git, commits, number, alter)
    if number == 0 and name != "entry.json":
        return  # the first entry has no evidence
    assert problem(git, altered).startswith(f"Entry {number} (commit {altered[number][:12]})")


@given(st.integers(0, LENGTH - 1), st.data())
@settings(max_examples=60)
def test_records__one_byte_of_a_commit(number: int, data: st.DataObject) -> None:
    git, commits = written()
    raw = bytearray(git.run("cat-file", "commit", commits[number]))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    # As a damaged disk or a hostile server could: no tool would write some of these.
    altered = git.line("hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=bytes(raw))
    said = problem(git, [*commits[:number], altered, *commits[number + 1 :]])
    assert said.startswith(f"Entry {number} (commit {altered[:12]})")


@given(st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=LENGTH + 2))
def test_records__any_other_order(order: list[int]) -> None:
    git, commits = written()
    said = problem(git, [commits[number] for number in order])
    if order == list(range(len(order))):
        assert said == ""  # the beginning of a ledger is one; that it was cut, only a remembered head tells
    else:
        first = next(at for at, number in enumerate(order) if at != number)
        assert said.startswith(f"Entry {first} ")


def test_records__taken_out_and_closed_by_git_alone(git: Git) -> None:
    commits = written()[1]
    without = rebuilt(git, (*commits[:2], *commits[3:]), 2, lambda *_: None)
    assert "Entry 2 " in problem(git, without) and "taken out" in problem(git, without)


def test_records__put_in(git: Git) -> None:
    commits = written()[1]
    before = read(git.run("cat-file", "blob", f"{commits[2]}:entry.json"))
    false = chained(draft(77)[0], before, before.recorded_at)
    tree = git.line("mktree", given=f"100644 blob {git.store(false.canonical)}\tentry.json\n".encode())
    put = git.store(commit_text(false, digest(false.canonical), tree, commits[2]), "commit")
    said = problem(git, rebuilt(git, (*commits[:3], put, *commits[3:]), 4, lambda *_: None))
    assert said.startswith("Entry 4 ") and "says that it is entry 3" in said


@pytest.mark.parametrize(
    ("alter", "expected"),
    [
        (lambda files: files.update(extra=b""), "holds the file extra, which it does not name"),
        (lambda files: files.pop("report.json"), "lacks its evidence report.json"),
        (lambda files: files.update({"report.json": b"{}"}), "holds other evidence than it names: report.json"),
        (lambda files: files.pop("entry.json"), "holds no entry.json"),
        (lambda files: files.update({"entry.json": b"{}"}), "is no entry"),
        (lambda files: files.update({"entry.json": b"not JSON"}), "Expecting value"),
        (lambda files: files.update({"entry.json": files["entry.json"] + b"\n"}), "not in canonical form"),
    ],
)
def test_records__says_what_is_wrong(git: Git, alter: Callable[[dict[str, bytes]], None], expected: str) -> None:
    altered = rebuilt(git, written()[1], 3, lambda at, files: alter(files) if at == 3 else None)
    assert problem(git, altered).startswith("Entry 3 ") and expected in problem(git, altered)


def test_records__a_file_that_is_listed_twice(git: Git) -> None:
    commits = list(written()[1])
    tree = git.run("cat-file", "tree", f"{commits[-1]}^{{tree}}")
    forged = b"100644 entry.json\0" + bytes.fromhex(git.store(b'{"forged":true}'))
    double = git.line("hash-object", "-t", "tree", "-w", "--stdin", "--literally", given=forged + tree)
    text = git.run("cat-file", "commit", commits[-1])
    commits[-1] = git.store(b"tree " + double.encode() + text[45:], "commit")
    assert git.run("show", f"{commits[-1]}:entry.json") == b'{"forged":true}'
    assert "lists a file twice" in problem(git, commits)


def test_records__an_object_that_is_gone(git: Git) -> None:
    commits = list(written()[1])
    commits[4] = "0" * 40
    assert problem(git, commits).startswith("Entry 4 (commit 000000000000) holds no entry.json")


def test_unmet__remembered_heads(git: Git) -> None:
    found = list(records(git, written()[1]))
    heads = {record.entry.sequence: record.digest for record in found}
    for record in found:
        assert unmet(record.entry.head, heads) == ""
        assert unmet(f" {record.entry.head}\n", heads) == ""
    cut = {number: said for number, said in heads.items() if number < 4}
    assert (
        unmet(found[5].entry.head, cut)
        == "The ledger ends at entry 3, and entry 5 is remembered: it was cut, or set back."
    )
    assert "it was rewritten" in unmet(f"3:sha256:{'0' * 64}", heads)
    assert unmet(found[0].entry.head, {}) != ""


@pytest.mark.parametrize("head", ["", "3", "sha256:" + "0" * 64, "-1:sha256:" + "0" * 64, "3:sha256:xyz", "3:md5:0"])
def test_unmet__no_head(head: str) -> None:
    with pytest.raises(InputError, match="is no head of a ledger"):
        unmet(head, {})


def test_objects__as_git_shows_them_one_by_one(git: Git) -> None:
    names = (
        git.run("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").decode().splitlines()
    )
    names = random.Random(1).choices([name for name in names if not name.endswith("tree")], k=200)
    contents = list(git.objects(name.split()[0] for name in names))
    assert len(contents) == 200
    for name, content in zip(names[:40], contents, strict=False):
        assert content == git.run("cat-file", name.split()[1], name.split()[0])
    assert list(git.objects(["0" * 40, "no name", names[0].split()[0]])) == [None, None, contents[0]]


def test_objects__nobody_reads_on(git: Git) -> None:
    stream = git.objects(written()[1][0] for _ in range(1_000_000))
    assert next(stream)
    stream.close()
    assert git.commit_of(f"refs/heads/{place.BRANCH}") == ""
