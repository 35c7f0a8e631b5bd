"""Distances from two profiles against scipy on the data themselves, and their limits against simulated samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance

from slipway.drift import cells, distances
from slipway.drift.cells import Cells
from slipway.profiles import Column, of_batches
from slipway.profiles.profile import Numbers
from slipway.runner.errors import InputError

Values = NDArray[np.float64]


def column(values: object) -> Column:
    return of_batches([pl.DataFrame({"x": values})]).columns["x"]


def numbers(values: Values) -> Numbers:
    found = column(values).numbers
    assert found is not None
    return found


SAMPLES: dict[str, tuple[Values, Values]] = {}
RANDOM = np.random.default_rng(7)
DRAWS: dict[str, Callable[..., Any]] = {
    "normal": RANDOM.normal,
    "lognormal": RANDOM.lognormal,
    "far from zero": lambda size: 280 + RANDOM.gamma(2, 5, size),
    "Cauchy": RANDOM.standard_cauchy,
    "few values": lambda size: RANDOM.integers(0, 40, size).astype(float),
    "zeros and a tail": lambda size: np.where(RANDOM.random(size) < 0.7, 0.0, RANDOM.exponential(size=size)),
}
for name, draw in DRAWS.items():
    one, other = draw(size=40_000), draw(size=30_000)
    SAMPLES[f"{name}, equal"] = (one, other)
    SAMPLES[f"{name}, shifted"] = (one, other + 0.3)
    SAMPLES[f"{name}, wider"] = (one, other * 1.2)


@pytest.mark.parametrize("name", SAMPLES)
def test_kolmogorov_smirnov__holds_scipys_on_the_data(name: str) -> None:
    one, other = SAMPLES[name]
    found = distances.kolmogorov_smirnov(numbers(one).histogram, numbers(other).histogram)
    truth = stats.ks_2samp(one, other, method="asymp").statistic
    assert found.least - 1e-12 <= truth <= found.most + 1e-12
    if "zeros" not in name:  # seven tenths of the values are one of them
        assert found.most - found.least < 0.03
    assert found.value == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("name", SAMPLES)
def test_wasserstein__holds_scipys_on_the_data(name: str) -> None:
    one, other = SAMPLES[name]
    found = distances.wasserstein(numbers(one), numbers(other))
    truth = stats.wasserstein_distance(one, other) / one.std(ddof=1)
    slack = 1e-9 * max(1.0, truth)
    assert found.least - slack <= truth <= found.most + slack
    assert found.value == pytest.approx(truth, rel=0.05, abs=0.004)


def test_distances__are_exact_up_to_the_limit_of_different_values() -> None:
    one, other = SAMPLES["few values, shifted"]
    found = distances.kolmogorov_smirnov(numbers(one).histogram, numbers(other).histogram)
    assert found.value == found.most == pytest.approx(stats.ks_2samp(one, other).statistic, rel=1e-12)
    moved = distances.wasserstein(numbers(one), numbers(other))
    assert moved.value == pytest.approx(stats.wasserstein_distance(one, other) / one.std(ddof=1), rel=1e-9)
    assert moved.most == pytest.approx(moved.value, rel=1e-9)


COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12).filter(
    lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
)


def made(pairs: list[tuple[int, int]]) -> Cells:
    return Cells(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))


@given(COUNTS)
def test_jensen_shannon__is_scipys(pairs: list[tuple[int, int]]) -> None:
    found = made(pairs)
    expected = distance.jensenshannon(found.reference, found.current, base=2)
    assert distances.jensen_shannon(found) == pytest.approx(expected, abs=1e-7)


@given(COUNTS)
def test_chi_square__is_scipys(pairs: list[tuple[int, int]]) -> None:
    found = distances.chi_square(made(pairs))
    table = np.array([pair for pair in pairs if sum(pair)]).T
    expected = stats.chi2_contingency(table, correction=False)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-9)


def test_chi_square__of_a_single_cell_says_nothing() -> None:
    assert distances.chi_square(made([(5, 9)])).p_value == 1.0
    assert distances.population_stability_limit(10, 10, 1) == 0.0


def test_population_stability__by_hand() -> None:
    found = distances.population_stability(made([(50, 30), (50, 70)]))
    p, q = [50.5 / 101] * 2, [30.5 / 101, 70.5 / 101]
    assert found == pytest.approx(sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True)))
    assert distances.population_stability(made([(100, 0), (0, 100)])) < math.inf


def test_kolmogorov_smirnov_p__is_scipys() -> None:
    one, other = SAMPLES["few values, equal"]
    expected = stats.kstwobign.sf(0.01 * math.sqrt(len(one) * len(other) / (len(one) + len(other))))
    assert distances.kolmogorov_smirnov_p(0.01, len(one), len(other)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("rows", "count"), [(1_000, 10), (5_000, 10), (1_000, 20)])
def test_limits__hold_99_of_100_comparisons_without_drift(rows: int, count: int) -> None:
    random = np.random.default_rng(rows + count)
    draws = random.multinomial(rows, np.full(count, 1 / count), size=(4_000, 2))
    compared = [Cells(one, other) for one, other in draws]
    for measure, limit in (
        (distances.population_stability, distances.population_stability_limit(rows, rows, count)),
        (distances.jensen_shannon, distances.jensen_shannon_limit(rows, rows, count)),
    ):
        beyond = sum(measure(each) > limit for each in compared) / len(compared)
        assert 0.005 < beyond < 0.015  # four standard errors are 0.0063


def test_limits__known_ones() -> None:
    # Of the calibration in the design: 1,000 against 1,000 rows in ten cells, and 5,000 against 5,000.
    assert distances.population_stability_limit(1_000, 1_000, 10) == pytest.approx(0.043, abs=0.001)
    assert distances.population_stability_limit(5_000, 5_000, 10) == pytest.approx(0.009, abs=0.001)


# Cells


def test_cells__are_quantiles_of_the_reference_and_count_exactly() -> None:
    one, other = SAMPLES["normal, shifted"]
    found = cells.of(column(one), column(other))
    assert len(found.reference) == cells.CELLS
    assert found.reference / len(one) == pytest.approx(np.full(10, 0.1), abs=0.02)
    assert (found.reference.sum(), found.current.sum()) == (len(one), len(other))
    edges = np.quantile(one, np.arange(1, 10) / 10)
    on_data = Cells(*(np.bincount(np.searchsorted(edges, each), minlength=10) for each in (one, other)))
    assert distances.population_stability(found) == pytest.approx(distances.population_stability(on_data), abs=0.004)


def test_cells__of_repeated_and_new_values() -> None:
    found = cells.of(column([0.0] * 9 + [1.0]), column([-5.0, 0.0, 7.0]))
    assert (found.reference.sum(), found.current.sum()) == (10, 3)
    assert found.reference.max() == 9


def test_cells__of_categories_by_name_and_by_bucket() -> None:
    named = cells.of(column(["a", "b", "b"]), column(["b", "c"]))
    assert (named.reference.tolist(), named.current.tolist()) == ([1, 2, 0], [0, 1, 1])
    many = [f"user {number}" for number in range(2_000)]
    in_buckets = cells.of(column(many), column(["user 1", "user 2"]))
    assert (in_buckets.reference.sum(), in_buckets.current.sum()) == (2_000, 2)
    exact = distance.jensenshannon([1 / 2_000] * 2_000, [0.5, 0.5] + [0] * 1_998, base=2)
    assert distances.jensen_shannon(in_buckets) <= exact


@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        ([1.0], ["a"], "cannot be compared"),
        ([[1]], [[1]], "cannot be compared"),
        ([1.0], [math.nan], "without any value"),
        ([None], [None], "cannot be compared"),
    ],
)
def test_cells__of_what_cannot_be_compared(reference: object, current: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cells.of(column(reference), column(current))


def test_wasserstein__of_a_constant_reference() -> None:
    constant, another = numbers(np.full(5, 2.0)), numbers(np.full(5, 3.0))
    assert distances.wasserstein(constant, constant).value == 0.0
    assert distances.wasserstein(constant, another).value == math.inf
    assert math.isnan(distances.wasserstein(numbers(np.array([1.0])), another).value)
