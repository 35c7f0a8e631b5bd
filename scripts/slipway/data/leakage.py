"""Rows of the holdout that the model was trained on: counted by the rows' hashes, judged against chance."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import polars as pl

from slipway.data.findings import share
from slipway.policy.dataset import TRAINING_NAMES
from slipway.report.model import Check, Value, Verdict

LARGE = 0.01
"""Share of the holdout, beyond what chance explains, from which its judgement is worthless."""


def training_name(names: Collection[str], holdout: str) -> str:
    """The dataset of the policy whose rows the holdout must not hold; empty where there is none."""
    return next((name for name in TRAINING_NAMES if name in names and name != holdout), "")


def name_of(training: str, holdout: str) -> str:
    """The check's name in the report of validate-data."""
    return f"leakage: rows of {holdout} in {training}"


def check(train: pl.LazyFrame, holdout: pl.LazyFrame, *, name: str = "leakage") -> Check:
    """Whether rows of `holdout` occur in `train`, over the columns that both have.

    Data with few columns repeat themselves, so equal rows prove nothing there. The chance that a new row was seen
    before is estimated as Good and Turing do, by the share of training rows that occur more than once. An overlap
    within three standard deviations of it passes; a greater one is inconclusive, and from 1 % of the holdout beyond
    chance it fails.
    """
    mine, theirs = train.collect_schema(), holdout.collect_schema()
    common, why = comparable(mine, theirs)
    if why:
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"not run: {why}")
    seen = _hashes(train, common, mine).group_by("row").len().collect(engine="streaming")
    once = seen.select((pl.col("len") == 1).sum()).item()
    chance = 1 - once / seen.select(pl.col("len").sum()).item()
    held = _hashes(holdout, common, theirs)
    total, shared = (
        held.join(seen.lazy(), on="row", how="left")
        .select(pl.len(), pl.col("len").is_not_null().sum().alias("shared"))
        .collect(engine="streaming")
        .row(0)
    )
    return judged(name, shared=shared, total=total, chance=chance)


def comparable(train: Mapping[str, pl.DataType], holdout: Mapping[str, pl.DataType]) -> tuple[list[str], str]:
    """The columns that both have, and why rows cannot be compared over them; empty where they can."""
    common = [column for column in holdout if column in train]
    differing = [column for column in common if train[column] != holdout[column]]
    if differing:
        return common, f"`{differing[0]}` has two types"
    return common, "" if common else "the two share no column"


def judged(name: str, *, shared: int, total: int, chance: float) -> Check:
    """The check, where `shared` of `total` rows were seen before. chance: the share that chance explains."""
    values: dict[str, Value] = {"shared": shared, "rows": total, "chance": round(chance, 6)}
    detail = f"{share(shared, total)} of the holdout also occur in the training data"
    allowed = total * chance + 3 * math.sqrt(total * chance * (1 - chance))
    if shared <= allowed:
        if shared:
            detail += f"; {100 * chance:.1f} % are expected, since rows of the training data repeat that often"
        return Check(name=name, verdict=Verdict.PASS, detail=detail, values=values)
    large = shared / total - chance >= LARGE
    verdict = Verdict.FAIL if large else Verdict.INCONCLUSIVE
    return Check(name=name, verdict=verdict, detail=detail, count=shared, values=values)


def _hashes(frame: pl.LazyFrame, columns: list[str], schema: pl.Schema) -> pl.LazyFrame:
    # A category's code may differ from file to file; its text does not.
    coded = [name for name in columns if isinstance(schema[name], pl.Categorical | pl.Enum)]
    return frame.with_columns(pl.col(coded).cast(pl.String)).select(pl.struct(columns).hash().alias("row"))
