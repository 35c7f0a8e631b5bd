"""What an entry says, and the bytes that its digest is taken over.

An entry holds no measured values, only whole numbers, text and digests: what was measured stands in the report, which
is kept beside the entry and named by its digest. So the canonical form has no numbers that two languages could write
differently, and a hundred thousand entries are checked in seconds.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from slipway.report import Subject
from slipway.runner.errors import InputError

LARGEST = 16 * 1024 * 1024
"""Bytes of an entry, or of one piece of evidence. GitHub refuses files of 100 MB, and a ledger is no data store."""

ENTRY_FILE = "entry.json"
FIRST = "genesis"
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Whole = Annotated[int, Field(gt=-(2**53), lt=2**53)]
"""What every reader of JSON holds exactly."""

Fact = bool | Whole | str | None
Kind = Literal[
    "genesis",
    "validation",
    "training",
    "evaluation",
    "comment",
    "risk",
    "packaging",
    "approval",
    "deployment",
    "look",
    "promotion",
    "rollback",
    "drift",
    "dispatch",
    "refresh",
    "proposal",
    "reproduction",
    "signature",
    "override",
]


def writable(content: Any) -> Any:
    """Content from outside as UTF-8 can carry it: half a surrogate pair, as a broken file name has it, becomes `?`."""
    if isinstance(content, str):
        return content.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(content, dict):
        return {writable(key): writable(value) for key, value in content.items()}
    return [writable(each) for each in content] if isinstance(content, (list, tuple)) else content


def _not_the_entry(name: str) -> str:
    if name == ENTRY_FILE:
        raise ValueError("is the name of the entry itself")
    return name


def _exact(moment: datetime) -> datetime:
    """In UTC and whole milliseconds: what the ledger's text form of a time holds."""
    if moment.tzinfo is None:
        raise ValueError("must have a time zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Moment = Annotated[datetime, AfterValidator(_exact)]


class Part(BaseModel):
    """Base of an entry's parts: no undeclared keys, never changed after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Justification(Part):
    """Why something was done: the pull request, the commit, the dispatch or the person that asked for it."""

    kind: Literal["pull request", "commit", "dispatch", "schedule", "person", "unknown"] = "unknown"
    text: str = ""
    url: str = ""
    issues: tuple[str, ...] = ()
    """Issues that it names as its reason, as GitHub links them (`fixes #12`)."""


class Trigger(Part):
    """Who set the run off, and how. Logins can be renamed, so ids stand beside them."""

    event: str = ""
    actor: str = ""
    actor_id: str = ""
    triggering_actor: str = ""
    pull_request: Whole | None = None
    sha: str = ""
    ref: str = ""
    fork: bool = False
    """Whether the change came from a fork, whose runs may claim anything."""


class RunFacts(Part):
    """The workflow run; empty for what a person did on a machine of theirs."""

    repository: str = ""
    run_id: Whole = 0
    attempt: Whole = 0
    workflow: str = ""
    url: str = ""


class Evidence(Part):
    """A file that is kept beside the entry."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$"), AfterValidator(_not_the_entry)]
    digest: Digest
    bytes: Whole


class Draft(Part):
    """What somebody has to say, before it has a place in the chain."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Identity of the event itself: the same event is written once, however often its writer is interrupted."""

    event: Kind
    occurred_at: Moment
    summary: str
    model: str = ""
    model_version: str = ""
    model_digest: str = ""
    verdict: Literal["pass", "fail", "inconclusive", ""] = ""
    reasons: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()
    justification: Justification = Justification()
    trigger: Trigger = Trigger()
    run: RunFacts = RunFacts()
    evidence: tuple[Evidence, ...] = ()
    links: dict[str, str] = Field(default_factory=dict)
    details: dict[str, Fact] = Field(default_factory=dict)
    """What only this kind of event has: `environment`, `previous_version`, `reused_from`, `registry`."""


class Entry(Draft):
    """A draft with its place in the chain.

    recorded_at: never earlier than that of the entry before, so that the order of times is the order of entries.
    clock: what the writer's clock really said where it had fallen behind the entry before.
    """

    sequence: Annotated[int, Field(ge=0)]
    previous: Digest | None
    """SHA-256 of the entry before; None for the first alone."""

    recorded_at: Moment
    clock: Moment | None = None

    @property
    def canonical(self) -> bytes:
        """The entry's bytes."""
        return canonical(self.model_dump(mode="python"))

    @property
    def head(self) -> str:
        """What to remember in order to notice a rewritten ledger: the entry's number and digest."""
        return f"{self.sequence}:{digest(self.canonical)}"


def chained(draft: Draft, after: Entry | None, now: datetime) -> Entry:
    """The draft as the entry that follows `after`. InputError where it is larger than a ledger takes."""
    clock = _exact(now)
    recorded = max(clock, after.recorded_at) if after else clock
    said = {name: getattr(draft, name) for name in Draft.model_fields}
    entry = Entry(
        **said,
        sequence=after.sequence + 1 if after else 0,
        previous=digest(after.canonical) if after else None,
        recorded_at=recorded,
        clock=clock if clock < recorded else None,
    )
    if len(entry.canonical) > LARGEST:
        raise InputError(
            f"An entry of {len(entry.canonical):,} bytes is larger than the ledger takes ({LARGEST:,}).",
            fix="Keep long text in a file of evidence, and data in your data store; an entry names them by digest.",
        )
    return entry


def canonical(content: Any) -> bytes:
    """JSON by RFC 8785, times as text. https://www.rfc-editor.org/rfc/rfc8785"""
    try:
        return rfc8785.dumps(_plain(content))
    except rfc8785.CanonicalizationError as error:
        raise InputError("An entry holds a value that JSON cannot carry exactly.", why=str(error)) from error


def _plain(content: Any) -> Any:
    if isinstance(content, datetime):
        return content.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    return [_plain(each) for each in content] if isinstance(content, (list, tuple)) else content


def is_canonical(raw: bytes) -> bool:
    """Whether an entry's JSON is in its one canonical form. ValueError where it is no JSON, or has a fraction.

    Of whole numbers and ASCII keys Python's own encoder writes that form, five times as fast (measured).
    """
    content = DECODER.decode(raw.decode())
    try:
        if raw.isascii() or _has_ascii_keys(content):
            return ENCODER.encode(content).encode() == raw
        return rfc8785.dumps(content) == raw
    except (UnicodeEncodeError, rfc8785.CanonicalizationError):
        return False


def _no_fraction(text: str) -> float:
    raise ValueError(f"holds the number {text}, and an entry has whole numbers only")


DECODER = json.JSONDecoder(parse_float=_no_fraction, parse_constant=_no_fraction)
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _has_ascii_keys(content: Any) -> bool:
    """Only then is the order of code points, which Python sorts by, that of UTF-16, which RFC 8785 asks for."""
    if isinstance(content, dict):
        return all(key.isascii() for key in content) and all(map(_has_ascii_keys, content.values()))
    return all(map(_has_ascii_keys, content)) if isinstance(content, list) else True


def digest(content: bytes) -> str:
    """SHA-256 as entries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def identity(*parts: object) -> str:
    """Identity of an event, from all that makes it this one and no other."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:32]


def read(raw: bytes) -> Entry:
    """An entry from its bytes. ValueError says what is wrong with them."""
    if not is_canonical(raw):
        raise ValueError("is not in canonical form (RFC 8785)")
    try:
        return Entry.model_validate_json(raw, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"is no entry: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
