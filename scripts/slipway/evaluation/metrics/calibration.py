"""The calibration error: how far probabilities are from the shares that come true.

The usual expected calibration error, a mean of absolute gaps, is above zero even for a perfectly calibrated model, and
no interval of it, or of the difference of two, covers what it should (docs/statistics.md has the measurement). The
mean of squared gaps can be freed of its bias exactly (Kumar, Liang & Ma 2019, Verified Uncertainty Calibration,
section 5), and has an influence for every row.
"""

from __future__ import annotations

import numpy as np

from slipway.evaluation.metrics.base import Estimate, UndefinedError
from slipway.evaluation.outcomes import Binary, Floats, Integers

BINS = 10


def squared_calibration_error(o: Binary) -> Estimate:
    """Mean over ten bins of equal size of (share of positives - mean probability)², in the Brier score's unit.

    A square of a bin's gap is estimated by the products of two different rows' gaps, so that no row's own noise is
    squared: the value of a calibrated model is zero on average, and below zero as often as above. Of such a model the
    standard error is too large rather than too small. The bins are taken as given.
    """
    if o.probability is None:
        raise UndefinedError("the model gives no probabilities")
    if len(o) < 2 * BINS:
        raise UndefinedError(f"there are fewer than {2 * BINS} rows, two for each of its bins")
    position = bins_of_equal_size(o.probability, BINS)
    rows = np.bincount(position)
    gap = o.truth - o.probability
    of_others = np.bincount(position, weights=gap)[position] - gap
    # A bin of a single row, between many of equal probability, says nothing of its gap.
    product = gap * of_others / np.maximum(rows - 1, 1)[position]
    of_bin = (np.bincount(position, weights=product) / rows)[position]
    value = float(product.mean())
    return Estimate(value, 2 * (product - of_bin) + of_bin - value)


def bins_of_equal_size(probability: Floats, bins: int) -> Integers:
    """Position of each row's bin, 0..n-1; rows of equal probability share one, so there can be fewer than `bins`."""
    edges = np.quantile(probability, np.arange(1, bins) / bins)
    return np.unique(np.searchsorted(edges, probability, side="right"), return_inverse=True)[1].astype(np.int64)
