"""Answers to an auditor's questions as reports: verify, history, what was live, compare."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from slipway.audit import facts, reconciliation
from slipway.audit.dossier import Dossier
from slipway.audit.trail import Live, Trail
from slipway.ledger.entries import Entry
from slipway.ledger.verification import Record, unmet
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Column, Report, Table, Verdict, combine
from slipway.report.model import Value
from slipway.runner.errors import InputError

STAGE = "audit-trail"


def verify(trail: Trail, remembered: Iterable[str]) -> Report:
    """That the ledger is whole, that its entries agree on what they speak of, and that it is the one remembered."""
    count = len(trail.records)
    chain = Check(name="chain", verdict=Verdict.INCONCLUSIVE, detail="there is no entry yet")
    if count:
        detail = (
            f"{count:,} entries follow from each other, with their evidence" if count > 1 else "its one entry is whole"
        )
        chain = Check(name="chain", verdict=Verdict.PASS, detail=detail)
    checks = [chain, *reconciliation.references(trail)]
    if len(checks) == 1:
        detail = "all entries about a version name the same model"
        checks.append(Check(name="references", verdict=Verdict.PASS, detail=detail))
    for head in remembered:
        problem = unmet(head, trail.heads)
        verdict = Verdict.FAIL if problem else Verdict.PASS
        checks.append(Check(name=f"head {head[:24]}…", verdict=verdict, detail=problem or "is in the ledger"))
    behind = sum(record.entry.clock is not None for record in trail.records)
    remarks = [f"{behind} entries were written by a clock that had fallen behind the entry before."] if behind else []
    return _checked(trail, "", checks, good=f"The ledger is whole: {count:,} entries.", remarks=remarks)


def compare(trail: Trail, model: str, checks: Sequence[Check]) -> Report:
    """Whether ledger and registry tell the same story of a model."""
    return _checked(trail, model, checks, good="Ledger and registry agree.")


def history(trail: Trail, model: str) -> Report:
    """Everything that happened to a model, in its order."""
    found = list(trail.of(model))
    columns = (
        Column(name="entry", kind="number"),
        Column(name="recorded (UTC)"),
        Column(name="event"),
        Column(name="version"),
        Column(name="verdict", kind="verdict"),
        Column(name="by"),
        Column(name="why"),
    )
    rows = tuple(_row(record) for record in found)
    table = Table(title=f"History of {model}", columns=columns, rows=rows)
    return answer(trail, model, f"{len(found)} entries are about `{model}`.", table)


def what_was_live(trail: Trail, model: str, environment: str, at: datetime | None) -> Report:
    """The version that an environment had at a moment (or has now), and why."""
    if at and at > datetime.now(UTC) + timedelta(days=1):  # the end of today may lie ahead, in any time zone
        fix = "Leave `at` out for what is live now."
        raise InputError(f"`at` is {at:%Y-%m-%d %H:%M} UTC, which lies in the future.", fix=fix)
    when = f"on {at:%Y-%m-%d at %H:%M} UTC" if at else "now"
    found = trail.live(model, environment, at)
    placed = _changes(trail.placings(model, environment))
    columns = (
        *(Column(name="version"), Column(name="model digest", kind="code"), Column(name="from (UTC)")),
        *(Column(name="until (UTC)"), Column(name="entry", kind="number"), Column(name="by"), Column(name="why")),
    )
    rows = tuple(_span(placed, number) for number in range(len(placed)))
    table = Table(title=f"Live in {environment}", columns=columns, rows=rows)
    where = f"live in {environment} {when}"
    if found is None or not found.version:
        report = answer(trail, model, f"By the ledger no version of `{model}` was {where}.", table)
        reasons = tuple(filter(None, [_elsewhere(trail, model, environment)]))
        return report.model_copy(update={"reasons": reasons})
    since = _changes(each for each in trail.placings(model, environment) if each.entry.sequence <= found.entry.sequence)
    headline = f"Version {found.version} of `{model}` was {where}, by entry {since[-1].entry.sequence}."
    report = answer(trail, model, headline, table)
    if (beside := trail.canary(model, environment, at)) is None:
        return report
    said = f"Version {beside.version} was released beside it as a canary, by entry {beside.entry.sequence}."
    return report.model_copy(update={"reasons": (said,)})


def _elsewhere(trail: Trail, model: str, environment: str) -> str:
    """Which environments are on record, where nothing was ever placed in the one that is asked for."""
    if trail.placings(model, environment):
        return ""
    known = ", ".join(f"`{name}`" for name in trail.environments(model))
    return f"Nothing on record was ever live in `{environment}`. Environments on record: {known or 'none'}."


def show(trail: Trail, model: str, version: str, registered: ModelVersion | None) -> Report:
    """Everything that is known of a version, each claim with its evidence, and what is not known."""
    dossier = Dossier(trail, model, version, registered)
    found = facts.of(dossier)
    columns = (Column(name="claim"), Column(name="value", kind="code"), Column(name="evidence"))
    sections = dict.fromkeys(fact.section for fact in found)
    tables = tuple(
        Table(
            title=section,
            columns=columns,
            rows=tuple((fact.claim, fact.text, fact.evidence) for fact in found if fact.section == section),
        )
        for section in sections
    )
    unknown = sum(fact.value is None for fact in found)
    headline = f"{len(found) - unknown} things are known of version {version} of `{model}`, {unknown} are not."
    return contradicted(answer(trail, model, headline, *tables), dossier)


def contradicted(report: Report, dossier: Dossier) -> Report:
    """The report on a version; it fails where entries contradict each other about what the version is."""
    if not dossier.contradictions:
        return report
    reasons = tuple(f"version {dossier.version}: {said}" for said in dossier.contradictions)
    chosen = f"What is told is about {dossier.digest}; what speaks of another digest is left out."
    return report.model_copy(update={"verdict": Verdict.FAIL, "reasons": (*reasons, chosen, *report.reasons)})


def moment(text: str) -> datetime | None:
    """A day (its end) or a time, UTC unless it says otherwise; None for nothing. InputError where it is neither.

    The answer is in UTC, as all times of the ledger are.
    """
    if not text:
        return None
    try:
        with contextlib.suppress(ValueError):
            next_day = date.fromisoformat(text) + timedelta(days=1)
            return datetime.combine(next_day, time(), UTC) - timedelta(milliseconds=1)
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"`at` is `{text}`, which is no date.", fix="Write `2026-11-25` (its end) or `2026-11-25T14:30+01:00`."
        ) from None


def who(entry: Entry) -> str:
    """Whoever set the run off."""
    trigger = entry.trigger
    if trigger.triggering_actor and trigger.triggering_actor != trigger.actor:
        return f"{trigger.triggering_actor} (again, first {trigger.actor})"
    return trigger.actor


def why(entry: Entry) -> str:
    """Its justification in one line; of a rollback, what was taken back and why."""
    if entry.event == "rollback" and (cause := entry.details.get("reason") or entry.details.get("cause")):
        return f"version {entry.details.get('previous_version')} was taken back: {cause}"
    said = entry.justification
    first = said.text.partition("\n")[0]
    number = f"#{entry.trigger.pull_request}" if entry.trigger.pull_request else ""
    kind = " ".join(filter(None, (said.kind if said.kind != "unknown" else "", number)))
    return ": ".join(filter(None, (kind, first)))


def _row(record: Record) -> tuple[str | int | None, ...]:
    entry = record.entry
    at = f"{entry.recorded_at:%Y-%m-%d %H:%M:%S}"
    event = f"{entry.event} (reused)" if entry.details.get("reused_from") else entry.event
    return (entry.sequence, at, event, entry.model_version, entry.verdict, who(entry), why(entry))


def _changes(placed: Iterable[Live]) -> list[Live]:
    """Without those that left the same version live: a canary that was taken back."""
    found: list[Live] = []
    for each in placed:
        if not found or found[-1].version != each.version:
            found.append(each)
    return found


def _span(placed: Sequence[Live], number: int) -> tuple[str | int | None, ...]:
    entry = placed[number].entry
    until = f"{placed[number + 1].entry.recorded_at:%Y-%m-%d %H:%M}" if number + 1 < len(placed) else "now"
    since = f"{entry.recorded_at:%Y-%m-%d %H:%M}"
    version = placed[number].version or "none"
    return (version, placed[number].digest, since, until, entry.sequence, who(entry), why(entry))


def _checked(trail: Trail, model: str, checks: Sequence[Check], *, good: str, remarks: Sequence[str] = ()) -> Report:
    bad = [check for check in checks if check.verdict is not Verdict.PASS]
    columns = (Column(name="what"), Column(name="verdict", kind="verdict"), Column(name="finding"))
    rows = tuple((check.name, check.verdict.value, check.detail) for check in checks)
    headline = good if not bad else f"{len(bad)} of {len(checks)} check{'s' if len(checks) > 1 else ''} did not pass."
    reasons = (*(f"{check.name}: {check.detail}" for check in bad[:10]), *remarks)
    table = Table(title="", columns=columns, rows=rows)
    report = answer(trail, model, headline, table)
    verdict = combine(check.verdict for check in checks)
    return report.model_copy(update={"verdict": verdict, "checks": tuple(checks), "reasons": reasons})


def answer(trail: Trail, model: str, headline: str, *tables: Table) -> Report:
    """A report that answers a question: which ledger it rests on stands in its provenance."""
    return Report(
        stage=STAGE,
        model=model or "ledger",
        verdict=Verdict.PASS,
        headline=headline,
        tables=tuple(table for table in tables if table.rows),
        provenance=heads(trail, trail.head),
    )


def heads(trail: Trail, delivered: str) -> dict[str, Value]:
    """Which ledger an answer rests on. delivered: its newest entry that others see as well."""
    number = int(delivered.partition(":")[0]) if delivered else -1
    waiting = sum(record.entry.sequence > number for record in trail.records)
    said: dict[str, Value] = {"ledger_head": delivered or "none", "ledger_entries": len(trail.records)}
    return said | ({"entries_waiting_here": waiting} if waiting else {})
