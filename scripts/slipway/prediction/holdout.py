"""The rows that two models are judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from slipway import datasets
from slipway.data import declared, leakage, reading
from slipway.policy.columns import missing_columns
from slipway.policy.evaluation import Evaluation
from slipway.policy.source import SourcedPolicy
from slipway.report import Check, Report, Subject, Verdict
from slipway.runner.errors import InputError


@dataclass(frozen=True)
class Holdout:
    """The rows that both models are judged on.

    features: parquet file without the target. truth: one column, or a struct of several. clusters: one per row.
    keys: the columns of query, series and time, as far as the task has them.
    named: the columns that slices and fairness name.
    """

    name: str
    features: Path
    truth: pl.Series
    clusters: pl.Series | None
    version: datasets.DatasetVersion
    keys: pl.DataFrame
    named: pl.DataFrame

    def each_feature(self) -> Iterator[pl.Series]:
        """One column after the other: the whole file may not fit into memory."""
        for name in pl.read_parquet_schema(self.features):
            yield pl.read_parquet(self.features, columns=[name])[name]


def read_holdout(sourced: SourcedPolicy, evaluation: Evaluation, scratch: Path) -> Holdout:
    """Truth and clusters in memory, features in a file that does not hold the target."""
    path = sourced.policy.data[evaluation.holdout].path
    frame = _rows(sourced, evaluation.holdout)
    schema = frame.collect_schema()
    columns = schema.names()
    named = list(dict.fromkeys(evaluation.columns_of_groups))
    cluster = evaluation.cluster_column
    if missing := missing_columns(sourced, evaluation, columns):
        names = list(dict.fromkeys(f"`{each.column}`" for each in missing))
        where = [f"{each.in_words}.".replace("?.", "?") for each in missing]
        raise InputError(
            f"The holdout {path} has no column{'s' if len(names) > 1 else ''} {', '.join(names)}.",
            why=where[0] if len(where) == 1 else "\n" + "\n".join(f"- {each}" for each in where),
            fix="Correct `evaluation` in the policy.",
            # The annotation belongs to a line of the change, which is not what the base branch's policy numbers.
            file="" if sourced.gates_commit else str(sourced.path),
            line=0 if sourced.gates_commit else missing[0].line,
        )
    for column in filter(None, (*evaluation.keys, cluster)):
        if isinstance(schema[column], pl.List | pl.Array):
            raise InputError(
                f"The column `{column}` is {schema[column]}, whose values tell no rows apart.",
                fix="Name a column of text, numbers or dates in the policy.",
            )
    features = scratch / "features.parquet"
    frame.drop(evaluation.targets).sink_parquet(features)
    wanted = list(dict.fromkeys(filter(None, (*evaluation.targets, *evaluation.keys, cluster, *named))))
    # A row's number stands where a text task has no column of truths, so that its rows are counted. Its name is none
    # of the table's, whose first column has no name where pandas wrote its index into a CSV.
    number = "row" + "_" * max(map(len, columns))
    kept = frame.with_row_index(number).select(number, *wanted).collect()
    if cluster and evaluation.query:
        _check_clusters(kept, evaluation.query, cluster)
    return Holdout(
        evaluation.holdout,
        features,
        _truth(kept, evaluation),
        kept[cluster] if cluster else None,
        datasets.identify(path),
        kept.select(evaluation.keys),
        kept.select(named),
    )


def overlapping(sourced: SourcedPolicy, evaluation: Evaluation) -> tuple[datasets.DatasetVersion, ...]:
    """The version of the training data that `overlap` looks at, where the policy names some."""
    training = leakage.training_name(sourced.policy.data, evaluation.holdout)
    return (datasets.identify(sourced.policy.data[training].path),) if training else ()


def schemas(sourced: SourcedPolicy, evaluation: Evaluation) -> tuple[Subject, ...]:
    """The schemas by which the holdout, and the training data that `overlap` looks at, are read: the verdict follows
    from them, too. Those of files that carry their types are none of them, nor are those of data that are not here.

    Raises PolicyError where a schema cannot be read.
    """
    found = {}
    for name in filter(None, (evaluation.holdout, leakage.training_name(sourced.policy.data, evaluation.holdout))):
        dataset = sourced.policy.data[name]
        try:
            typed = reading.carries_types(datasets.fetch_missing(dataset.path))
        except InputError:
            continue
        if dataset.schema_ and not typed:
            found[dataset.schema_] = declared.subject(dataset.schema_, sourced.gate_file(dataset.schema_))
    return tuple(found.values())


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
            frames.append(_rows(sourced, name))
        except InputError as error:
            return Check(name="leakage", verdict=Verdict.INCONCLUSIVE, detail=error.what.rstrip("."))
    with reading.unreadable(sourced.policy.data[training].path):
        return leakage.check(*frames)


def _rows(sourced: SourcedPolicy, name: str) -> pl.LazyFrame:
    """The policy's dataset as validate-data reads it: files without types as its schema declares them."""
    place = datasets.fetch_missing(sourced.policy.data[name].path)
    return reading.scan(place, types=declared.types_of(sourced, name, place))


def _truth(rows: pl.DataFrame, evaluation: Evaluation) -> pl.Series:
    """One column, a struct of several, or, where a text task has none, nulls."""
    if isinstance(evaluation.target, list):
        return rows.select(evaluation.targets).to_struct()
    return rows[evaluation.target] if evaluation.target else pl.Series([None] * rows.height)


def _check_clusters(rows: pl.DataFrame, query: str, cluster: str) -> None:
    """The rows of one query are ordered together, so they cannot be independent of each other."""
    if query != cluster and rows.n_unique([query, cluster]) > rows[query].n_unique():
        raise InputError(
            f"Rows of one `{query}` have different values of `{cluster}`.",
            fix=f"`cluster` must hold whole queries (users, days); take it out to treat each `{query}` as one.",
        )
