"""Every suite of the policy, over the same rows: the models predict, then each suite says what it finds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.comparison import contenders
from slipway.comparison.contenders import Contender
from slipway.evaluation.baseline import judge_baseline
from slipway.evaluation.fairness import judge_fairness
from slipway.evaluation.findings import Findings
from slipway.evaluation.intervals import Sampling
from slipway.evaluation.judgement import judge
from slipway.evaluation.leakage import tripwires
from slipway.evaluation.multiplicity import account
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.search import worst_slices
from slipway.evaluation.slices import judge_slices
from slipway.policy import Evaluation, SourcedPolicy
from slipway.prediction.files import read_predictions
from slipway.prediction.holdout import Holdout, overlap
from slipway.prediction.isolation import confinement
from slipway.prediction.outcome import cluster_positions, outcomes
from slipway.prediction.process import Job, Predictions, predict_all
from slipway.prediction.scored import text_outcomes
from slipway.registry.mlflow import Registry
from slipway.runner import commands

PREDICT_SECONDS = 1_800.0
NAMES = {"candidate": "The candidate", "production": "Production"}


def predict(
    registry: Registry | None,
    both: Sequence[Contender],
    holdout: Holdout,
    evaluation: Evaluation,
    model: str,
    policy: Path,
    scratch: Path,
) -> dict[str, Predictions]:
    """Predictions by role: each model in its own environment and process, side by side; ready-made ones are read.

    Raises GateError where a model cannot predict, InputError where a file does not fit the holdout.
    """
    said = {each.role: read_predictions(each.predictions, holdout, evaluation) for each in both if each.predictions}
    models = [each for each in both if not each.predictions]
    found = [contenders.files(each, registry, model, policy, scratch) for each in models]
    jobs = [
        Job(each.called, files.model, files.python, scratch / each.role / "predictions")
        for each, files in zip(models, found, strict=True)
    ]
    if jobs:
        commands.say(f"Predicting {len(holdout.truth):,} rows: {' and '.join(job.name for job in jobs)}")
        made = predict_all(
            jobs,
            holdout.features,
            evaluation.task,
            timeout=PREDICT_SECONDS,
            confinement=confinement(evaluation.isolation),
            rows=len(holdout.truth),
        )
        said |= {each.role: predictions for each, predictions in zip(models, made, strict=True)}
    return {each.role: said[each.role] for each in both}


def judge_all(
    sourced: SourcedPolicy,
    evaluation: Evaluation,
    holdout: Holdout,
    both: Sequence[Contender],
    said: dict[str, Predictions],
    scratch: Path,
) -> Findings:
    """What every suite of the policy finds. said: predictions by role."""
    sampling = Sampling(
        rows=len(holdout.truth),
        confidence=evaluation.confidence,
        clusters=None if holdout.clusters is None else cluster_positions(holdout.clusters),
        seed=seed_of(holdout, both),
    )
    named = {NAMES[role]: each for role, each in said.items()}
    judged: Mapping[str, Outcome]
    if evaluation.task == "text":
        judged = text_outcomes(sourced, evaluation, holdout, named, scratch)
    else:
        judged = outcomes(evaluation, holdout.truth, named, holdout.keys)
    candidate, production = judged[NAMES["candidate"]], judged.get(NAMES["production"])
    found = judge(evaluation, candidate, production, sampling)
    found += judge_slices(evaluation, candidate, production, holdout.named, sampling)
    found += worst_slices(evaluation, candidate, production, holdout.each_feature(), sampling)
    found += judge_fairness(evaluation, candidate, production, holdout.named, sampling)
    found += tripwires(evaluation, candidate, production, holdout.each_feature(), overlap(sourced, evaluation))
    found += judge_baseline(evaluation, candidate, sampling)
    return account(found, evaluation.confidence)


def seed_of(holdout: Holdout, both: Sequence[Contender]) -> int:
    """A seed that follows from what is compared, so that the same comparison gives the same intervals."""
    compared = [holdout.version.id, *(each.id or each.payload for each in both)]
    return int.from_bytes(hashlib.sha256("\n".join(compared).encode()).digest()[:8])
