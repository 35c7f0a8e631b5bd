"""How a stage ends: its report for machines, its outputs for later steps, its summary and its words for people."""

from __future__ import annotations

import hashlib
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
    summarise(report)
    plain.tell(report)


def summarise(report: Report) -> None:
    """Add the report to the step's summary, as far as there is room, which is where there is one at all."""
    if room := outputs.summary_room():
        outputs.summarise(markdown.stage_page(report, room=room))


def publish_with_pages(report: Report, path: Path, said: DataclassInstance, run_page: str = "") -> None:
    """As `publish`; beside the report lie the same as Markdown and as a page (HTML), which belong to it by digest.

    run_page: where the run is.
    """
    from slipway.report import page  # here: only who draws a page pays for it

    report = report.finished()
    shown = page.StagePage(model=report.model, reports=(report,), run_page=run_page, in_pull_request=False)
    texts = {".md": markdown.stage_page(report), ".html": page.render(shown)}
    attached = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in texts.items():
        raw = text.encode(errors="replace")
        path.with_name(f"{report.stage}{suffix}").write_bytes(raw)
        attached[f"{report.stage}{suffix}"] = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    publish(report.model_copy(update={"attachments": {**report.attachments, **attached}}), path, said)
