"""The whole report as one HTML page: all that the comment shows and leaves out. It needs no network and no script.

Text is escaped by the template engine. The page's own policy allows nothing but its one style and its one script, by
their digests.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.report import charts
from slipway.report.advice import next_steps
from slipway.report.comment import headline, verdict_of, worst_first
from slipway.report.markdown import (
    ICONS,
    changes_table,
    checks_table,
    one_line,
    prose_parts,
    provenance_table,
    worst_rows_first,
)
from slipway.report.model import Cell, Column, Report, Span, Verdict

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")
MOST_ROWS = 2_000
"""Rows of a table on the page; a browser takes long for more. The report's file has all of them."""

ICON_OF = {verdict.value: icon for verdict, icon in ICONS.items()}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page shows. run_page: where the run is; it becomes a link where a browser should open it."""

    model: str
    reports: tuple[Report, ...]
    missing: tuple[str, ...] = ()
    head_sha: str = ""
    run_page: str = ""
    in_pull_request: bool = True

    @property
    def verdict(self) -> Verdict:
        """Over all stages."""
        return verdict_of(self.reports, self.missing)

    @property
    def title(self) -> str:
        """What the verdict means, as plain text."""
        return headline(self.verdict, self.reports, self.missing)

    @property
    def ranked(self) -> list[Report]:
        """Worst first."""
        return worst_first(self.reports)

    @property
    def advice(self) -> str:
        """What to do next."""
        return next_steps(self.verdict, self.reports, self.missing, in_pull_request=self.in_pull_request)

    @property
    def address(self) -> str:
        """The run's page, where it is one that a browser should open."""
        return self.run_page if self.run_page.startswith(("https://", "http://")) else ""


@dataclass(frozen=True, kw_only=True)
class StagePage(Page):
    """The page of one stage that judges no change: what it says itself stands over it."""

    @property
    def title(self) -> str:
        """Stage and verdict."""
        return f"{self.reports[0].stage}: {self.verdict.value}"

    @property
    def advice(self) -> str:
        """The stage's own."""
        return self.reports[0].advice or ("Nothing." if self.verdict is Verdict.PASS else "See what it found.")


def render(page: Page) -> str:
    """The page's HTML."""
    from slipway.report import plots

    environment = template_environment(TEMPLATES)
    environment.filters |= {"plot": lambda chart: _markup(plots.plot(chart)), "numbers": charts.numbers}
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "sort.js"))
    return (
        environment.get_template("report.html.j2").render(
            page=page,
            style=_markup(style),
            script=_markup(script),
            style_digest=_digest(style),
            script_digest=_digest(script),
            all_checks=lambda report: checks_table(report.checks, title=f"All checks ({len(report.checks):,})"),
            provenance=lambda report: provenance_table([report]),
            changes=lambda report: changes_table(report.changes or ()),
        )
        + "\n"
    )


@functools.cache
def template_environment(*folders: Path) -> jinja2.Environment:
    """Templates that escape all text, with the filters that show a report's parts. A process compiles them once."""
    import jinja2

    from slipway.report import plots

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "lines": lines,
        "prose": _prose,
        "shown": _shown,
        "worst_first": worst_rows_first,
        "most": lambda rows: rows[:MOST_ROWS],
    }
    environment.globals |= {
        "icons": ICON_OF,
        "most_rows": MOST_ROWS,
        "span": lambda cell, row, columns: _markup(plots.span(cell, _verdict_in(row, columns))),
        "is_span": lambda cell: isinstance(cell, Span),
        "sort_key": _sort_key,
    }
    return environment


def lines(text: str) -> str:
    """Text for HTML with its line ends, without control signs and changes of direction."""
    return "\n".join(one_line(line) for line in text.splitlines()).strip()


def _shown(cell: Cell) -> str:
    if isinstance(cell, int):
        return f"{cell:,}"
    return "" if cell is None else lines(str(cell))


def _sort_key(cell: Cell) -> str:
    """What a table is sorted by where the text of the cell would not do; empty where it does."""
    if isinstance(cell, Span):
        return json.dumps(cell.value)
    return json.dumps(cell) if isinstance(cell, (int, float)) else ""


def _verdict_in(row: Sequence[Cell], columns: Sequence[Column]) -> str:
    found = (str(cell) for cell, column in zip(row, columns, strict=True) if column.kind == "verdict")
    return next(found, "")


def _prose(text: str) -> Markup:
    """A sentence of ours: what stands between two backticks is code, all else is text."""
    import markupsafe

    parts = [markupsafe.escape(part) for part in prose_parts(text)]
    # The parts are escaped, and what is around them is ours.
    return markupsafe.Markup("".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)))  # noqa: S704


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _markup(text: str) -> Markup:
    """Our own markup: drawings, whose text was escaped when they were drawn, and files beside this one."""
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704
