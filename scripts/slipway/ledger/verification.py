"""Reads a whole ledger and finds the first thing in it that was altered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from slipway.ledger.commit import commit_text
from slipway.ledger.entries import ENTRY_FILE, Entry, digest, read
from slipway.ledger.git import Git
from slipway.runner.errors import InputError

NAME = re.compile(rb"[0-9a-f]{40}")
HEAD = re.compile(r"(\d+):(sha256:[0-9a-f]{64})")
BATCH = 2_000
"""Entries that are read and checked at once; it bounds the memory."""


@dataclass(frozen=True)
class Record:
    """An entry as it was found. files: git's name of each file of evidence, by file name."""

    commit: str
    entry: Entry
    digest: str
    files: dict[str, str] = field(default_factory=dict)


class BadEntry(Exception):  # noqa: N818 - a finding about the ledger; whoever asks decides whether it is an error
    """The first entry that is not what was written. `number`: its place, counted from 0."""

    def __init__(self, number: int, commit: str, problem: str) -> None:
        super().__init__(f"Entry {number} (commit {commit[:12]}) {problem}")
        self.number = number


def records(git: Git, commits: Sequence[str], *, after: tuple[str, Entry] | None = None) -> Iterator[Record]:
    """Every entry in its order, each one checked: its bytes, its place, its commit and its evidence.

    after: commit and entry that come before the first of `commits`; None where that is the ledger's first.
    Raises BadEntry at the first that was altered, moved, put in, or does not follow from the one before.
    """
    chain = _Chain(after)
    for start in range(0, len(commits), BATCH):
        for found in _read(git, commits[start : start + BATCH]):
            yield chain.take(found)


@dataclass
class _Found:
    """What git has under the name of one commit; None for what is missing. files: git's name and content by name."""

    commit: str
    text: bytes
    tree: bytes = b""
    files: dict[str, tuple[str, bytes | None]] = field(default_factory=dict)


def _read(git: Git, commits: Sequence[str]) -> list[_Found]:
    """The objects of some entries in three passes, commits, trees and files: one process of git each."""
    found = [_Found(name, text or b"") for name, text in zip(commits, git.objects(commits), strict=True)]
    for each, tree in zip(found, git.objects(_tree_of(each.text) for each in found), strict=True):
        each.tree = tree or b""
    listed = [(each, name, blob) for each in found for name, blob in _files(each.tree)]
    for (each, name, blob), content in zip(listed, git.objects(blob for *_, blob in listed), strict=True):
        each.files[name] = (blob, content)
    return found


def _tree_of(text: bytes) -> str:
    """The tree that a commit names first; a name of nothing where it is no commit."""
    first = text.partition(b"\n")[0].removeprefix(b"tree ")
    return first.decode("ascii", "replace") if NAME.fullmatch(first) else "0" * 40


def _files(tree: bytes) -> Iterator[tuple[str, str]]:
    """Name and object of each plain file in a tree: `<mode> <name>\\0<20 bytes>`, one after the other."""
    while tree:
        header, _, rest = tree.partition(b"\0")
        mode, _, name = header.partition(b" ")
        # Anything else than a plain file gets a name that no evidence has.
        yield name.decode(errors="replace") if mode == b"100644" else f"{mode!r} {name!r}", rest[:20].hex()
        tree = rest[20:]


class _Chain:
    """Takes entry after entry and refuses the first that does not follow from those before."""

    def __init__(self, after: tuple[str, Entry] | None) -> None:
        self._commit = after[0] if after else ""
        self._before = after[1] if after else None
        self._digest = digest(self._before.canonical) if self._before else None
        self._number = self._before.sequence + 1 if self._before else 0

    def take(self, found: _Found) -> Record:
        """The next entry. Raises BadEntry."""
        try:
            entry, raw_digest = self._checked(found)
        except ValueError as problem:
            raise BadEntry(self._number, found.commit, str(problem)) from None
        self._before, self._digest, self._commit = entry, raw_digest, found.commit
        self._number += 1
        evidence = {name: blob for name, (blob, _) in found.files.items() if name != ENTRY_FILE}
        return Record(found.commit, entry, raw_digest, evidence)

    def _checked(self, found: _Found) -> tuple[Entry, str]:
        raw = found.files.get(ENTRY_FILE, ("", None))[1]
        if raw is None:
            raise ValueError(f"holds no {ENTRY_FILE}: it is not the ledger's, or a part of it is missing")
        said = digest(raw)
        entry = read(raw)
        if entry.sequence != self._number:
            raise ValueError(f"says that it is entry {entry.sequence}: one was taken out, put in or moved")
        if entry.previous != self._digest:
            raise ValueError("does not follow from the entry before: one of the two was altered, taken out or put in")
        if self._before and entry.recorded_at < self._before.recorded_at:
            raise ValueError("is older than the entry before it")
        plain = b"".join(
            b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob) for name, (blob, _) in sorted(found.files.items())
        )
        if found.tree != plain:
            raise ValueError("lists a file twice, or something that is no plain file")
        if found.text != commit_text(entry, said, _tree_of(found.text), self._commit):
            raise ValueError("was altered: its commit was made for another text or place")
        named = {each.name: (each.digest, each.bytes) for each in entry.evidence}
        for name in sorted(named.keys() | (found.files.keys() - {ENTRY_FILE})):
            content = found.files.get(name, ("", None))[1]
            if name not in named:
                raise ValueError(f"holds the file {name}, which it does not name")
            if content is None:
                raise ValueError(f"lacks its evidence {name}")
            if (digest(content), len(content)) != named[name]:
                raise ValueError(f"holds other evidence than it names: {name}")
        return entry, said


def unmet(remembered: str, heads: Mapping[int, str]) -> str:
    """How the ledger contradicts a head that somebody remembers (`<number>:<digest>`); empty where it does not.

    heads: the digest of every entry by its number. Raises InputError where `remembered` is no head.
    """
    match = HEAD.fullmatch(remembered.strip())
    if match is None:
        raise InputError(
            f"`{remembered}` is no head of a ledger.",
            fix="Give the `head` output of record-reports or of an earlier audit: `17:sha256:` and 64 signs.",
        )
    number, said = int(match[1]), match[2]
    if number not in heads:
        last = max(heads, default=-1)
        return f"The ledger ends at entry {last}, and entry {number} is remembered: it was cut, or set back."
    return "" if heads[number] == said else f"Entry {number} is not the one that is remembered: it was rewritten."
