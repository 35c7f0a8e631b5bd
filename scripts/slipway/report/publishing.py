"""How a stage ends: its report for machines, its outputs for later steps, its summary and its words for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slipway.report import markdown, plain
from slipway.report.model import Report
from slipway.runner import outputs

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def publish(report: Report, path: Path, said: DataclassInstance) -> None:
    """Write the finished report, then what later steps and people read of it. said: the stage's outputs."""
    report = report.finished()
    report.write(path)
    outputs.publish(said)
    outputs.summarise(markdown.stage_page(report))
    plain.tell(report)
