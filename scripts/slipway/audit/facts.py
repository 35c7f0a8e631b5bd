"""What is known of one version, claim by claim, each with the entry or registry that says it. This is the only source
of the evidence pack and of `show`: what is not here is not known."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from slipway.audit.dossier import Dossier, shown
from slipway.audit.trail import Trail
from slipway.ledger.entries import Entry, Kind
from slipway.ledger.placing import PLACING
from slipway.ledger.verification import Record
from slipway.registry.mlflow import ModelVersion
from slipway.report import Report, Table, Verdict

REGISTRY = "registry"
UNRECORDED = "no entry records it"
PROVENANCE = "provenance.json"
REPORT = "report.json"
STATEMENT = "provenance.intoto.json"


@dataclass(frozen=True)
class Fact:
    """One claim. value: None where it is not known. evidence: where it stands, or why it is not known."""

    section: str
    claim: str
    value: str | None
    evidence: str

    @property
    def text(self) -> str:
        """The value for people."""
        return "not known" if self.value is None else self.value


def facts(trail: Trail, model: str, version: str, registry_version: ModelVersion | None) -> tuple[Fact, ...]:
    """Everything known of a version, and what is not, in the order of its life.

    registry_version: the version as the registry has it; None where it has none or was not asked.
    All text is as it was recorded, whoever wrote it: escape it where it is shown.
    Raises InputError where the ledger says nothing of the version.
    """
    return of(Dossier(trail, model, version, registry_version))


def of(dossier: Dossier) -> tuple[Fact, ...]:
    """The facts of a dossier."""
    assert dossier.records
    return tuple(Fact(section, *said) for section, find in SECTIONS.items() for said in find(dossier))


Said = tuple[str, str | None, str]
"""Claim, value and evidence."""


def _identity(dossier: Dossier) -> Iterator[Said]:
    newest = dossier.as_of
    yield "model", dossier.model, f"entry {dossier.records[0].entry.sequence}"
    yield "version", dossier.version, f"entry {dossier.first.entry.sequence}"
    named = [r.entry for r in dossier.records if r.entry.model_version == dossier.version]
    named = [entry for entry in named if entry.model_digest == dossier.digest != ""]
    where = f"entry {named[0].sequence}" if named else UNRECORDED
    yield "digest of the model's files", dossier.digest or None, where
    yield from (("CONTRADICTION", said, "entries of the ledger") for said in dossier.contradictions)
    for number in sorted(dossier.others):
        yield "left out", "it speaks of another model by the same number", f"entry {number}"
    yield _from_training(dossier, "payload_digest", "digest without times and ids of the saving", tag="payload_digest")
    yield "live now in", ", ".join(dossier.live_in) or "no environment", f"entries up to {newest.sequence}"
    yield from _registered(dossier)


def _registered(dossier: Dossier) -> Iterator[Said]:
    found = dossier.registry
    if found is None:
        yield "registered as", None, "the registry has no such version, or was not asked"
        return
    yield "registered as", f"{found.model} version {found.version}", REGISTRY
    said = found.tags.get("slipway.model_digest")
    if not said:
        yield "digest in the registry", None, "the registry's version has no tag slipway.model_digest"
    elif not dossier.digest:
        yield "digest in the registry", f"{said} (no entry names one to compare it with)", f"{REGISTRY}"
    else:
        agrees = "the same as in the ledger" if said == dossier.digest else f"DIFFERS from the ledger's: {said}"
        yield "digest in the registry", agrees, f"{REGISTRY}, tag slipway.model_digest"


def _why(dossier: Dossier) -> Iterator[Said]:
    entry = dossier.first.entry
    where = f"entry {entry.sequence}"
    why, by, run = entry.justification, entry.trigger, entry.run
    missing = f"{where} has none"
    yield "reason", why.text or None, where if why.text else missing
    yield "reason given by", f"{why.kind} {why.url}".strip() if why.kind != "unknown" else None, where
    yield "linked issues", ", ".join(why.issues) or None, where if why.issues else f"{where} names none"
    who = f"{by.actor} (id {by.actor_id})" if by.actor_id else by.actor
    yield "set off by", who or None, where if who else f"{where} was not written by a workflow run"
    if by.triggering_actor and by.triggering_actor != by.actor:
        yield "run again by", by.triggering_actor, where
    yield "event", by.event or None, where if by.event else missing
    yield "pull request", f"#{by.pull_request}" if by.pull_request else None, where if by.pull_request else missing
    yield "branch or tag", by.ref or None, where if by.ref else missing
    yield "from a fork", _yes(by.fork) if by.event else None, where if by.event else missing
    ran = " ".join(filter(None, (run.repository, f"run {run.run_id}", f"attempt {run.attempt}", run.url)))
    yield "workflow run", ran if run.run_id else None, where if run.run_id else missing
    yield "workflow", run.workflow or None, where if run.workflow else missing


def _code(dossier: Dossier) -> Iterator[Said]:
    yield _from_training(dossier, "commit", "commit", tag="commit")
    yield _from_training(dossier, "clean", "work tree was clean", tag="clean", form=_yes)
    if changes := dossier.provenance.get("changes"):
        yield "uncommitted changes", ", ".join(map(str, changes)), _in(dossier.made_by, PROVENANCE)
    yield _from_training(dossier, "command", "command", tag="command", form=_command)
    if "seed" in dossier.provenance and dossier.provenance["seed"] is None:
        yield "seed", "none was set", _in(dossier.made_by, PROVENANCE)
    else:
        yield _from_training(dossier, "seed", "seed", tag="seed")


def _data(dossier: Dossier) -> Iterator[Said]:
    where = _in(dossier.made_by, PROVENANCE)
    named = dossier.provenance.get("datasets")
    for name, said in sorted(named.items()) if isinstance(named, dict) else ():
        kept = "" if said.get("immutable") else " (can change under its name)"
        tracked = f", tracked by {said['tracked_by']}" if said.get("tracked_by") else ""
        yield f"dataset {name}", f"{said.get('path')} {said.get('kind')} {said.get('id')}{tracked}{kept}", where
        for key, claim in (("pinned", "exact address of"), ("sha256", "SHA-256 of")):
            if said.get(key):
                yield f"{claim} {name}", said[key], where
        if said.get("remark"):
            yield f"remark on {name}", str(said["remark"]), where
    if named:
        return
    tags = dossier.registry.tags if dossier.registry else {}
    found = {name: said for name, said in sorted(tags.items()) if name.startswith("slipway.dataset.")}
    for name, said in found.items():
        yield f"dataset {name.removeprefix('slipway.dataset.')}", said, f"{REGISTRY}, tag {name}"
    if not found:
        yield "datasets", None, UNRECORDED


def _parameters(dossier: Dossier) -> Iterator[Said]:
    named = dossier.provenance.get("parameters")
    if not isinstance(named, dict):
        yield "parameters", None, UNRECORDED
    elif not named:
        yield "parameters", "none were given to the command", _in(dossier.made_by, PROVENANCE)
    else:
        for name, said in sorted(named.items()):
            yield str(name), str(said), _in(dossier.made_by, PROVENANCE)


def _environment(dossier: Dossier) -> Iterator[Said]:
    where = _in(dossier.made_by, PROVENANCE)
    environment = dossier.provenance.get("environment")
    if not isinstance(environment, dict):
        yield _from_training(dossier, "", "lock", tag="environment")
        yield "locked by hashes", None, UNRECORDED
        yield _from_training(dossier, "", "hashes checked at installation", tag="hash_locked")
        yield _from_training(dossier, "", "Python", tag="python")
        yield "packages", None, UNRECORDED
    else:
        lock = environment.get("lock_digest")
        yield "lock", str(lock) if lock else "none: the environment was not built from a lock", where
        hashed = sum(bool(each.hashes) for each in dossier.lock)
        yield "locked by hashes", f"{_yes(0 < hashed == len(dossier.lock))}, {hashed} of {len(dossier.lock)}", where
        checked = environment.get("hash_locked")
        told = where if checked is not None else f"{where} does not say it"
        yield "hashes checked at installation", None if checked is None else _yes(checked), told
        yield "Python", environment.get("python") or None, where
        packages = ", ".join(f"{name}=={version}" for name, version in dossier.packages)
        yield f"packages ({len(dossier.packages)})", packages or None, where
    machine = dossier.provenance.get("machine")
    if isinstance(machine, dict):
        for name, said in sorted(machine.items()):
            yield f"machine: {name}", str(said) or None, where if said else f"{where} does not say it"
    else:
        yield _from_training(dossier, "", "machine: platform", tag="platform")
    yield from _bases(dossier)


def _bases(dossier: Dossier) -> Iterator[Said]:
    """What the environment was built on, by the training, and by entries that name a container."""
    base, where = dossier.provenance.get("base"), _in(dossier.made_by, PROVENANCE)
    named = [
        (f"{subject.name} {subject.id}".strip(), f"entry {record.entry.sequence}")
        for record in dossier.records
        for subject in record.entry.subjects
        if subject.role in ("container", "base")
    ]
    if isinstance(base, dict) and base.get("kind") != "unknown":
        image = " ".join(filter(None, (str(base.get("image") or ""), str(base.get("version") or ""))))
        named.insert(0, (f"{base.get('kind')}: {image or 'not named'}", where))
    for said, found in named:
        yield "container base", said, found
    if not named and base:
        yield "container base", None, f"{where}: nothing could be told"
    elif not named:
        yield _from_training(dossier, "", "container base", tag="base")


def _policy(dossier: Dossier) -> Iterator[Said]:
    seen: dict[tuple[str, str], list[int]] = {}
    for record in dossier.records:
        for subject in record.entry.subjects:
            if subject.role in ("policy", "schema"):
                about = f"{subject.role} {subject.name}".strip()
                seen.setdefault((about, subject.id), []).append(record.entry.sequence)
    for (about, digest), numbers in seen.items():
        yield about, digest, _entries(numbers)
    if not any(about.startswith("policy") for about, _ in seen):
        yield _from_training(dossier, "", "policy", tag="policy_digest")
    policy = dossier.provenance.get("policy")
    gates = policy.get("gates_from") if isinstance(policy, dict) else None
    yield "gates read from", str(gates) if gates else None, _in(dossier.made_by, PROVENANCE) if gates else UNRECORDED


def _training(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "training")
    if dossier.malformed:
        yield "provenance", None, f"{_in(dossier.made_by, PROVENANCE)} has another form: {dossier.malformed}"
    yield _from_training(dossier, "base_model", "model that it started from", tag="base_model")
    if dossier.provenance.get("job"):
        yield _from_training(dossier, "job", "job elsewhere, as the run names it", tag="job")
    yield _from_training(dossier, "started", "started", tag="started")
    yield _from_training(dossier, "finished", "finished", tag="finished")
    yield _from_training(dossier, "seconds", "duration in seconds", tag="seconds")
    yield _from_training(
        dossier, "peak_memory", "peak memory in bytes", tag="peak_memory", form=lambda b: f"{int(b):,}"
    )
    yield _from_training(dossier, "log_digest", "digest of the command's output", tag="log_digest")
    kept = [each for each in dossier.made_by.entry.evidence if each.name == STATEMENT] if dossier.made_by else []
    if kept:
        yield "digest of the in-toto statement", kept[0].digest, _in(dossier.made_by, STATEMENT)
    else:
        yield _from_training(dossier, "", "digest of the in-toto statement", tag="statement_digest")
    run = dossier.provenance.get("mlflow_run") or (dossier.registry.run_id if dossier.registry else "")
    where = (
        _in(dossier.made_by, PROVENANCE) if dossier.provenance.get("mlflow_run") else REGISTRY if run else UNRECORDED
    )
    yield "run in the registry", str(run) or None, where


def _validation(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "validation")


def _evaluation(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "evaluation")


def _comment(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "comment")


def _approvals(dossier: Dossier) -> Iterator[Said]:
    yield from _events(dossier, "risk", claim=_kind, none="")
    yield from _events(dossier, "approval", claim=_approved, none="approval")
    yield from _events(dossier, "override", claim=_kind, none="")


def _kind(entry: Entry) -> str:
    return entry.event


def _approved(entry: Entry) -> str:
    environment = entry.details.get("environment")
    return f"approval for {environment}" if environment else "approval"


def _signature(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "signature", told=True)


def _packaging(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "packaging", none="image", told=True)


def _releases(dossier: Dossier) -> Iterator[Said]:
    own = {r.entry.sequence for r in dossier.of("deployment", "promotion", "rollback")}
    for environment in dossier.environments:
        where = f"entries up to {dossier.as_of.sequence}"
        yield f"{environment}: live now", _yes(environment in dossier.live_in), where
        for record in dossier.records:
            entry = record.entry
            if entry.sequence in own and entry.details.get("environment") == environment:
                yield f"{environment}: {entry.event}", _told(entry), f"entry {entry.sequence}"
                if entry.justification.text:
                    yield f"{environment}: reason", entry.justification.text, f"entry {entry.sequence}"
                yield from _details(entry, environment)
    if not own:
        yield "deployments, promotions and rollbacks", None, UNRECORDED


def _operation(dossier: Dossier) -> Iterator[Said]:
    yield from _stage(dossier, "look", none="canary looks", result="canary look")
    yield from _stage(dossier, "drift", none="drift reports", result="drift report")
    yield from _stage(dossier, "dispatch", none="dispatches of a retraining", result="dispatch of a retraining")
    yield from _stage(dossier, "reproduction", none="attempts to rebuild it", result="attempt to rebuild it")


def _records(dossier: Dossier) -> Iterator[Said]:
    for record in dossier.records:
        entry, where = record.entry, f"entry {record.entry.sequence}"
        files = ", ".join(f"{each.name} {each.digest} ({each.bytes:,} bytes)" for each in entry.evidence)
        yield f"{where}: {entry.event}", f"{record.digest}, recorded {shown(entry.recorded_at)}", where
        yield f"{where}: files", files or "none", where


SECTIONS: dict[str, Callable[[Dossier], Iterator[Said]]] = {
    "Identity": _identity,
    "Justification": _why,
    "Code": _code,
    "Data": _data,
    "Parameters": _parameters,
    "Environment": _environment,
    "Policy": _policy,
    "Validation": _validation,
    "Training": _training,
    "Evaluation": _evaluation,
    "Comment": _comment,
    "Approvals": _approvals,
    "Signature": _signature,
    "Packaging": _packaging,
    "Releases": _releases,
    "Operation": _operation,
    "Records": _records,
}
"""The sections in their order, and what finds their claims."""

KNOWN_ELSEWHERE = frozenset(
    {
        "candidate",
        "version",
        "policy",
        "schema",
        "container",
        "base",
        "policy_digest",
        "gates_from",
        "model_version",
        "model_digest",
    }
)
"""Roles of subjects, and names of provenance, that sections of their own tell of."""


def _stage(
    dossier: Dossier, event: Kind, *, none: str = "", result: str = "result", told: bool = False
) -> Iterator[Said]:
    """What the reports of one kind of entry say; without a report, what the entry says.

    none, result: the claim where there is no such entry, and that of its verdict. told: whether to repeat what the
    report says of its provenance, too.
    """
    found = dossier.of(event)
    if not found:
        yield none or event, None, UNRECORDED
    for record in found:
        entry, where, report = record.entry, f"entry {record.entry.sequence}", dossier.report(record)
        in_report = f"{where}, {REPORT}" if report else where
        yield result, _told(entry, report), in_report
        yield from (("reason", reason, where) for reason in entry.reasons)
        yield from ((name, text, in_report) for name, text in _found(report))
        if told and report:
            for name, value in report.provenance.items():
                if name not in KNOWN_ELSEWHERE and value not in (None, ""):
                    yield name.replace("_", " "), _words(value), in_report
        for subject in entry.subjects:
            if subject.role not in KNOWN_ELSEWHERE:
                yield (
                    f"{subject.role} {subject.name}".strip(),
                    subject.id or None,
                    where if subject.id else f"{where} has no digest",
                )
        yield from ((f"link {name}", address, where) for name, address in sorted(entry.links.items()))
        yield from _details(entry)


def _found(report: Report | None) -> Iterator[tuple[str, str]]:
    """The rows of a report's tables, then its checks: those that did not pass one by one, the others by number."""
    if report is None:
        return
    for table in report.tables:
        yield from _rows(table)
    counts = Counter(check.verdict for check in report.checks)
    said = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    if said:
        yield "checks", said
    for check in report.checks:
        if check.values or check.verdict is not Verdict.PASS:
            rows = f" ({check.count:,} rows)" if check.count is not None else ""
            yield f"check {check.name}", f"{check.verdict.value}{': ' if check.detail else ''}{check.detail}{rows}"


def _rows(table: Table) -> Iterator[tuple[str, str]]:
    seen: Counter[str] = Counter()
    for row in table.rows:
        first = "" if row[0] is None else str(row[0]).replace("\u00a0", " ")
        seen[first] += 1
        cells = zip(table.columns[1:], row[1:], strict=True)
        said = ", ".join(f"{column.name} {cell}" for column, cell in cells if cell not in (None, ""))
        yield first if seen[first] == 1 else f"{first} ({seen[first]})", said
    if table.note:
        yield f"note on {table.title}" if table.title else "note", table.note


def _events(dossier: Dossier, event: Kind, *, claim: Callable[[Entry], str], none: str) -> Iterator[Said]:
    """Events that have details instead of a report. none: the claim where there is no such event; empty for none."""
    found = dossier.of(event)
    if not found and none:
        yield none, None, UNRECORDED
    for record in found:
        entry, where = record.entry, f"entry {record.entry.sequence}"
        yield claim(entry), _told(entry), where
        yield from (("reason", reason, where) for reason in entry.reasons)
        if entry.justification.text:
            yield "justification", entry.justification.text, where
        yield from _details(entry)


def _details(entry: Entry, environment: str = "") -> Iterator[Said]:
    prefix = f"{environment}: " if environment else ""
    for name, said in sorted(entry.details.items()):
        if not (name == "environment" and environment):
            yield f"{prefix}{name.replace('_', ' ')}", _words(said), f"entry {entry.sequence}"


def _told(entry: Entry, report: Report | None = None) -> str:
    """Verdict, words, person and time of an entry."""
    words = (report.headline if report else "") or entry.summary
    verdict = f"{entry.verdict}: " if entry.verdict else ""
    version = f"version {entry.model_version or 'none'}" if entry.event in PLACING else ""
    by = f"by {entry.trigger.actor}" if entry.trigger.actor else ""
    return f"{verdict}{words} ({', '.join(filter(None, (version, by, shown(entry.occurred_at))))})"


def _from_training(dossier: Dossier, key: str, claim: str, *, tag: str, form: Callable[[Any], str] = str) -> Said:
    """A claim of the training's provenance, or else of the registered version's tags."""
    said = dossier.provenance.get(key) if key else None
    if said is not None and said != "":
        return claim, form(said), _in(dossier.made_by, PROVENANCE)
    tagged = dossier.registry.tags.get(f"slipway.{tag}") if dossier.registry else None
    if tagged:
        return claim, tagged, f"{REGISTRY}, tag slipway.{tag}"
    if key and dossier.provenance:
        return claim, None, f"{_in(dossier.made_by, PROVENANCE)} does not say it"
    return claim, None, f"{UNRECORDED}, and no tag slipway.{tag} of the registry" if dossier.registry else UNRECORDED


def _in(record: Record | None, file: str) -> str:
    return f"entry {record.entry.sequence}, {file}" if record else UNRECORDED


def _entries(numbers: list[int]) -> str:
    return f"entry {numbers[0]}" if len(numbers) == 1 else f"entries {', '.join(map(str, numbers))}"


def _words(said: object) -> str:
    return _yes(said) if isinstance(said, bool) else "none" if said is None else str(said)


def _yes(said: object) -> str:
    return "yes" if said else "no"


def _command(said: Any) -> str:
    return shlex.join(map(str, said)) if isinstance(said, list) else str(said)
