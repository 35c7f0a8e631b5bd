"""The pull-request comment: verdict first, readable in ten seconds, never longer than GitHub takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

from slipway.report import fitting
from slipway.report.advice import EVALUATION, FIRST_RELEASE, next_steps
from slipway.report.fitting import LIMIT, Section, clipped, length
from slipway.report.markdown import (
    ICONS,
    bullets,
    changes_table,
    chart_section,
    code,
    details,
    escape,
    link,
    prose,
    provenance_table,
    shortest_row,
    table_section,
    tables_of,
    worst_rows_first,
)
from slipway.report.model import Cell, Change, Chart, Report, Span, Table, Verdict, combine

__all__ = ["LIMIT", "body", "length", "marker", "stamp", "verdict_of"]

ADDRESS_LIMIT = 2_000
"""Characters of an address that every browser opens. A longer one is left out: it could be longer than the comment."""

SHORT_TABLE = 12
"""Rows that are taken in at a glance. A longer table shows what did not pass; the rest is folded."""

TINY_TABLE = 4
"""Rows that are not worth folding where one of them did not pass."""

FEW = 3
"""Reasons from checks, and changes, that are shown unfolded."""

WIDEST, LONGEST_CELL, LONGEST_SENTENCE = 12, 300, 500

HEADLINES = {
    Verdict.PASS: "may replace production",
    Verdict.FAIL: "must not replace production",
    Verdict.INCONCLUSIVE: "too close to call",
}


def marker(model: str) -> str:
    """The start of the hidden line by which a model's comment is found again.

    The model is named by its digest: a name can hold `--`, which would end the HTML comment.
    """
    return f"<!-- slipway:report model={hashlib.sha256(model.encode()).hexdigest()[:16]} "


def stamp(model: str, *, run_id: int, attempt: int, head_sha: str) -> str:
    """The whole hidden line: which run wrote the comment, and for which commit."""
    return f"{marker(model)}run={run_id}.{attempt} head={head_sha[:64]} -->"


def body(
    model: str,
    reports: Sequence[Report],
    *,
    missing: Sequence[str] = (),
    head_sha: str = "",
    full_report: str = "",
    stamp_line: str = "",
    in_pull_request: bool = True,
) -> str:
    """The comment's Markdown from the stages' reports, in their order.

    `missing` names stages that left no report; a verdict with one of them missing is never a pass.
    `full_report` is the address that holds what the comment leaves out.
    """
    full_report = full_report if len(full_report) <= ADDRESS_LIMIT else ""
    verdict = verdict_of(reports, missing)
    ranked = worst_first(reports)
    title = f"### {ICONS[verdict]} {code(clipped(model, 200))}: {escape(headline(verdict, reports, missing))}"
    opening = [title, prose(clipped(ranked[0].headline, LONGEST_SENTENCE))] if ranked else [title]
    advice = clipped(next_steps(verdict, reports, missing, in_pull_request=in_pull_request), 2 * LONGEST_SENTENCE)
    sections = [
        fitting.text("heading", 0, "\n\n".join(filter(None, opening))),
        *_reasons(ranked, reports, missing, verdict),
        *_tables(ranked),
        fitting.text("stages", 4, "\n".join(_stage_line(each, said=each is ranked[0]) for each in reports)),
        *_folded(ranked, reports),
        fitting.text("what changed", 5, _changed(reports)),
        fitting.text("what to do next", 0, f"**Next:** {prose(advice)}"),
    ]
    end = "\n\n".join(part for part in (_footer(reports, head_sha, full_report), stamp_line) if part)
    return fitting.fit(sections, end=end, full_report=full_report)


def verdict_of(reports: Sequence[Report], missing: Sequence[str] = ()) -> Verdict:
    """One verdict over all stages; a stage that left no report keeps it from being a pass."""
    return combine([*(report.verdict for report in reports), *(Verdict.INCONCLUSIVE for _ in missing)])


def headline(verdict: Verdict, reports: Sequence[Report], missing: Sequence[str]) -> str:
    """What the verdict means for the model, as plain text."""
    # Without checks the comparison did not take place: the stage could only say why.
    judged = next((report for report in reports if report.stage == EVALUATION and _judged(report)), None)
    if judged and judged.verdict is verdict and not missing:
        return clipped(judged.meaning, 100) or HEADLINES[verdict]
    if verdict is Verdict.FAIL:
        stage = next(report.stage for report in reports if report.verdict is Verdict.FAIL)
        return f"stopped by {clipped(stage, 100)}"
    if judged and not missing:
        stage = next(report.stage for report in reports if report.verdict is Verdict.INCONCLUSIVE)
        return f"left open by {clipped(stage, 100)}"
    return "not judged"


def _judged(report: Report) -> bool:
    return bool(report.checks) and all(check.name != FIRST_RELEASE for check in report.checks)


def worst_first(reports: Sequence[Report]) -> list[Report]:
    """Failing stages first, then the comparison, which is what people came for."""
    rank = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
    return sorted(reports, key=lambda report: (rank[report.verdict], report.stage != EVALUATION))


def _reasons(
    ranked: Sequence[Report], reports: Sequence[Report], missing: Sequence[str], verdict: Verdict
) -> Iterator[Section]:
    """The worst findings and every remark; further findings are folded, since the tables show them, too."""
    findings = {check.detail for report in reports for check in report.checks if check.detail}
    all_reasons = [reason for report in ranked for reason in report.reasons]
    if verdict is not Verdict.FAIL:
        # After a stage that failed, the ones behind it are expected to be missing.
        all_reasons += [f"{stage} left no report: it did not run, or broke before its end." for stage in missing]
    found = [reason for reason in all_reasons if reason in findings]
    further = set(found[FEW:])
    shown = [clipped(reason, LONGEST_SENTENCE) for reason in all_reasons if reason not in further]
    yield fitting.text("reasons", 1, bullets(shown) if shown else "")
    if further:
        folded = bullets([clipped(reason, LONGEST_SENTENCE) for reason in found[FEW:]])
        yield fitting.text(
            "further reasons", 7, details(f"{len(further)} more finding{'s' if len(further) > 1 else ''}", folded)
        )


def _tables(ranked: Sequence[Report]) -> Iterator[Section]:
    """The comparison whole; of other tables what did not pass, worst first."""
    for table, main in _shown_tables(ranked):
        kept, _ = _split(table, main=main)
        if kept.rows or table.folded:
            yield _section(kept, rank=2 if main else 3)


def _folded(ranked: Sequence[Report], reports: Sequence[Report]) -> Iterator[Section]:
    """What people open when they want to know more."""
    for table, main in _shown_tables(ranked):
        _, rest = _split(table, main=main)
        if rest.rows:
            yield _section(rest, rank=8)
    for report in ranked:
        for chart in report.charts:
            shorter = chart.model_copy(update={"title": clipped(chart.title, 100), "note": clipped(chart.note, 500)})
            count = sum(len(each.points) for each in chart.series)
            yield Section(chart.title, 9, partial(_chart, shorter), count)
    if len(found := _changes(reports)) > FEW:
        yield _section(changes_table(found).model_copy(update={"folded": True}), rank=6)
    facts = provenance_table(reports)
    if facts.rows:
        yield _section(facts.model_copy(update={"folded": True}), rank=6)


def _chart(chart: Chart, rows: int) -> str:
    return chart_section(chart, rows=rows)


def _shown_tables(ranked: Sequence[Report]) -> Iterator[tuple[Table, bool]]:
    """The tables that are not left to the stage's own page, and whether each is the comparison."""
    for report in ranked:
        tables = [table for table in tables_of(report) if not table.detail]
        for number, table in enumerate(tables):
            yield table, report.stage == EVALUATION and number == 0


def _split(table: Table, *, main: bool) -> tuple[Table, Table]:
    """What is shown of a table, and what is folded. Short tables are shown whole if they are the comparison, or judge
    nothing; of the others what passed is folded."""
    none = table.model_copy(update={"rows": ()})
    place = next((number for number, column in enumerate(table.columns) if column.kind == "verdict"), None)
    short = len(table.rows) <= SHORT_TABLE
    if table.folded or (short and (main or place is None)):
        return table, none
    if place is None:
        return none, table.model_copy(update={"folded": True})
    ordered = worst_rows_first(table).rows
    bad = tuple(row for row in ordered if row[place] in (Verdict.FAIL.value, Verdict.INCONCLUSIVE.value))
    good = ordered[len(bad) :]
    if bad and len(table.rows) <= TINY_TABLE:
        return table.model_copy(update={"rows": ordered}), none
    passed = sum(row[place] == Verdict.PASS.value for row in good)
    counts = ((passed, "pass"), (len(good) - passed, "without a gate"))
    said = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    title = f"{table.title}: {said}" if table.title else said
    return (
        table.model_copy(update={"rows": bad}),
        table.model_copy(update={"rows": good, "title": title, "folded": True, "note": "" if bad else table.note}),
    )


def _section(table: Table, rank: int) -> Section:
    table = _trimmed(table)

    most = fitting.LIMIT // shortest_row(table.columns) + 1  # so many are too long, whatever they say

    def render(rows: int) -> str:
        kept = table.model_copy(update={"rows": table.rows[: min(rows, most)]})
        return table_section(kept, left_out=len(table.rows) - len(kept.rows))

    return Section(table.title or "a table", rank, render, len(table.rows))


def _trimmed(table: Table) -> Table:
    """The table with cells and columns that a comment has room for; the full report has all of them."""
    columns = table.columns[:WIDEST]
    more = len(table.columns) - len(columns)
    note = table.note + (f" {more} more columns are in the full report." if more else "")
    return table.model_copy(
        update={
            "title": clipped(table.title, 150),
            "note": clipped(note.strip(), 2 * LONGEST_SENTENCE),
            "columns": tuple(column.model_copy(update={"name": clipped(column.name, 100)}) for column in columns),
            "rows": tuple(tuple(map(_short_cell, row[:WIDEST])) for row in table.rows),
        }
    )


def _short_cell(cell: Cell) -> Cell:
    if isinstance(cell, Span):
        return cell.model_copy(update={"text": clipped(cell.text, LONGEST_CELL)})
    return clipped(cell, LONGEST_CELL) if isinstance(cell, str) else cell


def _changes(reports: Sequence[Report]) -> list[Change]:
    return [change for report in reports for change in report.changes or ()]


def _changed(reports: Sequence[Report]) -> str:
    """The first changes in one line; nothing where nobody compared."""
    if all(report.changes is None for report in reports):
        return ""
    found = _changes(reports)
    if not found:
        return "**Changed against production:** no parameter."
    shown = [f"{escape(clipped(each.name, 60))} {_old(each)} → {_new(each)}" for each in found[:FEW]]
    more = f" · and {len(found) - FEW} more" if len(found) > FEW else ""
    return f"**Changed against production:** {' · '.join(shown)}{more}"


def _old(change: Change) -> str:
    return "*absent*" if change.production is None else code(clipped(change.production, 40)) or "*empty*"


def _new(change: Change) -> str:
    return "*absent*" if change.candidate is None else code(clipped(change.candidate, 40)) or "*empty*"


def _stage_line(report: Report, *, said: bool) -> str:
    """said: whether the headline stands at the top already."""
    # Another sign than that of `bullets`: two lists in a row would be one.
    parts = [f"* {ICONS[report.verdict]} **{escape(clipped(report.stage, 100))}**"]
    if not said:
        parts.append(prose(clipped(report.headline, LONGEST_SENTENCE)))
    if report.reused_from and len(report.reused_from) <= ADDRESS_LIMIT:
        # An address of GitHub's becomes a link, anything else stays text.
        parts.append(f"\\({link('not run again', report.reused_from)}\\)")
    return " ".join(filter(None, parts))


def _footer(reports: Sequence[Report], head_sha: str, full_report: str) -> str:
    """Commit, data and policy in one line, each by the start of its digest; all of it is under Provenance."""
    parts = [f"commit {code(head_sha[:12])}"] if head_sha else []
    named = {(subject.role, subject.name, subject.id) for report in reports for subject in report.subjects}
    data = sorted((name, identity) for role, name, identity in named if role == "data")
    parts += [f"data {escape(clipped(name, 40))} {code(_start(identity))}" for name, identity in data[:FEW]]
    parts += [f"and {len(data) - FEW} more"] if len(data) > FEW else []
    parts += [f"policy {code(_start(identity))}" for role, _, identity in sorted(named) if role == "policy"][:1]
    if full_report:
        parts.append(link("full report", full_report))
    return f"<sub>{' · '.join(parts)}</sub>" if parts else ""


def _start(identity: str) -> str:
    """The first signs of a digest, without what says how it was made."""
    return identity.rpartition(":")[2][:12]
