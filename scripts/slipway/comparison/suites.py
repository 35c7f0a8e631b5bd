"""Every suite of the policy, over the same rows: the models predict, then each suite says what it finds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.comparison import running
from slipway.comparison.contenders import Contender
from slipway.comparison.running import NAMES, Models
from slipway.evaluation.baseline import judge_baseline
from slipway.evaluation.charts import charts_of
from slipway.evaluation.fairness import judge_fairness
from slipway.evaluation.findings import Findings
from slipway.evaluation.judgement import judge
from slipway.evaluation.leakage import tripwires
from slipway.evaluation.multiplicity import account
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.sampling import Sampling
from slipway.evaluation.search import worst_slices
from slipway.evaluation.slices import judge_slices
from slipway.policy.evaluation import Evaluation
from slipway.policy.source import SourcedPolicy
from slipway.prediction.holdout import Holdout, overlap
from slipway.prediction.outcome import cluster_positions, outcomes, unheard
from slipway.prediction.process import Predictions
from slipway.prediction.scored import text_outcomes


def judge_all(
    sourced: SourcedPolicy,
    evaluation: Evaluation,
    holdout: Holdout,
    models: Models,
    said: Mapping[str, Predictions],
    seed: int,
    scratch: Path,
    timings: Path,
) -> Findings:
    """What every suite of the policy finds, in the order of the report.

    said: predictions by role. timings: where every request that is timed is written.
    """
    sampling = Sampling(
        rows=len(holdout.truth),
        confidence=evaluation.confidence,
        clusters=None if holdout.clusters is None else cluster_positions(holdout.clusters),
        seed=seed,
    )
    named = {NAMES[role]: each for role, each in said.items()}
    judged: Mapping[str, Outcome]
    remarks: tuple[str, ...] = ()
    if evaluation.task == "text":
        judged = text_outcomes(sourced, evaluation, holdout, named, scratch)
    else:
        judged = outcomes(evaluation, holdout.truth, named, holdout.keys)
        # A file brings its labels on purpose; of a model everybody knows that a threshold takes its place.
        files = {NAMES[role]: each for role, each in said.items() if models.ready_made(role)}
        remarks = tuple(unheard(evaluation, holdout.truth, files, judged))
    by_role = {role: judged[NAMES[role]] for role in said}
    candidate, production = by_role["candidate"], by_role.get("production")
    found = judge(evaluation, candidate, production, sampling)
    found += judge_slices(evaluation, candidate, production, holdout.named, sampling)
    found += worst_slices(evaluation, candidate, production, holdout.each_feature(), sampling)
    found += judge_fairness(evaluation, candidate, production, holdout.named, sampling)
    found += tripwires(evaluation, candidate, production, holdout.each_feature(), overlap(sourced, evaluation))
    found += judge_baseline(evaluation, candidate, sampling)
    found += running.disturb(models, holdout, evaluation, by_role, sampling, scratch)
    found += running.time(models, holdout, evaluation, seed, timings)
    found += Findings(reasons=remarks, charts=charts_of(candidate, production, evaluation.confidence))
    return account(found, evaluation.confidence)


def seed_of(holdout: Holdout, both: Sequence[Contender]) -> int:
    """A seed that follows from what is compared, so that the same comparison gives the same intervals."""
    compared = [holdout.version.id, *(each.id or each.payload for each in both)]
    return int.from_bytes(hashlib.sha256("\n".join(compared).encode()).digest()[:8])
