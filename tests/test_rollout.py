"""The next step of a release: from whatever a run finds, it ends where the ledger says, and never passes by a rule."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway.rollout.steps import (
    Cause,
    Fail,
    OnRecord,
    Opened,
    Point,
    Promote,
    Revert,
    Shift,
    Start,
    Step,
    Stop,
    Try,
    next_step,
    shares_of,
)

Health = Literal["ready", "starting", "failed"]
MOST_STEPS = 20
"""More than any release needs: whoever takes so many goes round in circles."""


@dataclass
class Seen:
    version: str
    share: float = 0.0
    health: Health = "ready"


@dataclass
class World:
    """Ledger, registry and target of one environment, as far as a step changes them."""

    record: OnRecord
    served: dict[str, Seen] = field(default_factory=dict)
    alias: str = ""
    broken: frozenset[str] = frozenset()
    """Versions that never answer."""

    wrong: frozenset[str] = frozenset()
    """Versions that do not pass the golden test."""

    golden: set[str] = field(default_factory=set)
    """Versions that passed it in any run, or had requests at the beginning."""

    log: list[Step] = field(default_factory=list)

    def run(self, *, killed_after: int = MOST_STEPS + 1) -> None:  # noqa: PLR0912 - one case for each step
        """One run, until nothing is left to do or it is killed."""
        tried: set[str] = set()
        started: set[str] = set()
        cause: Cause | None = None
        pointed: str | None = None
        for number in range(MOST_STEPS + 1):
            if number == killed_after:
                return
            found = [*self.served.values()]
            step = next_step(self.record, found, started=started, tried=tried, cause=cause, pointed=pointed)
            if step is None:
                return
            self.log.append(step)
            match step:
                case Start(version) if version in self.broken:
                    self.served.pop(version, None)
                    if not (self.record.opened and version == self.record.opened.version):
                        return  # production itself cannot be brought up: an error of the run
                    cause = "not ready"
                case Start(version):
                    started.add(version)
                    self.served[version] = Seen(version, getattr(self.served.get(version), "share", 0.0))
                case Try(version) if version in self.wrong:
                    cause = "golden"
                case Try(version):
                    tried.add(version)
                    self.golden.add(version)
                case Fail(_, why):
                    cause = why
                case Shift(shares):
                    for version, seen in self.served.items():
                        seen.share = shares.get(version, 0.0)
                        assert not seen.share or version in self.golden, "nothing untested gets requests"
                    assert sum(shares.values()) == pytest.approx(1 if shares else 0)
                case Promote(version):
                    assert self.served[version].share == 1
                    self.record = OnRecord(live=version, previous=self.record.live)
                case Revert():
                    self.record = replace(self.record, opened=None)
                    cause = None
                case Point(version):
                    self.alias = pointed = version
                case Stop(version):
                    assert not self.served[version].share
                    del self.served[version]
        pytest.fail(f"no end: {self.log}")

    @property
    def shares(self) -> dict[str, float]:
        return {version: seen.share for version, seen in self.served.items() if seen.share}


def opened(**said: object) -> Opened:
    given = {"number": 7, "version": "2", "beside": "1", "rollout": "canary", "share": 0.05, **said}
    return Opened(**given)  # type: ignore[arg-type]


def serving_one(record: OnRecord, **said: object) -> World:
    served = {"1": Seen("1", 1.0)}
    return World(record, served=served, alias="1", golden={"1"}, **said)  # type: ignore[arg-type]


def test_first_release__goes_through_every_step_in_order() -> None:
    world = World(OnRecord(opened=opened(beside="", rollout="canary")))
    world.run()
    assert world.log == [Start("2"), Try("2"), Shift({"2": 1.0}), Promote("2"), Point("2")]
    assert (world.record.live, world.alias, world.shares) == ("2", "2", {"2": 1.0})


def test_canary__begins_with_its_share_and_waits() -> None:
    world = serving_one(OnRecord(live="1", opened=opened()))
    world.run()
    assert world.log == [Start("2"), Try("2"), Shift({"1": 0.95, "2": 0.05})]
    assert world.record.live == "1"
    assert world.alias == "1"


def test_canary__a_look_advances_it_without_another_test() -> None:
    world = serving_one(OnRecord(live="1", opened=opened()))
    world.run()
    world.log.clear()
    world.record = OnRecord(live="1", opened=opened(share=0.25))
    world.run()
    assert world.log == [Shift({"1": 0.75, "2": 0.25})]


def test_canary__is_promoted_and_the_version_before_stays_ready() -> None:
    world = serving_one(OnRecord(live="1", opened=opened()))
    world.run()
    world.log.clear()
    world.record = OnRecord(live="1", opened=opened(decision="promote"))
    world.run()
    assert world.log == [Shift({"2": 1.0}), Promote("2"), Point("2")]
    assert {version: seen.share for version, seen in world.served.items()} == {"1": 0.0, "2": 1.0}


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_canary__harm_takes_it_back_before_the_ledger_says_so(share: float) -> None:
    world = serving_one(OnRecord(live="1", opened=opened(share=share)))
    world.run()
    world.log.clear()
    world.record = OnRecord(live="1", opened=opened(share=share, decision="roll-back"))
    world.run()
    assert world.log == [Shift({"1": 1.0}), Revert("2", "harm"), Point("1"), Stop("2")]


def test_canary__one_that_fails_alone_is_taken_back() -> None:
    world = serving_one(OnRecord(live="1", opened=opened()))
    world.run()
    world.log.clear()
    world.served["2"].health = "failed"
    world.run()
    assert world.log == [Fail("2", "unhealthy"), Shift({"1": 1.0}), Revert("2", "unhealthy"), Point("1"), Stop("2")]


def test_canary__where_the_whole_place_failed_both_are_brought_up_again() -> None:
    world = serving_one(OnRecord(live="1", opened=opened()))
    world.run()
    world.log.clear()
    for seen in world.served.values():
        seen.health = "failed"
    world.run()
    assert world.log == [Start("1"), Start("2")]
    assert world.shares == {"1": 0.95, "2": 0.05}


@pytest.mark.parametrize(
    ("broken", "wrong", "cause"), [({"2"}, set(), "not ready"), (set(), {"2"}, "golden")], ids=["broken", "wrong"]
)
def test_release__one_that_is_not_fit_never_gets_a_request(broken: set[str], wrong: set[str], cause: Cause) -> None:
    world = serving_one(OnRecord(live="1", opened=opened()), broken=frozenset(broken), wrong=frozenset(wrong))
    world.run()
    assert Revert("2", cause) in world.log
    assert not any(isinstance(step, Shift) for step in world.log)
    assert (world.shares, world.record.opened, set(world.served)) == ({"1": 1.0}, None, {"1"})


def test_first_release__that_is_not_fit_leaves_nothing() -> None:
    world = World(OnRecord(opened=opened(beside="")), wrong=frozenset({"2"}))
    world.run()
    assert (world.record, world.served, world.alias) == (OnRecord(), {}, "")


def test_held_canary__keeps_its_share() -> None:
    world = serving_one(OnRecord(live="1", opened=opened(decision="hold")))
    world.run()
    world.log.clear()
    world.run()
    assert world.log == []
    assert world.shares == {"1": 0.95, "2": 0.05}


def test_closed__what_was_changed_by_hand_is_set_back() -> None:
    world = World(
        OnRecord(live="2", previous="1"),
        served={each: Seen(each, share) for each, share in (("1", 0.4), ("2", 0.5), ("9", 0.1))},
        alias="9",
        golden={"1", "2", "9"},
    )
    world.run()
    assert world.log == [Shift({"2": 1.0}), Point("2"), Stop("9")]


def test_closed__without_keeping_the_previous_version() -> None:
    record, found = OnRecord(live="2", previous="1"), [Seen("1"), Seen("2", 1.0)]
    assert next_step(record, found, pointed="2", keep_previous=False) == Stop("1")
    assert next_step(record, found, pointed="2") is None


def test_shares__of_nothing_on_record() -> None:
    assert shares_of(OnRecord()) == {}
    assert next_step(OnRecord(), []) is None


VERSIONS = ("1", "2", "9")
SEEN = st.fixed_dictionaries({}, optional={v: st.sampled_from(("ready", "starting", "failed")) for v in VERSIONS})
RELEASES = st.none() | st.builds(
    Opened,
    number=st.just(7),
    version=st.just("2"),
    beside=st.sampled_from(("", "1")),
    rollout=st.sampled_from(("at_once", "canary")),
    share=st.sampled_from((0.01, 0.25, 0.5)),
    decision=st.sampled_from(("continue", "promote", "hold", "roll-back")),
)


@given(
    release=RELEASES,
    health=SEEN,
    shares=st.permutations([0.0, 0.05, 0.95]) | st.just([1.0, 0.0, 0.0]) | st.just([0.0, 0.0, 0.0]),
    broken=st.sets(st.just("2")),
    wrong=st.sets(st.just("2")),
    kills=st.lists(st.integers(0, 6), max_size=4),
)
@example(opened(), {"1": "failed", "2": "failed"}, [0.95, 0.05, 0.0], set(), set(), [0, 1, 2])
def test_runs__that_are_killed_anywhere_end_where_the_ledger_says(
    release: Opened | None,
    health: dict[str, Health],
    shares: list[float],
    broken: set[str],
    wrong: set[str],
    kills: list[int],
) -> None:
    live = "1" if release is None else release.beside
    served = {v: Seen(v, share, health[v]) for v, share in zip(VERSIONS, shares, strict=True) if v in health}
    had = {version for version, seen in served.items() if seen.share} | ({live} if live else set())
    world = World(
        OnRecord(live=live, opened=release), served, broken=frozenset(broken), wrong=frozenset(wrong), golden=had
    )
    for steps in kills:
        world.run(killed_after=steps)
    world.run()
    now = world.record
    if now.opened:  # a canary that waits for a look, or for a person
        assert now.opened.decision in ("continue", "hold") and now.opened.rollout == "canary"
        assert world.shares == pytest.approx({"1": 1 - now.opened.share, "2": now.opened.share})
        return
    assert world.shares == ({now.live: 1.0} if now.live else {})
    assert world.alias == now.live
    assert set(world.served) <= {now.live, now.previous}
    if release and (release.decision == "roll-back" or ("2" in broken and health.get("2") != "ready")):
        assert now.live == release.beside
