"""Searches all columns of the holdout, and pairs of them, for the slice in which the candidate lost most.

Whoever looks at thousands of slices finds a bad one by luck. The chance of that is measured on the same rows: were
the two models equally good, each row's difference of losses could as well have the other sign. Rows, or whole
clusters, are dealt at random into blocks, the blocks' signs are flipped at random, and the worst of all slices is
noted each time (Westfall and Young 1993, single-step max-T; sign flipping as in Romano 1990). The flips of blocks are
a subgroup of the flips of rows, so the p-value is as exact, and thousands of slices cost two products of matrices.

Models that are equal on average may differ in shape: many small gains, a few large losses. Flipped signs hide that, so
a slice's t is first corrected for the skewness of its blocks (Hall 1992, doi:10.1111/j.2517-6161.1992.tb01872.x).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from slipway.evaluation.findings import Findings
from slipway.evaluation.grouping import MIN_CLUSTERS, Grouping, can_group, group
from slipway.evaluation.judgement import decimals
from slipway.evaluation.outcomes import (
    Binary,
    Booleans,
    Floats,
    Integers,
    Multiclass,
    Multilabel,
    Outcome,
    Ranking,
    Regression,
    Text,
)
from slipway.evaluation.sampling import Sampling
from slipway.policy.evaluation import Evaluation
from slipway.report import Column, Table

DRAWS = 999
BLOCKS = 128
"""Blocks of rows whose signs are flipped: 2^128 ways, and a slice's standard error known to 6 %."""

VALUES = 20
"""Groups that a column of text has at most in the search; the rarest values share one."""

COLUMNS = 40
"""Columns that are searched, by themselves and in pairs: the first of the file that have groups."""

SHOWN = 3
CANDIDATES = 200
"""Of the worst slices, how many are looked at for some that have different rows."""


Numbers = TypeVar("Numbers", Floats, npt.NDArray[np.float32])


@dataclass(frozen=True)
class Found:
    """A slice among all that were searched.

    mean: of the loss's difference, above 0 where the candidate is worse. low: what it exceeds at the sampling's
    confidence, and p: one-sided; both after the search.
    """

    label: str
    rows: int
    mean: float
    low: float
    p: float


@dataclass(frozen=True)
class Searched:
    """How many slices were seen, and the worst of them, worst first, none of which is half of one before it."""

    slices: int
    worst: tuple[Found, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """The slices of one grouping or two, as arrays (slices,).

    columns: positions of the groupings. cells: positions in their cross. evidence: t, corrected for skewness.
    """

    columns: tuple[int, ...]
    cells: Integers
    rows: Integers
    mean: Floats
    error: Floats
    skewness: Floats
    evidence: Floats


def worst_slices(
    evaluation: Evaluation,
    candidate: Outcome,
    production: Outcome | None,
    features: Iterable[pl.Series],
    sampling: Sampling,
) -> Findings:
    """A table of the worst slices, and a remark where one of them is no luck. It never gates.

    features: the holdout's columns, one after the other; those whose values are no groups are passed over.
    """
    asked = evaluation.slices
    if asked is None or not asked.search or production is None or isinstance(candidate, Ranking | Text):
        return Findings()
    loss, harm = row_harm(candidate, production)
    grouped = (group(each, bins=asked.bins, at_most=VALUES) for each in features if can_group(each.dtype))
    groupings = list(islice((each for each in grouped if len(each.labels) > 1), COLUMNS))
    searched = search(groupings, harm, sampling, min_rows=asked.min_rows)
    if not searched.worst:
        return Findings()
    worst = searched.worst[0]
    said = f"{worst.label}: {loss} {worst.mean:+.3g} (adjusted p {worst.p:.2g})"
    stands_out = worst.p <= 1 - sampling.confidence
    return Findings(
        tables=(_table(loss, searched, len(groupings), sampling),),
        reasons=(f"Worst slice found: {said}. No gate judges it.",) if stands_out else (),
    )


def row_harm(candidate: Outcome, production: Outcome) -> tuple[str, Floats]:
    """Name of the loss, and by how much the candidate's is greater in each row: (rows,)."""
    if isinstance(candidate, Regression) and isinstance(production, Regression):
        ours, theirs = (each.truth - each.prediction for each in (candidate, production))
        with np.errstate(over="ignore", invalid="ignore"):  # what is too great for a float is found as not finite
            return "squared error", ours**2 - theirs**2
    given, before = _probability_of_truth(candidate), _probability_of_truth(production)
    if given is not None and before is not None:
        return "log loss", _log_loss(given) - _log_loss(before)
    if isinstance(candidate, Multilabel) and isinstance(production, Multilabel):
        shares = [(each.truth != each.label).mean(axis=1) for each in (candidate, production)]
        return "share of wrong labels", shares[0] - shares[1]
    assert isinstance(candidate, Binary | Multiclass)
    assert isinstance(production, Binary | Multiclass)
    wrong = [(each.truth != each.label).astype(np.float64) for each in (candidate, production)]
    return "share of errors", wrong[0] - wrong[1]


def search(groupings: Sequence[Grouping], harm: Floats, sampling: Sampling, *, min_rows: int) -> Searched:
    """The worst slices of all groupings and their pairs. harm: (rows,), above 0 where the candidate is worse.

    Slices with fewer than `min_rows` rows, and those in which the models do not differ, are passed over.
    """
    if sampling.units < MIN_CLUSTERS or not np.isfinite(harm).all():
        return Searched(0)
    random = np.random.default_rng(sampling.seed)
    count = min(BLOCKS, sampling.units)
    blocks = random.permutation(sampling.units) % count
    if sampling.clusters is not None:
        blocks = blocks[sampling.clusters]
    signs = random.choice(np.array([-1, 1], dtype=np.float32), size=(count, DRAWS))
    highest = np.full(DRAWS, -np.inf, dtype=np.float32)
    seen: list[_Seen] = []
    alone = [(place,) for place in range(len(groupings))]
    for columns in [*alone, *combinations(range(len(groupings)), 2)]:
        codes, cells = _codes([groupings[place] for place in columns])
        rows = np.bincount(codes, minlength=cells)
        sums = np.bincount(codes * count + blocks, weights=harm, minlength=cells * count).reshape(cells, count)
        error = np.sqrt((sums**2).sum(axis=1))
        kept = np.flatnonzero((rows >= min_rows) & (error > 0))
        if not len(kept):
            continue
        error, rows, sums = error[kept], rows[kept], sums[kept]
        scaled = sums / error[:, None]
        cubed = scaled * scaled * scaled
        flipped = _unskewed(scaled.astype(np.float32) @ signs, cubed.astype(np.float32) @ signs)
        np.maximum(highest, flipped.max(axis=0), out=highest)
        skewness = cubed.sum(axis=1)
        evidence = _unskewed(scaled.sum(axis=1), skewness)
        seen.append(_Seen(columns, kept, rows, sums.sum(axis=1) / rows, error / rows, skewness, evidence))
    if not seen:
        return Searched(0)
    slices = sum(len(each.cells) for each in seen)
    return Searched(slices, tuple(_worst(seen, groupings, highest, count, sampling.confidence)))


def _codes(groupings: Sequence[Grouping]) -> tuple[Integers, int]:
    """(rows,) position of each row's cell in the cross of one grouping or two, and the number of cells."""
    codes, cells = groupings[0].codes, len(groupings[0].labels)
    for other in groupings[1:]:
        codes, cells = codes * len(other.labels) + other.codes, cells * len(other.labels)
    return codes, cells


def _unskewed(t: Numbers, skewness: Numbers) -> Numbers:
    """Hall's monotone transformation of t. skewness: of the sum of blocks, so its root of n is in it already."""
    both = skewness * t
    # Products, since numpy's powers of single precision are fifty times as slow.
    return t * (1 + both / 3 + both * both / 27) + skewness / 6  # type: ignore[return-value]


def _skewed(evidence: float, skewness: Floats) -> Floats:
    """The t that `_unskewed` turns into `evidence`."""
    turned = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness)
    return np.asarray(3 / turned * (np.cbrt(1 + turned * (evidence - turned / 6)) - 1))


def _worst(
    seen: list[_Seen],
    groupings: Sequence[Grouping],
    highest: npt.NDArray[np.float32],
    blocks: int,
    confidence: float,
) -> Iterator[Found]:
    """The slices that surely lose most; behind them, those with most evidence of losing anything.

    One that shares half of its rows, or half of the other's, with a worse one tells nothing new.
    """
    critical = float(np.quantile(highest, confidence, method="higher"))
    mean, error, skewness, evidence = (
        np.concatenate([getattr(each, name) for each in seen]) for name in ("mean", "error", "skewness", "evidence")
    )
    # A flip keeps the squares, so they hold the mean, too; a bound needs the spread around it. Turning both the error
    # and the critical value keeps it true that the bound is above 0 just where p is small enough.
    limit = _skewed(critical, skewness)
    free = 1 - limit**2 / blocks
    around = error * np.sqrt(np.maximum(1 - (mean / error) ** 2 / blocks, 0))
    low = np.where(free > 0, mean - limit / np.sqrt(np.maximum(free, 1e-9)) * around, -np.inf)
    owner = np.repeat(np.arange(len(seen)), [len(each.cells) for each in seen])
    first = np.searchsorted(owner, np.arange(len(seen)))
    shown: list[Booleans] = []
    # Stable: of equal slices the simpler one goes first.
    for place in np.lexsort((-evidence, -np.maximum(low, 0)))[:CANDIDATES]:
        if mean[place] <= 0 or len(shown) == SHOWN:
            return
        which = seen[owner[place]]
        parts = [groupings[column] for column in which.columns]
        rows = _codes(parts)[0] == which.cells[place - first[owner[place]]]
        if any(2 * (rows & other).sum() >= min(rows.sum(), other.sum()) for other in shown):
            continue
        shown.append(rows)
        one = np.flatnonzero(rows)[0]
        label = " and ".join(part.labels[part.codes[one]] for part in parts)
        reached = int((highest >= evidence[place] - 1e-4).sum())  # the flips were counted in single precision
        yield Found(label, int(rows.sum()), float(mean[place]), float(low[place]), (1 + reached) / (1 + DRAWS))


def _probability_of_truth(outcome: Outcome) -> Floats | None:
    """(rows,) probability that the model gave to what is true, if it gives any."""
    if not isinstance(outcome, Binary | Multiclass) or outcome.probability is None:
        return None
    if isinstance(outcome, Binary):
        return np.where(outcome.truth, outcome.probability, 1 - outcome.probability)
    return np.asarray(outcome.probability[np.arange(len(outcome)), outcome.truth])


def _log_loss(probability: Floats) -> Floats:
    eps = np.finfo(np.float64).eps
    return -np.log(np.clip(probability, eps, 1 - eps))


def _table(loss: str, searched: Searched, columns: int, sampling: Sampling) -> Table:
    worst = searched.worst[0]
    stands_out = worst.p <= 1 - sampling.confidence
    level = f"{100 * sampling.confidence:g} %"
    rows = []
    for each in searched.worst:
        digits = decimals(each.mean - each.low) if np.isfinite(each.low) else 4
        low = f"{each.low:+.{digits}f}" if np.isfinite(each.low) else "–"
        rows.append((each.label, each.rows, f"{each.mean:+.{digits}f}", low, f"{each.p:.3f}"))
    return Table(
        title=f"Worst slice found: {worst.label}" if stands_out else "Search for the worst slice: nothing beyond luck",
        columns=(
            Column(name="slice"),
            Column(name="rows", kind="number"),
            Column(name=f"{loss}, candidate minus production", kind="number"),
            Column(name=f"at least ({level})", kind="number"),
            Column(name="adjusted p", kind="number"),
        ),
        rows=tuple(rows),
        note=f"{searched.slices:,} slices of {columns} columns and their pairs were searched; bound and p account for "
        "it. Nothing here gates: name a slice in the policy to have it judged.",
        folded=not stands_out,
    )
