"""The rows that two models are judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from slipway import datasets
from slipway.data import leakage, reading
from slipway.policy import Evaluation, SourcedPolicy
from slipway.report import Check, Report, Verdict
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Holdout:
    """The rows that both models are judged on.

    features: parquet file without the target. clusters: one per row. named: the columns that slices and fairness name.
    """

    name: str
    features: Path
    truth: pl.Series
    clusters: pl.Series | None
    version: datasets.DatasetVersion
    named: pl.DataFrame

    def each_feature(self) -> Iterator[pl.Series]:
        """One column after the other: the whole file may not fit into memory."""
        for name in pl.read_parquet_schema(self.features):
            yield pl.read_parquet(self.features, columns=[name])[name]


def read_holdout(sourced: SourcedPolicy, evaluation: Evaluation, scratch: Path) -> Holdout:
    """Truth and clusters in memory, features in a file that does not hold the target."""
    path = sourced.policy.data[evaluation.holdout].path
    frame = reading.scan(datasets.fetch_missing(path))
    columns = frame.collect_schema().names()
    named = list(dict.fromkeys(evaluation.columns_of_groups))
    for column in filter(None, (evaluation.target, evaluation.cluster, *named)):
        if column not in columns:
            raise InputError(
                f"The holdout {path} has no column `{column}`.",
                fix=f"Its columns are: {', '.join(columns)}. Correct `evaluation` in the policy.",
            )
    features = scratch / "features.parquet"
    frame.drop([evaluation.target] if evaluation.target else []).sink_parquet(features)
    # A text task may have no truth: then every row's is null, under the name of no column.
    wanted = dict.fromkeys([evaluation.target, *([evaluation.cluster] if evaluation.cluster else []), *named])
    kept = frame.with_columns(*([] if evaluation.target else [pl.lit(None).alias("")])).select(*wanted).collect()
    return Holdout(
        evaluation.holdout,
        features,
        kept[evaluation.target],
        kept[evaluation.cluster] if evaluation.cluster else None,
        datasets.identify(path),
        kept.select(named),
    )


def overlap(sourced: SourcedPolicy, evaluation: Evaluation, validated: Report | None = None) -> Check | None:
    """Whether rows of the holdout are among the training data: as validate-data found, else found here.

    validated: its report, if it ran before on the same data. None where the policy names no training data.
    """
    training = leakage.training_name(sourced.policy.data, evaluation.holdout)
    if not training:
        return None
    if validated:
        name = leakage.name_of(training, evaluation.holdout)
        found = next((check for check in validated.checks if check.name == name), None)
        versions = {each.name: each.id for each in validated.subjects if each.role == "data"}
        paths = {name: sourced.policy.data[name].path for name in (training, evaluation.holdout)}
        if found and all(versions.get(name) == str(datasets.identify(path)) for name, path in paths.items()):
            return found
    frames = []
    for name in (training, evaluation.holdout):
        try:
            frames.append(reading.scan(datasets.fetch_missing(sourced.policy.data[name].path)))
        except InputError as error:
            return Check(name="leakage", verdict=Verdict.INCONCLUSIVE, detail=error.what.rstrip("."))
    with reading.unreadable(sourced.policy.data[training].path):
        return leakage.check(*frames)
