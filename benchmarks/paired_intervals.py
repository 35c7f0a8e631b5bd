"""Paired intervals of 1M predictions against scikit-learn computing the same metrics once, without any interval."""

from __future__ import annotations

import numpy as np
from sklearn import metrics as sk

from slipway.evaluation.intervals import Sampling, of_difference
from slipway.evaluation.metrics import find
from slipway.evaluation.outcomes import Binary
from timing import Ratio, compare

ROWS = 1_000_000
NAMES = ("accuracy", "f1", "roc_auc", "log_loss")


def measure() -> list[Ratio]:
    """Both models: four differences with interval against eight bare values."""
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

    return [compare(f"{', '.join(NAMES)} on 1M pairs", with_intervals, bare_values, budget=1.0)]
