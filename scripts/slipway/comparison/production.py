"""What the model in production answers for the reference and for current data, and what its answers are worth.

The reference are rows that it was not trained on: for its training rows many a model is surer than for any others,
which would look like drift.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from slipway import datasets, profiles
from slipway.comparison import contenders, running
from slipway.comparison.reference import Reference, rows_like
from slipway.data import reading
from slipway.drift import clusters, importance, judging, performance
from slipway.drift.judging import Compared
from slipway.evaluation.findings import Findings
from slipway.evaluation.metrics import find
from slipway.evaluation.sampling import Sampling
from slipway.policy.drift import Drift
from slipway.policy.evaluation import Evaluation
from slipway.policy.source import SourcedPolicy
from slipway.prediction.isolation import confinement
from slipway.prediction.outcome import cluster_positions, outcomes, positive_label
from slipway.prediction.process import Predictions, predict_files
from slipway.registry.mlflow import Registry
from slipway.report import Verdict
from slipway.runner import commands
from slipway.runner.errors import InputError, PolicyError, SlipwayError

MOST = 500_000
"""Rows of each side that the model is asked about; of more so many are drawn."""

PRODUCTION = "Production"
"""The model in messages."""


@dataclass(frozen=True)
class Looked:
    """What the model's answers say. predictions: judged like columns. remarks: facts that decide nothing."""

    predictions: tuple[Compared, ...] = ()
    findings: Findings = field(default_factory=Findings)
    importance: dict[str, float] = field(default_factory=dict)
    """How much the answers hang on each column; empty where the model was not run."""

    remarks: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Side:
    """Rows that production answers. rows: all columns. said: its answers; None where only a column of them is known."""

    rows: pl.DataFrame
    said: Predictions | None = None


def look(
    sourced: SourcedPolicy, rules: Drift, reference: Reference, current: pl.LazyFrame, tracking_uri: str
) -> Looked:
    """Prediction drift and performance. Where production cannot be asked, both are inconclusive and say why."""
    evaluation = sourced.policy.evaluation
    if reference.registered is None:
        why = "A profile given as a file has no model, so its predictions are not compared."
        return Looked(findings=performance.not_judged(rules, why), remarks=(why,))
    if evaluation is None:
        return _unknown(rules, "the policy has no section `evaluation`, which says what the model predicts.")
    if evaluation.task == "text":
        why = "Answers of text tasks are not compared: texts are too seldom the same."
        return Looked(findings=performance.not_judged(rules, why), remarks=(why,))
    check_metrics(rules, evaluation)
    name = rules.reference or evaluation.holdout
    path = sourced.policy.data[name].path
    try:
        with reading.unreadable(path):
            before = drawn(rows_like(reference.profile, sourced, name))
        with reading.unreadable(rules.current):
            now = drawn(current)
        sides, weights = _asked(sourced, rules, evaluation, reference, before, now, tracking_uri)
        version = (f"data_{name}", datasets.identify(path).in_words)
        looked = _judged(rules, evaluation, name, sides, weights is not None, version)
        if weights == {}:
            said = (
                f"The importance of the columns is not known: of more than {importance.MOST} columns no model is asked."
            )
            looked = replace(looked, remarks=(*looked.remarks, said))
        return replace(looked, importance=weights or {})
    except SlipwayError as failure:
        return _unknown(rules, failure.what)


def check_metrics(rules: Drift, evaluation: Evaluation) -> None:
    """Raises PolicyError where a limit is for a metric that the task does not have."""
    for key, limits in (("performance", rules.performance), ("estimated_performance", rules.estimated_performance)):
        for name in limits:
            try:
                find(name, evaluation.task)
            except KeyError as unknown:
                raise PolicyError(f"`drift.{key}`: {unknown.args[0]}.") from None


def answer_columns(evaluation: Evaluation, said: Predictions) -> pl.DataFrame:
    """What is compared: the number, the probability of the positive class, the named class as text, or each label."""
    frame, classes = said.frame, said.classes
    if evaluation.task == "multilabel":
        kind = "probability" if "probability_0" in frame.columns else "prediction"
        names = {f"{kind}_{place}": f"prediction of {name}" for place, name in enumerate(classes or [])}
        return frame.select(pl.col(old).cast(pl.Float64).alias(new) for old, new in names.items())
    if evaluation.task == "binary":
        place = classes.index(evaluation.positive) if classes and evaluation.positive in classes else 1
        if f"probability_{place}" in frame.columns:
            return frame.select(prediction=pl.col(f"probability_{place}").cast(pl.Float64))
    if evaluation.task in ("binary", "multiclass"):
        labels = classes if classes is not None else [0, 1]
        texts = [_text(labels[place]) for place in frame["prediction"]]
        return pl.DataFrame({"prediction": pl.Series(texts, dtype=pl.String)})
    return frame.select(prediction=pl.col("prediction").cast(pl.Float64))


def _asked(
    sourced: SourcedPolicy,
    rules: Drift,
    evaluation: Evaluation,
    reference: Reference,
    before: pl.DataFrame,
    now: pl.DataFrame,
    tracking_uri: str,
) -> tuple[tuple[Side, Side], dict[str, float] | None]:
    """Both sides with what production answers, and the columns' importance; None where its model was not run."""
    logged = rules.prediction
    if logged and logged not in now.columns:
        raise InputError(
            f"The current data have no column `{logged}`, which `drift.prediction` names.",
            fix="Correct it, or take it out: then the model in production is asked.",
        )
    limits = rules.performance or rules.estimated_performance
    if logged and logged in before.columns and not limits:
        return (Side(before), Side(now)), None
    assert reference.registered is not None
    version = contenders.of_version("production", reference.registered)
    model, registry = sourced.policy.model, Registry(tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        models = running.prepare(registry, [version], evaluation, model, sourced.path, scratch)
        # What the model must not see, or was not there when it was trained.
        asked = [side.drop(*evaluation.targets, *([logged] if logged else []), strict=False) for side in (before, now)]
        features = [name for name in reference.profile.columns if name in asked[0].columns]
        if len(features) <= importance.MOST:
            asked.append(importance.shuffled(asked[0], features))
        files = [scratch / f"features-{place}.parquet" for place in range(len(asked))]
        for rows, file in zip(asked, files, strict=True):
            rows.write_parquet(file)
        counts = [rows.height for rows in asked]
        commands.say(f"Predicting {counts[0]:,} rows of the reference and {counts[1]:,} current ones")
        (answers,) = predict_files(
            list(models.jobs.values()), files, evaluation.task, 2 * running.SECONDS, models.confinement, counts
        )
    weights = importance.of_answers(answer_columns(evaluation, answers[2]), features) if len(asked) > 2 else {}
    return (Side(before, answers[0]), Side(now, answers[1])), weights


def _judged(
    rules: Drift,
    evaluation: Evaluation,
    name: str,
    sides: tuple[Side, Side],
    ran: bool,
    version: tuple[str, str],
) -> Looked:
    columns = [_compared_columns(rules, evaluation, side) for side in sides]
    before, now = (profiles.of_frame(each.lazy()) for each in columns)
    parts: tuple[profiles.Profile, ...] = ()
    if rules.cluster:
        answers = columns[1].with_columns(sides[1].rows[rules.cluster].alias("cluster"))
        parts = clusters.profiles_of(answers.lazy(), "cluster")
    compared = [replace(each, role="prediction") for each in judging.judge(before, now, rules, parts)]
    provenance = [version]
    if ran:
        provenance.append(("isolation", confinement(evaluation.isolation).in_words))
    remarks = []
    waiting = _waiting(evaluation, sides[1].rows)
    if 0 < waiting < sides[1].rows.height:
        remarks.append(f"The truth of {waiting:,} of {sides[1].rows.height:,} current rows is not known yet.")
    found = _performance(rules, evaluation, name, sides) if ran else Findings()
    return Looked(tuple(compared), found, remarks=tuple(remarks), provenance=tuple(provenance))


def _compared_columns(rules: Drift, evaluation: Evaluation, side: Side) -> pl.DataFrame:
    """The answers of one side: as serving logged them where it did, else as the model said now."""
    if rules.prediction and rules.prediction in side.rows.columns:
        logged = side.rows[rules.prediction]
        classes = evaluation.task in ("binary", "multiclass") and not logged.dtype.is_float()
        texts = pl.Series([None if each is None else _text(each) for each in logged], dtype=pl.String)
        return pl.DataFrame({"prediction": texts if classes else logged.cast(pl.Float64, strict=False)})
    assert side.said is not None
    return answer_columns(evaluation, side.said)


def _performance(rules: Drift, evaluation: Evaluation, name: str, sides: tuple[Side, Side]) -> Findings:
    """What production's answers are worth. Raises nothing: what cannot be judged is inconclusive."""
    before, now = sides
    try:
        missing = [each for each in evaluation.targets if each not in before.rows.columns]
        if missing:
            raise InputError(f"The reference `{name}` has no column `{missing[0]}` with the truth.")
        if evaluation.task == "binary":
            truth = before.rows[evaluation.targets[0]]
            evaluation = evaluation.model_copy(update={"positive": positive_label(evaluation, truth)})
        reference = _known(rules, evaluation, before)
    except SlipwayError as failure:
        return performance.not_judged(rules, failure.what)
    current: performance.Known | str
    known = now.rows.height - _waiting(evaluation, now.rows)
    if known < rules.min_rows:
        current = f"the truth of {known:,} current rows is known, and {rules.min_rows:,} are asked for."
    else:
        try:
            current = _known(rules, evaluation, _matured(evaluation, now, before))
        except SlipwayError as failure:
            current = failure.what
    answered: performance.Known | str = ""
    if rules.estimated_performance:
        try:
            answered = _answered(evaluation, before, now, rules)
        except SlipwayError as failure:
            answered = failure.what
    return performance.judge(evaluation, rules, reference, current, answered)


def _known(rules: Drift, evaluation: Evaluation, side: Side) -> performance.Known:
    """Rows with truth and answers. Raises InputError or GateError where they are not what the task asks for."""
    assert side.said is not None
    needed = [each for each in (*evaluation.keys, evaluation.cluster_column) if each]
    absent = [each for each in needed if each not in side.rows.columns]
    if absent:
        raise InputError(f"There is no column `{absent[0]}`, which `evaluation` names.")
    rows = side.rows
    truth = rows.select(evaluation.targets).to_struct() if len(evaluation.targets) > 1 else rows[evaluation.targets[0]]
    outcome = outcomes(evaluation, truth, {PRODUCTION: side.said}, rows.select(evaluation.keys))[PRODUCTION]
    return performance.Known(outcome, _sampling(rules, evaluation, rows))


def _sampling(rules: Drift, evaluation: Evaluation, rows: pl.DataFrame) -> Sampling:
    """Rows are alike by the column that `evaluation.cluster` names, or else `drift.cluster`, where they have it."""
    cluster = evaluation.cluster_column or (rules.cluster if rules.cluster in rows.columns else None)
    positions = cluster_positions(rows[cluster]) if cluster else None
    seed = int.from_bytes(hashlib.sha256(str(rows.height).encode()).digest()[:8])
    return Sampling(rows.height, evaluation.confidence, positions, seed)


def _matured(evaluation: Evaluation, now: Side, before: Side) -> Side:
    """The rows whose truth is known, in the types of the reference: where some wait, whole numbers become floats."""
    assert now.said is not None
    known = pl.Series(np.flatnonzero(_is_known(evaluation, now.rows).to_numpy()))
    try:
        rows = now.rows[known].cast({each: before.rows[each].dtype for each in evaluation.targets})
    except pl.exceptions.PolarsError as error:
        raise InputError(
            "The current truths are of another type than the reference's.", why=str(error)[:300]
        ) from error
    return Side(rows, replace(now.said, frame=now.said.frame[known]))


def _answered(evaluation: Evaluation, before: Side, now: Side, rules: Drift) -> performance.Known:
    """Production's answers for all current rows. Their truth is not looked at: the reference's stands in its place."""
    if len(now.rows) < rules.min_rows:
        raise InputError(f"{len(now.rows):,} rows are too few: {rules.min_rows:,} are asked for.")
    cluster = evaluation.cluster_column or rules.cluster
    if cluster and cluster not in now.rows.columns:
        raise InputError(f"the current data have no column `{cluster}`, by which rows are alike.")
    truth = before.rows[evaluation.targets[0]]
    places = pl.Series(np.arange(now.rows.height) % len(truth))
    assert now.said is not None
    outcome = outcomes(evaluation, truth[places], {PRODUCTION: now.said})[PRODUCTION]
    return performance.Known(outcome, _sampling(rules, evaluation, now.rows))


def _is_known(evaluation: Evaluation, rows: pl.DataFrame) -> pl.Series:
    """Per row, whether the truth has come."""
    if any(each not in rows.columns for each in evaluation.targets):
        return pl.repeat(False, rows.height, eager=True)
    parts = [
        pl.col(each).fill_nan(None).is_not_null() if rows[each].dtype.is_float() else pl.col(each).is_not_null()
        for each in evaluation.targets
    ]
    return rows.select(known=pl.all_horizontal(parts))["known"]


def _waiting(evaluation: Evaluation, rows: pl.DataFrame) -> int:
    return int((~_is_known(evaluation, rows)).sum())


def drawn(frame: pl.LazyFrame, most: int = MOST) -> pl.DataFrame:
    """All rows, or about `most` of them by the hash of their place, which are the same whenever one looks."""
    rows = int(frame.select(pl.len()).collect(engine="streaming").item())
    if rows <= most:
        return frame.collect()
    place = "row" + "_" * max(map(len, frame.collect_schema().names()))  # no column of the data
    chosen = pl.col(place).hash(0) % -(-rows // most) == 0
    return frame.with_row_index(place).filter(chosen).drop(place).collect(engine="streaming")


def _unknown(rules: Drift, why: str) -> Looked:
    """Predictions that cannot be compared are never a pass."""
    said = f"Production's predictions are not known: {why}"
    open_ = Compared(name="prediction", verdict=Verdict.INCONCLUSIVE, detail=said, missing=(0, 0), role="prediction")
    return Looked((open_,), performance.not_judged(rules, said))


def _text(label: object) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
