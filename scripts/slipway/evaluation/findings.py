"""What each suite of the evaluation finds, in one form: quality, slices, safety, latency."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.report import Chart, Check, Table, Verdict, combine


@dataclass(frozen=True)
class Findings:
    """Checks that gate, tables and charts for people, and the reasons that explain every check that did not pass."""

    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    reasons: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """One verdict over all checks; without any, nothing was judged."""
        return combine(each.verdict for each in self.checks)

    def __add__(self, other: Findings) -> Findings:
        """Both suites' findings, in their order."""
        return Findings(
            self.checks + other.checks,
            self.tables + other.tables,
            self.reasons + other.reasons,
            self.charts + other.charts,
        )
