"""Closed-form intervals of paired differences against the plain bootstrap's percentiles, end by end.

Rows are drawn again with replacement, both models' values computed anew, and their difference noted, 4,000 times. With
so many draws a percentile's own standard error is sqrt(0.025 * 0.975 / draws) / 0.0584 standard errors of the
difference (0.0584: the normal density at 1.96), which is 1.1 % of the interval's width: four of them are below the 5 %
that are allowed. `python benchmarks/agreement.py` prints the table alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from coverage import SOURCES, value
from slipway.evaluation.grouping import take
from slipway.evaluation.intervals import of_difference
from slipway.evaluation.metrics import find
from slipway.evaluation.sampling import Sampling
from timing import HEADER

ROWS, DRAWS = 20_000, 4_000
ALLOWED = 0.05
"""Of the interval's width."""

METRICS = {
    ("binary", "half positive"): (
        "accuracy",
        "precision",
        "recall",
        "f1",
        "matthews_corrcoef",
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier_score",
    ),
    ("multiclass", "equal classes"): ("f1_macro", "cohen_kappa", "log_loss"),
    ("regression", "even errors"): (
        "mean_absolute_error",
        "root_mean_squared_error",
        "r2",
        "median_absolute_error",
    ),
}


@dataclass(frozen=True)
class Agreement:
    """How far the ends are apart, as a share of the bootstrap interval's width."""

    name: str
    low: float
    high: float
    budget: float = ALLOWED

    @property
    def ratio(self) -> float:
        """The greater distance."""
        return max(self.low, self.high)

    def row(self) -> str:
        """A line of the result's table."""
        met = "met" if self.ratio <= self.budget else "**missed**"
        ends = f"low {100 * self.low:.1f} % | high {100 * self.high:.1f} %"
        return f"| {self.name} | {ends} | {self.ratio:.3f} | {self.budget:g} | {met} |"


def measure() -> Iterator[Agreement]:
    """One line for each metric."""
    for (task, source), names in METRICS.items():
        random = np.random.default_rng(3)
        production, candidate, _ = SOURCES[task][source](random, ROWS)
        metrics = [find(name, task) for name in names]  # type: ignore[arg-type]
        draws = np.empty((DRAWS, len(metrics)))
        for draw in draws:
            rows = random.integers(0, ROWS, size=ROWS)
            ours, theirs = take(candidate, rows), take(production, rows)
            draw[:] = [value(metric, ours) - value(metric, theirs) for metric in metrics]
        lows, highs = np.quantile(draws, [0.025, 0.975], axis=0)
        for metric, low, high in zip(metrics, lows, highs, strict=True):
            found = of_difference(metric, production, candidate, Sampling(ROWS))
            apart = (abs(end - other) / (high - low) for end, other in ((found.low, low), (found.high, high)))
            yield Agreement(f"{task} {metric.name}: ends against the bootstrap's, shares of its width", *apart)


if __name__ == "__main__":
    print(HEADER)
    for agreement in measure():
        print(agreement.row(), flush=True)
