"""Paired intervals of 1M predictions against scikit-learn computing the same metrics once, without any interval.

And the metrics for which others loop over resamples, against that loop of 1,000 draws, of which three are timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics as sk

from slipway.evaluation.intervals import of_difference
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Binary, Regression
from slipway.evaluation.sampling import Sampling
from timing import Ratio, clock, compare

ROWS = 1_000_000
NAMES = ("accuracy", "f1", "roc_auc", "log_loss")
DRAWS, TIMED = 1_000, 3


def measure() -> list[Ratio]:
    """Both models: four differences with interval against eight bare values; then one metric at a time."""
    random = np.random.default_rng(0)
    truth = random.random(ROWS) < 0.3
    models = [np.clip(0.3 + 0.2 * truth + 0.15 * random.standard_normal(ROWS), 1e-6, 1 - 1e-6) for _ in range(2)]
    ours, theirs = (Binary(truth, score > 0.5, score) for score in models)
    sampling = Sampling(rows=ROWS)

    def with_intervals() -> None:
        for name in NAMES:
            of_difference(find(name, "binary"), theirs, ours, sampling)

    def bare_values() -> None:
        for score in models:
            sk.accuracy_score(truth, score > 0.5)
            sk.f1_score(truth, score > 0.5)
            sk.roc_auc_score(truth, score)
            sk.log_loss(truth, score)

    numbers = [0.2 * random.standard_normal(ROWS) for _ in range(3)]
    first, second = (Regression(numbers[0], each) for each in numbers[1:])
    return [
        compare(f"{', '.join(NAMES)} on 1M pairs", with_intervals, bare_values, budget=1.0),
        against_loop(
            "roc_auc",
            lambda: of_difference(find("roc_auc", "binary"), theirs, ours, sampling),
            lambda rows: [sk.roc_auc_score(truth[rows], score[rows]) for score in models],
            budget=1 / 1_000,
        ),
        against_loop(
            "average_precision",
            lambda: of_difference(find("average_precision", "binary"), theirs, ours, sampling),
            lambda rows: [sk.average_precision_score(truth[rows], score[rows]) for score in models],
            budget=1 / 50,
        ),
        against_loop(
            "median_absolute_error",
            lambda: of_difference(find("median_absolute_error", "regression"), first, second, sampling),
            lambda rows: [
                sk.median_absolute_error(each.truth[rows], each.prediction[rows]) for each in (first, second)
            ],
            budget=1 / 50,
        ),
    ]


def against_loop(name: str, ours: Callable[[], object], draw: Callable[[Any], object], *, budget: float) -> Ratio:
    """An interval against the naive loop, whose draws all take the same time; both are warmed up, and give medians."""
    random = np.random.default_rng(1)

    def one_draw() -> None:
        draw(random.integers(0, ROWS, size=ROWS))

    ours()
    one_draw()
    loop = DRAWS * statistics.median(clock(one_draw) for _ in range(TIMED))
    mine = statistics.median(clock(ours) for _ in range(TIMED))
    return Ratio(f"{name} on 1M pairs, against a loop of {DRAWS:,} draws", mine, loop, mine / loop, budget)
