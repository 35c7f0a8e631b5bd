"""NannyML: what `results.to_df().to_json()` writes, of drift calculators and of realised and estimated performance.

A result has one row for each chunk of time. The last chunk of the analysis decides: it is the window that was looked
at, and those before it were looked at before. Its alert decides, unless the value lies beyond a threshold without one.
Source: files of 0.13.1.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from slipway.drift.findings import ColumnDrift, DriftFindings, Role
from slipway.drift.foreign.document import Part, finite, measure, moment, short

TOOL = "NannyML"
FIELDS = ("value", "alert", "upper_threshold", "lower_threshold")
METHODS = ("jensen_shannon", "kolmogorov_smirnov", "wasserstein", "hellinger", "l_infinity", "chi2")
MULTIVARIATE = ("reconstruction_error", "domain_classifier_auroc")
PERFORMANCE = {
    *("roc_auc", "average_precision", "f1", "precision", "recall", "specificity", "accuracy", "business_value"),
    *("true_positive", "true_negative", "false_positive", "false_negative"),
    *("mae", "mape", "mse", "msle", "rmse", "rmsle"),
}
KEYS = ("chunk_key", "('chunk', 'chunk', 'key')", "('chunk', 'key')")
Row = dict[str, Part]


def recognises(given: Any) -> bool:
    """Chunks: as records, or column by column."""
    first = given[0] if isinstance(given, list) and given else given
    return isinstance(first, Mapping) and any(key in first for key in KEYS)


def read(given: Any) -> DriftFindings:
    """The findings of the last chunk."""
    rows = [_flat(row) for row in _rows(Part(TOOL, given))]
    analysis = [row for row in rows if _is_analysis(row)]
    if not analysis:
        return DriftFindings(tool=TOOL, remarks=("It has no chunk of the period `analysis`.",))
    numbers = [_field(row, "chunk_index", "chunk_chunk_index").whole() for row in analysis]
    if len(set(numbers)) < len(numbers):
        raise Part(TOOL, given).refused("one row for each chunk is looked for, and a `chunk_index` is there twice")
    last = analysis[numbers.index(max(numbers))]
    names = [name.removesuffix("_value") for name in last if name.endswith("_value")]
    orphans = [name for name in last if name.endswith("_alert") and f"{name.removesuffix('_alert')}_value" not in last]
    if orphans:
        raise last[orphans[0]].refused("the value of an alert is looked for, and is absent")
    columns = tuple(_column(last, name) for name in names)
    first, final = _whole(last, "chunk_start_index"), _whole(last, "chunk_end_index")
    return DriftFindings(
        tool=TOOL,
        start=moment(last.get("chunk_start_date")),
        end=moment(last.get("chunk_end_date")),
        rows=final - first + 1 if first is not None and final is not None and final >= first else None,
        columns=columns,
        remarks=_earlier(analysis, last),
    )


def _rows(root: Part) -> Iterator[Part]:
    """The records. Column by column, every column must have the same row numbers."""
    if not isinstance(root.value, Mapping):
        yield from root.items()
        return
    numbers = root[next(key for key in KEYS if key in root.value)].names()
    for name in root.names():
        if set(root.get(name).names()) != set(numbers):
            raise root.get(name).refused("the row numbers of the other columns are looked for")
    for number in numbers:
        row = {name: root.value[name][number] for name in root.value}
        yield replace(root, value=row, at=f"row {number}")


def _flat(row: Part) -> Row:
    """A record with the names of `to_df(multilevel=False)`: those of the other form are written as tuples."""
    found: Row = {}
    for name in row.names():
        levels = _levels(name)
        # ('chunk', 'chunk', 'key') is `chunk_key` in the flat form.
        flat = "_".join(levels[1:] if len(levels) == 3 and levels[0] == levels[1] == "chunk" else levels)
        if flat in found:
            raise row.refused(f"each column once is looked for, and {short(flat)!r} is there twice")
        found[flat] = row.get(name)
    return found


@functools.lru_cache(maxsize=2**17)
def _levels(name: str) -> tuple[str, ...]:
    if not name.startswith("('"):
        return (name,)
    try:
        found = ast.literal_eval(name)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return (name,)
    return found if isinstance(found, tuple) and all(isinstance(each, str) for each in found) else (name,)


def _is_analysis(row: Row) -> bool:
    period = _field(row, "chunk_period").text()
    if period not in ("reference", "analysis"):
        raise row["chunk_period"].refused(f"`reference` or `analysis` is looked for, and {short(period)!r} is there")
    return period == "analysis"


def _field(row: Row, *names: str) -> Part:
    for name in names:
        if name in row:
            return row[name]
    some = next(iter(row.values()), Part(TOOL, None))
    raise replace(some, at=some.at.rpartition(".")[0]).refused(f"`{names[0]}` is looked for, and is absent")


def _column(row: Row, name: str) -> ColumnDrift:
    value, alert = row[f"{name}_value"], _field(row, f"{name}_alert")
    upper, lower = (measure(row.get(f"{name}_{side}_threshold")) for side in ("upper", "lower"))
    column, statistic, role = _meaning(row, name)
    found = measure(value)
    drifted = None if alert.value is None else alert.truth()
    beyond = found is not None and ((upper is not None and found > upper) or (lower is not None and found < lower))
    limited = statistic == "chi2" or upper is not None or lower is not None  # chi2 alerts by its p-value alone
    detail = ""
    if drifted is False and (finite(found) is None or beyond or not limited):
        drifted = None
        detail = "It has no alert, although it lies beyond its threshold." if beyond else "Nothing was held against it."
    below = lower is not None and found is not None and found < lower
    if drifted and beyond:
        detail = f"It is {'below' if below else 'above'} its threshold."
    limit = lower if below else upper
    return ColumnDrift(
        column=column,
        role=role,
        statistic=statistic,
        drifted=drifted,
        value=finite(found),
        limit=finite(lower if limit is None else limit),
        detail=detail,
    )


def _meaning(row: Row, name: str) -> tuple[str, str, Role]:
    """Column, statistic and role, by the names that NannyML gives its columns."""
    for method in METHODS:
        if name.endswith(f"_{method}"):
            return short(name.removesuffix(f"_{method}")), method, "feature"
    if name in MULTIVARIATE:
        return "", name, "feature"
    if name in PERFORMANCE:
        # Estimates say how sure they are; realised performance says for how many rows the truth is missing.
        estimated = f"{name}_upper_confidence_boundary" in row
        return name, name, "estimated_performance" if estimated else "performance"
    return short(name), "data quality", "quality"


def _whole(row: Row, name: str) -> int | None:
    part = row.get(name)
    return None if part is None or part.value is None else part.whole()


def _earlier(analysis: list[Row], last: Row) -> tuple[str, ...]:
    alerts = [row for row in analysis if row is not last and any(_alerts(row))]
    if len(analysis) == 1:
        return ()
    return (f"The last of {len(analysis)} chunks decides; {len(alerts)} of those before it have alerts.",)


def _alerts(row: Row) -> Iterator[bool]:
    return (part.value is True for name, part in row.items() if name.endswith("_alert"))
