"""Appends entries and reads them back.

An entry is one commit whose tree holds `entry.json` and its evidence, and whose parent is the entry before. So an
append writes a handful of objects however long the ledger is, and `git log` on the branch is the audit trail. Git's own
update of the remote branch, which is refused unless it still points where we last saw it, keeps writers in one order.
"""

from __future__ import annotations

import fcntl
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from slipway.ledger.commit import commit_text
from slipway.ledger.entries import ENTRY_FILE, FIRST, Draft, Entry, chained, digest, read
from slipway.ledger.git import Git, GitError
from slipway.ledger.place import Place
from slipway.ledger.trainings import require_one_story
from slipway.ledger.verification import BadEntry, records
from slipway.runner.errors import ConflictError, InputError, RemoteError

PATIENCE = 120.0
"""Seconds for which a writer keeps trying while others are faster."""

LONGEST_PAUSE = 2.0
FIRST_LOOK = 64
"""Entries that a store fetches which has none: enough to notice an event that was written a moment ago."""

RECENT = 1_000
"""How many entries back an event is looked for that may have been written before."""

KEPT = 8
"""Entries that are kept in memory: every look asks for the ends of the two branches."""

LOCAL = "refs/heads/ledger"
"""Entries as we know them, those included that wait for the upstream."""

SEEN = "refs/slipway/upstream"
"""Where the upstream's branch stood when we last saw it."""

INCOMING = "refs/slipway/incoming"
FASTER = (
    *("(fetch first)", "(non-fast-forward)", "(stale info)", "failed to update ref", "cannot lock ref"),
    *("reference already exists", "incorrect old value", "failed to lock"),
)
"""What git says where somebody else's entry came first."""

REFUSED = (
    *("[remote rejected]", "hook declined", "denied", "403", "401", "Authentication failed"),
    *("could not read Username", "read-only"),
)


@dataclass(frozen=True)
class Receipt:
    """What became of an append.

    delivered: what this call brought upstream, with what had waited.
    head: of the newest entry that is upstream, which others see as well; empty where there is none.
    why_not: why entries wait in our own store; empty where all are upstream.
    """

    entries: tuple[Entry, ...]
    head: str
    why_not: str = ""
    waiting: int = 0
    delivered: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Pending:
    """A draft and where its evidence lies among git's objects."""

    draft: Draft
    blobs: Mapping[str, str]


class Ledger:
    """One ledger. Processes that share a store take turns; others meet at the upstream."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._git = Git(place.store, place.settings)
        self.unreachable = ""
        """Why `commits` had to answer from what this machine has seen before; empty where it saw the upstream."""

        self._made = False
        """Whether the store was seen to be there: to look at every turn would be a process of git each time."""

        self._read: dict[str, Entry] = {}
        """The last entries that were read one by one, by their commits: a commit never changes."""

        self._altered = ""
        """The upstream's end where an entry before it is bad: it is read, and nothing of ours follows it."""

    def append(self, drafts: Sequence[tuple[Draft, Mapping[str, bytes]]], *, waits: bool = True) -> Receipt:
        """Write each draft with its evidence (contents by name) as the next entries, and deliver them upstream.

        What cannot be delivered waits in our own store and goes out with the next append or `deliver`. An event that
        was written before is not written again. waits: no decision of today may arrive when others have decided
        anew; without it what cannot be delivered now was never written.

        Raises:
            ConflictError: the upstream's branch was rewritten or taken away since we last saw it.
            InputError: a training contradicts the newest entries (see `require_one_story`); nothing was written.
        """
        with self._alone():
            if not waits:
                return self._append_now(drafts)
            try:
                unreachable = self._refresh()
            finally:
                # Also where the branch was rewritten: what happened must not be lost for that.
                entries = self._extend(drafts)
            return self._deliver(len(entries), unreachable)

    def deliver(self) -> Receipt:
        """Bring upstream what waits. Raises ConflictError as `append` does."""
        with self._alone():
            return self._deliver(0, self._refresh())

    def head(self) -> str:
        """Number and digest of the newest entry upstream, as last seen; empty where there is none."""
        with self._alone():
            seen = self._git.commit_of(SEEN)
            return self._entry(seen).head if seen else ""

    def commits(self) -> list[str]:
        """Every commit of the ledger from the first to the newest, after a look upstream.

        Raises RemoteError where the upstream cannot be reached and our own store does not hold all of it.
        """
        with self._alone():
            self.unreachable = unreachable = self._refresh(whole=True)
            tip = self._altered or self._git.commit_of(LOCAL)
            if (tip and self._git.is_shallow()) or (unreachable and not tip):
                raise RemoteError(
                    f"The ledger of {self.place.shown} cannot be read as a whole.",
                    why=unreachable or "The repository itself holds only a part of its history.",
                    fix="Run it where the repository can be reached, or inside of a full clone.",
                )
            return self._listed(tip) if tip else []

    def elsewhere(self) -> list[str]:
        """Which entries wait for another address, such as one that the repository had before, and what to do."""
        found = []
        for store in sorted(self.place.store.parent.glob("ledger-*.git")):
            git = Git(store)
            local, seen = git.commit_of(LOCAL), git.commit_of(SEEN)
            if store == self.place.store or not local or local == seen:
                continue
            count = int(git.line("rev-list", "--count", "--first-parent", local, *([f"^{seen}"] if seen else [])))
            if count:
                address = (store / "description").read_text(encoding="utf-8").strip()
                found.append(
                    f"{count} entries wait in {store} for {address}. `--command deliver --remote {address}` of "
                    "audit-trail brings them there; if the repository has another address now, say first "
                    f"`git config url.<new address>.insteadOf {address}`."
                )
        return found

    @property
    def git(self) -> Git:
        """The git directory of our own store."""
        return self._git

    # One append, step by step. Whoever is killed between two of them leaves a store from which the next one goes on.

    @contextmanager
    def _alone(self) -> Iterator[None]:
        store = self.place.store
        store.mkdir(parents=True, exist_ok=True)
        with (store / "slipway.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # A git that was killed leaves its lock files; nobody else works in this store.
            for left in (*store.glob("*.lock"), *store.glob("refs/**/*.lock"), *store.glob("objects/**/*.lock")):
                if left.name != "slipway.lock":
                    left.unlink()
            try:
                if not self._made:
                    self._git.run("init", "--bare", "--quiet", str(store))
                    # git's own place for what a repository is: `elsewhere` tells it.
                    (store / "description").write_text(f"{self.place.shown}\n", encoding="utf-8")
                    self._adopt()
                    self._made = True
                yield
            except FileNotFoundError as error:
                raise InputError("git is not installed.", fix="Install git on the runner.") from error

    def _adopt(self) -> None:
        """Begin with what the clone kept in a branch of its own before it had a remote."""
        if self.place.clone and not self._git.commit_of(LOCAL):
            fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", self.place.clone)
            try:
                self._git.run(*fetch, f"refs/heads/{self.place.branch}:{LOCAL}")
            except GitError as error:
                if "couldn't find remote ref" not in error.said:
                    raise

    def _refresh(self, *, whole: bool = False) -> str:
        """Look at the upstream's branch and chain what waits after it. Returns why it could not be reached, if so."""
        seen = self._git.commit_of(SEEN)
        branch = f"refs/heads/{self.place.branch}"
        try:
            there = self._git.line("ls-remote", "--", self.place.upstream, branch).partition("\t")[0]
            shallow = self._git.is_shallow()
            if there and (there != seen or (whole and shallow)):
                # At first the newest entries are enough; later git sends what is new since. With entries of our own
                # their history must be there, or they would seem to follow from nothing.
                first = not (seen or whole or self._git.commit_of(LOCAL))
                depth = ["--unshallow"] if whole and shallow else [f"--depth={FIRST_LOOK}"] if first else []
                fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *depth]
                self._git.run(*fetch, "--", self.place.upstream, f"+{branch}:{INCOMING}")
                there = self._git.commit_of(INCOMING)
        except GitError as error:
            return _why_not(error.said)
        if there == seen:
            if there:
                self._rebase(there)
            return ""
        if seen and not (there and self._git.is_ancestor(seen, there)):
            self._rewritten(seen, there)
        if bad := self._first_bad(seen, there):
            if not whole:
                self._refuse(bad, seen)
            self._altered = there  # whoever reads all of it names the bad entry
        else:
            self._git.run("update-ref", SEEN, there)
            self._rebase(there)
        return ""

    def _first_bad(self, seen: str, there: str) -> BadEntry | None:
        """What is wrong with the entries that are new since we last looked. Of a first look at the newest ones alone
        the oldest is believed."""
        commits = self._listed(there, f"^{seen}" if seen else "")
        before = seen
        if not seen and self._git.is_shallow():
            before, *commits = commits
        try:
            for _ in records(self._git, commits, after=(before, self._entry(before)) if before else None):
                pass
        except BadEntry as bad:
            return bad
        return None

    def _refuse(self, bad: BadEntry, seen: str) -> None:
        restore = f"git --git-dir '{self.place.store}' push --force {self.place.shown}"
        raise ConflictError(
            f"The branch {self.place.branch} of {self.place.shown} holds what is no entry. {bad}.",
            why="Somebody else than Slipway wrote to it. Nothing follows it: what is to be recorded waits here.",
            fix="Find out who and why."
            + (f" To restore what was there before: `{restore} {seen}:refs/heads/{self.place.branch}`." if seen else "")
            + " Protect the branch by a ruleset (docs/ledger.md).",
        )

    def _rewritten(self, seen: str, there: str) -> None:
        entry = self._entry(seen)
        now = f"it ends at commit {there[:12]} now" if there else "it is gone now"
        raise ConflictError(
            f"The branch {self.place.branch} of {self.place.shown} was rewritten: entry {entry.sequence} "
            f"(commit {seen[:12]}, recorded {entry.recorded_at:%Y-%m-%d %H:%M} UTC) was its end, and {now}.",
            why="A ledger only grows. Somebody pushed it by force, or deleted it.",
            fix=f"Find out who and why. To restore it: `git --git-dir '{self.place.store}' push --force "
            f"{self.place.shown} {seen}:refs/heads/{self.place.branch}`. To accept what is there, move "
            f"{self.place.store} away: entries that wait in it are then not recorded. "
            "Protect the branch by a ruleset (docs/ledger.md).",
        )

    def _rebase(self, onto: str) -> None:
        """Let our own branch follow the upstream's; what waits gets its place after it."""
        local = self._git.commit_of(LOCAL)
        if local and (local == onto or self._git.is_ancestor(onto, local)):
            return
        waiting = self._waiting(local, onto) if local else []
        tip = onto
        for each in waiting:
            tip = self._commit(each, tip)
        self._git.run("update-ref", LOCAL, tip)

    def _waiting(self, local: str, upstream: str) -> list[Pending]:
        entries = [(commit, self._entry(commit)) for commit in self._listed(local, f"^{upstream}")]
        there = self._recent_events(upstream)
        return [
            Pending(_drafted(entry), self._blobs(commit))
            for commit, entry in entries
            if entry.event != FIRST and entry.id not in there
        ]

    def _extend(self, drafts: Sequence[tuple[Draft, Mapping[str, bytes]]]) -> list[str]:
        """Chain what is new onto our own branch, where it is safe; returns the commits."""
        tip = self._git.commit_of(LOCAL)
        known = self._recent_events(tip) if tip else set()
        fresh = [Pending(draft, self._keep(draft, evidence)) for draft, evidence in drafts if draft.id not in known]
        if tip and any(each.draft.event == "training" for each in fresh):
            require_one_story([each.draft for each in fresh], self._recent_entries(tip))
        commits = self._chain(fresh, tip)
        if commits:
            self._git.run("update-ref", LOCAL, commits[-1])
        return commits

    def _chain(self, drafts: Sequence[Pending], tip: str) -> list[str]:
        """Commits of the drafts after a commit, or of a new ledger; no branch holds them yet."""
        if drafts and not tip:
            tip = self._commit(Pending(_genesis(), {}), "")
        commits = []
        for each in drafts:
            tip = self._commit(each, tip)
            commits.append(tip)
        return commits

    def _append_now(self, drafts: Sequence[tuple[Draft, Mapping[str, bytes]]]) -> Receipt:
        """Append what must not wait, after what does. Whoever is killed on the way leaves nothing of it here."""
        before = self._deliver(0, self._refresh())
        if before.why_not:
            return Receipt((), before.head, before.why_not, before.waiting + len(drafts))
        pending = [Pending(draft, self._keep(draft, evidence)) for draft, evidence in drafts]
        commits: list[str] = []

        def ours() -> str:
            nonlocal commits
            tip = self._git.commit_of(SEEN)
            known = self._recent_events(tip) if tip else set()
            commits = self._chain([each for each in pending if each.draft.id not in known], tip)
            return commits[-1] if commits else tip

        delivered, why_not = self._push(ours, "")
        seen = self._git.commit_of(SEEN)
        if delivered:
            self._git.run("update-ref", LOCAL, seen)
        return Receipt(
            () if why_not else tuple(self._entry(commit) for commit in commits),
            self._entry(seen).head if seen else "",
            why_not,
            len(commits) if why_not else 0,
            tuple(self._entry(commit) for commit in delivered),
        )

    def _recent_events(self, tip: str) -> set[str]:
        options = (f"--max-count={RECENT}", "--first-parent", "--format=%(trailers:key=Event,valueonly)")
        return set(self._git.run("log", *options, tip).decode(errors="replace").split())

    def _recent_entries(self, tip: str) -> list[Entry]:
        commits = self._listed(f"--max-count={RECENT}", tip)
        found = self._git.objects(f"{commit}:{ENTRY_FILE}" for commit in commits)
        return [read(raw) for raw in found if raw is not None]

    def _keep(self, draft: Draft, evidence: Mapping[str, bytes]) -> dict[str, str]:
        named = {each.name: each.digest for each in draft.evidence}
        assert named == {name: digest(content) for name, content in evidence.items()}, "evidence is not what is named"
        return {name: self._git.store(content) for name, content in evidence.items()}

    def _deliver(self, count: int, unreachable: str) -> Receipt:
        """Push what waits. count: how many entries are new."""
        delivered, why_not = self._push(lambda: self._git.commit_of(LOCAL), unreachable)
        # Read again: where others were faster, the entries have other places than those that they were first given.
        newest = self._listed(f"--max-count={count}", LOCAL) if count else []
        seen = self._git.commit_of(SEEN)
        local = self._git.commit_of(LOCAL)
        waiting = len(self._listed(LOCAL, f"^{SEEN}" if seen else "")) if local not in ("", seen) else 0
        entries = tuple(self._entry(commit) for commit in newest)
        return Receipt(
            entries,
            self._entry(seen).head if seen else "",
            why_not if waiting else "",
            waiting,
            tuple(self._entry(commit) for commit in delivered),
        )

    def _push(self, ours: Callable[[], str], unreachable: str) -> tuple[list[str], str]:
        """Push until it succeeds, is refused, or others were faster for too long: what it delivered, and why not.

        ours: the end that the upstream is to have, after a look at the one that it has.
        """
        why_not, until, pause = unreachable, time.monotonic() + PATIENCE, 0.05
        while not why_not and (local := ours()) != (seen := self._git.commit_of(SEEN)):
            try:
                delivered = self._listed(local, f"^{seen}" if seen else "")
                target = f"{local}:refs/heads/{self.place.branch}"
                self._git.run("push", "--porcelain", "--no-verify", "--", self.place.upstream, target)
                self._git.run("update-ref", SEEN, local)
                return delivered, ""
            except GitError as error:
                if not any(sign in error.said for sign in FASTER) or time.monotonic() > until:
                    return [], _why_not(error.said)
                time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads the writers; guards nothing
                pause = min(2 * pause, LONGEST_PAUSE)
                why_not = self._refresh()
        return [], why_not

    def _listed(self, *which: str) -> list[str]:
        """Commits in their order."""
        return self._git.run("rev-list", "--reverse", "--first-parent", *filter(None, which)).decode().split()

    def _entry(self, commit: str) -> Entry:
        if commit in self._read:
            return self._read[commit]
        try:
            raw = self._git.run("cat-file", "blob", f"{commit}:{ENTRY_FILE}")
            entry = read(raw)
            if entry.canonical != raw:
                # The next entry would name a digest that nobody finds again.
                raise ValueError("It is written otherwise than Slipway writes it.")
        except (GitError, ValueError) as error:
            raise ConflictError(
                f"Commit {commit[:12]} on the branch {self.place.branch} of {self.place.shown} is no entry.",
                why=str(error),
                fix="Somebody else wrote to the branch. `command: verify` of audit-trail names the first bad entry.",
            ) from error
        self._read = {commit: entry} if len(self._read) >= KEPT else {**self._read, commit: entry}
        return entry

    def _blobs(self, commit: str) -> dict[str, str]:
        listed = self._git.run("ls-tree", "-z", commit).decode().rstrip("\0").split("\0")
        found = {name: entry.split()[2] for entry, _, name in (each.partition("\t") for each in listed)}
        del found[ENTRY_FILE]
        return found

    def _commit(self, pending: Pending, parent: str) -> str:
        after = self._entry(parent) if parent else None
        entry = chained(pending.draft, after, utc_now())
        raw = entry.canonical
        blobs = {ENTRY_FILE: self._git.store(raw), **pending.blobs}
        lines = "".join(f"100644 blob {blob}\t{name}\n" for name, blob in sorted(blobs.items()))
        tree = self._git.line("mktree", given=lines.encode())
        return self._git.store(commit_text(entry, digest(raw), tree, parent), "commit")


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


def _genesis() -> Draft:
    now = utc_now()
    return Draft(
        id=secrets.token_hex(16),
        event="genesis",
        occurred_at=now,
        summary="Begin the ledger",
        details={
            "format": "One commit an entry: entry.json is canonical JSON (RFC 8785), `previous` is the SHA-256 of the "
            "entry before; the other files are the evidence that it names by SHA-256.",
        },
    )


def _drafted(entry: Entry) -> Draft:
    return Draft(**{name: getattr(entry, name) for name in Draft.model_fields})


def _why_not(said: str) -> str:
    text = " ".join(said.split())[-600:]
    if any(sign in said for sign in REFUSED):
        return f"The repository refused the push: {text}"
    return f"The repository could not be reached: {text}"
