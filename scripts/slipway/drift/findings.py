"""What a look for drift found, in one form for every source: Slipway's own engine and the reports of other tools."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from slipway.report import Verdict, combine

Role = Literal["feature", "prediction", "target", "performance", "estimated_performance", "quality"]
"""What has drifted. `quality`: a delivery is to blame, and no world that changed: types, columns, missing values."""


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One thing that was looked at.

    column: its name, or that of a metric; empty for the dataset as a whole. statistic: what was measured, in the words
    of the source. value, limit, p_value: as measured, None where not known or not finite. drifted: None where that is
    not known: not measured, not decided, or contradictory. importance: of the column for the model, where it is named.
    """

    column: str
    role: Role
    statistic: str
    drifted: bool | None
    value: float | None = None
    limit: float | None = None
    p_value: float | None = None
    importance: float | None = None
    detail: str = ""

    @property
    def verdict(self) -> Verdict:
        """Fail where it drifted, inconclusive where that is not known."""
        if self.drifted is None:
            return Verdict.INCONCLUSIVE
        return Verdict.FAIL if self.drifted else Verdict.PASS


@dataclass(frozen=True, kw_only=True)
class DriftFindings:
    """One look. tool, version: who looked; version is empty where the source does not say it.

    model, start, end, rows: what was looked at, where the source names it: the model as the policy calls it, and the
    window [start, end]. remarks: facts that decide nothing, and what the source leaves open.
    """

    tool: str
    version: str = ""
    model: str = ""
    start: datetime | None = None
    end: datetime | None = None
    rows: int | None = None
    columns: tuple[ColumnDrift, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Fail where anything drifted; pass where all was looked at, drift among it, and nothing drifted.

        Else inconclusive: nothing was looked at, only the data's quality was, or something is not known.
        """
        verdict = combine(each.verdict for each in self.columns)
        only_quality = all(each.role == "quality" for each in self.columns)
        return Verdict.INCONCLUSIVE if verdict is Verdict.PASS and only_quality else verdict

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """What drifted and is no problem of the data's quality."""
        return tuple(each for each in self.columns if each.drifted and each.role != "quality")

    @property
    def quality_problems(self) -> tuple[ColumnDrift, ...]:
        """What is wrong with the data themselves: a reason to mend them, and none to train on them."""
        return tuple(each for each in self.columns if each.drifted and each.role == "quality")
