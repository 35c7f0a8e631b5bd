"""Ground floor: what a stage found, as one JSON document, and the Markdown that people read of it."""

from slipway.report.model import Cell, Check, Column, Report, Subject, Table, Verdict, combine, enforce

__all__ = ["Cell", "Check", "Column", "Report", "Subject", "Table", "Verdict", "combine", "enforce"]
