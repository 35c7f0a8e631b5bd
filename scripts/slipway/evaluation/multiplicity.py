"""Many gates at once: how a single harm that chance makes likely is kept from stopping a release.

A model passes only if every gate passes. That needs no correction: the chance of a wrong pass is at most that of the
single gate (intersection-union test, Berger 1982, Technometrics 24:295). A wrong *fail* grows with the number of gates,
so a fail must stand after Holm's correction (Holm 1979, Scand. J. Statist. 6:65) over every gate of every suite: then
the chance that any gate fails a model that keeps all rules is at most (1 - confidence) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from slipway.evaluation.findings import Findings
from slipway.report import Cell, Check, Table, Verdict, combine


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * (count - np.arange(count))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of Benjamini & Hochberg 1995 (J. R. Stat. Soc. B 57:289), in the order given.

    For tables that explore and gate nothing: of what is marked at level q, a share of q is expected to be wrong.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * count / np.arange(1, count + 1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    return adjusted.tolist()


def account(findings: Findings, confidence: float) -> Findings:
    """Every check's last verdict, with all gates in view, and the tables and reasons that say it.

    Call it once, over the findings of all suites. A check takes part whose values have `p_beyond`.
    """
    taking_part = [place for place, check in enumerate(findings.checks) if "p_beyond" in check.values]
    adjusted = holm([float(findings.checks[place].values["p_beyond"] or 0) for place in taking_part])
    checks = list(findings.checks)
    for place, p in zip(taking_part, adjusted, strict=True):
        checks[place] = _accounted(checks[place], p, len(taking_part), (1 - confidence) / 2)
    changed = {old.detail: new.detail for old, new in zip(findings.checks, checks, strict=True) if old.detail}
    # Values of the data stand in names, so two checks may share one: no table shows the better of their verdicts.
    verdicts: dict[str, Verdict] = {}
    for check in checks:
        verdicts[check.name] = combine([check.verdict, verdicts.get(check.name, check.verdict)])
    tables = tuple(_settled(table, verdicts) for table in findings.tables)
    # Several suites may have the same trouble: it is said once.
    reasons = list(dict.fromkeys(changed.get(reason, reason) for reason in findings.reasons))
    failed = {check.detail for check in checks if check.verdict is Verdict.FAIL}
    reasons.sort(key=lambda reason: reason not in failed)  # a fail of any suite comes before what is open
    return replace(findings, checks=tuple(checks), tables=tables, reasons=tuple(reasons))


def _accounted(check: Check, p: float, gates: int, level: float) -> Check:
    update: dict[str, object] = {"values": {**check.values, "p_adjusted": p}}
    if check.verdict is Verdict.FAIL and gates > 1 and p > level:
        update["verdict"] = Verdict.INCONCLUSIVE
        update["detail"] = (
            f"{check.detail} Among {gates} gates chance alone can explain one such result: Holm's adjusted p-value is "
            f"{p:.2g}, above {level:g}."
        )
    return check.model_copy(update=update)


def _settled(table: Table, verdicts: Mapping[str, Verdict]) -> Table:
    kinds = [column.kind for column in table.columns]

    def last(cell: Cell, kind: str) -> Cell:
        known = kind == "verdict" and isinstance(cell, str) and cell in verdicts
        return verdicts[str(cell)].value if known else cell

    rows = tuple(tuple(last(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in table.rows)
    return table.model_copy(update={"rows": rows})
