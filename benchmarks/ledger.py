"""Appends at 100,000 entries against appends at 10, and verification of 100,000 entries against git's own check."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from slipway.audit.trail import garbage_kept
from slipway.ledger.commit import commit_text
from slipway.ledger.entries import Draft, Entry, Evidence, chained, digest, identity
from slipway.ledger.git import Git
from slipway.ledger.place import BRANCH, Place
from slipway.ledger.store import Ledger
from slipway.ledger.verification import records
from slipway.report import Subject
from timing import Ratio, compare, process

SHORT, LONG = 10, 100_000
START = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> Iterator[Ratio]:
    """A new store each time is what a fresh runner has; the same store is what a person's clone has."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        short, long = (build(folder / f"{count}.git", count) for count in (SHORT, LONG))
        yield compare(
            f"append by a fresh runner at {LONG:,} entries (peer: at {SHORT})",
            appending(long, folder, fresh=True),
            appending(short, folder, fresh=True),
            budget=1.2,
            runs=15,
        )
        yield compare(
            f"append from a known clone at {LONG:,} entries (peer: at {SHORT})",
            appending(long, folder, fresh=False),
            appending(short, folder, fresh=False),
            budget=1.2,
            runs=15,
        )
        whole = build(folder / "whole.git", LONG)
        yield compare(
            f"verify {LONG:,} entries with their evidence (peer: git fsck; must stay under 10 s)",
            lambda: verify(whole),
            process(["git", "-C", str(whole), "fsck", "--full", "--strict"]),
            budget=5.0,
            runs=3,
        )


def appending(upstream: Path, folder: Path, *, fresh: bool) -> Callable[[], object]:
    """One more entry each time."""
    store = folder / f"store-{upstream.stem}-{fresh}"

    def append() -> None:
        if fresh:
            shutil.rmtree(store, ignore_errors=True)
        receipt = Ledger(Place(upstream.as_uri(), store)).append([draft(datetime.now(UTC).timestamp())])
        assert not receipt.why_not, receipt.why_not

    return append


def verify(upstream: Path) -> None:
    """Every entry from the first to the last."""
    git = Git(upstream)
    commits = git.run("rev-list", "--reverse", BRANCH).decode().split()
    with garbage_kept():
        assert sum(1 for _ in records(git, commits)) == LONG


def draft(number: float) -> tuple[Draft, dict[str, bytes]]:
    """An evaluation as the pipeline records it, with a report of usual size."""
    report = json.dumps({"number": number, "checks": [{"name": f"check {n}", "verdict": "pass"} for n in range(20)]})
    raw = report.encode()
    made = Draft(
        id=identity(number),
        event="evaluation",
        occurred_at=START,
        summary=f"evaluate-model of flights: fail. Candidate version {number} against production version 1.",
        model="flights",
        model_version=str(number),
        model_digest=f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}",
        verdict="fail",
        reasons=("roc_auc changed by -0.0603 (95 % interval -0.0760 to -0.0446)",),
        subjects=tuple(Subject(role="data", name=name, id=f"dvc:md5:{'c' * 32}.dir") for name in ("train", "holdout")),
        evidence=(Evidence(name="report.json", digest=digest(raw), bytes=len(raw)),),
    )
    return made, {"report.json": raw}


def build(upstream: Path, count: int) -> Path:
    """A ledger of `count` entries, written by git's fast import: exactly what as many appends would have left."""
    Git(upstream).run("init", "--bare", "--quiet", str(upstream))
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=upstream, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        before: Entry | None = None
        for number in range(count):
            made, files = draft(number)
            if number == 0:
                made, files = made.model_copy(update={"event": "genesis", "evidence": ()}), {}
            entry = chained(made, before, START + timedelta(seconds=number))
            write(process.stdin, entry, files)
            before = entry
    assert process.returncode == 0
    return upstream


def write(stream: IO[bytes], entry: Entry, files: dict[str, bytes]) -> None:
    """One commit after the last one, in the language of fast-import. https://git-scm.com/docs/git-fast-import"""
    raw = entry.canonical
    header, _, message = commit_text(entry, digest(raw), "0" * 40, "").partition(b"\n\n")
    who = b"\n".join(line for line in header.splitlines() if line.startswith((b"author", b"committer")))
    stream.write(b"commit refs/heads/" + BRANCH.encode() + b"\n" + who + b"\n")
    stream.write(b"data %d\n" % len(message) + message)
    for name, content in {"entry.json": raw, **files}.items():
        stream.write(f"M 100644 inline {name}\n".encode() + b"data %d\n" % len(content) + content + b"\n")
    stream.write(b"\n")
