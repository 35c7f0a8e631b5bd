"""How much a model's answers hang on each column: it is asked again with the column's values shuffled among the rows.

It needs no truth and looks into no model. Breiman, Machine Learning 45 (2001), section 10, with the change of the
answers in place of the error's; Fisher, Rudin and Dominici, JMLR 20 (2019), call such measures model reliance.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

ROWS = 1_000
"""Rows that are asked about again for each column."""

MOST = 200
"""Columns; of a model with more none is asked about, since it would take longer than all else."""

SEED = 2019


def shuffled(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """`ROWS` of the rows, or all; below them the same rows with each of `columns` shuffled in turn."""
    some = rows.sample(min(ROWS, rows.height), seed=SEED)
    parts = [some]
    for place, name in enumerate(columns):
        parts.append(some.with_columns(some[name].shuffle(seed=SEED + place)))
    return pl.concat(parts)


def of_answers(answers: pl.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """The importance of each column, from the answers for `shuffled`; of several answers the greatest.

    Of numbers the mean change, in standard deviations of the answers; of texts the share that became another one. 0
    where the answers never change.
    """
    count = answers.height // (1 + len(columns))
    before = answers[:count]
    found = {}
    for place, name in enumerate(columns, start=1):
        after = answers[place * count : (place + 1) * count]
        found[name] = max(_change(before[each], after[each]) for each in answers.columns)
    return found


def _change(before: pl.Series, after: pl.Series) -> float:
    if not before.dtype.is_numeric():
        return int((before != after).sum()) / len(before)
    spread = before.std()
    change = (before - after).abs().mean()
    if not isinstance(change, float) or not isinstance(spread, float) or not spread > 0:
        return 0.0
    return change / spread
