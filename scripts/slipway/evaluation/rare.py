"""Groups that are too small to be judged by themselves: judged together, or named as not judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slipway.evaluation.grouping import MIN_CLUSTERS, Grouping, take_sampling, too_small
from slipway.evaluation.sampling import Sampling
from slipway.report import Column, Table

NAMED = 3
"""Groups that a sentence names; the others are counted."""


@dataclass(frozen=True)
class Rare:
    """A group that is too small to be judged by itself. joined: the label of the group that its rows are in now."""

    label: str
    rows: int
    joined: str = ""


def join_rare(grouping: Grouping, sampling: Sampling, min_rows: int) -> tuple[Grouping, tuple[Rare, ...]]:
    """Groups that are too small (`too_small`) made one, the last; and which these are, the smallest first.

    What is still too small then is left out of the labels, with codes of -1. The smallest means the fewest rows.
    """
    parts = [take_sampling(sampling, rows) for rows in grouping.members()]
    small = np.array([bool(too_small(part, min_rows)) for part in parts])
    if not small.any():
        return grouping, ()
    kept = tuple(label for label, drop in zip(grouping.labels, small, strict=True) if not drop)
    rows_of_small = small[grouping.codes]
    together = f"{grouping.name}: {small.sum()} rare values together"
    enough = small.sum() > 1 and not too_small(take_sampling(sampling, rows_of_small), min_rows)
    codes = np.where(rows_of_small, len(kept) if enough else -1, (np.cumsum(~small) - 1)[grouping.codes])
    names = [(parts[place].rows, grouping.labels[place]) for place in np.flatnonzero(small)]
    rare = tuple(Rare(label, rows, together if enough else "") for rows, label in sorted(names))
    return Grouping(grouping.name, (*kept, together) if enough else kept, codes), rare


def least(min_rows: int, sampling: Sampling) -> str:
    """From which size a group is judged by itself."""
    clusters = "" if sampling.clusters is None else f", and an interval for {MIN_CLUSTERS} clusters"
    return f"the policy asks for {min_rows:,} rows{clusters}"


def table_of(rare: Sequence[Rare], what: str) -> tuple[Table, ...]:
    """What became of each of them; no table where there is none. what: slice or group."""
    if not rare:
        return ()
    columns = (Column(name=what), Column(name="rows", kind="number"), Column(name="judged"))
    rows = tuple((each.label, each.rows, f"in “{each.joined}”" if each.joined else "not judged") for each in rare)
    title = f"{what.capitalize()}s: too few rows to be judged by themselves"
    return (Table(title=title, columns=columns, rows=rows, folded=True),)


def remarks_on(rare: Sequence[Rare], min_rows: int, sampling: Sampling) -> Iterator[str]:
    """Whom the gates did not judge by itself, or not at all: a pass must not hide it."""
    limit = least(min_rows, sampling).capitalize()
    joined, left_out = [each for each in rare if each.joined], [each for each in rare if not each.joined]
    if joined:
        yield f"Too few rows to be judged by themselves, so judged together: {_named(joined)}. {limit}."
    if left_out:
        share = 100 * sum(each.rows for each in left_out) / sampling.rows
        them = "it" if len(left_out) == 1 else "them"
        yield f"Not judged, and no gate waits for {them}: {_named(left_out)}, {share:.2g} % of the rows. {limit}."


def _named(rare: Sequence[Rare]) -> str:
    names = [f"{each.label} ({each.rows:,} {'row' if each.rows == 1 else 'rows'})" for each in rare[:NAMED]]
    return ", ".join(names) + (f" and {len(rare) - NAMED} more" if len(rare) > NAMED else "")
