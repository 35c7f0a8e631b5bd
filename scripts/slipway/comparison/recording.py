"""Keeps the golden batch of a candidate: what its image will be held to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slipway.comparison.contenders import Contender
from slipway.comparison.running import Models
from slipway.policy import SourcedPolicy
from slipway.prediction import golden
from slipway.registry.mlflow import Registry
from slipway.report import Subject
from slipway.runner.errors import RemoteError


@dataclass(frozen=True)
class Recorded:
    """What the report says of it. Empty where the policy packages nothing."""

    subjects: tuple[Subject, ...] = ()
    remarks: tuple[str, ...] = ()


def rows_to_keep(sourced: SourcedPolicy, candidate: Contender, rows: int) -> tuple[int, ...]:
    """Positions of the holdout's rows whose answers are kept; none where nothing is packaged from the registry."""
    packaging, version = sourced.policy.packaging, candidate.registered
    return golden.positions(rows, packaging.golden_rows) if packaging and version and version.run_id else ()


def record(registry: Registry | None, candidate: Contender, models: Models, scratch: Path) -> Recorded:
    """Keep the batch that the candidate's process left. Nothing of it decides the comparison: package-model will miss
    it."""
    job = models.jobs.get(candidate.role)
    if not (registry and candidate.registered and job and job.golden):
        return Recorded()
    try:
        content = golden.left_by(job.output, len(job.golden))
        digest = golden.keep(registry, candidate.registered, content, scratch)
    except (ValueError, RemoteError) as failure:
        why = failure.what if isinstance(failure, RemoteError) else str(failure)
        return Recorded(remarks=(f"No golden predictions were kept, so the version cannot be packaged: {why[:300]}",))
    return Recorded(subjects=(Subject(role="golden", name=golden.ARTIFACT, id=digest),))
