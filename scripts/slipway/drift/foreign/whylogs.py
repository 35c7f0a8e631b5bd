"""whylogs: what `calculate_drift_scores(..., with_thresholds=True)` returns, and constraints reports, both as JSON.

The drift category decides, which is whylogs' name for where the p-value or distance lies among the thresholds. Without
thresholds there is nothing to decide by. Source: whylogs/viz/drift and whylogs/core/constraints of 1.6.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.drift.findings import ColumnDrift, DriftFindings
from slipway.drift.foreign.document import Part, finite, measure, short

TOOL = "whylogs"
CATEGORIES = {"NO_DRIFT": False, "POSSIBLE_DRIFT": None, "DRIFT": True}
CONSTRAINT = ("name", "passed", "failed", "summary")
"""Fields of `ReportResult`, a tuple that becomes a list in JSON."""


def recognises(given: Any) -> bool:
    """Scores by column, or a list of constraints' results."""
    if isinstance(given, list):
        return bool(given) and all(_is_constraint(each) for each in given)
    if not isinstance(given, Mapping):
        return False
    scores = [each for each in given.values() if each is not None]
    return bool(scores) and all(isinstance(each, Mapping) and _is_score(each) for each in scores)


def read(given: Any) -> DriftFindings:
    """The findings."""
    root = Part(TOOL, given)
    if isinstance(given, list):
        return DriftFindings(tool=TOOL, columns=tuple(_constraint(each) for each in root.items()))
    columns = tuple(_score(root, name) for name in root.names())
    undecided = any(each.drifted is None and each.value is not None and not each.detail for each in columns)
    how = "Without thresholds nothing decides: let whylogs write with_thresholds=True."
    return DriftFindings(tool=TOOL, columns=columns, remarks=(how,) if undecided else ())


def _is_score(given: Mapping[str, Any]) -> bool:
    return {"algorithm", "statistic"} <= given.keys() or {"test", "p_value"} <= given.keys()


def _is_constraint(given: Any) -> bool:
    if isinstance(given, Mapping):
        return {"name", "passed", "failed"} <= given.keys()
    return isinstance(given, list) and len(given) == len(CONSTRAINT) and isinstance(given[0], str)


def _score(root: Part, name: str) -> ColumnDrift:
    score = root.get(name)
    if score.value is None:
        why = "whylogs has no score for it: it has no values, or the algorithm does not suit its type."
        return ColumnDrift(column=short(name), role="feature", statistic="no score", drifted=None, detail=why)
    algorithm = score["algorithm" if "algorithm" in score.names() else "test"].name()
    p_value, statistic = measure(score.find("pvalue", "p_value")), measure(score.find("statistic"))
    drifted, detail, limit = None, "", None
    if (said := score.find("drift_category")) is not None:
        category = said.text()
        if category not in CATEGORIES:
            raise score.refused(f"one of {', '.join(CATEGORIES)} is looked for, and {short(category)!r} is there")
        drifted, detail = CATEGORIES[category], f"whylogs says {category}."
        measured = statistic if algorithm == "hellinger" else p_value
        thresholds = score["thresholds"]
        low, high = (each.number() for each in _pair(thresholds["NO_DRIFT"]))
        limit = high if algorithm == "hellinger" else low
        if drifted is False and not (measured is not None and low <= measured <= high):
            drifted, detail = None, "whylogs says NO_DRIFT, and what it measured lies elsewhere."
    return ColumnDrift(
        column=short(name),
        role="feature",
        statistic=algorithm,
        drifted=drifted,
        value=finite(statistic if statistic is not None else p_value),
        limit=finite(limit),
        p_value=finite(p_value),
        detail=detail,
    )


def _pair(part: Part) -> tuple[Part, Part]:
    bounds = tuple(part.items())
    if len(bounds) != 2:
        raise part.refused("two bounds are looked for")
    return bounds[0], bounds[1]


def _constraint(part: Part) -> ColumnDrift:
    if not isinstance(part.value, Mapping):
        entries = list(part.items())
        if len(entries) != len(CONSTRAINT):
            raise part.refused(f"{', '.join(CONSTRAINT)} are looked for")
        part = Part(part.source, dict(zip(CONSTRAINT, part.value, strict=True)), part.at)
    passed, failed = part["passed"].whole(), part["failed"].whole()
    drifted = None if passed + failed == 0 else failed > 0
    return ColumnDrift(column="", role="quality", statistic="constraint", drifted=drifted, detail=part["name"].name())
