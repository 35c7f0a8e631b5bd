"""Keeps the golden batch of a candidate: what its image, and whatever serves it, will be held to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slipway.comparison.contenders import Contender
from slipway.comparison.running import Models
from slipway.policy.source import SourcedPolicy
from slipway.prediction import golden
from slipway.registry.mlflow import Registry
from slipway.report import Subject
from slipway.runner.errors import RemoteError

GOLDEN_ROWS = 50
"""Rows that are kept for deploy-model where the policy packages nothing; as many as `packaging.golden_rows` has."""


@dataclass(frozen=True)
class Recorded:
    """What the report says of it. Empty where the policy neither packages nor deploys."""

    subjects: tuple[Subject, ...] = ()
    remarks: tuple[str, ...] = ()


def rows_to_keep(sourced: SourcedPolicy, candidate: Contender, rows: int) -> tuple[int, ...]:
    """Positions of the holdout's rows whose answers are kept; none where nothing is packaged or deployed."""
    policy, version = sourced.policy, candidate.registered
    wanted = policy.packaging.golden_rows if policy.packaging else GOLDEN_ROWS if policy.deployment else 0
    return golden.positions(rows, wanted) if wanted and version and version.run_id else ()


def record(registry: Registry | None, candidate: Contender, models: Models, scratch: Path) -> Recorded:
    """Keep the batch that the candidate's process left. Nothing of it decides the comparison: package-model and
    deploy-model will miss it."""
    job = models.jobs.get(candidate.role)
    if not (registry and candidate.registered and job and job.golden):
        return Recorded()
    try:
        content = golden.left_by(job.output, len(job.golden))
        digest = golden.keep(registry, candidate.registered, content, scratch)
    except (ValueError, RemoteError) as failure:
        why = failure.what if isinstance(failure, RemoteError) else str(failure)
        return Recorded(
            remarks=(f"No golden predictions were kept, so the version cannot be packaged or deployed: {why[:300]}",)
        )
    return Recorded(subjects=(Subject(role="golden", name=golden.ARTIFACT, id=digest),))
