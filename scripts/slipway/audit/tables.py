"""The ledger as one table for spreadsheets and other programs: CSV and JSON, one row or object an entry."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence

from slipway.audit.trail import Trail
from slipway.ledger.verification import Record

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula. https://owasp.org/www-community/attacks/CSV_Injection"""

COLUMNS = (
    *("sequence", "digest", "commit", "event", "occurred_at", "recorded_at", "model", "model_version", "model_digest"),
    *("verdict", "summary", "reasons", "environment", "previous_version", "actor", "actor_id", "pull_request", "sha"),
    *("ref", "fork", "repository", "run_id", "attempt", "run_url", "justification", "issues", "subjects", "evidence"),
    *("links", "details"),
)


def entries_csv(trail: Trail, model: str = "") -> str:
    """All entries, or those of one model, as CSV (RFC 4180, for UTF-8) with a header.

    A cell that a spreadsheet would run as a formula begins with an apostrophe; what has parts of its own is JSON.
    """
    return csv_text(COLUMNS, ([row[name] for name in COLUMNS] for row in map(_row, _chosen(trail, model))))


def entries_json(trail: Trail, model: str = "") -> str:
    """All entries, or those of one model, as JSON: what each says, with its digest and its commit."""
    return records_json(_chosen(trail, model), trail.head)


def records_json(records: Iterable[Record], head: str) -> str:
    """Some entries as JSON. head: number and digest of the newest entry of the ledger that they were read from."""
    entries = [
        {"digest": record.digest, "commit": record.commit, "entry": json.loads(record.entry.canonical)}
        for record in records
    ]
    return json.dumps({"schema_version": 1, "head": head, "entries": entries}, indent=2, ensure_ascii=False) + "\n"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV by RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180), safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([inert(cell) for cell in row] for row in rows)
    return text.getvalue()


def inert(cell: object) -> str:
    """A cell as text that no spreadsheet runs; text that only looks like a formula gets an apostrophe, too."""
    text = "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)
    # Some spreadsheets drop blanks before they look for a formula.
    return f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text


def _chosen(trail: Trail, model: str) -> Iterable[Record]:
    return trail.of(model) if model else trail.records


def _row(record: Record) -> Mapping[str, object]:
    entry = json.loads(record.entry.canonical)
    by, run, why = entry["trigger"], entry["run"], entry["justification"]
    return {
        **{name: entry[name] for name in COLUMNS if name in entry and not isinstance(entry[name], (list, dict))},
        "digest": record.digest,
        "commit": record.commit,
        "environment": entry["details"].get("environment"),
        "previous_version": entry["details"].get("previous_version"),
        **{name: by[name] for name in ("actor", "actor_id", "pull_request", "sha", "ref", "fork")},
        **{name: run[name] for name in ("repository", "run_id", "attempt")},
        "run_url": run["url"],
        "reasons": "\n".join(entry["reasons"]),
        "justification": why["text"],
        "issues": " ".join(why["issues"]),
        **{name: _compact(entry[name]) for name in ("subjects", "evidence", "links", "details")},
    }


def _compact(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if content else ""
