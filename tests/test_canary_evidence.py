"""The formulas by themselves: against hand computations, published values and simulation, and their bound."""

from __future__ import annotations

from math import comb, exp, inf, isclose, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_kit import BOUNDS
from slipway.canary import bands, blocks, counts, means, ratios
from slipway.canary.assignment import AssignmentState
from slipway.canary.evidence import NONE_YET, begun_late, carried_on, grid, late_evidence, log_mean
from slipway.canary.metrics import CellState, RateState
from slipway.canary.observations import Histogram
from slipway.policy.canary import ErrorRule

SHARES = st.floats(0.01, 0.9)
RATES = st.floats(0.001, 0.4)
SIZES = st.integers(1, 40)


def mean_over_all(n: int, m: int, rates: tuple[float, float], factor: object) -> float:
    """The mean of a factor over all pairs of binomial counts, by enumeration."""
    c, b = rates
    total = 0.0
    for x in range(n + 1):
        for y in range(m + 1):
            chance = comb(n, x) * c**x * (1 - c) ** (n - x) * comb(m, y) * b**y * (1 - b) ** (m - y)
            total += chance * exp(factor(x, y))  # type: ignore[operator]
    return total


# Mixtures.


def test_log_mean__is_that_of_the_exponentials_also_where_they_overflow() -> None:
    assert isclose(log_mean((log(2), log(4))), log(3))
    assert isclose(log_mean((2_000.0, 2_000.0 + log(3))), 2_000 + log(2))


def test_grid__has_equal_ratios() -> None:
    assert grid(1, 8, 4) == pytest.approx((1, 2, 4, 8))


def test_late__lays_a_half_at_the_first_look_and_keeps_the_rest() -> None:
    # By hand: 1/2 * 3 and the 1/2 that is not laid; then (1/2 * 3 + 1/6) * 5 and 1/3.
    one = begun_late((NONE_YET,), (log(3),), 1)
    assert isclose(exp(late_evidence(one, 1)), 0.5 * 3 + 0.5, rel_tol=1e-4)
    two = begun_late(one, (log(5),), 2)
    assert isclose(exp(late_evidence(two, 2)), (0.5 * 3 + 1 / 6) * 5 + 1 / 3, rel_tol=1e-4)


def test_late__says_nothing_before_the_first_look() -> None:
    assert late_evidence((NONE_YET,), 0) == 0.0


def test_late__sees_what_breaks_late_long_before_a_process_that_ran_from_the_start() -> None:
    whole: tuple[float, ...] = (0.0,)
    late: tuple[float, ...] = (NONE_YET,)
    for look in range(1, 201):
        factor = (-0.5,) if look <= 190 else (1.5,)
        whole, late = carried_on(whole, factor), begun_late(late, factor, look)
    assert whole[0] < -50
    assert late_evidence(late, 200) > 3


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_carried_on__rounds_down_and_by_little(held: float, factor: float) -> None:
    (found,) = carried_on((held,), (factor,))
    assert held + factor - 2e-5 <= found <= held + factor
    assert len(repr(found)) <= 10 or abs(found) < 1e-3


# Counts.


def test_counts__follow_the_formula_by_hand() -> None:
    # A tenth of the traffic, margin 1: q = 0.1, and a doubled rate has p = 0.2/1.1.
    q, p = 0.1, 0.2 / 1.1
    found = counts.factors(3, 10, share=0.1, margin=1, up=True, growth=(2.0,))
    assert found == pytest.approx((3 * log(p / q) + 10 * log((1 - p) / (1 - q)),))


def test_counts__part_of_a_margin() -> None:
    assert isclose(counts.part_of(0.2, 3), 0.6 / 1.4)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(1, 12),
    st.floats(0.001, 0.33),
    st.sampled_from([1.0, 1.5, 3.0]),
    st.sampled_from([1.05, 2.0, 20.0]),
    st.booleans(),
)
def test_counts__have_a_mean_of_at_most_one_at_any_rate(
    n: int, m: int, rate: float, margin: float, step: float, up: bool
) -> None:
    def factor(x: int, y: int) -> float:
        return counts.factors(x, y, share=n / (n + m), margin=margin, up=up, growth=(step,))[0]

    for canary in (margin * rate, 0.6 * margin * rate if up else min(1.0, 1.3 * margin * rate)):
        assert mean_over_all(n, m, (canary, rate), factor) <= 1 + 1e-9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=6), SHARES)
def test_counts__of_merged_looks_with_one_share_are_those_of_each(looks: list[tuple[int, int]], share: float) -> None:
    def of(x: int, y: int) -> tuple[float, ...]:
        return counts.factors(x, y, share=share, margin=1.2, up=True, growth=counts.GROWTH)

    merged = of(sum(x for x, _ in looks), sum(y for _, y in looks))
    apart = [sum(each) for each in zip(*(of(*pair) for pair in looks), strict=True)]
    assert merged == pytest.approx(apart, abs=1e-6)


@given(st.integers(0, 50), st.integers(0, 200), SHARES)
def test_counts__one_more_error_of_the_canary_is_more_evidence_of_harm(x: int, y: int, share: float) -> None:
    def of(x: int, y: int) -> tuple[float, ...]:
        return counts.factors(x, y, share=share, margin=1, up=True, growth=counts.GROWTH)

    assert all(more > less for more, less in zip(of(x + 1, y), of(x, y), strict=True))
    assert all(more > less for more, less in zip(of(x, y), of(x, y + 1), strict=True))


def test_counts__of_clusters_are_roots() -> None:
    alone = counts.factors(4, 9, share=0.2, margin=1, up=True, growth=(2.0,))
    assert counts.factors(4, 9, share=0.2, margin=1, up=True, growth=(2.0,), cluster=4) == (alone[0] / 4,)


def test_counts__events_needed_reach_the_evidence() -> None:
    events = counts.events_needed(0.1, 1, 2, log(20))
    p = counts.part_of(0.1, 2)
    gained = counts.factors(1_000, 0, share=0.1, margin=1, up=True, growth=(2.0,))[0] / 1_000 * p
    gained += counts.factors(0, 1_000, share=0.1, margin=1, up=True, growth=(2.0,))[0] / 1_000 * (1 - p)
    assert isclose(gained * events, log(20))


# Blocks.


def test_blocks__nearest_of_equal_rates_is_the_mean_rate() -> None:
    assert blocks.nearest((0.3, 0.1), (10, 30), 1) == pytest.approx((0.15, 0.15))


@settings(max_examples=60, deadline=None)
@given(RATES, RATES, SIZES, SIZES, st.sampled_from([1.2, 1.5, 2.0]))
def test_blocks__nearest_is_no_worse_than_its_neighbours(c: float, b: float, n: int, m: int, margin: float) -> None:
    def divergence(t: float) -> float:
        def one(p: float, q: float) -> float:
            return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))

        return n * one(c, margin * t) + m * one(b, t)

    on_line, t = blocks.nearest((c, b), (n, m), margin)
    assert isclose(on_line, margin * t)
    assert 0 < margin * t < 1
    for other in (0.999 * t, min(1.001 * t, (t + 1 / margin) / 2)):
        assert divergence(t) <= divergence(other) + 1e-12


@pytest.mark.parametrize("margin", [1.0, 1.5])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.5])
def test_blocks__have_a_mean_of_at_most_one_wherever_the_null_holds(margin: float, up: bool, rate: float) -> None:
    alternative = (0.6, 0.25) if up else (0.2, 0.3)

    def factor(x: int, y: int) -> float:
        return blocks.factor((x, 6), (y, 14), alternative=alternative, margin=margin, up=up)

    assert factor(3, 2) != 0
    for inside in (1.0, 0.5 if up else 1.3):
        assert mean_over_all(6, 14, (min(1.0, inside * margin * rate), rate), factor) <= 1 + 1e-9


def test_blocks__factor_by_hand() -> None:
    # n = m = 1, alternative (0.6, 0.2): the nearest equal rate is 0.4.
    found = blocks.factor((1, 1), (0, 1), alternative=(0.6, 0.2), margin=1, up=True)
    assert isclose(found, log(0.6 / 0.4 * 0.8 / 0.6))


def test_blocks__an_alternative_without_harm_says_nothing() -> None:
    assert blocks.factor((9, 10), (0, 10), alternative=(0.1, 0.2), margin=1, up=True) == 0.0


def test_blocks__learn_the_ratio_by_the_looks_own_shares() -> None:
    # The rate falls from 40 % to 4 % while the canary's share rises: pooled, a canary of equal rate would look good.
    held = blocks.Learned().after((40, 100), (360, 900)).after((20, 500), (20, 500))
    assert isclose(held.canary / held.baseline, 1.0)


# Means.


@pytest.mark.parametrize("margin", [0.0, 0.1, -0.1])
@pytest.mark.parametrize("mean", [0.2, 0.5, 0.9])
def test_means__have_a_mean_of_at_most_one_whatever_mean_was_expected(margin: float, mean: float) -> None:
    n, m, rate = 4, 12, 0.3
    for place in range(len(means.STAKES)):

        def factor(x: int, y: int, place: int = place) -> float:
            canary, baseline = [(0.0, n - x), (1.0, x)], [(0.0, m - y), (1.0, y)]
            return means.factors(canary, baseline, margin=margin, mean=mean)[place]

        assert mean_over_all(n, m, (rate + margin, rate), factor) <= 1 + 1e-9


def test_means__by_hand() -> None:
    # One number each, centre 0.5 for both: (1 + a/2) (1 + a/2) of a canary at 1 and a baseline at 0.
    found = means.factors([(1.0, 1)], [(0.0, 1)], margin=0, mean=0.5)
    assert found[0] == pytest.approx(2 * log(1 + 0.01 / 2))


def test_means__no_stake_ruins() -> None:
    worst = means.factors([(0.0, 3)], [(1.0, 40)], margin=-0.2, mean=0.02)
    assert all(np.isfinite(worst))


@given(st.permutations([(0.0, 3), (0.25, 2), (1.0, 5)]))
def test_means__the_order_within_a_look_does_not_matter(canary: list[tuple[float, int]]) -> None:
    assert means.factors(canary, [(0.5, 9)], margin=0, mean=0.4) == pytest.approx(
        means.factors([(0.0, 3), (0.25, 2), (1.0, 5)], [(0.5, 9)], margin=0, mean=0.4)
    )


def test_mirrored__is_its_own_opposite() -> None:
    assert list(means.mirrored(means.mirrored([(0.25, 2), (1.0, 5)]))) == [(0.25, 2), (1.0, 5)]


# Bands.


@pytest.mark.parametrize(
    ("alpha", "published"), [(0.1, 7.623), (0.05, 8.123), (0.025, 8.623), (0.01, 9.284), (0.001, 10.943)]
)
def test_bands__constants_are_those_of_the_authors_code(alpha: float, published: float) -> None:
    assert bands.constant_for(alpha) == pytest.approx(published, abs=2e-3)


def test_bands__quantile_is_known_to_a_cell() -> None:
    histogram = Histogram(bounds=BOUNDS, counts=(50_000, 30_000, 15_000, 4_000, 1_000))
    low, value, high = bands.quantile(histogram, 0.9, 0.05)
    assert (low, value, high) == (0.1, 0.2, 0.2)


def test_bands__of_few_numbers_are_infinite() -> None:
    assert bands.quantile(Histogram(bounds=(1.0,), counts=(5, 5)), 0.5, 0.05)[2] == inf
    assert bands.quantile(Histogram(bounds=(1.0,), counts=(0, 0)), 0.5, 0.05) == (-inf, inf, inf)


# The bound, by simulation. The seed is fixed; the limits are some three standard errors above what was found.


def harmed(state: RateState | CellState, alpha: float = 0.05) -> bool:
    found = state.harm_evidence if isinstance(state, RateState) else late_evidence(state.harm, state.looks)
    return found >= -log(alpha)


def test_rate__is_seldom_called_harmful_under_thirty_looks_staged_traffic_and_a_drifting_rate() -> None:
    rng, rule, alarms = np.random.default_rng(11), ErrorRule(), 0
    shares = [0.01] * 5 + [0.05] * 10 + [0.25] * 10 + [0.5] * 5
    for _ in range(150):
        state, alarm = RateState(), False
        for share, rate in zip(shares, np.linspace(0.005, 0.03, 30), strict=True):
            n = int(rng.binomial(2_000, share))
            found = int(rng.binomial(n, rate)), int(rng.binomial(2_000 - n, rate))
            state = state.after((found[0], n), (found[1], 2_000 - n), rule)
            alarm = alarm or harmed(state)
        alarms += alarm
    assert alarms <= 7  # 5 %


def test_rate__is_seldom_taken_for_no_worse_at_the_margin() -> None:
    rng, rule, wrong = np.random.default_rng(12), ErrorRule(margin=1.5), 0
    for _ in range(100):
        state, proven = RateState(), False
        for _ in range(30):
            x, y = int(rng.binomial(500, 0.03)), int(rng.binomial(1_500, 0.02))
            state = state.after((x, 500), (y, 1_500), rule)
            proven = proven or state.proof_evidence >= log(20)
        wrong += proven
    assert wrong <= 5


def test_rate__of_a_fifth_is_better_seen_by_the_blocks_than_by_counts_alone() -> None:
    rng, rule, state = np.random.default_rng(13), ErrorRule(), RateState()
    for _ in range(20):
        x, y = int(rng.binomial(200, 0.3)), int(rng.binomial(1_800, 0.25))
        state = state.after((x, 200), (y, 1_800), rule)
    assert late_evidence((state.harm_blocks,), state.looks) > late_evidence(state.harm, state.looks)


def test_mean__is_seldom_called_worse_and_soon_where_it_is() -> None:
    rng, alarms = np.random.default_rng(14), {0.0: 0, 0.1: 0}
    for harm in alarms:
        for _ in range(150):
            state, alarm = CellState(), False
            for rate in np.linspace(0.3, 0.1, 25):
                x, y = int(rng.binomial(60, rate + harm)), int(rng.binomial(540, rate))
                state = state.after([(0.0, 60 - x), (1.0, x)], [(0.0, 540 - y), (1.0, y)], 0.0, 0.05)
                alarm = alarm or harmed(state)
            alarms[harm] += alarm
    assert alarms[0.0] <= 7
    assert alarms[0.1] >= 145


def test_mean__of_one_look_is_told_and_not_judged() -> None:
    state = CellState().after([(1.0, 500)], [(0.0, 500)], 0.0, 0.05)
    assert (state.looks, state.difference) == (0, 1.0)


def test_assignment__sees_a_share_that_is_off_and_forgives_what_is_within_the_tolerance() -> None:
    rng = np.random.default_rng(15)
    found = {}
    for real in (0.10, 0.105, 0.15, 0.05):
        state = AssignmentState()
        for _ in range(20):
            n = int(rng.binomial(2_000, real))
            state = state.after(n, 2_000 - n, share=0.1, tolerance=0.1)
        found[real] = state.evidence >= log(1_000)
    assert found == {0.10: False, 0.105: False, 0.15: True, 0.05: True}


# The interval of the ratio.


def test_ratios__nothing_is_refuted_without_events() -> None:
    assert ratios.interval(ratios.NOTHING, ratios.NOTHING, 0.05) == (0.0, inf)


def test_ratios__an_interval_holds_the_true_ratio_at_every_look_and_narrows() -> None:
    rng, missed, widths = np.random.default_rng(16), 0, []
    for _ in range(60):
        greater = smaller = ratios.NOTHING
        outside = False
        for share, rate in zip([0.05] * 10 + [0.3] * 10, np.linspace(0.01, 0.05, 20), strict=True):
            n = int(rng.binomial(4_000, share))
            x, y = int(rng.binomial(n, 1.3 * rate)), int(rng.binomial(4_000 - n, rate))
            real = n / 4_000
            greater = ratios.carried(greater, x, y, share=real, up=True)
            smaller = ratios.carried(smaller, x, y, share=real, up=False)
            low, high = ratios.interval(greater, smaller, 0.05)
            outside = outside or not low <= 1.3 <= high
        missed += outside
        widths.append(high / low)
    assert missed <= 3
    assert np.median(widths) < 2
