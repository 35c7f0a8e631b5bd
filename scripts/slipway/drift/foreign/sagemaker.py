"""SageMaker Model Monitor: `constraint_violations.json` of data quality, model quality, bias and attribution monitors.

The file names what is violated and nothing else. So an empty one says that nothing drifted only together with the
constraints that were checked: `{"violations": […], "constraints": <constraints.json>}`. Sources:
docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html, model-monitor-byoc-constraints.html,
clarify-model-monitor-bias-drift-violations.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from slipway.drift.findings import ColumnDrift, DriftFindings, Role
from slipway.drift.foreign.document import Part, finite, measure, short

TOOL = "SageMaker Model Monitor"
DRIFT = "baseline_drift_check"
ROLES: dict[str, Role] = {
    DRIFT: "feature",
    "categorical_values_check": "feature",
    "feature_attribution_drift_check": "feature",
    "bias_drift_check": "performance",
    "LessThanThreshold": "performance",
    "GreaterThanThreshold": "performance",
    "data_type_check": "quality",
    "completeness_check": "quality",
    "missing_column_check": "quality",
    "extra_column_check": "quality",
}
"""Of the checks that the prebuilt containers have. A check of another container is taken for one of quality."""

VERSIONS = (0, 0.0, 1, 1.0, "0", "0.0", "1", "1.0")
NUMERIC = ("Integral", "Fractional")
SWITCHES = ("Enabled", "Disabled")


def recognises(given: Any) -> bool:
    """A list of violations."""
    return isinstance(given, Mapping) and "violations" in given


def read(given: Any) -> DriftFindings:
    """The findings. Raises InputError for versions that are not known."""
    root = Part(TOOL, given)
    version = root.find("version")
    if version is not None and (isinstance(version.value, bool) or version.value not in VERSIONS):
        raise root.refused(f"the version 0 or 1.0 is looked for, and {short(repr(version.value))} is there")
    violations = tuple(_violation(each) for each in root["violations"].items())
    constraints = root.find("constraints")
    if constraints is None:
        remark = "Without `constraints` it does not say what was looked at, only what was violated."
        return DriftFindings(tool=TOOL, columns=violations, remarks=(remark,))
    known = {each.column for each in violations if each.statistic == DRIFT}
    quiet, remarks = _quiet(constraints, known)
    return DriftFindings(tool=TOOL, columns=(*violations, *quiet), remarks=remarks)


def _violation(part: Part) -> ColumnDrift:
    check = part["constraint_check_type"].name()
    named = part.find("feature_name", "metric_name", "facet", "label")
    if named is None:
        raise part.refused("`feature_name`, `metric_name`, `facet` or `label` is looked for, and is absent")
    description = part.find("description")
    return ColumnDrift(
        column=named.name(),
        role=ROLES.get(check, "quality"),
        statistic=check,
        drifted=True,
        detail=short(description.text()) if description else "",
    )


def _quiet(constraints: Part, violated: Set[str]) -> tuple[tuple[ColumnDrift, ...], tuple[str, ...]]:
    """The features whose distribution was compared and is not among the violations."""
    config = constraints["monitoring_config"]
    distribution = config["distribution_constraints"]
    if not (_on(config["evaluate_constraints"]) and _on(distribution["perform_comparison"])):
        return (), ("Distributions were not compared: `evaluate_constraints` or `perform_comparison` is disabled.",)
    texts = distribution.find("categorical_drift_method") is not None
    columns, left_out = [], 0
    for feature in constraints["features"].items():
        name, kind = feature["name"].name(), feature["inferred_type"].text()
        if kind not in (*NUMERIC, "String", "Unknown"):
            raise feature.refused(f"an `inferred_type` that is known is looked for, and {short(kind)!r} is there")
        if name in violated:
            continue
        if kind == "Unknown" or (kind == "String" and not texts):
            left_out += 1
            continue
        own = feature.find("monitoringConfigOverrides", "monitoring_config_overrides")
        limit = distribution["comparison_threshold"] if kind in NUMERIC else None
        limit = limit or distribution.find("categorical_comparison_threshold")
        columns.append(
            ColumnDrift(
                column=name,
                role="feature",
                statistic=DRIFT,
                drifted=None if own and own.value else False,
                limit=finite(measure(limit)),
                detail="It has settings of its own, which are not read." if own and own.value else "",
            )
        )
    unread = f"Features of a type whose distribution is not compared: {left_out}."
    return tuple(columns), (unread,) if left_out else ()


def _on(part: Part) -> bool:
    said = part.text()
    if said not in SWITCHES:
        raise part.refused(f"`Enabled` or `Disabled` is looked for, and {short(said)!r} is there")
    return said == "Enabled"
