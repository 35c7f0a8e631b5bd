"""Rows of the holdout that the model was trained on, where Spark holds both."""

from __future__ import annotations

from functools import reduce
from typing import Any

from slipway.data import leakage
from slipway.data.spark.expressions import quoted
from slipway.data.spark.session import functions_for
from slipway.data.spark.table import Table, reading
from slipway.report.model import Check, Verdict


def check(train: Table, holdout: Table, *, name: str = "leakage") -> Check:
    """What `slipway.data.leakage.check` says of two frames; the rows themselves are compared, not their hashes."""
    f = functions_for(train.frame)
    common, why = leakage.comparable(train.types, holdout.types)
    if why:
        return Check(name=name, verdict=Verdict.INCONCLUSIVE, detail=f"not run: {why}")

    def keyed(table: Table, letter: str) -> Any:
        return table.frame.select(*(f.col(quoted(each)).alias(f"{letter}{at}") for at, each in enumerate(common)))

    seen = keyed(train, "t").groupBy(*(f"t{at}" for at in range(len(common)))).agg(f.count(f.lit(1)).alias("times"))
    same = reduce(
        lambda one, other: one & other, (f.col(f"t{at}").eqNullSafe(f.col(f"h{at}")) for at in range(len(common)))
    )
    with reading(train):
        once, rows = seen.agg(f.count(f.when(f.col("times") == 1, True)), f.sum("times")).collect()[0]
    with reading(holdout):
        joined = keyed(holdout, "h").join(seen, same, "left")
        total, shared = joined.agg(f.count(f.lit(1)), f.count("times")).collect()[0]
    chance = 1 - once / rows if rows else 0.0
    return leakage.judged(name, shared=shared, total=total, chance=chance)
