"""The git commit that carries an entry."""

from __future__ import annotations

from slipway.ledger.entries import Draft, Entry

IDENTITY = "Slipway ledger <ledger@slipway.invalid>"


def commit_text(entry: Entry, digest: str, tree: str, parent: str) -> bytes:
    """The commit that carries an entry. It follows from the entry, so that nothing in it can be altered unnoticed."""
    who = f"{IDENTITY} {int(entry.recorded_at.timestamp())} +0000"
    headers = [f"tree {tree}", *([f"parent {parent}"] if parent else []), f"author {who}", f"committer {who}"]
    trailers = [f"Entry: {entry.sequence}", f"Digest: {digest}", f"Event: {entry.id}"]
    return "\n".join([*headers, "", subject(entry), "", *trailers, ""]).encode()


def subject(entry: Draft) -> str:
    """The entry in one line of plain text, as `git log` shows it."""
    line = entry.summary
    if not line.isprintable():
        line = "".join(sign if sign.isprintable() else " " for sign in line)
    line = " ".join(line.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
