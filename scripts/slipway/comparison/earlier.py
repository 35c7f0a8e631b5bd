"""What the ledger says of candidates that were judged before, on the very same rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from slipway.comparison.contenders import Contender
from slipway.datasets.version import DatasetVersion
from slipway.ledger.drafting import REPORT_FILE
from slipway.ledger.entries import ENTRY_FILE, read
from slipway.ledger.store import Ledger
from slipway.report import Chart, Check, Point, Series
from slipway.runner.errors import InputError

MOST_METRICS, MOST_VERSIONS = 8, 30
LEAST_VERSIONS = 3
"""Fewer are no course."""


@dataclass(frozen=True)
class Judged:
    """A candidate of an earlier evaluation. values: by metric, its own."""

    digest: str
    version: str
    model: str
    values: Mapping[str, float]


def judged_before(ledger: Ledger, holdout: DatasetVersion) -> list[Judged]:
    """Every evaluation on these rows, oldest first.

    Raises InputError or RemoteError where the ledger cannot be read.
    """
    commits = ledger.commits()
    found = []
    entries = ledger.git.objects(f"{commit}:{ENTRY_FILE}" for commit in commits)
    for commit, raw in zip(commits, entries, strict=True):
        try:
            entry = read(raw or b"")
        except ValueError as problem:
            raise InputError(
                f"Commit {commit[:12]} of the ledger is no entry.",
                why=str(problem),
                fix="`command: verify` of audit-trail names the first bad entry.",
            ) from problem
        if entry.event == "evaluation" and any(
            subject.role == "data" and subject.id == str(holdout) for subject in entry.subjects
        ):
            found.append((commit, entry))
    reports = ledger.git.objects(f"{commit}:{REPORT_FILE}" for commit, _ in found)
    return [
        Judged(entry.model_digest, entry.model_version, entry.model, _values(raw or b""))
        for (_, entry), raw in zip(found, reports, strict=True)
    ]


def uses(earlier: Iterable[Judged], candidate: Contender) -> int:
    """How many other candidates the same rows have judged."""
    return len({each.digest or each.version for each in earlier} - {candidate.id, candidate.version, ""})


def course(earlier: Sequence[Judged], model: str, candidate: Contender, checks: Sequence[Check]) -> Chart | None:
    """The gated metrics of one version after the other, this candidate last; None where there are too few."""
    now = Judged(candidate.id, candidate.version, model, _by_metric(check.model_dump() for check in checks))
    # A version that was judged twice counts once, by what was found last.
    by_version = {each.version: each for each in (*earlier, now) if each.model == model and each.version}
    shown = list(by_version.values())[-MOST_VERSIONS:]
    series = []
    for metric in list(now.values)[:MOST_METRICS]:
        points = [
            Point(y=each.values[metric], label=f"version {each.version}") for each in shown if metric in each.values
        ]
        if len(points) >= LEAST_VERSIONS:
            series.append(Series(name=metric, points=tuple(points)))
    if not series:
        return None
    note = "Every candidate that was judged on these rows, whether or not it was released, by the ledger."
    return Chart(kind="history", title="One candidate after the other", series=tuple(series), note=note)


def _values(report: bytes) -> dict[str, float]:
    try:
        checks = json.loads(report)["checks"]
        return _by_metric(check for check in checks if isinstance(check, dict))
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}  # of a Slipway that wrote reports in another way


def _by_metric(checks: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The candidate's own value of each metric over all rows. Slices have names of two parts, and are not shown."""
    found: dict[str, float] = {}
    for check in checks:
        name, values = str(check.get("name", "")).split(": "), check.get("values")
        value = values.get("candidate") if isinstance(values, dict) else None
        if len(name) == 2 and isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            found[name[0]] = float(value)
    return found
