"""The models at work: what they answer for the holdout and for disturbed rows, and how long that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slipway.comparison import contenders
from slipway.comparison.contenders import Contender
from slipway.evaluation.findings import Findings
from slipway.evaluation.latency import judge_latency, not_timed
from slipway.evaluation.outcomes import Outcome
from slipway.evaluation.robustness import judge_robustness, not_disturbed
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.prediction import latency
from slipway.prediction.files import read_predictions
from slipway.prediction.holdout import Holdout
from slipway.prediction.isolation import Confinement, confinement
from slipway.prediction.outcome import outcomes
from slipway.prediction.perturbation import perturb_features
from slipway.prediction.process import Job, Predictions, predict_all, predict_files
from slipway.registry.mlflow import Registry
from slipway.runner import commands
from slipway.runner.errors import GateError, SlipwayError

SECONDS = 1_800.0
"""How long both models may take for the holdout, for each further file of rows, and for all timed requests."""

NAMES = {"candidate": "The candidate", "production": "Production"}


@dataclass(frozen=True)
class Models:
    """Those of the two that can be run, by role, and how they are confined. Ready-made predictions have no job.

    roles: of both, whether or not they can be run.
    """

    jobs: Mapping[str, Job]
    roles: tuple[str, ...]
    confinement: Confinement

    def ready_made(self, role: str) -> bool:
        """Whether there are predictions only, and no model that could be asked."""
        return role in self.roles and role not in self.jobs


def prepare(
    registry: Registry | None,
    both: Sequence[Contender],
    evaluation: Evaluation,
    model: str,
    policy: Path,
    scratch: Path,
    golden: tuple[int, ...] = (),
) -> Models:
    """Bring the models here and build their environments. Raises InputError or RemoteError where one cannot be had.

    golden: positions of the holdout's rows for which the candidate's answers are kept.
    """
    jobs: dict[str, Job] = {}
    builds = evaluation.isolation.builds == "allow"
    for each in both:
        if not each.predictions:
            files = contenders.files(each, registry, model, policy, scratch, builds=builds)
            kept = golden if each.role == "candidate" else ()
            jobs[each.role] = Job(each.called, files.model, files.python, scratch / each.role / "predictions", kept)
    return Models(jobs, tuple(each.role for each in both), confinement(evaluation.isolation))


def predict(
    models: Models, both: Sequence[Contender], holdout: Holdout, evaluation: Evaluation
) -> dict[str, Predictions]:
    """Predictions by role: each model in its own environment and process, side by side; ready-made ones are read.

    Raises GateError where a model cannot predict, InputError where a file does not fit the holdout.
    """
    said: dict[str, Predictions] = {
        each.role: read_predictions(each.predictions, holdout, evaluation) for each in both if each.predictions
    }
    jobs, rows = list(models.jobs.values()), len(holdout.truth)
    if jobs:
        commands.say(f"Predicting {rows:,} rows: {' and '.join(job.name for job in jobs)}")
        made = predict_all(
            jobs, holdout.features, evaluation.task, timeout=SECONDS, confinement=models.confinement, rows=rows
        )
        said |= dict(zip(models.jobs, made, strict=True))
    return {each.role: said[each.role] for each in both}


def disturb(
    models: Models,
    holdout: Holdout,
    evaluation: Evaluation,
    clean: Mapping[str, Outcome],
    sampling: Sampling,
    scratch: Path,
) -> Findings:
    """What the policy's disturbances cost the models. clean: outcomes by role, of the rows as they are.

    Raises InputError where a column cannot be disturbed as the policy says.
    """
    if evaluation.robustness is None:
        return Findings()
    if models.ready_made("candidate"):
        return not_disturbed(evaluation, "The candidate is a file of predictions: it cannot answer disturbed rows.")
    files = perturb_features(holdout.features, evaluation.robustness, scratch, seed=sampling.seed)
    commands.say(f"Predicting disturbed rows: {', '.join(files)}")
    found: dict[str, dict[str, Outcome | str]] = {}
    for role, job in models.jobs.items():
        answers = _of_disturbed(models, job, files, evaluation.task, len(holdout.truth))
        found[role] = {"clean": clean[role]}
        found[role] |= {name: _outcome(evaluation, holdout, NAMES[role], said) for name, said in answers.items()}
    return judge_robustness(evaluation, found["candidate"], found.get("production"), sampling)


def time(models: Models, holdout: Holdout, evaluation: Evaluation, seed: int, log: Path) -> Findings:
    """The policy's latency gates. log: parquet file of every request that was timed.

    A model that cannot serve has predicted the holdout before, so that its gates are not judged, and none passes.
    """
    rules = evaluation.latency
    if rules is None:
        return Findings()
    if models.ready_made("candidate"):
        return not_timed(rules, "The candidate is a file of predictions, which cannot be timed.", ratios_only=False)
    commands.say(f"Timing {rules.requests:,} requests of one row and {rules.batches:,} of {rules.batch_rows:,}")
    rows = len(holdout.truth)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        timings = latency.measure(
            list(models.jobs.values()),
            holdout.features,
            rules,
            rows=rows,
            timeout=SECONDS,
            confinement=models.confinement,
            seed=seed,
            log=log,
        )
    except SlipwayError as failure:
        return not_timed(rules, f"Latency was not measured: {failure.what}", ratios_only=False)
    by_role = dict(zip(models.jobs, timings, strict=True))
    found = judge_latency(
        rules, by_role["candidate"], by_role.get("production"), confidence=evaluation.confidence, seed=seed
    )
    if models.ready_made("production"):
        found += not_timed(rules, "Production is a file of predictions, which cannot be timed.", ratios_only=True)
    return found


def _of_disturbed(
    models: Models, job: Job, files: Mapping[str, Path], task: str, rows: int
) -> dict[str, Predictions | GateError]:
    """One model's answers by disturbance: with one loading, or where that fails each on its own, to see which."""
    own = replace(job, output=job.output.with_name(f"{job.output.name}-{'-'.join(files)}"), golden=())
    try:
        counts = [rows] * len(files)
        (answers,) = predict_files([own], list(files.values()), task, len(files) * SECONDS, models.confinement, counts)
    except GateError as failure:
        if len(files) == 1:
            return dict.fromkeys(files, failure)
        each = (_of_disturbed(models, job, {name: file}, task, rows) for name, file in files.items())
        return {name: answer for one in each for name, answer in one.items()}
    return dict(zip(files, answers, strict=True))


def _outcome(evaluation: Evaluation, holdout: Holdout, name: str, said: Predictions | GateError) -> Outcome | str:
    if isinstance(said, GateError):
        return said.what
    try:
        return outcomes(evaluation, holdout.truth, {name: said}, holdout.keys)[name]
    except GateError as unusable:
        return unusable.what
