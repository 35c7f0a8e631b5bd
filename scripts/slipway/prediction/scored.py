"""Texts of language models with their scores: by the built-ins, or by a team's own functions in their own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from slipway.evaluation.outcomes import Floats, Text
from slipway.evaluation.scoring import score
from slipway.policy import Evaluation, Scorer, SourcedPolicy
from slipway.policy.evaluation import BUILT_IN_SCORERS
from slipway.prediction.holdout import Holdout
from slipway.prediction.isolation import clean_environ
from slipway.prediction.process import Predictions
from slipway.runner import environments
from slipway.runner.errors import GateError, InputError, RemoteError

WORKER = Path(__file__).with_name("scorer.py")
SECONDS = 1_800.0


def text_outcomes(
    sourced: SourcedPolicy, evaluation: Evaluation, holdout: Holdout, said: Mapping[str, Predictions], scratch: Path
) -> dict[str, Text]:
    """Each model's scores over the same rows. said: predictions by what to call the model in messages.

    Raises InputError where reference or scorer cannot be used, GateError where a model gave no text for a row.
    """
    references = _references(evaluation, holdout)
    for name, predictions in said.items():
        _check(name, predictions, len(holdout.truth))
    return {
        name: Text(
            {
                metric: _scores(sourced, evaluation, metric, holdout, predictions, references, scratch)
                for metric in evaluation.metrics
            },
            {metric: _greater_is_better(evaluation.scorer(metric)) for metric in evaluation.metrics},
        )
        for name, predictions in said.items()
    }


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


def _scores(
    sourced: SourcedPolicy,
    evaluation: Evaluation,
    metric: str,
    holdout: Holdout,
    predictions: Predictions,
    references: list[str] | None,
    scratch: Path,
) -> Floats:
    scorer, texts = evaluation.scorer(metric), predictions.frame["prediction"]
    if scorer.use in BUILT_IN_SCORERS:
        return score(scorer.use, texts.to_list(), references, scorer.pattern)
    rows = pl.read_parquet(holdout.features).with_columns(texts.alias("output"))
    if references is not None:
        rows = rows.with_columns(holdout.truth.alias("reference"))
    return _by_own_function(sourced, evaluation, metric, scorer.use, rows, scratch)


def _by_own_function(
    sourced: SourcedPolicy, evaluation: Evaluation, metric: str, function: str, rows: pl.DataFrame, scratch: Path
) -> Floats:
    """Scores by the base branch's copy of the function: it belongs to the gate, which a change must not loosen."""
    folder = scratch / "scorers"
    folder.mkdir(exist_ok=True)
    module = function.partition(":")[0]
    file = sourced.path.with_name(f"{module}.py")
    (folder / file.name).write_text(sourced.gate_file(str(file)), encoding="utf-8")
    # As JSON: the scorers' environment need not know any format of tables.
    (scratch / "to-score.json").write_text(json.dumps(rows.to_dicts(), default=str), encoding="utf-8")
    (scratch / "scores.json").unlink(missing_ok=True)
    lock = evaluation.scorer_requirements
    python = environments.for_lock(Path(lock)) if lock else Path(sys.executable)
    arguments = [str(folder), function, str(scratch / "to-score.json"), str(scratch / "scores.json")]
    try:
        done = subprocess.run(
            [str(python), "-P", str(WORKER), *arguments],
            cwd=folder,
            env=clean_environ(python),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"The scorer `{metric}` ({function}) took longer than {SECONDS / 60:g} minutes.") from error
    if done.returncode == 3:
        raise InputError(
            f"The scorer `{metric}` ({function}) is at fault: {done.stderr.strip()}",
            fix="It is given a list of dictionaries with the holdout's columns, `output` and `reference`, and must "
            "return one finite number for each.",
        )
    if done.returncode or not (scratch / "scores.json").is_file():
        raise RemoteError(f"The process of the scorer `{metric}` broke.", why=done.stderr.strip()[-2000:])
    return np.array(json.loads((scratch / "scores.json").read_text(encoding="utf-8")), dtype=np.float64)
