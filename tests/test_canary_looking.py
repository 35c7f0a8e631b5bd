"""Looks: what counts and what does not, when a canary goes on, and when it is rolled back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from canary_kit import BOUNDS, MINUTE, NOON, arm, counters, interval, latency, observation, rules, scores, stream
from slipway.canary import looking
from slipway.canary.increments import Increment, Skipped, since_last
from slipway.canary.looking import CanaryState
from slipway.canary.metrics import CellsState, CellState, RateState, ratio_of
from slipway.canary.observations import Arm, Categories, Histogram, Observation, Scores
from slipway.policy.canary import Canary

BAD, GOOD = (1_000, 300), (9_000, 90)


def looked(observations: Sequence[Observation], policy: Canary, state: CanaryState | None = None) -> CanaryState:
    state = state or looking.begin(policy, NOON)
    for each in observations:
        state = looking.look(state, each, policy, each.at)
    return state


def errors_of(state: CanaryState) -> RateState:
    found = state.metrics["errors"]
    assert isinstance(found, RateState)
    return found


def steady(minutes: int, *, first: int = 1, **said: Any) -> list[Observation]:
    """Two arms that are alike, with many errors, so that a canary is soon shown to be no worse."""
    return [interval(minute, (1_000, 100), (9_000, 900), **said) for minute in range(first, first + minutes)]


# What an observation adds.


def added(last: Observation | None, now: Observation) -> Increment:
    found = since_last(last, now)
    assert isinstance(found, Increment), found
    return found


def skipped(last: Observation | None, now: Observation) -> Skipped:
    found = since_last(last, now)
    assert isinstance(found, Skipped), found
    return found


def test_increment__of_counters_is_their_difference() -> None:
    found = added(counters(1, (100, 3), (900, 9)), counters(3, (250, 4), (2_100, 20)))
    assert (found.canary.requests, found.canary.errors) == (150, 1)
    assert (found.baseline.requests, found.baseline.errors) == (1_200, 11)
    assert found.minutes == 2


def test_increment__of_intervals_is_the_interval() -> None:
    found = added(interval(1, (100, 3), (900, 9)), interval(2, (250, 4), (2_100, 20)))
    assert (found.canary.requests, found.baseline.errors, found.minutes) == (250, 20, 1)


def test_increment__of_every_part() -> None:
    def both(minute: int, times: int) -> Observation:
        histogram = Histogram(bounds=(0.1,), counts=(3 * times, times))
        said = arm(
            10 * times,
            0,
            latency=histogram,
            predictions=Categories(categories={"late": times}),
            outcomes={"right": scores(times, 2 * times)},
        )
        return observation(minute, canary=said, baseline=said)

    found = added(both(1, 2), both(2, 5)).canary
    assert found.latency == Histogram(bounds=(0.1,), counts=(9, 3))
    assert found.predictions == Categories(categories={"late": 3})
    assert found.outcomes == {"right": scores(3, 6)}


def test_increment__a_score_or_category_that_occurs_first_has_counted_nothing_before() -> None:
    def both(minute: int, outcomes: Scores, answers: dict[str, int]) -> Observation:
        said = arm(100, 0, outcomes={"right": outcomes}, predictions=Categories(categories=answers))
        return observation(minute, canary=said, baseline=said)

    first = both(1, Scores(values=(1.0,), counts=(5,)), {"late": 2})
    found = added(first, both(2, scores(3, 9), {"late": 4, "early": 7})).canary
    assert found.outcomes == {"right": scores(3, 4)}
    assert found.predictions == Categories(categories={"late": 2, "early": 7})
    # A category that is gone was a counter that went back.
    assert skipped(both(1, scores(1, 1), {"late": 2}), both(2, scores(1, 1), {})).lost


def test_increment__the_same_or_an_older_observation_adds_nothing_and_keeps_the_place() -> None:
    last = counters(5, (100, 3), (900, 9))
    assert skipped(last, last).keeps
    assert skipped(last, counters(4, (90, 3), (800, 9))).keeps


def test_increment__a_counter_that_goes_back_is_noticed() -> None:
    found = skipped(counters(1, (100, 3), (900, 9)), counters(2, (40, 1), (1_800, 18)))
    assert found.lost
    assert "`requests` of the canary went back from 100 to 40" in found.why


def test_increment__a_server_that_began_anew_is_noticed_since_the_times_no_longer_agree() -> None:
    restarted = observation(10, canary=arm(40, 1, since=NOON + 7 * MINUTE), baseline=arm(9_000, 90))
    found = skipped(counters(5, (100, 3), (900, 9)), restarted)
    assert found.lost
    assert "counters of the canary began anew at 2026-11-25 12:07:00 UTC" in found.why


def test_increment__counts_that_overlap_do_not_count_twice() -> None:
    overlapping = observation(
        7, canary=arm(40, 1, since=NOON + 3 * MINUTE), baseline=arm(400, 1, since=NOON + 3 * MINUTE)
    )
    assert "overlap" in skipped(counters(5, (100, 3), (900, 9)), overlapping).why


def test_increment__other_cells_are_noticed() -> None:
    def with_bounds(minute: int, bound: float) -> Observation:
        said = arm(10, 0, latency=Histogram(bounds=(bound,), counts=(1, 1)))
        return observation(minute, canary=said, baseline=said)

    assert "cells of `latency`" in skipped(with_bounds(1, 0.1), with_bounds(2, 0.2)).why


def test_increment__across_a_change_of_the_traffic_is_left_out() -> None:
    found = skipped(counters(1, (100, 3), (900, 9), share=0.1), counters(2, (600, 3), (1_400, 9), share=0.5))
    assert "traffic was changed" in found.why
    assert not found.lost


def test_increment__first_counters_of_different_ages_count_from_here() -> None:
    old = observation(60, canary=arm(100, 1), baseline=arm(9_000, 90, since=NOON - timedelta(days=9)))
    assert not skipped(None, old).lost


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: arm(10, 11),
        lambda: Histogram(bounds=(0.2, 0.1), counts=(0, 0, 0)),
        lambda: Histogram(bounds=(0.1,), counts=(1,)),
        lambda: scores(-1, 3),
        lambda: Arm(since=NOON.replace(tzinfo=None), requests=1),
        lambda: Observation(at=NOON - MINUTE, canary=arm(), baseline=arm()),
    ],
)
def test_observation__refuses_what_cannot_be_meant(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        wrong()


# Decisions.


def test_look__rolls_back_what_fails_at_once() -> None:
    state = looked([interval(1, BAD, GOOD)], rules())
    assert state.decision == "roll-back"
    assert state.reasons == ("Harm is shown: errors.",)


def test_look__promotes_what_is_shown_to_be_no_worse() -> None:
    assert looked(steady(3), rules()).decision == "promote"


def test_look__time_and_traffic_alone_promote_nothing() -> None:
    policy = rules(metrics={"errors": {"floor": 0}})
    state = looked([interval(minute, (1_000, 0), (9_000, 0)) for minute in range(1, 30)], policy)
    assert state.decision == "continue"
    assert "It is not shown that errors is not worse than the margin." in state.reasons


def test_look__where_nothing_fails_the_floor_can_be_shown() -> None:
    # Of a rate that is higher by 0.001 no error in n requests has a probability of 0.999^n: 3,000 for 1/20.
    states = [looked([interval(n, (200, 0), (1_800, 0)) for n in range(1, minutes)], rules()) for minutes in (15, 40)]
    assert [state.decision for state in states] == ["continue", "promote"]
    assert 3_000 < errors_of(states[1]).canary[1] < 7_000


def test_look__evidence_without_the_stages_time_or_traffic_promotes_nothing() -> None:
    for stage in ({"share": 0.1, "minutes": 60, "requests": 1}, {"share": 0.1, "minutes": 1, "requests": 99_999}):
        state = looked(steady(5), rules(stages=[stage]))
        assert state.decision == "continue"
        assert looking.unproven(state, rules()) == ()


def test_look__without_traffic_nothing_is_shown() -> None:
    silent = [interval(minute, (0, 0), (9_000, 90)) for minute in range(1, 10)]
    state = looked(silent, rules())
    assert (state.decision, state.minutes, state.looks) == ("continue", 0.0, 0)
    assert any("The canary had no requests" in each for each in state.reasons)


def test_look__at_nothing_waits_and_ends_at_the_horizon_with_a_person() -> None:
    policy = rules(horizon_hours=2)
    state = looking.begin(policy, NOON)
    assert looking.look(state, None, policy, NOON + 119 * MINUTE).decision == "continue"
    state = looking.look(state, None, policy, NOON + 120 * MINUTE)
    assert state.decision == "inconclusive"
    assert "a person decides" in state.reasons[0]


def test_look__a_missing_metric_keeps_the_canary_where_it_is() -> None:
    said = [
        observation(
            minute,
            canary=arm(1_000, None, since=NOON + (minute - 1) * MINUTE),
            baseline=arm(9_000, None, since=NOON + (minute - 1) * MINUTE),
        )
        for minute in range(1, 5)
    ]
    stages = [{"share": 0.1, "minutes": 1, "requests": 1, "prove": False}, {"share": 0.5}]
    state = looked(said, rules(stages=stages))
    assert (state.decision, state.stage) == ("continue", 0)
    assert "Errors were not measured." in state.reasons


def test_look__a_decision_is_final() -> None:
    policy = rules()
    state = looked([interval(1, BAD, GOOD)], policy)
    assert looked(steady(9, first=2), policy, state) == state


def test_look__twice_at_the_same_observation_changes_no_evidence() -> None:
    policy = rules(metrics={"errors": {"margin": 1.05, "floor": 0}})
    once = looked(steady(2), policy)
    assert looked([*steady(2), steady(2)[0], steady(2)[1]], policy).metrics == once.metrics


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=4, max_size=12))
def test_look__out_of_order_and_repeated_never_counts_more_than_in_order(order: list[int]) -> None:
    policy = rules(metrics={"errors": {"margin": 1.01, "floor": 0}})
    each = {minute: counters(minute, (100 * minute, minute), (900 * minute, 9 * minute)) for minute in range(1, 5)}
    state = looked([each[minute] for minute in order], policy)
    last = max(order)
    assert errors_of(state).canary == (last, 100 * last)


def test_look__a_mismatch_of_the_traffic_makes_looks_worthless() -> None:
    skewed = [interval(minute, (3_000, 900), (7_000, 70)) for minute in range(1, 6)]
    state = looked(skewed, rules())
    assert (state.decision, state.looks, errors_of(state).looks) == ("continue", 0, 0)
    assert any("gets 0.3 of the requests instead of 0.1" in each for each in state.reasons)


def test_look__counters_that_are_lost_too_often_go_to_a_person() -> None:
    policy = rules(max_lost_looks=1)
    up_and_down = [counters(n, (100 - 10 * n, 1), (900 * n, 9)) for n in range(1, 5)]
    state = looked(up_and_down, policy)
    assert state.decision == "inconclusive"
    assert "looks were lost" in state.reasons[0]


def test_look__an_observation_of_the_future_is_left_out() -> None:
    state = looking.look(looking.begin(rules(), NOON), interval(60, BAD, GOOD), rules(), NOON)
    assert (state.decision, state.looks) == ("continue", 0)


STAGES = [{"share": share, "minutes": 2, "requests": 100} for share in (0.1, 0.5)]


def test_look__advances_and_begins_the_stage_anew_after_the_traffic_was_changed() -> None:
    policy = rules(stages=STAGES)
    state = looked(steady(2), policy)
    assert (state.decision, state.stage, state.minutes, state.requests) == ("advance", 1, 0.0, 0)
    # Read before the change was made, or across it: it says nothing of the new stage.
    early = observation(3, canary=arm(9, 0, since=NOON + MINUTE), baseline=arm(91, 0, since=NOON + MINUTE))
    state = looking.look(state, early, policy, early.at)
    assert (state.looks, state.minutes) == (2, 0.0)
    half = [interval(minute, (5_000, 500), (5_000, 500)) for minute in (4, 5)]
    state = looked(half, policy, state)
    assert (state.decision, state.minutes) == ("promote", 2.0)


def test_look__traffic_that_was_not_changed_yet_counts_as_evidence_alone() -> None:
    policy = rules(stages=STAGES)
    state = looked(steady(2, share=0.1), policy)
    state = looked(steady(5, first=3, share=0.1), policy, state)
    assert (state.decision, state.stage, state.minutes) == ("continue", 1, 0.0)
    assert any("given 0.1 of the traffic, and the stage is 0.5" in each for each in state.reasons)
    state = looked([interval(minute, (5_000, 500), (5_000, 500), share=0.5) for minute in (8, 9)], policy, state)
    assert state.decision == "promote"


def test_look__one_call_takes_at_most_one_step() -> None:
    policy = rules(stages=STAGES)
    state = looking.look_at_all(looking.begin(policy, NOON), steady(20), policy, NOON + 20 * MINUTE)
    assert (state.decision, state.stage, state.looks) == ("advance", 1, 2)
    again = looking.look_at_all(state, steady(20), policy, NOON + 20 * MINUTE)
    assert (again.decision, again.looks) == ("continue", 2)


def test_look__a_stage_that_asks_for_no_proof_is_left_by_time_and_traffic() -> None:
    policy = rules(stages=[{"share": 0.1, "minutes": 1, "requests": 1, "prove": False}, {"share": 0.5}])
    state = looked([interval(1, (100, 0), (900, 1))], policy)
    assert (state.decision, looking.unproven(state, policy)) == ("advance", ("errors",))


def test_look__the_last_stage_always_asks_for_proof() -> None:
    policy = rules(stages=[{"share": 0.1, "minutes": 1, "requests": 1, "prove": False}])
    assert looked([interval(1, (100, 0), (900, 1))], policy).decision == "continue"


def test_look__what_was_read_before_the_decision_is_no_beginning_of_the_new_stage() -> None:
    policy = rules(stages=STAGES)
    state = looked(steady(1), policy)
    # Decided five minutes after the last observation: nobody knows when the traffic was changed.
    state = looking.look(state, steady(1, first=2)[0], policy, NOON + 5 * MINUTE)
    assert state.decision == "advance"
    for minute, counted in ((4, 2), (6, 2), (7, 3)):
        seen = counters(minute, (5_000 * minute, 500 * minute), (5_000 * minute, 500 * minute))
        state = looking.look(state, seen, policy, seen.at)
        assert state.looks == counted, minute


def test_look__that_all_is_well_is_as_strong_as_its_weakest_part() -> None:
    well, open_one = CellState(proof=(9.0,) * 12), CellState(proof=(0.5,) * 12)
    found = CellsState(cells={"slower than 0.1 s": well, "slower than 0.2 s": open_one})
    assert found.proof_evidence == pytest.approx(0.5)


def test_look__several_metrics_share_alpha() -> None:
    one, four = rules(), rules(metrics={"latency": {}, "predictions": {}, "outcomes": {"right": {}}})
    assert looking.needed_for_harm(four) - looking.needed_for_harm(one) == pytest.approx(np.log(4))


# Metrics beside errors.


def timed(rng: np.random.Generator, minute: int, slower: float) -> Observation:
    since = NOON + (minute - 1) * MINUTE
    return observation(
        minute,
        canary=arm(500, 5, since=since, latency=latency(rng, 500, slower=slower)),
        baseline=arm(4_500, 45, since=since, latency=latency(rng, 4_500)),
    )


def test_latency__a_slower_canary_is_rolled_back_and_an_equal_one_is_not() -> None:
    policy = rules(metrics={"errors": None, "latency": {"margin": 0.05}})
    rng = np.random.default_rng(3)
    assert looked([timed(rng, minute, 1.1) for minute in range(1, 31)], policy).decision == "roll-back"
    assert looked([timed(rng, minute, 1.0) for minute in range(1, 31)], policy).decision == "promote"


def test_latency__of_one_bound_looks_at_no_other() -> None:
    policy = rules(metrics={"errors": None, "latency": {"slower_than": 0.4}})
    state = looked([timed(np.random.default_rng(4), 1, 1.0)], policy)
    found = state.metrics["latency"]
    assert isinstance(found, CellsState)
    assert [*found.cells] == ["slower than 0.4 s"]
    policy = rules(metrics={"errors": None, "latency": {"slower_than": 0.3}})
    state = looked([timed(np.random.default_rng(4), 1, 1.0)], policy)
    assert "Latency has no cell at 0.3." in state.reasons


def predicted(minute: int, canary: dict[str, int], baseline: dict[str, int]) -> Observation:
    since = NOON + (minute - 1) * MINUTE
    arms = (
        arm(sum(each.values()), 0, since=since, predictions=Categories(categories=each)) for each in (canary, baseline)
    )
    return observation(minute, canary=next(arms), baseline=next(arms))


def test_predictions__that_shift_either_way_are_rolled_back() -> None:
    policy = rules(metrics={"errors": None, "predictions": {"margin": 0.1, "harm": 0.05}})
    usual = {"late": 2_000, "early": 7_000}
    for canary in ({"late": 400, "early": 600}, {"late": 50, "early": 950}):
        state = looked([predicted(minute, canary, usual) for minute in range(1, 6)], policy)
        assert state.decision == "roll-back", canary
    alike = looked([predicted(minute, {"late": 222, "early": 778}, usual) for minute in range(1, 6)], policy)
    assert alike.decision == "promote"


def test_predictions__a_category_that_comes_later_is_one_of_the_others() -> None:
    policy = rules(metrics={"errors": None, "predictions": {"margin": 0.1, "harm": 0.05}})
    usual = {"late": 2_000, "early": 7_000}
    state = looked([predicted(1, {"late": 222, "early": 778}, usual)], policy)
    new = [predicted(minute, {"late": 222, "early": 500, "never": 278}, usual) for minute in range(2, 8)]
    state = looked(new, policy, state)
    found = state.metrics["predictions"]
    assert isinstance(found, CellsState)
    assert state.decision == "roll-back"
    assert found.worst is not None
    assert found.worst[0] in ("more: all other categories", "less: early")


def test_predictions__a_category_that_only_one_version_answers_with_is_a_difference() -> None:
    policy = rules(metrics={"errors": None, "predictions": {"margin": 0.1, "harm": 0.05}})
    usual = {"late": 1_800, "early": 7_200}
    state = looked([predicted(minute, {"early": 1_000}, usual) for minute in range(1, 6)], policy)
    assert state.decision == "roll-back"


def labelled(minute: int, canary: tuple[int, int], baseline: tuple[int, int]) -> Observation:
    since = NOON + (minute - 1) * MINUTE
    arms = (
        arm(n, 0, since=since, outcomes={"right": scores(*each)}) for n, each in ((1_000, canary), (9_000, baseline))
    )
    return observation(minute, canary=next(arms), baseline=next(arms))


def test_outcomes__late_labels_count_when_they_come() -> None:
    policy = rules(metrics={"errors": None, "outcomes": {"right": {"margin": 0.1}}})
    waiting = [labelled(minute, (0, 0), (0, 0)) for minute in range(1, 4)]
    state = looked(waiting, policy)
    assert state.decision == "continue"
    assert "There are no data of outcome right yet." in state.reasons
    worse = looked([labelled(minute, (60, 40), (270, 630)) for minute in range(4, 12)], policy, state)
    assert worse.decision == "roll-back"
    same = looked([labelled(minute, (30, 70), (270, 630)) for minute in range(4, 24)], policy, state)
    assert same.decision == "promote"


# The state.


def test_state__survives_json_at_every_look() -> None:
    policy = rules(stages=STAGES, metrics={"latency": {}})
    state = looking.begin(policy, NOON)
    rng = np.random.default_rng(5)
    for minute in range(1, 8):
        state = looking.look(state, timed(rng, minute, 1.0), policy, NOON + minute * MINUTE)
        assert CanaryState.model_validate_json(state.model_dump_json()) == state


def test_state__has_the_same_size_after_any_number_of_looks() -> None:
    policy = rules(metrics={"errors": {"margin": 1.001, "floor": 0}}, horizon_hours=1_000)
    observations = list(stream(np.random.default_rng(6), [0.01] * 300))
    first = len(looked(observations[:120], policy).model_dump_json())
    state = looked(observations, policy)
    assert state.looks == 300
    assert len(state.model_dump_json()) < 1.1 * first
    assert len(state.trail) <= looking.MOST_POINTS
    assert state.trail[-1].look > 290


def test_state__knows_the_ratio_whatever_the_rates_did() -> None:
    policy = rules(metrics={"errors": {"margin": 1.001, "floor": 0}})
    state = looked(list(stream(np.random.default_rng(7), list(np.linspace(0.02, 0.2, 30)), harm=1.0)), policy)
    assert ratio_of(errors_of(state)) == pytest.approx(1.0, abs=0.1)
    assert json.loads(state.model_dump_json())["schema_version"] == 1


def test_bounds__are_those_of_the_kit() -> None:
    assert sum(latency(np.random.default_rng(8), 100).counts) == 100
    assert len(BOUNDS) == 4
