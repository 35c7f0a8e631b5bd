"""Evidently: what `save_json` of a report writes (0.7), and what reports and test suites of 0.4 to 0.6 write.

Each column's own test decides. The share of drifted columns, for which Evidently has a limit of its own, decides
nothing; only where it counts more drifted columns than the report shows is it believed. Sources: evidently/metrics and
evidently/legacy/calculations/stattests of 0.7.23, and files of 0.4.40, 0.7.4 and 0.7.23.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slipway.drift.findings import ColumnDrift, DriftFindings, Role
from slipway.drift.foreign.document import Part, finite, measure, short

TOOL = "Evidently"
STATUSES = {"SUCCESS": False, "FAIL": True, "WARNING": None, "ERROR": None, "SKIPPED": None}
"""Whether a test of the status failed. A warning is a failed test that somebody declared not critical."""

P_VALUES = {
    *("K-S p_value", "ks", "chi-square p_value", "chisquare", "Z-test p_value", "z", "Anderson-Darling", "anderson"),
    *("Fisher's Exact test", "fisher_exact", "Cramer-von Mises", "cramer_von_mises", "g_test", "Epps-Singleton", "es"),
    *("Mann-Whitney U-rank test", "mannw", "t_test", "empirical_mmd", "Total-Variation-Distance", "TVD"),
}
"""Methods whose score is a p-value: drift where it is below the threshold."""

DISTANCES = {
    *("Wasserstein distance (normed)", "wasserstein", "Jensen-Shannon distance", "jensenshannon", "PSI", "psi"),
    *("Kullback-Leibler divergence", "kl_div", "Hellinger distance", "hellinger", "Energy-distance", "ed"),
}
"""Methods whose score is a distance: drift where it is above the threshold."""

DRIFT = {"ValueDrift": "column", "EmbeddingsDrift": "embeddings_name"}
"""Metrics of 0.7 that are about drift, and where they name what they look at."""

PERFORMANCE = re.compile(r"^(Accuracy|Precision|Recall|F1|RocAuc|LogLoss|TPR|FPR|TNR|FNR|RMSE|MAE|MAPE|MeanError|R2)")
PERFORMANCE_GROUPS = ("classification", "regression", "ranking", "recsys")


def recognises(given: Any) -> bool:
    """Metrics or tests as Evidently writes them, of any version."""
    if not isinstance(given, Mapping) or not (lists := [given[key] for key in ("metrics", "tests") if key in given]):
        return False
    entries = [each for found in lists if isinstance(found, list) for each in found if isinstance(each, Mapping)]
    marks = ("metric_id", "metric_name", "metric_config", "metric", "group", "test_config")
    empty = {"metrics", "tests"} <= given.keys() and not any(lists)
    return empty or "version" in given or any(mark in each for each in entries for mark in marks)


def read(given: Any) -> DriftFindings:
    """The findings. Raises InputError where the report is of a version that is not known."""
    root = Part(TOOL, given)
    if (said := root.find("version")) is None:
        return _current(Part(f"{TOOL} 0.7", given))
    version = said.text()
    if not re.match(r"^0\.[4-7](\.|$)", version):
        raise root.refused(f"a version from 0.4 to 0.7 is looked for, and it says {short(version)!r}")
    root = Part(f"{TOOL} {short(version)}", given)
    return _suite(root, version) if root.find("metrics") is None else _old_report(root, version)


def _current(root: Part) -> DriftFindings:
    """0.7: metrics with their values, and tests that name the metric they are about."""
    metrics: dict[str, Part] = {}
    for metric in root["metrics"].items():
        if metrics.setdefault(metric["id"].text(), metric) is not metric:
            raise metric.refused("an `id` of its own is looked for")
    tests: dict[str, list[Part]] = {}
    for test in root["tests"].items():
        about = test["metric_config"]["metric_id"].text()
        if about not in metrics:
            raise test.refused(f"the metric {short(about)!r} that a test is about is looked for, and is absent")
        tests.setdefault(about, []).append(test)
    columns: list[ColumnDrift] = []
    remarks: list[str] = []
    rows, counted = None, 0
    for name, metric in metrics.items():
        own = tests.get(name, [])
        kind, config = _kind(metric, own)
        if kind == "DriftedColumnsCount":
            counted = max(counted, metric["value"]["count"].whole())
            remarks += [f"Its own limit for the share of drifted columns: {_said(test)}." for test in own]
        elif kind in DRIFT:
            columns.append(_value_drift(metric, config, DRIFT[kind], own))
        else:
            rows = metric["value"].whole() if kind == "RowCount" else rows
            role: Role = "performance" if PERFORMANCE.match(kind) else "quality"
            columns += [_of_test(test, role, kind, config) for test in own]
    return DriftFindings(
        tool=TOOL, version="0.7", rows=rows, columns=(*columns, *_uncounted(counted, columns)), remarks=tuple(remarks)
    )


def _kind(metric: Part, tests: list[Part]) -> tuple[str, Part | None]:
    """What a metric is, and its parameters, which the first versions of 0.7 keep with its tests."""
    config = metric.find("config") or (tests[0]["metric_config"].find("params") if tests else None)
    if config is None:
        return metric["metric_id"].text().partition("(")[0], None
    said = config["type"].text()
    known = re.match(r"^evidently:metric_v2:(.+)$", said)
    if said.startswith("evidently:metric") and not known:
        raise config.refused(f"a metric of the kind `evidently:metric_v2` is looked for, and {short(said)!r} is there")
    return short(known.group(1) if known else said), config


def _value_drift(metric: Part, config: Part | None, named: str, tests: list[Part]) -> ColumnDrift:
    score = measure(metric.get("value"))
    if config is None:
        column = re.match(r"^\w+\(\w+=(.+?)[,)]", metric["metric_id"].text())
        if not column:
            raise metric.refused("the name of a column in `metric_id` is looked for, and is absent")
        why = "The report has no test and no method for it; let Evidently run with include_tests=True."
        return _column(short(column[1]), "", score, None, None, why)
    method, threshold = config.find("method"), config.find("threshold")
    return _column(
        config[named].name(),
        method.text() if method else "",
        score,
        measure(threshold),
        [_status(test) for test in tests] or None,
        " ".join(_said(test) for test in tests),
    )


def _old_report(root: Part, version: str) -> DriftFindings:
    """0.4 to 0.6: metrics with results; the table of drift has one entry for each column."""
    columns: list[ColumnDrift] = []
    counted, remarks = 0, []
    for metric in root["metrics"].items():
        kind = metric["metric"].text()
        if kind not in ("DataDriftTable", "DatasetDriftMetric", "ColumnDriftMetric", "EmbeddingsDriftMetric"):
            continue
        result = metric["result"]
        if kind == "ColumnDriftMetric":
            columns.append(_old_column(result))
        elif kind == "EmbeddingsDriftMetric":
            columns.append(_embeddings(result))
        else:
            counted = max(counted, result["number_of_drifted_columns"].whole())
            whole = "drifted" if result["dataset_drift"].truth() else "not drifted"
            remarks.append(f"By its own share of drifted columns the dataset has {whole}.")
        if kind == "DataDriftTable":
            table = result["drift_by_columns"]
            columns += [_old_column(table[name]) for name in table.names()]
    return DriftFindings(
        tool=TOOL,
        version=short(version),
        columns=(*columns, *_uncounted(counted, columns)),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _old_column(result: Part) -> ColumnDrift:
    return _column(
        result["column_name"].name(),
        result["stattest_name"].text(),
        measure(result.get("drift_score")),
        measure(result["stattest_threshold"]),
        [result["drift_detected"].truth()],
        "",
    )


def _embeddings(result: Part) -> ColumnDrift:
    column, drifted = result["embeddings_name"].name(), result["drift_detected"].truth()
    return _column(column, result["method_name"].text(), measure(result.get("drift_score")), None, [drifted], "")


def _suite(root: Part, version: str) -> DriftFindings:
    """0.4 to 0.6: tests with a status each. Scores are rounded, so that they are shown and not judged by."""
    columns: list[ColumnDrift] = []
    remarks = []
    for test in root["tests"].items():
        group, drifted = test["group"].text(), _status(test)
        if group != "data_drift":
            role: Role = "performance" if group in PERFORMANCE_GROUPS else "quality"
            columns.append(_of_test(test, role, group, test.find("parameters")))
            continue
        parameters = test["parameters"]
        if parameters.find("features") is not None:
            remarks.append(f"Its own limit for drifted columns: {_said(test)}.")
            features = parameters["features"]
            columns += [_of_features(features[name], short(name)) for name in features.names()]
            continue
        detected = parameters["detected"].truth()
        columns.append(_rounded(parameters, parameters["column_name"].name(), drifted or detected, _said(test)))
    failed = root["summary"]["failed_tests"].whole() - sum(_status(test) is True for test in root["tests"].items())
    found = (*_once(columns), *_uncounted(max(failed, 0), []))
    return DriftFindings(tool=TOOL, version=short(version), columns=found, remarks=tuple(remarks))


def _of_features(part: Part, column: str) -> ColumnDrift:
    return _rounded(part, column, part["detected"].truth(), "")


def _rounded(part: Part, column: str, drifted: bool, detail: str) -> ColumnDrift:
    score, limit = measure(part.get("score")), measure(part["threshold"])
    known = drifted if score is not None or drifted else None
    return ColumnDrift(
        column=column,
        role=_role(column),
        statistic=part["stattest"].name(),
        drifted=known,
        value=finite(score),
        limit=finite(limit),
        detail=detail,
    )


def _once(columns: list[ColumnDrift]) -> list[ColumnDrift]:
    """A column that several tests of a suite are about, once: as the worst of them says."""
    found: dict[tuple[str, str], ColumnDrift] = {}
    for place, each in enumerate(columns):
        key = ("", str(place)) if each.role in ("quality", "performance") else (each.column, each.statistic)
        if key not in found or (each.drifted and not found[key].drifted):
            found[key] = each
    return list(found.values())


def _column(
    column: str, method: str, score: float | None, limit: float | None, tests: list[bool | None] | None, detail: str
) -> ColumnDrift:
    """A column as its tests say (None: it has none) and, as far as the method is known, its score and threshold."""
    by_score = None
    if score is not None and (score < 0 or (score > 1 and method in P_VALUES)):
        score = None  # neither a distance nor a p-value
    if limit is not None and score is not None and method in P_VALUES | DISTANCES:
        by_score = score <= limit if method in P_VALUES else score >= limit
    if tests is None:
        drifted = by_score
    elif True in tests:
        drifted = True
    else:
        # A test that passed although the score says drift: lt() on a p-value, say. Neither is believed.
        drifted = None if None in tests or by_score or score is None else False
    p_value = finite(score) if method in P_VALUES else None
    return ColumnDrift(
        column=column,
        role=_role(column),
        statistic=short(method) or "drift score",
        drifted=drifted,
        value=finite(score),
        limit=finite(limit),
        p_value=p_value,
        detail=detail,
    )


def _of_test(test: Part, role: Role, kind: str, parameters: Part | None) -> ColumnDrift:
    named = parameters.find("column", "column_name") if parameters else None
    column = short(named.value) if named and isinstance(named.value, str) else ""
    return ColumnDrift(column=column, role=role, statistic=short(kind), drifted=_status(test), detail=_said(test))


def _status(test: Part) -> bool | None:
    status = test["status"].text()
    if status not in STATUSES:
        raise test.refused(f"one of {', '.join(STATUSES)} is looked for, and {short(status)!r} is there")
    return STATUSES[status]


def _said(test: Part) -> str:
    description = test.find("description")
    return short(description.text()).rstrip(".") if description else ""


def _role(column: str) -> Role:
    """By the names that Evidently gives target and prediction unless it is told others."""
    return "prediction" if column == "prediction" else "target" if column == "target" else "feature"


def _uncounted(counted: int, columns: list[ColumnDrift]) -> tuple[ColumnDrift, ...]:
    """What the report counts as drifted, and does not show."""
    hidden = counted - len({each.column for each in columns if each.drifted})
    if hidden <= 0:
        return ()
    return (
        ColumnDrift(
            column="",
            role="feature",
            statistic="drifted columns that are counted and not shown",
            drifted=True,
            value=float(hidden),
        ),
    )
