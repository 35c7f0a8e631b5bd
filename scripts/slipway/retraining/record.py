"""Retrainings as the ledger has them: what is written at each step, and what all of it together says.

Of every retraining the ledger has an *intent*, written before anything is sent, and then how it ended:

    intent ──> made        GitHub started it, or its run was found later
           ──> refused     GitHub said no: nothing was started
           ──> withdrawn   the rules held after all, by what others had written meanwhile: nothing was sent
           ──> unsent      long enough after the intent there is no run that it could have started
           ──> unknown     there are runs that it may have started; it counts as made, and is never sent again

An intent without an end is *open*. `held` and `dry run` are decisions that nothing follows from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from slipway.governor import keys
from slipway.governor.decision import Decision
from slipway.governor.facts import History, Retraining, Window
from slipway.governor.settling import Settled
from slipway.ledger import drafting, reading
from slipway.ledger.entries import Entry, Fact
from slipway.report import Report, Subject, Verdict
from slipway.runner.context import Run

Step = Literal["held", "dry run", "intent", "made", "refused", "withdrawn", "unsent", "unknown"]
NOTHING_STARTED = ("refused", "withdrawn", "unsent")
BY_A_PERSON = ("approval", "override")
"""Events that only a person makes."""

FOR_A_PERSON = ("training", "promotion", "rollback", "deployment")
"""Events that show that a person looked, where one is the reason for them."""


@dataclass(frozen=True)
class Intent:
    """An intent as the ledger has it. attempt: counts those of one key, of which all before it started nothing."""

    key: str
    attempt: int
    at: datetime
    generation: int
    claim: str
    sequence: int


class Reading(reading.Reading):
    """The ledger as the governor reads it."""

    def drift_report(self, model: str, digest: str) -> tuple[Report, int] | None:
        """A drift report on a model that was recorded, with the number of its entry; None where there is none.

        digest: SHA-256 of the report (`sha256:…`). Raises as `entries` does.
        """
        number = entry_of_report(self.entries(), digest)
        found = next((each for each in self.known if each.entry.sequence == number and each.entry.model == model), None)
        if found is None:
            return None
        try:
            raw = self.ledger.git.run("cat-file", "blob", found.files[drafting.REPORT_FILE])
            return Report.model_validate_json(raw), found.entry.sequence
        except (KeyError, ValidationError):  # recorded by another version
            return None


def intents(entries: Sequence[Entry], model: str) -> list[tuple[Intent, Step | None, Entry | None]]:
    """Every intent for a model with its end; None where it is open.

    Where several ends were written (a run may be found late), the one that started something counts, then the first.
    """
    ours = [each for each in entries if each.event == "dispatch" and each.model == model and "step" in each.details]
    ends: dict[tuple[str, int], list[Entry]] = {}
    for each in ours:
        if each.details["step"] not in ("intent", "held", "dry run"):
            ends.setdefault(_place(each), []).append(each)
    found: dict[tuple[str, int], tuple[Intent, Step | None, Entry | None]] = {}
    for each in ours:
        if each.details["step"] == "intent" and _place(each) not in found:  # of two claims the first is the intent
            ended = sorted(ends.get(_place(each), []), key=lambda end: end.details["step"] != "made")
            step: Step | None = ended[0].details["step"] if ended else None  # type: ignore[assignment]
            found[_place(each)] = (_intent(each), step, ended[0] if ended else None)
    return list(found.values())


def history(entries: Sequence[Entry], model: str) -> History:
    """What the entries say of a model."""
    said = [each for each in entries if each.model == model]
    evaluations = [each for each in said if each.event == "evaluation"]
    reviewed = [each.recorded_at for each in said if _by_a_person(each)]
    looks = [_window(each) for each in said if each.event == "drift" and each.verdict]
    # The same rows that one version was held against twice are one window, by what was found last.
    windows = {(each.name, each.production): each for each in looks}
    return History(
        retrainings=tuple(_retrainings(entries, model, evaluations)),
        windows=tuple(windows.values()),
        reviewed=max(reviewed, default=None),
    )


def _retrainings(entries: Sequence[Entry], model: str, evaluations: Sequence[Entry]) -> Iterator[Retraining]:
    for intent, step, end in intents(entries, model):
        if step in NOTHING_STARTED:
            continue
        run_id = int(end.details.get("run") or 0) if end else 0
        results = [
            each
            for each in evaluations
            if each.details.get("retraining") == intent.key or (run_id and each.run.run_id == run_id)
        ]
        result: dict[str, object] = {}
        if results:
            last = results[-1]
            result = {"helped": last.verdict == "pass", "result": f"entry {last.sequence}: evaluation {last.verdict}"}
        yield Retraining(
            key=intent.key,
            at=intent.at,
            generation=intent.generation,
            state="open" if step is None else "unknown" if step == "unknown" else "made",
            run_id=run_id,
            url=str(end.links.get("run") or "") if end else "",
            **result,  # type: ignore[arg-type]
        )


def entry_of_report(entries: Sequence[Entry], digest: str) -> int | None:
    """Number of the entry that recorded a drift report; None where there is none."""
    for each in entries:
        if each.event == "drift" and (drafting.REPORT_FILE, digest) in [
            (file.name, file.digest) for file in each.evidence
        ]:
            return each.sequence
    return None


@dataclass(frozen=True)
class Scribe:
    """Drafts the entries of one run of the governor. subjects, files: what its decision rests on."""

    run: Run
    model: str
    key: str
    subjects: tuple[Subject, ...]
    files: Mapping[str, bytes]

    def decided(self, step: Literal["held", "dry run"], decision: Decision, now: datetime) -> drafting.Drafted:
        """A decision that nothing follows from. The same decision of the same run is written once."""
        rule = decision.deciding.rule if decision.deciding else ""
        seen = [subject.id for subject in self.subjects]
        key = (self.model, step, self.key, rule, self.run.repository, self.run.run_id, seen)
        summary = f"Retraining of {self.model}: {'dry run. ' if step == 'dry run' else ''}{decision.sentence}"
        return self._draft(step, {"rule": rule}, summary, key, now, decision)

    def intent(self, attempt: int, claim: str, decision: Decision, now: datetime) -> drafting.Drafted:
        """The intent to start a retraining. Two runs that mean the same one draft the same event."""
        details: dict[str, Fact] = {"attempt": attempt, "claim": claim}
        key = (self.model, "intent", self.key, attempt)
        summary = f"Retraining of {self.model} is to be started. {decision.sentence}"
        return self._draft("intent", details, summary, key, now, decision)

    def end(
        self, step: Step, intent: Intent, sentence: str, now: datetime, *, run_id: int = 0, url: str = ""
    ) -> drafting.Drafted:
        """How an intent ended, of this run or of an earlier one."""
        details: dict[str, Fact] = {
            "step": step,
            "key": intent.key,
            "attempt": intent.attempt,
            "generation": intent.generation,
            **({"run": run_id} if run_id else {}),
        }
        said = {"model": self.model, "details": details, "links": {"run": url} if url else {}}
        summary = f"Retraining of {self.model}: {step}. {sentence}"
        key = (self.model, step, intent.key, intent.attempt)
        return drafting.of_event("dispatch", summary, self.run, occurred_at=now, key=key, said=said)

    def settled(self, intent: Intent, found: Settled, now: datetime) -> drafting.Drafted:
        """How an intent that somebody left open ended."""
        return self.end(found.step, intent, found.sentence, now, run_id=found.run_id, url=found.url)

    def _draft(
        self,
        step: Step,
        more: dict[str, Fact],
        summary: str,
        key: tuple[object, ...],
        now: datetime,
        decision: Decision,
    ) -> drafting.Drafted:
        said = {
            "model": self.model,
            "verdict": decision.verdict.value,
            "reasons": decision.reasons,
            "subjects": [subject.model_dump() for subject in self.subjects],
            "details": {"step": step, "key": self.key, "generation": decision.generation, **more},
        }
        files = {**self.files, "decision.json": decision.evidence}
        return drafting.of_event("dispatch", summary, self.run, occurred_at=now, files=files, key=key, said=said)


def _by_a_person(entry: Entry) -> bool:
    if entry.event in FOR_A_PERSON:
        return entry.justification.kind == "person"
    return entry.event in BY_A_PERSON


def _place(entry: Entry) -> tuple[str, int]:
    return str(entry.details.get("key") or ""), int(entry.details.get("attempt") or 0)


def _intent(entry: Entry) -> Intent:
    key, attempt = _place(entry)
    said = entry.details
    return Intent(
        key, attempt, entry.recorded_at, int(said.get("generation") or 1), str(said.get("claim")), entry.sequence
    )


def _window(entry: Entry) -> Window:
    """The rows that a drift report judged, as the report names them, else by the report itself."""
    named = keys.window_among(entry.subjects)
    report = next((each.digest for each in entry.evidence if each.name == drafting.REPORT_FILE), "")
    return Window(
        named or report or entry.id,
        Verdict(str(entry.verdict)),
        frozenset(str(entry.details.get(drafting.DRIFTED) or "").split()),
        keys.production_among(entry.subjects),
    )
