"""The idempotency key of a retraining: the same drift found twice has the same key, whoever delivers it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from slipway.report import Check, Report, Subject, Verdict

PATTERN = r"slipway-[0-9a-f]{8}-[0-9a-f]{16}"
KEY = re.compile(rf"(?<![\w-]){PATTERN}(?![\w-])")
JUDGED = ("window", "data", "reference", "production")
"""Roles of the subjects that say which rows a drift report judged, and against what."""

OF_THE_RUN = {"started", "seconds", "links", "reused_from", "provenance", "attachments"}
"""What two reports on the same drift may differ in."""


def key_of(model: str, drift: Report) -> str:
    """The key: a digest of the model, so that a run can be told from another model's, and one of the drift.

    The drift is told by the window of rows with what it was held against, where the report names a window: a job that
    is run again writes another report on the same window. Otherwise it is all that the report found.
    """
    found: Any = [[each.role, each.name, each.id] for each in drift.subjects if each.role in JUDGED]
    if window_of(drift) == "":
        found = drift.model_dump(mode="json", exclude=OF_THE_RUN)
    return f"{prefix(model)}{_digest([model, found])[:16]}"


def prefix(model: str) -> str:
    """What the keys of all retrainings of a model begin with."""
    return f"slipway-{_digest(model)[:8]}-"


def window_of(drift: Report) -> str:
    """Identity of the window of rows that a drift report judged; empty where it names none."""
    return window_among(drift.subjects)


def window_among(subjects: Sequence[Subject]) -> str:
    """The window among the subjects of a drift report: what it calls so, else the version of the data."""
    named = {each.role: each.id or each.name for each in reversed(subjects)}
    return named.get("window") or named.get("data") or ""


def production_among(subjects: Sequence[Subject]) -> str:
    """The version in production among the subjects of a drift report; empty where it names none."""
    return next((each.id or each.name for each in subjects if each.role == "production"), "")


def failed_roles(drift: Report) -> set[str]:
    """What the failed checks of a drift report are about; a check that does not say it is about a feature."""
    return {role_of(check) for check in drift.checks if check.verdict is Verdict.FAIL}


def role_of(check: Check) -> str:
    """What a check of a drift report is about; a check that does not say it is about a feature."""
    return str(check.values.get("role") or "feature")


def in_title(title: str) -> str:
    """The key that a workflow run shows in its title; empty where it shows none."""
    found = KEY.search(title or "")
    return found[0] if found else ""


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
