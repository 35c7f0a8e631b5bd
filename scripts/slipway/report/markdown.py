"""GitHub-flavoured Markdown from reports. Every piece of text is escaped here, and nowhere else."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import quote

from slipway.report.model import Cell, Check, Column, Report, Table, Verdict

ICONS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️"}
BLANK = "\u200b"
"""Zero-width space: shows nothing and ends what GitHub would take for a mention, a link or a reference."""

NO_BREAK = "\u00a0"
"""A space at which no line ends, however narrow a table's column is."""

URL_SIGNS = "%/:?#@!$&'*+,;=~"
"""What stays as it is in a link's address; brackets, quotes and spaces would end it."""

BIDI = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\u061c"}


def escape(text: str) -> str:
    """Plain text as Markdown that shows exactly it, on one line.

    No markup, HTML, link, mention (`@team` notifies people), issue reference or direction override survives.
    """
    text = html.escape(_inert(one_line(text)), quote=False)
    text = re.sub(r"([\\`*_{}\[\]()#+!|~$^=:-])", r"\\\1", text)
    return re.sub(r"^(\d+)\.", r"\1\\.", text)  # "1." would start a list


def code(text: str) -> str:
    """Plain text as a code span.

    No comment of HTML starts in it: it would be shown as text only, but our own marker is looked for in the source.
    """
    text = one_line(text).replace("<!--", f"<{BLANK}!--")
    if not text:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def link(text: str, address: str) -> str:
    """A link; where `address` is none that a browser should open, the text alone."""
    if not re.match(r"https?://[^/]", address):
        return escape(text)
    return f"[{escape(text)}]({quote(address, safe=URL_SIGNS)})"


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table; numbers to the right."""
    from tabulate import tabulate  # here: only who renders pays for it

    body = [[_cell(cell, column) for cell, column in zip(row, columns, strict=True)] for row in rows]
    return tabulate(
        body,
        headers=[escape(column.name) for column in columns],
        tablefmt="pipe",
        colalign=["right" if column.kind == "number" else "left" for column in columns] if body else None,
        disable_numparse=True,
    )


def details(summary: str, body: str) -> str:
    """A folded section. `summary` is plain text: GitHub reads Markdown again only after the empty line."""
    text = html.escape(_inert(one_line(summary)), quote=False)
    return f"<details><summary>{text}</summary>\n\n{body}\n\n</details>"


def report_sections(report: Report, *, detail: bool) -> list[str]:
    """The report's tables; where it has none, the checks that did not pass."""
    sections = [_table_section(each) for each in report.tables if detail or not each.detail]
    failing = [check for check in report.checks if check.verdict is not Verdict.PASS]
    return sections or ([checks_table(failing)] if failing else [])


def checks_table(checks: Sequence[Check]) -> str:
    """Checks with count and examples."""
    columns = (
        Column(name="check"),
        Column(name="verdict", kind="verdict"),
        Column(name="rows", kind="number"),
        Column(name="finding"),
        Column(name="examples"),
    )
    rows = [(c.name, c.verdict.value, c.count, c.detail, "; ".join(c.examples)) for c in checks]
    return table(columns, rows)


def stage_page(report: Report) -> str:
    """One report alone: what the step summary shows."""
    parts = [f"### {ICONS[report.verdict]} {escape(report.stage)}: {report.verdict.value}"]
    if report.headline:
        parts.append(escape(report.headline))
    if report.reasons:
        parts.append(bullets(report.reasons))
    parts.extend(report_sections(report, detail=True))
    parts.append(provenance([report]))
    return "\n\n".join(part for part in parts if part) + "\n"


def bullets(texts: Sequence[str]) -> str:
    """Plain texts as a list."""
    return "\n".join(f"- {escape(text)}" for text in texts)


def provenance(reports: Sequence[Report]) -> str:
    """What the stages worked on, folded; what several stages say alike is said once."""
    columns = (Column(name="what"), Column(name="value", kind="code"))
    facts = [(name, _shown(value)) for report in reports for name, value in report.provenance.items()]
    rows = [(name.replace("_", " "), value) for name, value in dict.fromkeys(facts)]
    return details("Provenance", table(columns, rows)) if rows else ""


def _table_section(each: Table) -> str:
    body = table(each.columns, each.rows)
    if each.note:
        body += f"\n\n{escape(each.note)}"
    if each.folded:
        return details(each.title, body)
    title = escape(each.title)
    return f"**{title}**\n\n{body}" if title else body


def _cell(cell: Cell, column: Column) -> str:
    if cell is None:
        return ""
    if column.kind == "verdict":
        known = {verdict.value for verdict in Verdict}
        return f"{ICONS[Verdict(cell)]}{NO_BREAK}{cell}" if cell in known else escape(str(cell))
    if column.kind == "code":
        # A table is cut into cells before code is looked for: a bar needs its backslash even there.
        return code(str(cell)).replace("|", "\\|")
    text = escape(_shown(cell))
    # A number, or an interval of two, is read in one piece.
    return text.replace(" ", NO_BREAK) if column.kind == "number" else text


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def one_line(text: str) -> str:
    """Without control and direction characters; line ends become spaces."""
    text = re.sub(r"\s+", " ", text)
    return "".join(c for c in text if c not in BIDI and unicodedata.category(c) not in ("Cc", "Cs")).strip()


def _inert(text: str) -> str:
    """Text in which GitHub finds no mention, reference, link or emoji; it looks for them in the rendered text."""
    text = re.sub(r"(@|#|\bGH-)(?=\w)", rf"\1{BLANK}", text, flags=re.IGNORECASE)
    text = re.sub(r"(https?|ftp)(?=:)", rf"\1{BLANK}", text, flags=re.IGNORECASE)
    text = re.sub(r"(www)(?=\.)", rf"\1{BLANK}", text, flags=re.IGNORECASE)
    return re.sub(r":(?!\d\d?:)(?=[\w+-]+:)", f":{BLANK}", text)  # an emoji's name, not a time of day
