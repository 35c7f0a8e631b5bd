"""Texts of language models with their scores: by the built-ins, or by a team's own functions in processes apart."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from slipway.evaluation.outcomes import Floats, Text
from slipway.evaluation.scoring import score
from slipway.policy.evaluation import Evaluation
from slipway.policy.scorers import BUILT_IN_SCORERS, Scorer
from slipway.policy.source import SourcedPolicy
from slipway.prediction import isolation
from slipway.prediction.holdout import Holdout
from slipway.prediction.isolation import Confinement, confinement
from slipway.prediction.process import Job, Predictions, broke, start
from slipway.prediction.scorer import AT_FAULT
from slipway.runner import environments
from slipway.runner.errors import GateError, InputError

WORKER = Path(__file__).with_name("scorer.py")
SECONDS = 1_800.0
SCORE_BYTES = 32
"""The longest number that Python writes has 24 characters; two separate it from the next."""


def text_outcomes(
    sourced: SourcedPolicy, evaluation: Evaluation, holdout: Holdout, said: Mapping[str, Predictions], scratch: Path
) -> dict[str, Text]:
    """Each model's scores over the same rows. said: predictions by what to call the model in messages.

    Raises InputError where reference or scorer cannot be used, GateError where a model gave no text for a row, or where
    the policy asks to confine scorers as this machine cannot; RemoteError where a scorer's process broke.
    """
    references = _references(evaluation, holdout)
    for name, predictions in said.items():
        _check(name, predictions, len(holdout.truth))
    own = _by_own_functions(sourced, evaluation, holdout, said, scratch) if evaluation.own_scorers else {}
    found: dict[str, dict[str, Floats]] = {}
    for name, predictions in said.items():
        texts = predictions.frame["prediction"].to_list()
        found[name] = {}
        for metric in evaluation.metrics:
            scorer = evaluation.scorer(metric)
            scores = own.get((name, metric))
            found[name][metric] = score(scorer.use, texts, references, scorer.pattern) if scores is None else scores
    directions = {metric: _greater_is_better(evaluation.scorer(metric)) for metric in evaluation.metrics}
    return {name: Text(scores, directions) for name, scores in found.items()}


def _greater_is_better(scorer: Scorer) -> bool:
    known = BUILT_IN_SCORERS.get(scorer.use)
    return scorer.greater_is_better is not False if known is None else known


def _references(evaluation: Evaluation, holdout: Holdout) -> list[str] | None:
    if not evaluation.target:
        return None
    if holdout.truth.dtype != pl.String or holdout.truth.null_count():
        raise InputError(
            f"The target `{evaluation.target}` must be a text in every row, and it is {holdout.truth.dtype} with "
            f"{holdout.truth.null_count():,} missing.",
            fix="Leave rows without a reference out of the holdout, or `target` out of the policy.",
        )
    return holdout.truth.to_list()


def _check(name: str, predictions: Predictions, rows: int) -> None:
    column = predictions.frame["prediction"]
    if len(column) != rows:
        raise GateError(f"{name} gave {len(column):,} answers for {rows:,} rows.")
    if column.dtype != pl.String or column.null_count():
        raise GateError(f"{name} must answer every row with a text, and {column.null_count():,} answers are missing.")


def _by_own_functions(
    sourced: SourcedPolicy, evaluation: Evaluation, holdout: Holdout, said: Mapping[str, Predictions], scratch: Path
) -> dict[tuple[str, str], Floats]:
    """Scores by model and metric: each in a process of its own, so that no model's texts can touch another's scores."""
    confined = confinement(evaluation.isolation)
    folder = Path(tempfile.mkdtemp(prefix="scorers-", dir=scratch))
    modules = folder / "modules"
    modules.mkdir()
    for name, text in modules_of(sourced, evaluation).items():
        (modules / name).write_text(text, encoding="utf-8")
    python = _python(sourced, evaluation, folder)
    rows = pl.read_parquet(holdout.features)
    if evaluation.target:
        rows = rows.with_columns(holdout.truth.alias("reference"))
    found = {}
    for place, (name, predictions) in enumerate(said.items()):
        # As JSON: the scorers' environment need not know any format of tables.
        file = folder / f"rows-{place}.json"
        given = rows.with_columns(predictions.frame["prediction"].alias("output"))
        file.write_text(json.dumps(given.to_dicts(), default=str), encoding="utf-8")
        for number, (metric, scorer) in enumerate(evaluation.own_scorers.items()):
            job = Job(f"The scorer `{metric}`", modules, python, folder / f"scores-{place}-{number}")
            found[name, metric] = _score(job, scorer.use, file, rows.height, confined)
    return found


def modules_of(sourced: SourcedPolicy, evaluation: Evaluation) -> dict[str, str]:
    """The files of the team's own scorers, by name.

    The base branch's copies: they belong to the gate, which a change must not loosen.
    """
    files = [sourced.path.with_name(f"{each.use.partition(':')[0]}.py") for each in evaluation.own_scorers.values()]
    return {file.name: sourced.gate_file(str(file), "scorer") for file in files}


def lock_of(sourced: SourcedPolicy, evaluation: Evaluation) -> str:
    """The text of their requirements, from where they come themselves; empty without any."""
    lock = evaluation.scorer_requirements
    return sourced.gate_file(lock, "file of the scorers' requirements") if lock else ""


def _python(sourced: SourcedPolicy, evaluation: Evaluation, folder: Path) -> Path:
    """The scorers' interpreter. Their lock belongs to the gate as they do: its packages do half of the work."""
    lock = evaluation.scorer_requirements
    if not lock:
        return Path(sys.executable)
    if not sourced.gates_commit:
        return environments.for_lock(Path(lock))
    copy = folder / "requirements.txt"
    copy.write_text(lock_of(sourced, evaluation), encoding="utf-8")
    return environments.for_lock(copy)


def _score(job: Job, function: str, given: Path, rows: int, confined: Confinement) -> Floats:
    """One function's scores of one model's texts."""
    started = start(job, [function, str(given.resolve())], [given], confined, worker=WORKER)
    try:
        if not isolation.ended(started.process, time.monotonic() + SECONDS):
            raise InputError(
                f"{job.name} ({function}) took longer than {SECONDS / 60:g} minutes.",
                fix="Make it faster, or the holdout smaller.",
            )
        code = started.process.returncode
        if code == AT_FAULT:
            how = (started.last_words().splitlines() or ["it does not say how"])[-1]
            raise InputError(
                f"{job.name} ({function}) is at fault: {how}",
                fix="It is given a list of dictionaries with the holdout's columns, `output` and `reference`, and must "
                "return one finite number for each. It sees no network and no file but its own "
                "(docs/evaluate-model.md, Isolation).",
            )
        if code:
            raise broke(started)
    finally:
        isolation.end(started.process)
        started.said.close()
    return _read(job, function, rows)


def _read(job: Job, function: str, rows: int) -> Floats:
    """What a scorer left: the texts that it was given may have led it astray, so it is checked like any input."""
    try:
        said = json.loads(isolation.read_left(job.output / "scores.json", SCORE_BYTES * (rows + 1)))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{job.name} ({function}) left no scores that can be read.", why=str(error)[:500]) from error
    if not isinstance(said, list) or not all(type(each) is float and math.isfinite(each) for each in said):
        raise InputError(f"{job.name} ({function}) left something else than finite numbers.")
    if len(said) != rows:
        raise InputError(f"{job.name} ({function}) left {len(said):,} scores for {rows:,} rows.")
    return np.array(said, dtype=np.float64)
