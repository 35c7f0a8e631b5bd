"""Ground floor: what a stage found, as one JSON document, and the Markdown that people read of it."""

from slipway.report.model import (
    Cell,
    Change,
    Chart,
    Check,
    Column,
    Point,
    Report,
    Series,
    Span,
    Subject,
    Table,
    Verdict,
    changes,
    combine,
    enforce,
)

__all__ = [
    "Cell",
    "Change",
    "Chart",
    "Check",
    "Column",
    "Point",
    "Report",
    "Series",
    "Span",
    "Subject",
    "Table",
    "Verdict",
    "changes",
    "combine",
    "enforce",
]
