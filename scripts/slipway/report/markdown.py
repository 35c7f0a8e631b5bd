"""GitHub-flavoured Markdown from reports. Every piece of text is escaped here, and nowhere else."""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from urllib.parse import quote

from slipway.report import charts, glyphs
from slipway.report.model import Cell, Change, Chart, Check, Column, Report, Span, Table, Verdict
from slipway.runner.outputs import SUMMARY_CUT

ICONS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️"}
BLANK = "\u200b"
"""Zero-width space: shows nothing and ends what GitHub would take for a mention, a link or a reference."""

NO_BREAK = "\u00a0"
"""A space at which no line ends, however narrow a table's column is."""

URL_SIGNS = "%/:?#@!$&'*+,;=~"
"""What stays as it is in a link's address; brackets, quotes and spaces would end it."""

MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~$^=:-])")
LIVE = re.compile(r"[@#:]|GH-|www\.", flags=re.IGNORECASE)
"""What every mention, reference, link and emoji has in it."""

HEADER_LINES = 2
"""Lines of a table above its rows."""

BIDI = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\u061c"}


def escape(text: str, *, strip: bool = True) -> str:
    """Plain text as Markdown that shows exactly it, on one line.

    No markup, HTML, link, mention (`@team` notifies people), issue reference or direction override survives.
    """
    text = html.escape(_inert(one_line(text) if strip else text), quote=False)
    text = MARKUP.sub(r"\\\1", text)
    return re.sub(r"^(\d+)\.", r"\1\\.", text) if text[:1].isdigit() else text  # "1." would start a list


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


def prose(text: str) -> str:
    """A sentence of ours as Markdown: what stands between two backticks is code, all else is text, as in `escape`."""
    parts = prose_parts(text)
    return "".join(code(part) if number % 2 else escape(part, strip=False) for number, part in enumerate(parts))


def prose_parts(text: str) -> list[str]:
    """A sentence in turns of text and code, as its backticks say."""
    return re.split(r"(?<!`)`(?! +`)([^`]+)`(?!`)", one_line(text))


def link(text: str, address: str) -> str:
    """A link; where `address` is none that a browser should open, the text alone."""
    if not re.match(r"https?://[^/]", address):
        return escape(text)
    return f"[{escape(text)}]({quote(address, safe=URL_SIGNS)})"


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, enough: int | None = None) -> str:
    """A Markdown table; numbers to the right.

    enough: bytes. Where the table takes more, rows are rendered only until it does: nobody has room for the rest.
    """
    from tabulate import tabulate  # here: only who renders pays for it

    body: list[list[str]] = []
    least = _Least(columns)
    for row in rows:
        body.append([_cell(cell, column) for cell, column in zip(row, columns, strict=True)])
        if enough is not None and least.with_row(body[-1]) > enough:
            break
    return tabulate(
        body,
        headers=[escape(column.name) for column in columns],
        tablefmt="pipe",
        colalign=["right" if column.kind == "number" else "left" for column in columns] if body else None,
        disable_numparse=True,
    )


class _Least:
    """How many bytes the rows of a table take at least. How wide a cell is that is not ASCII is not known here."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.taken_by_row = shortest_row(columns)
        self.rows = self.others = 0
        self.widths, self.plain = [0] * len(columns), [0] * len(columns)

    def with_row(self, cells: Sequence[str]) -> int:
        """With one row more. Each column is as wide as its widest cell."""
        self.rows += 1
        for place, cell in enumerate(cells):
            if cell.isascii():
                self.plain[place] += 1
                self.widths[place] = max(self.widths[place], len(cell))
            else:
                self.others += len(cell.encode())
        padded = sum(width * cells for width, cells in zip(self.widths, self.plain, strict=True))
        return self.rows * self.taken_by_row + self.others + padded


def shortest_row(columns: Sequence[Column]) -> int:
    """The least characters that a row of such a table takes, its line end among them."""
    return 3 * len(columns) + 2


def details(summary: str, body: str) -> str:
    """A folded section. `summary` is plain text: GitHub reads Markdown again only after the empty line."""
    text = html.escape(_inert(one_line(summary)), quote=False)
    return f"<details><summary>{text}</summary>\n\n{body}\n\n</details>"


def tables_of(report: Report) -> tuple[Table, ...]:
    """The report's tables; where it has none, the checks that did not pass."""
    failing = [check for check in report.checks if check.verdict is not Verdict.PASS]
    return report.tables or ((checks_table(failing),) if failing else ())


def checks_table(checks: Sequence[Check], title: str = "") -> Table:
    """Checks with count and examples."""
    columns = (
        Column(name="check"),
        Column(name="verdict", kind="verdict"),
        Column(name="rows", kind="number"),
        Column(name="finding"),
        Column(name="examples"),
    )
    rows = tuple((c.name, c.verdict.value, c.count, c.detail, "; ".join(c.examples)) for c in checks)
    return Table(title=title, columns=columns, rows=rows)


def stage_page(report: Report, *, room: int | None = None) -> str:
    """One report alone: what the step summary shows.

    room: bytes that it may take. Tables that need more lose their last rows, without these being rendered, and what
    finds no room at all is left out; both are said. The rest is whole, whether it has room or not.
    """
    parts = [f"### {ICONS[report.verdict]} {escape(report.stage)}: {report.verdict.value}"]
    if report.headline:
        parts.append(prose(report.headline))
    if report.reasons:
        parts.append(bullets(report.reasons))
    facts = provenance([report])
    if room is None:
        parts.extend(table_section(each) for each in tables_of(report))
        parts.extend(chart_section(each) for each in report.charts)
    else:
        # Behind the last part there is a line end only, and no empty line.
        parts.extend(_within(room + 1 - sum(_taken(part) for part in (*parts, facts)), report))
    return "\n\n".join(part for part in (*parts, facts) if part) + "\n"


def _within(room: int, report: Report) -> Iterator[str]:
    """Tables and charts in so many bytes, and that there are more where there are."""
    sections: tuple[Table | Chart, ...] = (*tables_of(report), *report.charts)
    notice, cut = SUMMARY_CUT.strip(), False
    for each in sections:
        section, whole = _as_room_allows(each, room, spare=0 if cut else _taken(notice))
        if not (whole or cut):
            cut, room = True, room - _taken(notice)
        room -= _taken(section)
        yield section
    if cut:
        yield notice


def _as_room_allows(each: Table | Chart, room: int, *, spare: int) -> tuple[str, bool]:
    """A section in so many bytes, or else with as many of its rows as leave some to spare; empty where not one does.
    Whether it is whole."""
    if isinstance(each, Chart):
        drawn = chart_section(each)
        return (drawn, True) if _taken(drawn) <= room else ("", False)
    body = table(each.columns, each.rows, enough=room)
    section = _section(each, body, 0)
    if _taken(section) <= room:
        return section, True
    room -= spare + _taken(_section(each, "", len(each.rows)))
    lines = body.split("\n")
    kept = bisect_right(list(accumulate(len(line.encode()) + 1 for line in lines)), room)
    shown = kept - HEADER_LINES
    return (_section(each, "\n".join(lines[:kept]), len(each.rows) - shown) if shown > 0 else ""), False


def _taken(section: str) -> int:
    """Bytes that a section takes, with the empty line behind it."""
    return len(section.encode()) + 2 if section else 0


def bullets(texts: Sequence[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {prose(text)}" for text in texts)


def provenance(reports: Sequence[Report]) -> str:
    """What the stages worked on, folded; what several stages say alike is said once."""
    found = provenance_table(reports)
    return details(found.title, table(found.columns, found.rows)) if found.rows else ""


def provenance_table(reports: Sequence[Report]) -> Table:
    """The same as a table."""
    columns = (Column(name="what"), Column(name="value", kind="code"))
    facts = [(name, _shown(value)) for report in reports for name, value in report.provenance.items()]
    rows = tuple((name.replace("_", " "), value) for name, value in dict.fromkeys(facts))
    return Table(title="Provenance", columns=columns, rows=rows)


def changes_table(changes: Sequence[Change]) -> Table:
    """What the candidate was made with other than production."""
    columns = (Column(name="what"), Column(name="production", kind="code"), Column(name="candidate", kind="code"))
    rows = tuple((each.name, _or_dash(each.production), _or_dash(each.candidate)) for each in changes)
    return Table(title="Changed against production", columns=columns, rows=rows)


def _or_dash(said: str | None) -> str:
    return "–" if said is None else said


def worst_rows_first(each: Table) -> Table:
    """The table with what failed first, then what is open; else in its own order."""
    place = next((number for number, column in enumerate(each.columns) if column.kind == "verdict"), None)
    if place is None:
        return each
    rank = {Verdict.FAIL.value: 0, Verdict.INCONCLUSIVE.value: 1}
    return each.model_copy(update={"rows": tuple(sorted(each.rows, key=lambda row: rank.get(str(row[place]), 2)))})


def table_section(each: Table, *, left_out: int = 0) -> str:
    """A table with its title and note, folded where it says so. left_out: rows that it had before it was shortened."""
    return _section(each, table(each.columns, each.rows), left_out)


def _section(each: Table, body: str, left_out: int) -> str:
    if left_out:
        body += f"\n\n*and {left_out:,} more*"
    if each.note:
        body += f"\n\n<sub>{escape(each.note)}</sub>"
    if each.folded:
        return details(each.title or "More", body)
    title = escape(each.title)
    return f"**{title}**\n\n{body}" if title else body


def chart_section(chart: Chart, *, rows: int | None = None) -> str:
    """A chart, folded: drawn where GitHub draws, and its numbers (at most so many rows) for everybody else."""
    numbers = charts.numbers(chart)
    drawn = [f"<sub>{escape(legend)}</sub>\n\n{source}" for legend, source in charts.drawings(chart)]
    kept = numbers.model_copy(update={"title": "", "rows": numbers.rows[:rows]})
    return details(chart.title, "\n\n".join([*drawn, table_section(kept, left_out=len(numbers.rows) - len(kept.rows))]))


def _cell(cell: Cell, column: Column) -> str:
    if cell is None:
        return ""
    if column.kind == "verdict":
        known = {verdict.value for verdict in Verdict}
        return f"{ICONS[Verdict(cell)]}{NO_BREAK}{cell}" if cell in known else escape(str(cell))
    if column.kind == "code":
        text, _, arrow = str(cell).partition(NO_BREAK)
        if arrow in ("↑", "↓"):  # in code a line could end before it
            return f"{_code_cell(text)}{NO_BREAK}{arrow}"
        return _code_cell(str(cell))
    text = escape(_shown(cell))
    if isinstance(cell, Span):
        drawn = glyphs.interval(cell.low, cell.value, cell.high, cell.limit, cell.above)
        return f"{text.replace(' ', NO_BREAK)}<br>`{drawn}`"
    # A number, or an interval of two, is read in one piece.
    return text.replace(" ", NO_BREAK) if column.kind == "number" else text


def _code_cell(text: str) -> str:
    """A table is cut into cells before code is looked for: a bar needs its backslash even there."""
    return code(text).replace("|", "\\|")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def one_line(text: str) -> str:
    """Without control and direction characters; line ends become spaces."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = re.sub(r"\s+", " ", text)
    return "".join(c for c in text if c not in BIDI and unicodedata.category(c) not in ("Cc", "Cs")).strip()


def _inert(text: str) -> str:
    """Text in which GitHub finds no mention, reference, link or emoji; it looks for them in the rendered text."""
    if not LIVE.search(text):
        return text
    text = re.sub(r"(@|#|\bGH-)(?=\w)", rf"\1{BLANK}", text, flags=re.IGNORECASE)
    text = re.sub(r"(https?|ftp)(?=:)", rf"\1{BLANK}", text, flags=re.IGNORECASE)
    text = re.sub(r"(www)(?=\.)", rf"\1{BLANK}", text, flags=re.IGNORECASE)
    return re.sub(r":(?!\d\d?:)(?=[\w+-]+:)", f":{BLANK}", text)  # an emoji's name, not a time of day
