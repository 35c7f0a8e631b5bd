"""The rows that two models are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from slipway import datasets
from slipway.data import reading
from slipway.policy import Evaluation, SourcedPolicy
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Holdout:
    """The rows that both models are judged on. features: parquet file without the target. clusters: one per row."""

    name: str
    features: Path
    truth: pl.Series
    clusters: pl.Series | None
    version: datasets.DatasetVersion


def read_holdout(sourced: SourcedPolicy, evaluation: Evaluation, scratch: Path) -> Holdout:
    """Truth and clusters in memory, features in a file that does not hold the target."""
    path = sourced.policy.data[evaluation.holdout].path
    frame = reading.scan(datasets.fetch_missing(path))
    columns = frame.collect_schema().names()
    for column in filter(None, (evaluation.target, evaluation.cluster)):
        if column not in columns:
            raise InputError(
                f"The holdout {path} has no column `{column}`.",
                fix=f"Its columns are: {', '.join(columns)}. Correct `evaluation` in the policy.",
            )
    features = scratch / "features.parquet"
    frame.drop([evaluation.target] if evaluation.target else []).sink_parquet(features)
    # A text task may have no truth: then every row's is null, under the name of no column.
    wanted = dict.fromkeys([evaluation.target, *([evaluation.cluster] if evaluation.cluster else [])])
    kept = frame.with_columns(*([] if evaluation.target else [pl.lit(None).alias("")])).select(*wanted).collect()
    return Holdout(
        evaluation.holdout,
        features,
        kept[evaluation.target],
        kept[evaluation.cluster] if evaluation.cluster else None,
        datasets.identify(path),
    )
