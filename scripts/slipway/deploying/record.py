"""The releases of one environment in the ledger: what was begun, looked at, promoted, taken back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from slipway.ledger import drafting
from slipway.ledger.entries import Entry, Fact, Kind
from slipway.ledger.placing import Canaries, in_force, is_automatic
from slipway.ledger.reading import Reading
from slipway.ledger.store import Receipt
from slipway.ledger.verification import Record
from slipway.release.seal import SEAL_FILE, Sealed, parse
from slipway.report import Report
from slipway.rollout.steps import Decision, OnRecord, Opened, Rollout
from slipway.runner.context import Run
from slipway.runner.errors import ConflictError, GateError, InputError, RemoteError

OF_A_LOOK: dict[str, Decision] = {"promote": "promote", "roll-back": "roll-back", "inconclusive": "hold"}
VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""As registries count: `01` would be another version than 1 to the ledger, and the same one to them."""

PERMISSION = "The job needs `permissions: {contents: write}` and `github-token`."


@dataclass(frozen=True)
class Known:
    """What the ledger says of an environment. begun: the entry of the open release, or of the newest that there was.

    placed: the entry by which the live version is live. releases: how many were begun. lived: every version that was
    ever live. newest: number of the ledger's newest entry.
    """

    record: OnRecord = field(default_factory=OnRecord)
    begun: Entry | None = None
    placed: Entry | None = None
    releases: int = 0
    lived: frozenset[str] = frozenset()
    newest: int = -1

    @property
    def gone_back(self) -> Entry | None:
        """The entry by which somebody went back to the live version; None where it is live by its release."""
        placed = self.placed
        return placed if placed and placed.event == "rollback" and not is_automatic(placed) else None


def known(entries: Iterable[Entry], model: str, environment: str, shares: Sequence[float]) -> Known:
    """Read the releases of an environment. shares: the canary's share of the requests, stage by stage."""
    entries = tuple(entries)
    found = Known(newest=entries[-1].sequence if entries else -1)
    lived: list[str] = []
    canaries = Canaries()
    for entry in in_force(entries, model, environment):
        if entry.model == model and canaries.count(entry):
            found = _after(found, entry, environment, shares, lived)
    return replace(found, lived=found.lived | set(lived))


def _after(found: Known, entry: Entry, environment: str, shares: Sequence[float], lived: list[str]) -> Known:
    """What is known after one more entry. lived: the versions to which a rollback could go, the live one last."""
    record, version, details = found.record, entry.model_version, entry.details
    opened = record.opened
    if entry.event == "look" and opened and opened.rollout == "canary" and version == opened.version:
        decision = OF_A_LOOK.get(str(details.get("decision")), "continue")
        share = shares[min(int(details.get("stage") or 0), len(shares) - 1)] if shares else 0.0
        return replace(found, record=replace(record, opened=replace(opened, share=share, decision=decision)))
    if details.get("environment") != environment:
        return found
    if entry.event == "override" and opened and details.get("release") == opened.number and opened.decision == "hold":
        return replace(found, record=replace(record, opened=replace(opened, decision="promote")))
    if entry.event == "deployment" and "rollout" in details:
        rollout: Rollout = "canary" if details["rollout"] == "canary" else "at_once"
        began = Opened(entry.sequence, version, record.live, rollout, shares[0] if shares else 0.0)
        return replace(found, record=replace(record, opened=began), begun=entry, releases=found.releases + 1)
    if entry.event in ("promotion", "deployment"):
        lived[:] = [each for each in lived if each != version] + [version]
    elif entry.event == "rollback":
        # Back to where it was live before; what came after it is not gone back to. Unless somebody names it.
        lived[:] = lived[: lived.index(version) + 1] if version in lived else [*lived, *filter(None, [version])]
    else:
        return found
    live = lived[-1] if lived and version else ""
    now = OnRecord(live=live, previous=lived[-2] if len(lived) > 1 and version else "")
    return replace(found, record=now, placed=entry, lived=found.lived | {*filter(None, [version])})


@dataclass
class Releases:
    """Reads and writes the releases of a model to one environment."""

    reading: Reading
    run: Run
    model: str
    environment: str
    shares: Sequence[float] = ()
    claim: str = field(default_factory=lambda: secrets.token_hex(8))
    last: Known | None = None
    """What was on record when it was read last; None before."""

    _records: list[Record] = field(default_factory=list, repr=False)
    _delivered: bool = False

    def read(self) -> Known:
        """What is on record. Raises RemoteError or ConflictError as `Reading.entries` does.

        What waits on this machine is not: others do not know of it, so nothing may follow from it. It is delivered
        first, where that can be done by now.
        """
        if not self._delivered:
            self.reading.ledger.deliver()
            self._delivered = True
        self.reading.entries()
        head = self.reading.ledger.head()
        newest = int(head.partition(":")[0]) if head else -1
        self._records = [each for each in self.reading.known if each.entry.sequence <= newest]
        self.last = known((each.entry for each in self._records), self.model, self.environment, self.shares)
        return self.last

    def was_live(self, environment: str, version: str) -> bool:
        """Whether a version was ever live in an environment, as the ledger was last read."""
        entries = (each.entry for each in self._records)
        return version in known(entries, self.model, environment, self.shares).lived

    def begun_with(self, version: str) -> Entry | None:
        """The entry with which the newest release of a version began there; None where it never did."""
        for each in reversed(self.reading.known):
            said = each.entry
            if (said.event, said.model, said.model_version) == ("deployment", self.model, version) and (
                said.details.get("environment") == self.environment
            ):
                return said
        return None

    def approval(self, version: str, *, after: int) -> tuple[Sealed, Entry] | None:
        """The newest approval of a version for this environment that was recorded after an entry, with what was
        sealed; None for none, or where it did not pass."""
        for each in reversed(self._records):
            said = each.entry
            if said.sequence <= after:
                return None
            if (said.event, said.model, said.model_version) != ("approval", self.model, version):
                continue
            if said.verdict != "pass" and SEAL_FILE not in each.files:
                return None
            sealed = self._sealed(each)
            if sealed.deploys_to == self.environment:
                return (sealed, said) if said.verdict == "pass" else None
        return None

    def _sealed(self, found: Record) -> Sealed:
        blob = found.files.get(SEAL_FILE)
        if blob is None:
            raise GateError(
                f"The approval in entry {found.entry.sequence} of the ledger does not say what was approved.",
                why=f"It has no {SEAL_FILE} as evidence.",
                fix="Let record-reports record the report of record-approval in the approved job.",
            )
        return parse(self.reading.ledger.git.run("cat-file", "blob", blob), f"entry {found.entry.sequence}")

    def begin(self, before: Known, version: str, rollout: Rollout, report: Report, **details: Fact) -> None:
        """Put on record that a release begins. Nothing is touched before.

        Raises:
            RemoteError: it could not be delivered.
            ConflictError: another run began a release at the same time.
        """
        said: dict[str, Fact] = {"rollout": rollout, "previous_version": before.record.live, "claim": self.claim}
        receipt = self._append("deployment", version, before.releases + 1, report, {**said, **details}, waits=False)
        if not any(entry.details.get("claim") == self.claim for entry in receipt.entries):
            raise ConflictError(
                f"Another run began a release of `{self.model}` to {self.environment} at the same time.",
                why="The ledger holds its entry, and nothing was deployed by this run.",
                fix="Give both jobs one `concurrency` group, and run this one again when the other has ended.",
            )

    def promote(self, opened: Opened, report: Report) -> None:
        """Put on record that the release's version is live."""
        details: dict[str, Fact] = {"previous_version": opened.beside, "release": opened.number}
        self._append("promotion", opened.version, opened.number, report, details)

    def override(self, opened: Opened, reason: str, report: Report) -> None:
        """Put on record that a person promotes a canary that its evidence did not decide."""
        details: dict[str, Fact] = {"release": opened.number, "decision": "promote", "reason": reason}
        self._append("override", opened.version, opened.number, report, details, waits=False)

    def revert(self, opened: Opened, cause: str, report: Report) -> None:
        """Put on record that a release was taken back."""
        details: dict[str, Fact] = {"previous_version": opened.version, "release": opened.number, "cause": cause}
        self._append("rollback", opened.beside, opened.number, report, details)

    def roll_back(self, before: Known, to: str, cause: str, reason: str, report: Report) -> None:
        """Put on record that another version than the live one shall be live again, and why."""
        opened = before.record.opened
        details: dict[str, Fact] = {
            "previous_version": opened.version if opened else before.record.live,
            "cause": cause,
            "reason": reason,
            **({"release": opened.number} if opened else {}),
        }
        # Two runs that want the same of the same are one; of two that do not, the later one counts.
        self._append("rollback", to, ("by hand", before.newest, to, cause), report, details, waits=False)

    def _append(
        self,
        event: Kind,
        version: str,
        which: object,
        report: Report,
        details: Mapping[str, Fact],
        *,
        waits: bool = True,
    ) -> Receipt:
        """waits: whether it tells what happened, which is true later, too. What somebody decides is said now or not."""
        shown = {subject.name: subject.id for subject in report.subjects if subject.role in ("candidate", "version")}
        registry = next((subject.id for subject in report.subjects if subject.role == "registry"), "")
        said = {
            "model": self.model,
            "model_version": version,
            "model_digest": shown.get(version, ""),
            "verdict": report.verdict.value,
            "reasons": report.reasons,
            "subjects": [subject.model_dump() for subject in report.subjects],
            "details": {
                "environment": self.environment,
                **({"registry": registry} if registry else {}),
                **details,
            },
        }
        key = (self.run.repository, self.model, self.environment, which)
        files = {drafting.REPORT_FILE: report.finished().model_dump_json().encode()}
        summary = f"{self.model}, {self.environment}: {report.headline}"
        now = datetime.now(UTC)
        receipt = self.reading.ledger.append(
            [drafting.of_event(event, summary, self.run, occurred_at=now, files=files, key=key, said=said)], waits=waits
        )
        if receipt.waiting:
            raise RemoteError(
                f"The {event} of version {version or 'none'} could not be put on record.",
                why=receipt.why_not,
                fix=f"{PERMISSION} Run it again then: it goes on from what is there."
                + ("" if waits else " Until then it is as if nobody had asked for it."),
            )
        return receipt


def require_open_or_none(found: Known, version: str, environment: str) -> None:
    """ConflictError where another version is being released: two releases at once would hide each other's harm."""
    opened = found.record.opened
    if opened and opened.version != version:
        raise ConflictError(
            f"Version {opened.version} is being released to {environment}.",
            why=f"Its release began with entry {opened.number} of the ledger, and has not ended.",
            fix="Wait for its end, or take it back with rollback-model.",
        )


def require_newer(found: Known, version: str, environment: str) -> None:
    """ConflictError where a version comes late: a run of its own that ended after a newer one's."""
    live = found.record.live
    if version.isdecimal() and live.isdecimal() and int(version) < int(live):
        raise ConflictError(
            f"Version {version} is older than version {live}, which is live in {environment}.",
            why="A run that comes late would take the newer version's place.",
            fix="To go back on purpose, use rollback-model: it says who wanted it and why.",
        )


def require_version(version: str) -> None:
    """InputError where a version is not named as a registry names it."""
    if version and not VERSION.fullmatch(version):
        raise InputError(
            f"`model-version` must be a number of the registry, not `{version[:100]}`.",
            fix="Give the `model-version` output of train-model or record-approval.",
        )
