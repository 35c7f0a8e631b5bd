"""Reports as plain text for a person's terminal: no markup, and no control sign of whoever wrote the text."""

from __future__ import annotations

import textwrap

from slipway.report.markdown import one_line
from slipway.report.model import Cell, Report, Table
from slipway.runner import commands

WIDEST = 60
"""Signs of a column before its text goes on in the next line."""


def tell(report: Report) -> None:
    """Verdict, headline and reasons of a stage on a person's machine; a runner shows its summary instead."""
    if not commands.on_runner():
        commands.say(result(report))


def result(report: Report) -> str:
    """Verdict, headline and reasons."""
    headline = f": {one_line(report.headline)}" if report.headline else ""
    lines = [f"{report.stage}: {report.verdict.value}{headline}"]
    return "\n".join([*lines, *(f"- {one_line(reason)}" for reason in report.reasons)])


def page(report: Report) -> str:
    """The whole report: result, tables, and what it rests on."""
    facts = [f"{name.replace('_', ' ')}: {_cell(value)}" for name, value in report.provenance.items()]
    parts = [result(report), *(_table(each) for each in report.tables), "\n".join(facts)]
    return "\n\n".join(part for part in parts if part)


def _table(table: Table) -> str:
    from tabulate import tabulate  # here: only who renders pays for it

    body = tabulate(
        [[_wrapped(_cell(cell)) for cell in row] for row in table.rows],
        headers=[one_line(column.name) for column in table.columns],
        tablefmt="simple",
        colalign=["right" if column.kind == "number" else "left" for column in table.columns] if table.rows else None,
        disable_numparse=True,
    )
    return "\n".join(filter(None, (one_line(table.title), body, one_line(table.note))))


def _wrapped(text: str) -> str:
    """In lines of the widest column's length; a digest, which is there to be copied, stays whole."""
    return textwrap.fill(text, WIDEST, break_long_words=False, break_on_hyphens=False)


def _cell(cell: Cell | bool) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else one_line(str(cell))
