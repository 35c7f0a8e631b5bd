"""A comment that GitHub takes: what matters least is shortened first, then left out, and never without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from slipway.report.markdown import escape, link

LIMIT = 65_536
"""Characters of a comment's body; a longer one is refused with 422. Counted in UTF-16 units, the stricter way."""

CAPS = (200, 100, 50, 20, 10, 5)
"""Rows that the tables keep, step by step."""

LARGE = 2_000
"""Characters of a section that is worth leaving out; smaller ones go only where that was not enough."""

ALL = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the comment.

    name: what it is called where it is left out. rank: the higher, the sooner it is; 0 stays whatever happens, so it
    must be short. rows: in its table, if it has one. render: its Markdown with at most so many rows, which says itself
    how many it leaves out.
    """

    name: str
    rank: int
    render: Callable[[int], str]
    rows: int = 0


def text(name: str, rank: int, markdown: str) -> Section:
    """A section that is whole or absent."""
    return Section(name, rank, lambda _rows: markdown)


def fit(sections: Sequence[Section], *, end: str, full_report: str) -> str:
    """Join the sections, in the order given. Sections of a higher rank lose rows, and at last go, before the others."""
    render = cache(lambda section, rows: section.render(rows))
    rows = dict.fromkeys(sections, ALL)
    dropped: list[Section] = []

    def whole() -> str:
        parts = [render(section, rows[section]) for section in sections if section not in dropped]
        touched = [each for each in sections if each in dropped or rows[each] < ALL]
        notice = _notice(touched, full_report)
        return "\n\n".join(part for part in (*parts, notice, end) if part)

    def too_long() -> bool:
        return length(whole()) > LIMIT

    # Of one rank the last goes first.
    order = sorted(range(len(sections)), key=lambda place: (-sections[place].rank, -place))
    least_first = [sections[place] for place in order]
    for cap in CAPS:
        for section in least_first:
            if not too_long():
                return whole()
            if section.rows > cap:
                rows[section] = cap
    for at_least in (LARGE, 1):
        for section in least_first:
            if not too_long():
                return whole()
            if section.rank and section not in dropped and length(render(section, rows[section])) >= at_least:
                dropped.append(section)
    return whole()


def length(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clipped(text: str, longest: int) -> str:
    """At most so many characters of plain text; what is cut shows that it is."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _notice(touched: Sequence[Section], full_report: str) -> str:
    if not touched:
        return ""
    names = [escape(clipped(section.name, 60)) for section in touched[:10]]
    more = f" and {len(touched) - 10} more" if len(touched) > 10 else ""
    where = link("full report", full_report) if full_report else "report files of the run"
    return (
        f"*Shortened or left out for GitHub's limit of length: {'; '.join(names)}{more}. Everything is in the {where}.*"
    )
