"""Vertex AI Model Monitoring: statistics with anomalies (v1: search answer or log entry), and alerts (v2, preview).

A feature drifts where the deviation of its latest window is above the threshold. Protobuf leaves out zeros in JSON, so
that an absent deviation is taken for unknown, not for none. Alerts name only what drifted: a list without any says
nothing of what was looked at. Source: the messages ModelMonitoringStatsAnomalies and FeatureStatsAnomaly of
google.cloud.aiplatform.v1, ModelMonitoringAlert of v1beta1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from slipway.drift.findings import ColumnDrift, DriftFindings, Role
from slipway.drift.foreign.document import Part, finite, measure, moment, short

TOOL = "Vertex AI Model Monitoring"
OBJECTIVES = {
    "RAW_FEATURE_SKEW": "deviation from the training data",
    "RAW_FEATURE_DRIFT": "deviation from the window before",
    "FEATURE_ATTRIBUTION_SKEW": "deviation of attributions from the training data",
    "FEATURE_ATTRIBUTION_DRIFT": "deviation of attributions from the window before",
}
ALERTS: dict[str, Role] = {
    "raw-feature-drift": "feature",
    "prediction-output-drift": "prediction",
    "feature-attribution": "feature",
}
STATS, FEATURES, FOUND = (
    ("monitoringStats", "monitoring_stats"),
    ("featureStats", "feature_stats"),
    ("modelMonitoringAlerts", "model_monitoring_alerts"),
)


START, END = ("startTime", "start_time"), ("endTime", "end_time")
Window = tuple[datetime | None, datetime | None]


def recognises(given: Any) -> bool:
    """A search answer, one set of statistics, a log entry with one, or alerts."""
    if not isinstance(given, Mapping):
        return False
    inner = given.get("jsonPayload", given)
    return isinstance(inner, Mapping) and any(key in inner for key in (*STATS, *FEATURES, *FOUND))


def read(given: Any) -> DriftFindings:
    """The findings, of the latest window of each feature."""
    root = Part(TOOL, given)
    root = root.find("jsonPayload") or root
    if any(key in root.names() for key in FOUND):
        return _alerts(Part(f"{TOOL} v2", root.value, root.at))
    root = Part(f"{TOOL} v1", root.value, root.at)
    whole = any(key in root.names() for key in STATS)
    sets = list(_any(root, *STATS).items()) if whole else [root]
    columns: list[ColumnDrift] = []
    windows: list[Window] = []
    models: list[str] = []
    for each in sets:
        found, seen = _features(each)
        columns += found
        windows += seen
        model = each.find("deployedModelId", "deployed_model_id")
        models += [model.name()] if model else []
    if root.find("nextPageToken", "next_page_token"):
        columns.append(_unseen("further pages that were not given"))
    starts, ends = ([each for each in side if each] for side in zip(*windows, strict=True)) if windows else ([], [])
    return DriftFindings(
        tool=TOOL,
        version="v1",
        start=min(starts, default=None),
        end=max(ends, default=None),
        columns=tuple(columns),
        remarks=tuple(f"Deployed model {name}." for name in dict.fromkeys(models)),
    )


def _features(stats: Part) -> tuple[list[ColumnDrift], list[Window]]:
    """The features of one objective, and their windows."""
    objective = stats["objective"].text()
    if objective not in OBJECTIVES:
        raise stats.refused(f"one of {', '.join(OBJECTIVES)} is looked for, and {short(objective)!r} is there")
    columns: list[ColumnDrift] = []
    windows: list[Window] = []
    anomalies = 0
    for feature in _any(stats, *FEATURES).items():
        name = _any(feature, "featureDisplayName", "feature_display_name").name()
        history = feature.find("predictionStats", "prediction_stats")
        looks = list(history.items()) if history else []
        if not looks:
            columns.append(_unmeasured(name, objective))
            continue
        judged = [_look(name, objective, feature, look) for look in looks]
        anomalies += sum(each.drifted is True for each in judged)
        ends = [_end(look) for look in looks] if len(looks) > 1 else []
        latest = ends.index(max(ends)) if ends else 0
        columns.append(judged[latest])
        windows.append((moment(looks[latest].find(*START)), moment(looks[latest].find(*END))))
    count = stats.find("anomalyCount", "anomaly_count")
    if count and count.whole() > anomalies:
        columns.append(_unseen("anomalies that are counted and not shown"))
    return columns, windows


def _end(look: Part) -> datetime:
    """When a window ended: among several, the latest decides."""
    end = _any(look, *END)
    if (found := moment(end)) is None or not isinstance(end.value, str):
        raise end.refused("a time as in RFC 3339 is looked for", end.value)
    return found


def _look(name: str, objective: str, feature: Part, look: Part) -> ColumnDrift:
    deviation = look.find("distributionDeviation", "distribution_deviation")
    limit = look.find("anomalyDetectionThreshold", "anomaly_detection_threshold")
    if limit is None and (threshold := feature.find("threshold")) is not None:
        limit = threshold.find("value")
    found, bound = measure(deviation), measure(limit)
    # A deviation below zero is none.
    drifted = found > bound if found is not None and found >= 0 and bound is not None else None
    return ColumnDrift(
        column=name,
        role="feature",
        statistic=OBJECTIVES[objective],
        drifted=drifted,
        value=finite(found),
        limit=finite(bound),
        importance=finite(measure(look.find("score"))),
        detail="" if drifted is not None else "Its deviation or its threshold is absent.",
    )


def _unmeasured(name: str, objective: str) -> ColumnDrift:
    detail = "It has no statistics of predictions."
    return ColumnDrift(column=name, role="feature", statistic=OBJECTIVES[objective], drifted=None, detail=detail)


def _unseen(what: str) -> ColumnDrift:
    return ColumnDrift(column="", role="feature", statistic=what, drifted=None)


def _alerts(root: Part) -> DriftFindings:
    columns = []
    for alert in _any(root, *FOUND).items():
        objective = _any(alert, "objectiveType", "objective_type").text()
        if objective not in ALERTS:
            raise alert.refused(f"one of {', '.join(ALERTS)} is looked for, and {short(objective)!r} is there")
        anomaly = alert.find("anomaly")
        tabular = anomaly.find("tabularAnomaly", "tabular_anomaly") if anomaly else None
        condition = tabular.find("condition") if tabular else None
        threshold = condition.find("threshold") if condition else None
        summary = tabular.find("summary") if tabular else None
        columns.append(
            ColumnDrift(
                column=_any(alert, "statsName", "stats_name").name(),
                role=ALERTS[objective],
                statistic=objective,
                drifted=True,
                limit=finite(measure(threshold)),
                detail=short(summary.text()) if summary else "",
            )
        )
    remarks = () if columns else ("It has no alert, and does not say what was looked at.",)
    return DriftFindings(tool=TOOL, version="v2", columns=tuple(columns), remarks=remarks)


def _any(part: Part, camel: str, snake: str) -> Part:
    """As REST and as Python's client spell a field."""
    return part.find(camel, snake) or part[camel]
