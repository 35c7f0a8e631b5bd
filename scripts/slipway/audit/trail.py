"""The ledger as a whole, every entry of it verified, and the questions that can be asked of it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from slipway.ledger import trainings
from slipway.ledger.entries import Entry, writable
from slipway.ledger.git import Git
from slipway.ledger.placing import PLACING, in_force, only_began
from slipway.ledger.store import Ledger
from slipway.ledger.verification import BadEntry, Record, records
from slipway.report import Report
from slipway.runner.errors import GateError, InputError


@contextmanager
def garbage_kept() -> Iterator[None]:
    """No collection of garbage meanwhile: of a hundred thousand entries none is garbage, and looking takes a fifth."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class Live:
    """A version that an environment had from an entry on."""

    version: str
    digest: str
    entry: Entry


@dataclass(frozen=True)
class Trail:
    """All records in their order."""

    records: tuple[Record, ...]
    git: Git

    @classmethod
    def read(cls, ledger: Ledger) -> Trail:
        """Read and verify the ledger. GateError at the first entry that was altered: nothing after it is evidence."""
        commits = ledger.commits()
        try:
            with garbage_kept():
                return cls(tuple(records(ledger.git, commits)), ledger.git)
        except BadEntry as bad:
            raise GateError(
                f"The ledger of {ledger.place.shown} was altered. {bad}.",
                why=f"The {bad.number} entries before it are as they were written.",
                fix="Find out who pushed to the branch and when; a clone or store that saw it before has the true one.",
            ) from bad

    @cached_property
    def heads(self) -> dict[int, str]:
        """The digest of every entry by its number."""
        return {record.entry.sequence: record.digest for record in self.records}

    @property
    def head(self) -> str:
        """Number and digest of the newest entry; empty for an empty ledger."""
        return f"{self.records[-1].entry.sequence}:{self.records[-1].digest}" if self.records else ""

    @cached_property
    def registries(self) -> dict[int, str]:
        """The registry whose version numbers each entry speaks of, by the entry's number; empty where none is named."""
        entries = [record.entry for record in self.records]
        return dict(zip((entry.sequence for entry in entries), trainings.registries(entries), strict=True))

    def of(self, model: str) -> Iterator[Record]:
        """What is about one model, in its order."""
        return (record for record in self.records if record.entry.model == model)

    def models(self) -> list[str]:
        """Every model that has an entry, in the order of their first ones."""
        return list(dict.fromkeys(record.entry.model for record in self.records if record.entry.model))

    def about(self, model: str, version: str) -> list[Record]:
        """What is about one version, and about the run that made it: its validation and its comment, too.

        Raises InputError where there is nothing.
        """
        own = [record for record in self.of(model) if record.entry.model_version == version]
        if not own:
            known = ", ".join(dict.fromkeys(r.entry.model_version for r in self.of(model) if r.entry.model_version))
            raise InputError(
                f"The ledger says nothing of version {version} of `{model}`.",
                why=f"It knows the versions {known}." if known else "It knows no version of this model.",
                fix="Check `model` and `model-version`, or record the reports of the run that made it.",
            )
        # A person's own runs have no number: those of the same commit belong together.
        made_by = {origin(record.entry) for record in own if record.entry.trigger.sha}
        return [
            record
            for record in self.of(model)
            if record.entry.model_version == version
            or (not record.entry.model_version and origin(record.entry) in made_by)
        ]

    def environments(self, model: str) -> list[str]:
        """Every environment that any version of a model was brought to, in the order of their first ones."""
        entries = (record.entry for record in self.of(model) if record.entry.event in PLACING)
        return list(filter(None, dict.fromkeys(str(entry.details.get("environment") or "") for entry in entries)))

    def placings(self, model: str, environment: str, *, begun: bool = False) -> list[Live]:
        """Every change of what is live in an environment, in its order. begun: also where a release only began."""
        return [
            Live(entry.model_version, entry.model_digest, entry)
            for entry in in_force((record.entry for record in self.of(model)), model, environment)
            if entry.event in PLACING and entry.details.get("environment") == environment
            if begun or not only_began(entry)
        ]

    def canary(self, model: str, environment: str, at: datetime | None = None) -> Live | None:
        """The version that had a part of the requests at a moment, beside the live one; None where there was none."""
        placed = [each for each in self.placings(model, environment, begun=True) if _is_before(each.entry, at)]
        last = placed[-1] if placed else None
        return last if last and last.entry.details.get("rollout") == "canary" else None

    def live(self, model: str, environment: str, at: datetime | None = None) -> Live | None:
        """The version that was live at a moment, by the time that entries were recorded; None where there was none."""
        placed = [each for each in self.placings(model, environment) if _is_before(each.entry, at)]
        return placed[-1] if placed else None

    def file(self, record: Record, name: str) -> bytes | None:
        """The content of a file of evidence; None where the entry has no such file."""
        blob = record.files.get(name)
        return self.git.run("cat-file", "blob", blob) if blob else None

    def report(self, record: Record) -> Report | None:
        """The report that an entry was made from."""
        raw = self.file(record, "report.json")
        return Report.model_validate_json(raw) if raw else None

    def provenance(self, record: Record) -> dict[str, Any]:
        """The whole provenance of a training; empty for any other entry. ValueError where its file holds none."""
        raw = self.file(record, "provenance.json")
        if raw is None:
            return {}
        try:
            content = writable(json.loads(raw))
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from error
        if not isinstance(content, dict):
            raise ValueError("is no object")
        return content


def _is_before(entry: Entry, at: datetime | None) -> bool:
    return at is None or (entry.clock or entry.recorded_at) <= at


def origin(entry: Entry) -> tuple[str, int, str]:
    """The run that wrote an entry, and the commit that it was about."""
    return (entry.run.repository, entry.run.run_id, entry.trigger.sha)
