"""Arize: monitors as `GET /v2/monitors` lists them, or one as `GET /v2/monitors/{id}` gives it.

A monitor's status decides. What a monitor's webhook posts is not documented: it is a trigger to ask for the monitor,
and no report. Source: the models Monitor and MonitorStatus of Arize's REST API 2.0.0, as in the package arize 8.61.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.drift.findings import ColumnDrift, DriftFindings, Role
from slipway.drift.foreign.document import Part, finite, measure, moment, short

TOOL = "Arize"
STATUSES = {"TRIGGERED": True, "CLEARED": False, "NO_DATA": None}
TYPES: dict[str, Role] = {
    "DRIFT": "feature",
    "DATA_QUALITY": "quality",
    "PERFORMANCE": "performance",
    "CUSTOM_METRIC": "performance",
    "TRACING": "quality",
}
"""What a monitor is about. Spans of a trace are no data that a model learns from: no reason to train."""


def recognises(given: Any) -> bool:
    """A list of monitors, or one."""
    if not isinstance(given, Mapping):
        return False
    monitors = given.get("monitors", [given])
    if not isinstance(monitors, list):
        return False
    return all(isinstance(each, Mapping) and {"type", "status"} <= each.keys() for each in monitors)


def read(given: Any) -> DriftFindings:
    """The findings, one for each monitor."""
    root = Part(f"{TOOL} REST 2.0", given)
    whole = "monitors" in root.names()
    monitors = list(root["monitors"].items()) if whole else [root]
    columns = [_monitor(each) for each in monitors]
    pages = root.find("pagination") if whole else None
    more = pages.find("has_more") if pages else None
    if more and more.truth():
        columns.append(
            ColumnDrift(column="", role="feature", statistic="further pages that were not given", drifted=None)
        )
    times = [found for each in monitors if (found := moment(each.find("evaluated_at")))]
    return DriftFindings(tool=TOOL, version="REST 2.0", end=max(times, default=None), columns=tuple(columns))


def _monitor(part: Part) -> ColumnDrift:
    kind, status = part["type"].text(), part["status"].text()
    for said, known in ((kind, TYPES), (status, STATUSES)):
        if said not in known:
            raise part.refused(f"one of {', '.join(known)} is looked for, and {short(said)!r} is there")
    drifted, detail = STATUSES[status], ""
    found = measure(part.find("latest_computed_value"))
    if drifted is False and (finite(found) is None or part.find("evaluated_at") is None):
        drifted, detail = None, "It was never evaluated."
    dimension = part.find("dimension")
    category = dimension.find("category") if dimension else None
    role = _role(TYPES[kind], category.text() if category else "")
    metric, threshold, name = part.find("metric"), part.find("threshold"), part.find("name")
    column = dimension.find("name", "category") if dimension else name
    limit = measure(threshold.find("value")) if threshold else None
    return ColumnDrift(
        column=column.name() if column else "",
        role=role,
        statistic=metric.name() if metric else kind,
        drifted=drifted,
        value=finite(found),
        limit=finite(limit),
        detail=" ".join(filter(None, (f"Monitor {name.name()}." if name else "", detail))),
    )


def _role(role: Role, category: str) -> Role:
    if role != "feature":
        return role
    if category.startswith("PREDICTIONS"):
        return "prediction"
    return "target" if category.startswith("ACTUALS") else role
