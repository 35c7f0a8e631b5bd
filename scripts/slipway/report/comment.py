"""The pull-request comment: verdict first, readable in ten seconds, never longer than GitHub takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from slipway.report.markdown import ICONS, bullets, code, escape, link, provenance, report_sections
from slipway.report.model import Report, Verdict, combine

LIMIT = 65_536
"""Characters of a comment's body; a longer one is refused with 422. Counted in UTF-16 units, the stricter way."""

ADDRESS_LIMIT = 2_000
"""Characters of an address that every browser opens. A longer one is left out: it could be longer than the comment."""

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
    return f"{marker(model)}run={run_id}.{attempt} head={head_sha} -->"


def body(
    model: str,
    reports: Sequence[Report],
    *,
    missing: Sequence[str] = (),
    head_sha: str = "",
    full_report: str = "",
    stamp_line: str = "",
) -> str:
    """The comment's Markdown from the stages' reports, in their order.

    `missing` names stages that left no report; a verdict with one of them missing is never a pass.
    `full_report` is the address that holds what the comment leaves out.
    """
    full_report = full_report if len(full_report) <= ADDRESS_LIMIT else ""
    verdict = verdict_of(reports, missing)
    ranked = _worst_first(reports)
    parts = [f"### {ICONS[verdict]} {code(model)}: {_headline(verdict, reports, missing)}"]
    if ranked and ranked[0].headline:
        parts.append(escape(ranked[0].headline))
    reasons = [reason for report in ranked for reason in report.reasons]
    if verdict is not Verdict.FAIL:
        # After a stage that failed, the ones behind it are expected to be missing.
        reasons += [f"{stage} left no report: it did not run, or broke before its end." for stage in missing]
    if reasons:
        parts.append(bullets(reasons))
    for report in ranked:
        parts.extend(report_sections(report, detail=False))
    parts.append("\n".join(_stage_line(report, said=report is ranked[0]) for report in reports))
    parts.append(provenance(reports))
    footer = _footer(head_sha, full_report)
    return fit([part for part in parts if part], footer=footer, stamp_line=stamp_line, full_report=full_report)


def verdict_of(reports: Sequence[Report], missing: Sequence[str] = ()) -> Verdict:
    """One verdict over all stages; a stage that left no report keeps it from being a pass."""
    return combine([*(report.verdict for report in reports), *(Verdict.INCONCLUSIVE for _ in missing)])


def fit(sections: Sequence[str], *, footer: str, stamp_line: str, full_report: str) -> str:
    """Join the sections; where they are too long, end on a whole line with the address of the rest."""
    end = "\n\n".join(part for part in (footer, stamp_line) if part)
    whole = "\n\n".join([*sections, end])
    if length(whole) <= LIMIT:
        return whole
    where = link("full report", full_report) if full_report else "report files of the run"
    notice = f"*The comment ends here: the rest is over GitHub's limit. Everything is in the {where}.*"
    room = LIMIT - length(f"\n\n{notice}\n\n{end}")
    kept: list[str] = []
    for section in sections:
        room_left = room - length("\n\n".join([*kept, ""]))
        if length(section) <= room_left:
            kept.append(section)
            continue
        part = _cut(section, room_left)
        if part:
            kept.append(part)
        break
    return "\n\n".join([*kept, notice, end])


def length(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def _cut(section: str, room: int) -> str:
    """The first whole lines of a section; a folded one is closed again."""
    close = "\n\n</details>" if section.startswith("<details>") else ""
    lines, used = [], length(close)
    for line in section.split("\n"):
        used += length(line) + 1
        if used > room:
            break
        lines.append(line)
    # A heading or a table's first two lines alone say nothing.
    return "\n".join(lines) + close if len(lines) > 4 else ""


def _headline(verdict: Verdict, reports: Sequence[Report], missing: Sequence[str]) -> str:
    # Without checks the comparison did not take place: the stage could only say why.
    judged = next((report for report in reports if report.stage == "evaluate-model" and report.checks), None)
    if judged and judged.verdict is verdict and not missing:
        return HEADLINES[verdict]
    if verdict is Verdict.FAIL:
        stage = next(report.stage for report in reports if report.verdict is Verdict.FAIL)
        return f"stopped by {escape(stage)}"
    if judged and not missing:
        stage = next(report.stage for report in reports if report.verdict is Verdict.INCONCLUSIVE)
        return f"left open by {escape(stage)}"
    return "not judged"


def _stage_line(report: Report, *, said: bool) -> str:
    """said: whether the headline stands at the top already."""
    parts = [f"- {ICONS[report.verdict]} **{escape(report.stage)}**"]
    if not said:
        parts.append(escape(report.headline))
    if report.reused_from:
        # An address of GitHub's becomes a link, anything else stays text.
        parts.append(f"\\({link('not run again', report.reused_from)}\\)")
    return " ".join(filter(None, parts))


def _worst_first(reports: Sequence[Report]) -> list[Report]:
    """Failing stages first, then the comparison, which is what people came for."""
    rank = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
    return sorted(reports, key=lambda report: (rank[report.verdict], report.stage != "evaluate-model"))


def _footer(head_sha: str, full_report: str) -> str:
    parts = [f"commit {code(head_sha[:12])}"] if head_sha else []
    if full_report:
        parts.append(link("full report", full_report))
    return f"<sub>{' · '.join(parts)}</sub>" if parts else ""
