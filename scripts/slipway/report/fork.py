"""The comment on a fork's pull request: what an untrusted run reports, in quotes, and never a verdict of ours.

The run executed the fork's code and, if the fork wished so, the fork's workflow file. Its numbers may be invented.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from slipway.report.comment import LIMIT, length
from slipway.report.markdown import code, escape, link, provenance, table_section, tables_of
from slipway.report.model import Report, Table

LABEL = "Reported by the fork's untrusted run"
NO_GATE = (
    "**Not judged here.** The run that reports this executed the fork's own code, which can write any number. It "
    "cannot satisfy a deployment gate: the change is judged again after the merge, on this repository's own machines."
)
CUT = "*The comment ends here: the rest of what the run reports does not fit.*"
WITHOUT_REPORT = "left no report: it did not run, or broke before its end."


def marker(model: str) -> str:
    """The start of the hidden line by which this comment is found again; the trusted comment has another one."""
    return f"<!-- slipway:fork-report model={hashlib.sha256(model.encode()).hexdigest()[:16]} "


def stamp(model: str, *, run_id: int, attempt: int, head_sha: str) -> str:
    """The whole hidden line: which of the fork's runs it tells of, and of which commit."""
    return f"{marker(model)}run={run_id}.{attempt} head={head_sha} -->"


def body(
    model: str, reports: Sequence[Report], *, missing: Sequence[str], head_sha: str, run_url: str, stamp_line: str
) -> str:
    """The comment's Markdown. Everything that the run says is quoted and labelled; `run_url` is the only link.

    `missing` names the stages that left no report.
    """
    title = f"### ❔ {code(model)}: reported by a fork's run, not judged"
    end = f"<sub>commit {code(head_sha[:12])} · {link('the run of the fork', run_url)}</sub>\n\n{stamp_line}"
    sections = [_quoted(_stages(reports, missing)), *(_quoted(part) for report in reports for part in _details(report))]
    room = LIMIT - length("\n\n".join([title, NO_GATE, CUT, end, ""]))
    kept: list[str] = []
    for section in sections:
        room -= length(section) + 2
        if room < 0:
            break
        kept.append(section)
    cut = [CUT] if len(kept) < len(sections) else []
    return "\n\n".join([title, NO_GATE, *kept, *cut, end])


def _stages(reports: Sequence[Report], missing: Sequence[str]) -> str:
    lines = [f"**{LABEL}:**", ""]
    for report in reports:
        said = f" “{escape(report.headline)}”" if report.headline else ""
        lines.append(f"- {escape(report.stage)} reports *{report.verdict.value}*{said}")
        lines += [f"  - reported: {escape(reason)}" for reason in report.reasons]
    return "\n".join([*lines, *(f"- {escape(stage)} {WITHOUT_REPORT}" for stage in missing)])


def _details(report: Report) -> list[str]:
    """The report's tables and provenance, each under its label."""
    plain = report.model_copy(update={"tables": tuple(_labelled(each) for each in report.tables)})
    tables = [table_section(each) for each in tables_of(plain) if not each.detail]
    parts = [part for part in (*tables, provenance([report])) if part]
    label = f"**{LABEL}, stage {escape(report.stage)}:**"
    return [f"{label}\n\n{part}" for part in parts]


def _labelled(each: Table) -> Table:
    """The table without the signs of our own verdicts: no icon, only the word that the run wrote."""
    columns = tuple(
        column.model_copy(update={"kind": "text" if column.kind == "verdict" else column.kind, "name": name})
        for column in each.columns
        for name in [f"{column.name} (reported)" if column.kind in ("verdict", "number") else column.name]
    )
    return each.model_copy(update={"columns": columns})


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))
