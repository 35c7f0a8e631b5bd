"""Drift reports of other tools, read into `DriftFindings`. Whatever they say is untrusted text.

A report is recognised by its shape. What a reader relies on must be there and have its type, else the report is refused
with InputError; further keys are let be. A report that says of nothing, or not of everything, whether it drifted is
inconclusive, never a pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from slipway.drift.findings import DriftFindings
from slipway.drift.foreign import arize, document, evidently, nannyml, neutral, sagemaker, vertex, whylogs
from slipway.runner.errors import InputError

AUTO = "auto"
LARGEST_PAYLOAD = 65_535
"""Signs of a `client_payload`, and below it the most names at its top; both are GitHub's limits."""

MOST_NAMES = 10
PAYLOAD = ("report", "format", "model", "reason")


class Reader(Protocol):
    """What each module here has."""

    TOOL: str

    def recognises(self, given: Any) -> bool:
        """Whether a document has the shape of the tool's reports."""

    def read(self, given: Any) -> DriftFindings:
        """The findings; InputError where something that is relied on is not there."""


READERS: dict[str, Reader] = {
    "neutral": neutral,
    "evidently": evidently,
    "nannyml": nannyml,
    "whylogs": whylogs,
    "arize": arize,
    "vertex": vertex,
    "sagemaker": sagemaker,
}


def read(source: Path | Mapping[str, Any] | list[Any], format: str = AUTO) -> DriftFindings:
    """The findings of a report: a JSON file, or a document that was read from one.

    format: `auto`, or one of `READERS`. Raises InputError where the file cannot be read or is too large, where the
    document has the shape of no tool or of another than `format`, and where something is not as the tool writes it.
    """
    if format != AUTO and format not in READERS:
        known = ", ".join((AUTO, *READERS))
        raise InputError(
            f"No format of drift reports is called {document.short(format)!r}.", fix=f"Use one of {known}."
        )
    given = document.load(source) if isinstance(source, Path) else source
    recognised = [name for name, reader in READERS.items() if reader.recognises(given)]
    if format == AUTO and len(recognised) == 1:
        return READERS[recognised[0]].read(given)
    if format in recognised:
        return READERS[format].read(given)
    looks = f"it looks like {' and '.join(recognised)}" if recognised else "it has the shape of no report that is known"
    raise InputError(
        "The drift report is not recognised." if format == AUTO else f"The drift report is not one of {format}.",
        why=f"{looks[0].upper()}{looks[1:]}.",
        fix="Name its format, or give its findings in the neutral form (docs/drift-reports.md).",
    )


def from_client_payload(payload: Mapping[str, Any]) -> DriftFindings:
    """The findings that a `repository_dispatch` event carries: `report`, and if need be `format` and `model`.

    report: the tool's document, as JSON or as a text that is JSON. model: whose report it is; where the report names
    a model itself, it must be the same. A `reason` is let be: it is for people, and the ledger shows it.
    Raises InputError for anything else.
    """
    if not isinstance(payload, Mapping):
        raise _no_payload(f"it is a {type(payload).__name__} and no object")
    try:
        size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError) as error:
        raise _no_payload("it is no JSON, or nested too deeply") from error
    if len(payload) > MOST_NAMES or size > LARGEST_PAYLOAD:
        raise _no_payload(f"it has more than {MOST_NAMES} names or {LARGEST_PAYLOAD:,} signs")
    unknown = [str(name) for name in payload if name not in PAYLOAD]
    if unknown:
        raise _no_payload(f"it has {document.short(unknown[0])!r}, and may have {', '.join(PAYLOAD)}")
    format, model, report = payload.get("format", AUTO), payload.get("model", ""), payload.get("report")
    if not isinstance(format, str) or not isinstance(model, str):
        raise _no_payload("`format` and `model` are texts")
    if isinstance(report, str):
        report = document.parse(report, "in the event")
    if not isinstance(report, Mapping | list):
        raise _no_payload("`report` is looked for, an object or a list")
    found = read(report, format)
    if model and found.model and found.model != model:
        raise _no_payload(f"it is for {document.short(model)!r}, and the report is about {found.model!r}")
    return replace(found, model=found.model or document.short(model))


def _no_payload(why: str) -> InputError:
    return InputError(
        "The event's client_payload cannot be used.",
        why=f"{why[0].upper()}{why[1:]}.",
        fix="docs/drift-reports.md has the bodies that start a workflow.",
    )
