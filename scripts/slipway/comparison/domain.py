"""Rows of the reference for the domain classifier: a profile holds none."""

from __future__ import annotations

import polars as pl

from slipway.comparison.production import drawn
from slipway.comparison.reference import Reference, rows_like
from slipway.data import reading
from slipway.drift import domain, season
from slipway.evaluation.findings import Findings
from slipway.policy.drift import Drift
from slipway.policy.source import SourcedPolicy
from slipway.runner.errors import InputError, SlipwayError


def look(sourced: SourcedPolicy, rules: Drift, reference: Reference, current: pl.LazyFrame) -> Findings:
    """What the classifier finds; nothing where the policy does not ask for one. Inconclusive where the reference's rows
    cannot be read."""
    asked, evaluation = rules.domain_classifier, sourced.policy.evaluation
    if asked is None:
        return Findings()
    name = rules.reference or (evaluation.holdout if evaluation else "")
    path = sourced.policy.data[name].path
    columns = [each for each in reference.profile.columns if each not in left_out(sourced, rules)]
    try:
        with reading.unreadable(path):
            rows = rows_like(reference.profile, sourced, name)
            if rules.season:
                rows = season.matched(rows, rules.season, season.window_of(current, rules.season))
            before = drawn(_narrow(rows, columns, rules.cluster), asked.rows)
        if rules.cluster and rules.cluster not in current.collect_schema():
            raise InputError(f"The current data have no column `{rules.cluster}`, which `drift.cluster` names.")
        now = drawn(_narrow(current, columns, rules.cluster), asked.rows)
    except SlipwayError as failure:
        return domain.unknown(f"the rows of `{name}` cannot be had: {failure.what}")
    return domain.judge(
        before,
        now,
        asked,
        columns=columns,
        min_rows=rules.min_rows,
        cluster=rules.cluster,
        confidence=evaluation.confidence if evaluation else domain.CONFIDENCE,
    )


def left_out(sourced: SourcedPolicy, rules: Drift) -> set[str]:
    """Columns that the classifier must not see: what is not judged, what says when a row was seen, truths, which come
    late, and production's answers."""
    evaluation = sourced.policy.evaluation
    named = {*rules.ignore, rules.cluster, rules.prediction, rules.season.column if rules.season else None}
    if evaluation:
        named |= {*evaluation.targets, *evaluation.keys, evaluation.cluster_column}
    return {each for each in named if each}


def _narrow(rows: pl.LazyFrame, columns: list[str], cluster: str | None) -> pl.LazyFrame:
    """The columns that are looked at, as far as the rows have them."""
    return rows.select(each for each in rows.collect_schema().names() if each in columns or each == cluster)
