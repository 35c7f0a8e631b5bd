"""Influences of values that follow from the order of the rows: average precision, and the median."""

from __future__ import annotations

import numpy as np
from scipy import special

from slipway.evaluation.outcomes import Booleans, Floats


def average_precision(truth: Booleans, score: Floats) -> tuple[float, Floats]:
    """Average precision and each row's influence on it. truth, score: (rows,), at least one row of truth being true.

    AP = E[y T(s) / N(s)] / E[y], where T(s) = E[y 1(score >= s)] and N(s) = E[1(score >= s)]: the mean, over the
    positive rows, of the precision at their score. Its derivative in the direction of one row (y0, s0) is
    (y0 (T/N)(s0) + y0 G(s0) - H(s0) - AP y0) / E[y], with G and H the sums of y / N and y T / N² over the rows that
    score at most s0 (the delta method, van der Vaart, Asymptotic Statistics, ch. 20). Ties count as in scikit-learn:
    all of a group are called together.
    """
    rows = len(truth)
    order = np.argsort(-score)
    ordered = score[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), rows - 1)  # of each tied group
    called = last + 1
    found = np.cumsum(truth[order])[last]
    gain = np.diff(found, prepend=0)
    precision = found / called
    positives = int(found[-1])
    value = float((gain * precision).sum()) / positives
    # From the lowest score upwards: what the rows below lose or win by one more row above them.
    if_positive = np.cumsum((gain / called)[::-1])[::-1]
    in_any_case = np.cumsum((gain * precision / called)[::-1])[::-1]
    group = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    # In this order a perfect one comes out as exactly zero.
    moved = np.where(truth[order], (precision - value + if_positive)[group], 0.0) - in_any_case[group]
    influence = np.empty(rows)
    influence[order] = moved * (rows / positives)
    return value, influence


def median(values: Floats) -> tuple[float, Floats]:
    """The median and each row's influence on it. values: (rows,).

    A row moves the median up or down by as much as the spread of the middle values says: their order statistics at
    (rows + 1) / 2 -+ sqrt(rows) are the ends of an interval whose exact binomial level gives the standard error (McKean
    & Schrader 1984; Price & Bonett 2001). The difference of two medians of the same rows then has the covariance of the
    rows' signs (Bonett & Price 2020, doi:10.1111/bmsp.12174).
    """
    rows = len(values)
    if rows < 2:  # nothing shows a spread
        return float(values[0]), np.zeros(1)
    rank = max(1, round((rows + 1) / 2 - np.sqrt(rows)))
    middle = ((rows - 1) // 2, rows // 2)
    parts = np.partition(values, sorted({rank - 1, *middle, rows - rank}))
    value = float(parts[middle[0]] + parts[middle[1]]) / 2
    z = -float(special.ndtri(special.bdtr(rank - 1, rows, 0.5)))
    error = (parts[rows - rank] - parts[rank - 1]) / (2 * z)
    return value, np.sign(values - value) * error * np.sqrt(rows)
