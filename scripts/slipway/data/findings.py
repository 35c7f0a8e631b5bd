"""From checks to what people read of them: verdict, headline, reasons and tables of the report."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.report.model import Check, Column, Report, Table, Verdict, combine
from slipway.runner.errors import InputError

REASONS_SHOWN = 5
SEVERITY = {Verdict.FAIL: "failed", Verdict.INCONCLUSIVE: "inconclusive", Verdict.PASS: "passed"}


def complete(report: Report, checks: Sequence[Check], *, datasets: int, remarks: Sequence[str]) -> Report:
    """The report with its checks: violated ones first, remarks last."""
    violated = [
        check
        for check in checks
        if check.verdict is not Verdict.PASS or check.count or check.values.get("warning_only")
    ]
    violated.sort(key=lambda check: list(SEVERITY).index(check.verdict))
    reasons = [f"{check.name}: {check.detail}" for check in violated[:REASONS_SHOWN]]
    if len(violated) > REASONS_SHOWN:
        reasons.append(f"{len(violated) - REASONS_SHOWN} more are in the table.")
    tables = [_table("Violated checks", violated)] if violated else []
    tables += [_table(f"All checks ({len(checks)})", checks, detail=True)] if checks else []
    update = {
        "verdict": combine(check.verdict for check in checks),
        "headline": _headline(checks, datasets),
        # Datasets that share a schema share what is to be said of it.
        "reasons": tuple(dict.fromkeys((*reasons, *report.reasons, *remarks))),
        "checks": tuple(checks),
        "tables": tuple(tables),
    }
    return report.model_copy(update=update)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _headline(checks: Sequence[Check], datasets: int) -> str:
    of = _counted(datasets, "dataset")
    if not checks:
        return "The policy declares no data: nothing was checked."
    if all(check.verdict is Verdict.PASS for check in checks):
        return f"{'All ' if len(checks) > 1 else ''}{_counted(len(checks), 'check')} of {of} passed."
    parts = [f"{_counted(len(checks), 'check')} of {of}"]
    for verdict, word in SEVERITY.items():
        number = sum(check.verdict is verdict for check in checks)
        parts += [f"{number} {word}"] if number else []
    return ", ".join(parts) + "."


def _table(title: str, checks: Sequence[Check], *, detail: bool = False) -> Table:
    columns = (
        Column(name="check"),
        Column(name="verdict", kind="verdict"),
        Column(name="rows", kind="number"),
        Column(name="finding"),
        Column(name="examples"),
    )
    rows = tuple((each.name, each.verdict, each.count, each.detail, "; ".join(each.examples)) for each in checks)
    return Table(title=title, columns=columns, rows=rows, folded=detail, detail=detail)


def share(count: int, rows: int) -> str:
    """`12 of 1,000 rows (1.2 %)`."""
    percent = 100 * count / rows
    return f"{count:,} of {rows:,} rows ({f'{percent:.1f}' if percent >= 0.1 or not count else 'under 0.1'} %)"


def unusable(name: str, error: InputError, place: str, path: str) -> Check:
    """The failing check of data that cannot be read. place: where they were looked for, which becomes `path`, as the
    policy has it."""
    detail = " ".join(part for part in (error.what, error.why, error.fix) if part).replace(place, path)
    return Check(name=f"{name}: readable", verdict=Verdict.FAIL, detail=detail)
