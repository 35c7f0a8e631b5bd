"""The evidence pack of one version: a folder that an auditor can read, check and keep without Slipway.

It is made from the ledger and the registry alone, and the same ledger and registry make the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.audit import drawing, facts
from slipway.audit.bom import bill_of_materials
from slipway.audit.dossier import Dossier, shown
from slipway.audit.facts import Fact
from slipway.audit.measured import Measured, measured
from slipway.audit.record import NO_STATEMENT, technical_record
from slipway.audit.tables import csv_text, records_json
from slipway.audit.trail import Trail
from slipway.ledger.verification import Record
from slipway.registry.mlflow import ModelVersion
from slipway.report import Column, Report, Table, Verdict
from slipway.report import drawing as plots
from slipway.report.markdown import ICONS, bullets, escape, table
from slipway.report.page import lines, template_environment
from slipway.runner.errors import InputError

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")
SUMS = "SHA256SUMS"
METRICS, TIMELINE = "metrics.svg", "timeline.svg"
HIGHLIGHTS = {
    "Identity": ("CONTRADICTION", "digest of the model's files", "digest in the registry", "live now in"),
    "Justification": ("reason", "linked issues", "set off by"),
    "Code": ("commit", "work tree was clean"),
    "Data": ("dataset",),
    "Environment": ("locked by hashes",),
    "Policy": ("policy",),
    "Approvals": ("approval",),
    "Signature": ("signature", "result"),
}
"""Claims that a reader looks for first, by section and beginning."""

APPROVALS = (
    *("entry", "digest", "event", "environment", "verdict", "approver"),
    *("actor", "actor_id", "occurred_at", "recorded_at"),
    *("summary", "reasons", "justification", "run", "details"),
)


@dataclass(frozen=True)
class Card:
    """What the model card shows, in Markdown as in HTML."""

    dossier: Dossier
    facts: tuple[Fact, ...]
    evaluation: Report | None
    measured: tuple[Measured, ...]
    no_statement: str = NO_STATEMENT

    @property
    def title(self) -> str:
        """Model and version."""
        return f"{self.dossier.model} version {self.dossier.version}"

    @property
    def verdict(self) -> Verdict | None:
        """Of the newest evaluation; None where there is none."""
        return self.evaluation.verdict if self.evaluation else None

    @property
    def as_of(self) -> str:
        """What the card knows, and until when."""
        number, _, digest = self.dossier.trail.head.partition(":")
        when = shown(self.dossier.as_of.recorded_at)
        return f"As of entry {number} of the ledger, recorded {when}, digest {digest}."

    @property
    def contradicted(self) -> str:
        """That entries contradict each other about the version; empty where they do not."""
        said = self.dossier.contradictions
        told = f"This card is about {self.dossier.digest}; what speaks of another digest is left out of it."
        return f"The ledger contradicts itself about this version: {'; '.join(said)}. {told}" if said else ""

    @property
    def highlights(self) -> list[Fact]:
        """The facts that a reader looks for first."""
        return [each for each in self.facts if each.claim.startswith(HIGHLIGHTS.get(each.section, ("\0",)))]

    @property
    def sections(self) -> list[tuple[str, list[Fact]]]:
        """All facts by section."""
        names = dict.fromkeys(each.section for each in self.facts)
        return [(name, [each for each in self.facts if each.section == name]) for name in names]

    @property
    def unknown(self) -> list[Fact]:
        """What is not known."""
        return [each for each in self.facts if each.value is None]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The evaluation's tables."""
        return self.evaluation.tables if self.evaluation else ()

    def metrics_svg(self) -> str:
        """Every metric with its interval against its limit; empty where nothing was measured."""
        bars = [
            plots.Bar(
                name=each.metric
                + (f", {each.part}" if each.part else "")
                + ("" if each.relative else " of the candidate"),
                gate=each.gate,
                verdict=each.verdict,
                value=each.value,
                low=each.low,
                high=each.high,
                reference=0.0 if each.relative else None,
                limit=each.limit,
                above=each.above,
            )
            for each in self.measured
        ]
        level = next((f"{each.level} intervals" for each in self.measured if each.level), "intervals")
        compared = any(each.relative for each in self.measured)
        title = "Candidate minus production" if compared else "The candidate's own values"
        return plots.intervals(bars, f"{title}, with {level}") if bars else ""

    def timeline_svg(self) -> str:
        """What happened to the version."""
        return drawing.timeline(
            [_event(self.dossier, record) for record in self.dossier.records],
            f"What happened to version {self.dossier.version}",
        )


def write_pack(
    folder: Path, trail: Trail, model: str, version: str, registry_version: ModelVersion | None
) -> list[Path]:
    """Write the evidence pack of a version into an empty or new folder. Returns the files, SHA256SUMS last.

    registry_version: the version as the registry has it; None where it has none or was not asked.
    Raises InputError where the ledger says nothing of the version, or the folder has files.
    """
    dossier = Dossier(trail, model, version, registry_version)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is not an empty folder.",
            why="An evidence pack is a folder of its own: its list of digests covers every file in it.",
            fix="Name a folder that does not exist yet, or empty this one.",
        )
    made = dict(sorted(_files(dossier)))
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in made.items())
    written = []
    for name, content in {**made, SUMS: sums.encode()}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        written.append(file)
    return written


def _files(dossier: Dossier) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file but the sums."""
    evaluation = dossier.report(dossier.evaluation) if dossier.evaluation else None
    found = tuple(measured(evaluation)) if evaluation else ()
    card = Card(dossier, facts.of(dossier), evaluation, found)
    yield "model-card.md", markdown_card(card).encode()
    yield "model-card.html", html_card(card).encode()
    if metrics := card.metrics_svg():
        yield METRICS, metrics.encode()
    yield TIMELINE, card.timeline_svg().encode()
    yield "ml-bom.cdx.json", bill_of_materials(dossier).encode()
    record = technical_record(card.facts, title=f"Technical record of {card.title}", as_of=card.as_of)
    yield "technical-record.md", record.encode()
    yield "approvals.csv", _approvals(dossier).encode()
    yield "entries.json", records_json(dossier.records, dossier.trail.head).encode()
    for each in dossier.records:
        for name in each.files:
            content = dossier.trail.file(each, name)
            assert content is not None
            yield f"evidence/entry-{each.entry.sequence}/{name}", content


def markdown_card(card: Card) -> str:
    """The model card as Markdown."""
    verdict = f"{ICONS[card.verdict]} {card.verdict.value}" if card.verdict else "not known: no entry records one"
    parts = [
        f"# {escape(card.title)}",
        f"**Evaluation: {verdict}**",
        *([f"**{ICONS[Verdict.FAIL]} {escape(card.contradicted)}**"] if card.contradicted else []),
        escape(card.as_of),
        escape(card.no_statement),
        "## At a glance",
        _facts_table(card.highlights),
        "## Evaluation",
    ]
    if card.evaluation:
        parts += [escape(card.evaluation.headline), bullets(card.evaluation.reasons)]
        parts += [f"![Metrics with their intervals against their limits]({METRICS})"] if card.measured else []
        for each in card.tables:
            parts += [
                f"**{escape(each.title)}**" if each.title else "",
                table(each.columns, each.rows),
                escape(each.note),
            ]
    else:
        parts.append("Not known: no entry records an evaluation of this version.")
    parts += ["## Life", f"![What happened to the version]({TIMELINE})"]
    for name, found in card.sections:
        parts += [
            "## Entries of the ledger" if name == "Records" else f"## {escape(name)} on record",
            _facts_table(found),
        ]
    missing = [f"{each.section}: {each.claim} ({each.evidence})" for each in card.unknown]
    parts += ["## Not known", bullets(missing) or "Nothing of what is looked for."]
    return "\n\n".join(part for part in parts if part) + "\n"


def html_card(card: Card) -> str:
    """The model card as one page that needs nothing else, on screen and on paper."""
    import markupsafe

    environment = template_environment(TEMPLATES)
    numbers = {str(record.entry.sequence) for record in card.dossier.records}
    environment.filters |= {
        "linked": partial(_linked, numbers),
        "length_class": _length_class,
        "moment": shown,
    }
    page = environment.get_template("model-card.html.j2")
    # Our own drawings are markup already: their text was escaped when they were drawn.
    metrics, timeline = map(markupsafe.Markup, (card.metrics_svg(), card.timeline_svg()))
    return page.render(card=card, metrics=metrics, timeline=timeline) + "\n"


def _facts_table(found: list[Fact]) -> str:
    columns = (Column(name="claim"), Column(name="value"), Column(name="evidence"))
    return table(columns, [(each.claim, each.text, each.evidence) for each in found])


def _linked(numbers: Container[str], evidence: str) -> Markup:
    """Evidence with every entry of the page that it names as a link to it. Only digits become markup."""
    import markupsafe

    def link(match: re.Match[str]) -> str:
        return f'<a href="#entry-{match[0]}">{match[0]}</a>' if match[0] in numbers else match[0]

    safe = str(markupsafe.escape(lines(evidence)))
    named = re.sub(r"\bentr(?:y|ies) [\d, ]+", lambda match: re.sub(r"\d+", link, match[0]), safe)
    return markupsafe.Markup(named)  # noqa: S704


def _length_class(value: str) -> str:
    """A class for digests and other long words, which need smaller signs."""
    return "code" if re.search(r"\S{32}", value) else ""


def _event(dossier: Dossier, record: Record) -> drawing.Event:
    entry, report = record.entry, dossier.report(record)
    environment = entry.details.get("environment")
    place = f" ({environment})" if environment else ""
    other = entry.model_version not in ("", dossier.version)
    name = f"{entry.event}{f' of {entry.model_version}' if other else ''}{place}"
    return drawing.Event(entry.occurred_at, name, (report and report.headline) or entry.summary, entry.verdict)


def _approvals(dossier: Dossier) -> str:
    """Who allowed what, as CSV: approvals and overrides, and the judgements of risk that they answer."""
    rows = []
    for record in dossier.of("risk", "approval", "override"):
        entry = record.entry
        by, details = entry.trigger, dict(entry.details)
        rows.append(
            (
                *(entry.sequence, record.digest, entry.event),
                *(details.get("environment"), entry.verdict, details.get("approver")),
                *(by.actor, by.actor_id, shown(entry.occurred_at), shown(entry.recorded_at)),
                *(entry.summary, "\n".join(entry.reasons), entry.justification.text, entry.run.url),
                json.dumps(details, sort_keys=True, ensure_ascii=False),
            )
        )
    return csv_text(APPROVALS, rows)
