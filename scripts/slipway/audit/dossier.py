"""Everything on record about one version, put where the questions look for it. Nothing is judged here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.audit import reconciliation
from slipway.audit.trail import Live, Trail, origin
from slipway.ledger.entries import Entry, Kind
from slipway.ledger.verification import Record
from slipway.registry.mlflow import ModelVersion
from slipway.report import Report

PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]+)")
OPTION = re.compile(r"-(?!-?(?:r|e|requirement|editable)\b)")
"""Options that install nothing by themselves: addresses of indexes, kinds of files."""

HASH = re.compile(r"--hash[=\s](sha256|sha384|sha512):([0-9a-f]+)")


class Recorded(BaseModel):
    """The form of the parts of a provenance.json that are read here. It is evidence of a run that may have been run by
    anybody, a fork included: it is believed to say what it says, and never to have the form that it should have."""

    model_config = ConfigDict(strict=True, extra="allow")

    class Dataset(BaseModel):
        """One dataset."""

        model_config = ConfigDict(strict=True, extra="allow")
        path: str = ""
        kind: str = ""
        id: str = ""
        immutable: bool = False
        remark: str = ""
        tracked_by: str = ""
        pinned: str = ""
        sha256: str = ""

    class Environment(BaseModel):
        """Python, packages and lock."""

        model_config = ConfigDict(strict=True, extra="allow")
        python: str = ""
        packages: list[str] = Field(default_factory=list)
        lock: str = ""
        lock_digest: str = ""
        hash_locked: bool | None = None

    commit: str = ""
    clean: bool | None = None
    changes: list[str] = Field(default_factory=list)
    datasets: dict[str, Dataset] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)
    environment: Environment | None = None
    command: list[str] = Field(default_factory=list)
    seed: int | None = None
    policy: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, str] = Field(default_factory=dict)
    base: dict[str, str] | None = None
    base_model: str = ""
    job: str = ""
    started: str = ""
    finished: str = ""
    seconds: float | None = None
    peak_memory: int | None = None
    payload_digest: str = ""
    log_digest: str = ""
    mlflow_run: str = ""


@dataclass(frozen=True)
class Locked:
    """A line of a requirements file. version: empty where it is not pinned to one.

    hashes: algorithm and hexadecimal digest of each file that may be installed.
    """

    name: str
    version: str
    hashes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Dossier:
    """One version: its records in their order, and what the registry has of it."""

    trail: Trail
    model: str
    version: str
    registry: ModelVersion | None

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """What is about the version, about the run that made it, and about what took its place.

        Raises InputError where the ledger says nothing of the version.
        """
        wanted = {record.entry.sequence for record in self.trail.about(self.model, self.version)}
        wanted |= {after.entry.sequence for _, after in self.replaced}
        return tuple(record for record in self.trail.of(self.model) if record.entry.sequence in wanted)

    @cached_property
    def made_by(self) -> Record | None:
        """The training that made it: the newest that names its digest, or else the first; None where there is none."""
        found = [r for r in self.of("training") if r.entry.model_version == self.version]
        same = [r for r in found if r.entry.model_digest == self.digest]
        return same[-1] if same else found[0] if found else None

    @cached_property
    def first(self) -> Record:
        """The record that says who wanted the version and why: its training, or else the first of all."""
        return self.made_by or self.records[0]

    def of(self, *events: Kind) -> list[Record]:
        """The records of some kinds, without those about another model that had the same number."""
        return [r for r in self.records if r.entry.event in events and r.entry.sequence not in self.others]

    @cached_property
    def contradictions(self) -> tuple[str, ...]:
        """How entries contradict each other about what the version is."""
        name = reconciliation.about(self.model, self.version)
        return tuple(check.detail for check in reconciliation.references(self.trail) if check.name == name)

    @cached_property
    def others(self) -> frozenset[int]:
        """The entries that speak of another model by the same number: of another registry's version, or of another
        digest, where entries contradict each other. What belongs to their runs alone is among them."""
        own = [r.entry for r in self.records if r.entry.model_version == self.version]
        home = {self.trail.registries[e.sequence] for e in own if not self.digest or e.model_digest == self.digest}
        others = {
            entry.sequence
            for entry in own
            if (home and self.trail.registries[entry.sequence] not in home)
            or (self.contradictions and entry.model_digest not in ("", self.digest))
        }
        ours = {origin(entry) for entry in own if entry.sequence not in others}
        theirs = {origin(entry) for entry in own if entry.sequence in others} - ours
        runs = {r.entry.sequence for r in self.records if not r.entry.model_version and origin(r.entry) in theirs}
        return frozenset(others | runs)

    @cached_property
    def evaluation(self) -> Record | None:
        """The newest evaluation that has a report."""
        found = [record for record in self.of("evaluation") if record.files.get("report.json")]
        return found[-1] if found else None

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The whole provenance of its training; empty where there is none, or one that has another form."""
        return {} if self.malformed else self._provenance

    @cached_property
    def malformed(self) -> str:
        """What is wrong with the form of the provenance; empty where nothing is."""
        try:
            Recorded.model_validate(self._provenance)
        except ValidationError as error:
            first = error.errors()[0]
            return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        except ValueError as error:
            return str(error)
        return ""

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        return self.trail.provenance(self.made_by) if self.made_by else {}

    def report(self, record: Record) -> Report | None:
        """The report that an entry was made from."""
        if record.entry.sequence not in self._reports:
            self._reports[record.entry.sequence] = self.trail.report(record)
        return self._reports[record.entry.sequence]

    @cached_property
    def _reports(self) -> dict[int, Report | None]:
        return {}

    @cached_property
    def environments(self) -> list[str]:
        """Every environment that any version of the model was brought to, in the order of their first ones."""
        named = (str(r.entry.details.get("environment") or "") for r in self.trail.of(self.model))
        return [name for name in dict.fromkeys(named) if name]

    @cached_property
    def replaced(self) -> list[tuple[Live, Live]]:
        """Each time that another version took its place: what it had, and what came instead."""
        found = []
        for environment in self.environments:
            placings = self.trail.placings(self.model, environment)
            for before, after in itertools.pairwise(placings):
                if before.version == self.version != after.version:
                    found.append((before, after))
        return found

    @cached_property
    def live_in(self) -> list[str]:
        """The environments that have it now."""
        found = []
        for environment in self.environments:
            live = self.trail.live(self.model, environment)
            if live and live.version == self.version:
                found.append(environment)
        return found

    @cached_property
    def digest(self) -> str:
        """The model's digest by the ledger; empty where no entry says it. Where entries name several it is the one
        that the registry has, or else what somebody answered for last, or else the first."""
        own = [r.entry for r in self.records if r.entry.model_version == self.version and r.entry.model_digest]
        tagged = self.registry.tags.get("slipway.model_digest") if self.registry else None
        answered = [entry.model_digest for entry in own if reconciliation.acknowledged(entry)]
        said = [entry.model_digest for entry in own]
        if tagged in said:
            return str(tagged)
        return answered[-1] if answered else next(iter(said), "")

    @cached_property
    def lock(self) -> tuple[Locked, ...]:
        """What the environment's lock installs, in its order; empty where there was none."""
        environment = self.provenance.get("environment")
        return tuple(locked(str(environment.get("lock") or ""))) if isinstance(environment, dict) else ()

    @cached_property
    def packages(self) -> tuple[tuple[str, str], ...]:
        """Name and version of every package that the training's environment had."""
        environment = self.provenance.get("environment")
        said = environment.get("packages") if isinstance(environment, dict) else None
        pairs = (str(each).partition("==") for each in said or ())
        return tuple((name, version) for name, _, version in pairs)

    def hashes_of(self, name: str, version: str) -> tuple[tuple[str, str], ...]:
        """The digests that the lock allows for a package; empty where it names none of this version."""
        return self._locked_hashes.get((canonicalize_name(name), version), ())

    @cached_property
    def _locked_hashes(self) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
        return {(canonicalize_name(each.name), each.version): each.hashes for each in self.lock}

    @property
    def as_of(self) -> Entry:
        """The newest entry of the ledger: what is said here is said as of it."""
        return self.trail.records[-1].entry


def locked(text: str) -> Iterator[Locked]:
    """What a requirements file installs. https://pip.pypa.io/en/stable/reference/requirements-file-format/"""
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if match := PINNED.match(line):
            yield Locked(match[1], match[2], tuple(HASH.findall(line)))
        elif line and not OPTION.match(line):
            yield Locked(line, "", tuple(HASH.findall(line)))


def shown(moment: datetime) -> str:
    """A time as people read it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
