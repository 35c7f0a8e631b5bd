"""Metrics of the order that a model gives to the rows of each query.

Every metric is the plain mean over queries of a query's score. A query without a relevant row scores 0, as in
scikit-learn's `ndcg_score`. Tied rows share what their places give (McSherry & Najork 2008), as there; in average
precision and reciprocal rank, which are no sums over places, they all take the last place of their group, as in
scikit-learn's `average_precision_score`: a model that gives one score to every row gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from slipway.evaluation.metrics.base import Estimate, Family, Metric, UndefinedError, whole
from slipway.evaluation.outcomes import Booleans, Floats, Integers, Ranking

OfPlace = Callable[[Integers], Floats]
"""What a place in a query's order is worth; the first is 0."""


@dataclass(frozen=True)
class Order:
    """The rows sorted by query, then by falling score.

    rows: (rows,) which row stands there. query, place: (rows,) its query, counted from 0, and its place in it.
    starts: (queries,) where each query begins.
    """

    rows: Integers
    query: Integers
    place: Integers
    starts: Integers

    def sums(self, values: Floats) -> Floats:
        """Sum within each query. values: (rows,) in this order."""
        return np.asarray(np.add.reduceat(values, self.starts))


def sort(query: Integers, score: Floats) -> Order:
    """The order in which rows are shown."""
    rows = np.lexsort((-score, query))
    first = _changes(query[rows])
    position = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    return Order(rows, position, np.arange(len(rows)) - starts[position], starts)


def _changes(values: Integers | Floats) -> Booleans:
    """Where a value differs from the one before."""
    return np.concatenate(([True], values[1:] != values[:-1]))


def _ties(o: Ranking, order: Order) -> tuple[Integers, Integers]:
    """Where each group of tied rows begins, and the group of each row, in the order."""
    first = _changes(o.score[order.rows]) | (order.place == 0)
    return np.flatnonzero(first), np.cumsum(first) - 1


def mean_over_queries(scores: Floats, order: Order) -> Estimate:
    """Queries are the units: a row carries its query's influence, divided among the query's rows.

    With the query as the cluster, the standard error is that of a mean over queries.
    """
    value = float(scores.mean())
    sizes = np.diff(np.append(order.starts, len(order.rows)))
    influence = np.empty(len(order.rows))
    influence[order.rows] = ((scores - value) / sizes)[order.query] * len(order.rows) / len(scores)
    return Estimate(value, influence)


def _worth(o: Ranking, order: Order, gain: Floats, of_place: OfPlace) -> Floats:
    """Sum over each query's rows of gain times what the place is worth, averaged over the places of tied rows."""
    starts, group = _ties(o, order)
    worth = np.add.reduceat(of_place(order.place), starts) / np.diff(np.append(starts, len(group)))
    return order.sums(gain[order.rows] * worth[group])


def _per_relevant(sums: Floats, relevant: Floats) -> Floats:
    """Divided by what could be had; 0 where there is nothing to have."""
    return np.divide(sums, relevant, out=np.zeros_like(sums), where=relevant > 0)


def _discount(k: float) -> OfPlace:
    return lambda place: np.where(place < k, 1 / np.log2(place + 2), 0.0)


def ndcg(o: Ranking, k: float = np.inf) -> Estimate:
    """Sum of grade / log2(place + 1) over the first k places, as a share of the best that there is."""
    if o.truth.min() < 0:
        raise UndefinedError("a grade is below 0")
    order, best = sort(o.query, o.score), sort(o.query, o.truth)
    ideal = best.sums(o.truth[best.rows] * _discount(k)(best.place))
    return mean_over_queries(_per_relevant(_worth(o, order, o.truth, _discount(k)), ideal), order)


def precision_at(o: Ranking, k: int) -> Estimate:
    """Share of the first k places that are relevant (grade above 0); a query of fewer rows is divided by k, too."""
    order = sort(o.query, o.score)
    return mean_over_queries(_worth(o, order, _relevant(o), lambda place: (place < k) / k), order)


def recall_at(o: Ranking, k: int) -> Estimate:
    """Share of the relevant rows (grade above 0) that stand in the first k places."""
    order = sort(o.query, o.score)
    found = _worth(o, order, _relevant(o), lambda place: (place < k).astype(float))
    return mean_over_queries(_per_relevant(found, order.sums(_relevant(o)[order.rows])), order)


def _relevant(o: Ranking) -> Floats:
    return (o.truth > 0).astype(float)


def _shown_until(o: Ranking, order: Order) -> Integers:
    """How many rows of its query have been shown when a row, and all that are tied with it, has been."""
    starts, group = _ties(o, order)
    ends = np.append(starts[1:], len(group)) - 1
    return np.asarray(order.place[ends][group] + 1)


def average_precisions(o: Ranking) -> Floats:
    """Of each query: the mean over its relevant rows of the precision where they stand."""
    order = sort(o.query, o.score)
    relevant = _relevant(o)[order.rows]
    shown = _shown_until(o, order)
    found = np.concatenate(([0.0], np.cumsum(relevant)))
    start = order.starts[order.query]
    precision = (found[start + shown] - found[start]) / shown
    return _per_relevant(order.sums(relevant * precision), order.sums(relevant))


def mean_average_precision(o: Ranking) -> Estimate:
    """Mean over queries of the average precision; relevant is a grade above 0."""
    return mean_over_queries(average_precisions(o), sort(o.query, o.score))


def mean_reciprocal_rank(o: Ranking) -> Estimate:
    """Mean over queries of 1 / place of the first relevant row (grade above 0)."""
    order = sort(o.query, o.score)
    reciprocal = _relevant(o)[order.rows] / _shown_until(o, order)
    return mean_over_queries(np.maximum.reduceat(reciprocal, order.starts), order)


def _at(name: str, metric: Callable[[Ranking, int], Estimate]) -> Family:
    def build(number: float) -> Metric:
        k = whole(number)
        return Metric(f"{name}@{k}", "ranking", True, lambda o: metric(o, k))

    return Family(name, "ranking", "k", "10", build)


_metric = partial(Metric, task="ranking", greater_is_better=True)

METRICS: tuple[Metric, ...] = (
    _metric("ndcg", estimate=ndcg),
    _metric("mean_average_precision", estimate=mean_average_precision),
    _metric("mean_reciprocal_rank", estimate=mean_reciprocal_rank),
)

FAMILIES: tuple[Family, ...] = (_at("ndcg", ndcg), _at("precision", precision_at), _at("recall", recall_at))
