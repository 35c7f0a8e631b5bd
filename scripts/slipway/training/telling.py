"""What a report says of a finished training: to people and to machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.policy.source import file_digest
from slipway.registry.mlflow import ModelVersion
from slipway.report import Subject, Verdict
from slipway.runner import redaction
from slipway.training.provenance import Provenance


def success(
    after: Provenance,
    version: ModelVersion,
    evidence: Sequence[Path],
    subjects_before: tuple[Subject, ...],
    registry: str = "",
) -> dict[str, Any]:
    """What the report of a training that went well says. evidence: files beside the report. registry: its identity."""
    return {
        "verdict": Verdict.PASS,
        "headline": f"Trained {version.name} in {after.seconds:.0f} s from commit {after.commit[:12]}.",
        "reasons": after.remarks,
        "provenance": facts(after, version),
        "subjects": (*subjects_before, *subjects(after, version, registry)),
        "attachments": {file.name: file_digest(file) for file in evidence},
    }


def facts(after: Provenance, version: ModelVersion) -> dict[str, str | bool]:
    """What the comment shows of the provenance."""
    return {
        "model_version": version.version,
        "commit": after.commit,
        "clean": after.clean,
        **{f"data_{name}": found.in_words for name, found in after.datasets.items()},
        "environment": after.environment.lock_digest or f"unlocked, {len(after.environment.packages)} packages",
        "python": after.environment.python,
        **({"container": f"{after.base.image} ({after.base.id})"} if after.base.id else {}),
        "command": " ".join(after.command),
        "seed": "none" if after.seed is None else str(after.seed),
        "peak_memory": f"{after.peak_memory / 2**20:.0f} MiB",
        "model_digest": after.model_digest,
        "mlflow_run": after.mlflow_run,
        **({"job": after.job} if after.job else {}),
        **after.policy,
    }


def subjects(after: Provenance, version: ModelVersion, registry: str = "") -> tuple[Subject, ...]:
    """What the training is about, for machines."""
    lock = after.environment.lock_digest
    return (
        Subject(role="candidate", name=version.version, id=after.model_digest),
        Subject(role="commit", name="clean" if after.clean else "with uncommitted changes", id=after.commit),
        *(Subject(role="data", name=name, id=str(found)) for name, found in after.datasets.items()),
        *([Subject(role="environment", name=after.environment.python, id=lock)] if lock else []),
        *([Subject(role="container", name=after.base.image, id=after.base.id)] if after.base.id else []),
        *([Subject(role="registry", name=version.model, id=registry)] if registry else []),
    )


def last_lines(log: Path, count: int = 15) -> str:
    """The end of the command's output, without what must not stand in a report: the runner masks its log only.

    The very last line comes first, too: it names the error, and a comment has room for the beginning only.
    """
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8_000))
        lines = file.read().decode(errors="replace").splitlines()[-count:]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    text = "\n".join([last, "The end of its output:", *lines] if len(lines) > 1 else lines)
    return redaction.without_secrets(text)
