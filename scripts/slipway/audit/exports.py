"""What the ledger says, as files: for spreadsheets, for other programs, for an auditor, for a monitoring system."""

from __future__ import annotations

from pathlib import Path

from slipway.audit import answers, delivery, tables
from slipway.audit.dossier import Dossier
from slipway.audit.pack import write_pack
from slipway.audit.trail import Trail
from slipway.registry.mlflow import ModelVersion
from slipway.report import Report
from slipway.runner.errors import InputError

Answer = tuple[Report, list[Path]]


def entries(trail: Trail, model: str, folder: Path) -> Answer:
    """Every entry about a model, as CSV and JSON."""
    files = [
        _write(folder / "entries.csv", tables.entries_csv(trail, model)),
        _write(folder / "entries.json", tables.entries_json(trail, model)),
    ]
    count = sum(1 for _ in trail.of(model))
    return answers.answer(trail, model, f"{count} entries about `{model}` were written to {folder}."), files


def evidence(trail: Trail, model: str, version: str, registered: ModelVersion | None, folder: Path) -> Answer:
    """The evidence pack of a version: model card, bill of materials, technical record, approvals, entries, evidence."""
    files = write_pack(folder, trail, model, version, registered)
    headline = f"The evidence pack of version {version} of `{model}` was written to {folder}: {len(files)} files."
    return answers.contradicted(
        answers.answer(trail, model, headline), Dossier(trail, model, version, registered)
    ), files


def delivery_figures(trail: Trail, model: str, environment: str, folder: Path | None) -> Answer:
    """Lead time, deployment frequency, failure rate and time to restore; as files too where a folder is named."""
    measured = delivery.measure(trail, model, environment)
    files = []
    if folder:
        files = [
            _write(folder / "delivery.svg", delivery.plot(measured)),
            _write(folder / "delivery.prom", delivery.prometheus([measured])),
        ]
    headline = f"Delivery of `{model}` to {environment}: {len(measured.releases)} releases."
    return answers.answer(trail, model, headline, delivery.table(measured)), files


def _write(file: Path, text: str) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        fix = "Name a folder that exists or can be made."
        raise InputError(f"`output` is {file.parent}, which is no folder.", why=str(error), fix=fix) from error
    file.write_text(text, encoding="utf-8", newline="")
    return file
