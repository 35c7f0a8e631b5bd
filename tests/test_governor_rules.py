"""The rules: a table of what each one says, and what must hold whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governor_kit import AT_ONCE, MODEL, NOW, check, drift, facts, past, validation
from slipway.governor.decision import decide
from slipway.governor.facts import Facts, History, InFlight, Retraining, Unknown, Window
from slipway.governor.keys import prefix
from slipway.governor.rules import ORDER
from slipway.policy.retraining import BackOff, Persistence
from slipway.policy.retraining import Retraining as Policy
from slipway.report import Verdict

POLICY = Policy.model_validate({"workflow": "retrain.yml", "persistence": AT_ONCE})
OURS, ANOTHERS = f"{prefix(MODEL)}{'a' * 16}", f"{prefix('delays')}{'a' * 16}"


def policy(**said: Any) -> Policy:
    return Policy.model_validate({"workflow": "retrain.yml", "persistence": AT_ONCE, **said})


def history(*retrainings: Retraining, **said: Any) -> History:
    return History(retrainings=retrainings, **said)


def windows(*verdicts: str) -> History:
    return History(windows=tuple(Window(f"w{n}", Verdict(verdict)) for n, verdict in enumerate(verdicts)))


def test_decide__lets_go_where_every_rule_does() -> None:
    decision = decide(facts(), POLICY)
    assert (decision.action, decision.verdict, decision.deciding, decision.generation) == (
        *("dispatch", Verdict.PASS, None, 1),
    )
    assert [each.rule for each in decision.rulings] == list(ORDER)
    assert {each.answer for each in decision.rulings} == {"go"}
    assert decision.sentence == "Retrain. Drift was found: 1 of 10 columns has drifted."


TWO = {"persistence": {"drifted": 2, "windows": 2}}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    # what it is about, facts, policy, the rule that decides, its answer
    ("no drift", {"drift": drift("pass")}, {}, "drift", "hold"),
    ("inconclusive drift", {"drift": drift("inconclusive")}, {}, "drift", "unknown"),
    ("another cause", {}, {"causes": ["performance"]}, "drift", "hold"),
    (
        "a cause among others",
        {"drift": drift(checks=(check(), check("auc", role="performance")))},
        {"causes": ["performance"]},
        "",
        "go",
    ),
    (
        "a check without a role is a feature",
        {"drift": drift(checks=(check().model_copy(update={"values": {}}),))},
        {"causes": ["feature"]},
        "",
        "go",
    ),
    ("an old report", {"drift": drift(started=NOW - timedelta(hours=73))}, {}, "age", "hold"),
    ("just young enough", {"drift": drift(started=NOW - timedelta(hours=72))}, {}, "", "go"),
    ("a report of tomorrow", {"drift": drift(started=NOW + timedelta(hours=2))}, {}, "age", "unknown"),
    ("invalid data", {"validation": validation("fail")}, {}, "data quality", "hold"),
    (
        "invalid data, none required",
        {"validation": validation("fail")},
        {"data_quality": "if_given"},
        "data quality",
        "hold",
    ),
    ("doubtful data", {"validation": validation("inconclusive")}, {}, "data quality", "unknown"),
    ("no validation", {"validation": None}, {}, "data quality", "unknown"),
    ("no validation, none required", {"validation": None}, {"data_quality": "if_given"}, "", "go"),
    (
        "a broken delivery",
        {"drift": drift(checks=(check(), check("gone", role="quality")))},
        {},
        "data quality",
        "hold",
    ),
    (
        "an open delivery",
        {"drift": drift(checks=(check(), check("few", "inconclusive", "quality")))},
        {},
        "data quality",
        "unknown",
    ),
    ("first of two windows", {"history": windows()}, TWO, "persistence", "hold"),
    ("second of two windows", {"history": windows("pass", "fail")}, TWO, "", "go"),
    ("second, not in a row", {"history": windows("fail", "pass")}, TWO, "persistence", "hold"),
    ("two of three", {"history": windows("fail", "pass")}, {"persistence": {"drifted": 2, "windows": 3}}, "", "go"),
    ("an inconclusive one between", {"history": windows("fail", "inconclusive")}, TWO, "persistence", "hold"),
    (
        "a broken delivery before",
        {"history": History(windows=(Window("w", Verdict.FAIL, frozenset({"quality"})),))},
        TWO,
        "persistence",
        "hold",
    ),
    (
        "what is no cause before",
        {"history": History(windows=(Window("w", Verdict.FAIL, frozenset({"prediction"})),))},
        {**TWO, "causes": ["feature"]},
        "persistence",
        "hold",
    ),
    (
        "a cause beside a broken column before",
        {"history": History(windows=(Window("w", Verdict.FAIL, frozenset({"feature", "quality"})),))},
        TWO,
        "",
        "go",
    ),
    (
        "an earlier version's window",
        {"history": History(windows=(Window("w", Verdict.FAIL, production="sha256:old"),))},
        TWO,
        "persistence",
        "hold",
    ),
    (
        "the same version's window",
        {"history": History(windows=(Window("w", Verdict.FAIL, production="sha256:abc"),))},
        TWO,
        "",
        "go",
    ),
    (
        "the same window again",
        {"history": History(windows=(Window("dvc:july", Verdict.FAIL),))},
        TWO,
        "persistence",
        "hold",
    ),
    ("answered already", {"history": history(past(900, key=facts().key))}, {}, "duplicate", "hold"),
    ("perhaps answered", {"history": history(past(900, key=facts().key, state="unknown"))}, {}, "duplicate", "hold"),
    ("decided a moment ago", {"history": history(past(0.1, state="open"))}, {"cooldown_hours": 0}, "in flight", "hold"),
    ("decided and never settled", {"history": history(past(50, state="open"))}, {}, "in flight", "hold"),
    ("just started", {"history": history(past(0.2))}, {"cooldown_hours": 0, "per_day": 9}, "in flight", "hold"),
    ("started a while ago", {"history": history(past(0.26))}, {"cooldown_hours": 0, "per_day": 9}, "", "go"),
    ("a run of ours", {"in_flight": (InFlight(7, "queued", key=OURS),)}, {}, "in flight", "hold"),
    ("a run of anybody", {"in_flight": (InFlight(7, "waiting"),)}, {}, "in flight", "hold"),
    ("a run of another model", {"in_flight": (InFlight(7, "queued", key=ANOTHERS),)}, {}, "", "go"),
    ("GitHub does not tell", {"in_flight": Unknown("403")}, {}, "in flight", "unknown"),
    ("third generation", {"history": history(past(48, generation=2))}, {}, "", "go"),
    ("fourth generation", {"history": history(past(48, generation=3))}, {}, "generation", "hold"),
    ("long ago", {"history": history(past(31 * 24, generation=3))}, {}, "", "go"),
    ("a person looked", {"history": history(past(48, generation=3), reviewed=NOW - timedelta(hours=1))}, {}, "", "go"),
    (
        "a person looked before",
        {"history": history(past(48, generation=3), reviewed=NOW - timedelta(hours=49))},
        {},
        "generation",
        "hold",
    ),
    ("set off by a retraining", {"caused_by": 3}, {}, "generation", "hold"),
    ("within the cooldown", {"history": history(past(23.9))}, {}, "cooldown", "hold"),
    ("after the cooldown", {"history": history(past(24))}, {}, "", "go"),
    ("budget used up", {"history": history(past(20), past(10))}, {"cooldown_hours": 1, "per_day": 2}, "budget", "hold"),
    ("budget free again", {"history": history(past(24), past(10))}, {"cooldown_hours": 1, "per_day": 2}, "", "go"),
    ("did not help", {"history": history(past(47, helped=False))}, {}, "back-off", "hold"),
    ("did not help, waited", {"history": history(past(48, helped=False))}, {}, "", "go"),
    (
        "did not help twice",
        {"history": history(past(200, helped=False), past(95, helped=False))},
        {},
        "back-off",
        "hold",
    ),
    ("helped since", {"history": history(past(200, helped=False), past(95))}, {}, "", "go"),
    ("no back-off", {"history": history(past(30, helped=False))}, {"back_off": {"factor": 1}}, "", "go"),
    (
        "at most so long",
        {"history": history(past(49, helped=False))},
        {"back_off": {"factor": 90, "max_days": 2}},
        "",
        "go",
    ),
    (
        "never less than the cooldown",
        {"history": history(past(40, helped=False))},
        {"cooldown_hours": 72, "back_off": {"max_days": 1}},
        "cooldown",
        "hold",
    ),
    ("the ledger is away", {"history": Unknown("no network")}, {}, "persistence", "unknown"),
]


@pytest.mark.parametrize(("said", "rules", "rule", "answer"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_decide__by(said: dict[str, Any], rules: dict[str, Any], rule: str, answer: str) -> None:
    decision = decide(facts(**said), policy(**rules))
    assert (decision.deciding.rule if decision.deciding else "") == rule, decision.sentence
    assert decision.action == ("dispatch" if answer == "go" else "hold")
    assert decision.verdict is (Verdict.INCONCLUSIVE if answer == "unknown" else Verdict.PASS)
    if decision.deciding:
        assert decision.deciding.answer == answer


def test_decide__what_is_certain_counts_before_what_is_not_known() -> None:
    decision = decide(facts(validation=None, history=history(past(1))), POLICY)
    assert (decision.action, decision.verdict) == ("hold", Verdict.PASS)
    assert decision.deciding and decision.deciding.rule == "cooldown"
    # And everything else is said as well.
    answers = {each.rule: each.answer for each in decision.rulings}
    assert answers["data quality"] == "unknown" and answers["budget"] == "hold"
    assert decision.reasons[0].startswith("cooldown (hold): ") and len(decision.reasons) == len(ORDER)


def test_decide__says_numbers_and_times() -> None:
    decision = decide(
        facts(history=history(past(100, helped=False, result="entry 17: evaluation fail"), past(1))), POLICY
    )
    said = {each.rule: each for each in decision.rulings}
    assert said["cooldown"].because == (
        "The last retraining was 1 h ago; the cooldown is 24 h, until 2026-11-26 11:00 UTC."
    )
    assert said["cooldown"].values == {"wait_hours": 24.0, "since_hours": 1.0}
    assert said["budget"].values == {"spent": 1, "per_day": 1}
    decision = decide(facts(history=history(past(30, helped=False, result="entry 17: evaluation fail"))), POLICY)
    assert decision.sentence == (
        "Hold (back-off). The last retraining was 30 h ago; the last 1 did not help (entry 17: evaluation fail), so "
        "the wait is 2 days, until 2026-11-26 06:00 UTC."
    )
    evidence = json.loads(decision.evidence)
    assert [each["rule"] for each in evidence["rules"]] == list(ORDER)
    assert evidence["rules"][-1]["values"] == {"wait_hours": 48.0, "in_vain": 1, "since_hours": 30.0}


def test_decide__says_where_the_earlier_windows_are_missing() -> None:
    """Who does not record drift reports would wait for a second window for ever."""
    first = decide(facts(history=windows()), policy(**TWO)).deciding
    assert first and first.because.endswith("No earlier window is on record: record-reports puts drift reports there.")
    second = decide(facts(history=windows("pass")), policy(**TWO)).deciding
    assert second and "on record" not in second.because
    alone = decide(facts(history=windows()), POLICY)
    assert "on record" not in {each.rule: each.because for each in alone.rulings}["persistence"]


def test_decide__a_long_row_in_vain_has_a_longest_wait() -> None:
    many = history(*(past(800 + n, helped=False) for n in range(500, 0, -1)), past(719, helped=False, generation=1))
    decision = decide(facts(history=many), policy(generation_days=1))
    assert decision.deciding and decision.deciding.values["wait_hours"] == 720.0


def test_checks__are_inconclusive_only_where_a_rule_has_no_answer() -> None:
    decision = decide(facts(in_flight=Unknown("403"), history=history(past(1))), POLICY)
    assert [each.name for each in decision.checks if each.verdict is Verdict.INCONCLUSIVE] == ["in flight"]
    assert {each.name: each.values["answer"] for each in decision.checks}["cooldown"] == "hold"
    assert [row[0] for row in decision.table.rows] == list(ORDER)


def test_policy__persistence_that_no_window_can_meet() -> None:
    with pytest.raises(ValueError, match="can never be met"):
        Persistence(drifted=3, windows=2)
    assert BackOff().factor == 2


# Whatever happens.

policies = st.builds(
    lambda cooldown, per_day, most, days, factor: policy(
        cooldown_hours=cooldown,
        per_day=per_day,
        generations=most,
        generation_days=days,
        back_off={"factor": factor, "max_days": 3},
    ),
    st.sampled_from([0, 0.5, 1, 5, 24]),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([0.5, 2, 30]),
    st.sampled_from([1, 1.5, 2]),
)
looks = st.lists(
    st.tuples(
        st.integers(1, 12 * 60),  # minutes since the look before
        st.sampled_from(["fail", "fail", "fail", "pass", "inconclusive"]),
        st.sampled_from(["pass", "pass", "fail", "inconclusive"]),
        st.booleans(),  # whether what is started helps
        st.booleans(),  # whether a person looks afterwards
    ),
    max_size=40,
)


@given(policies, looks)
def test_stream__limits_hold(rules: Policy, stream: list[tuple[int, str, str, bool, bool]]) -> None:
    now, seen = NOW, History()
    for number, (minutes, found, valid, helps, looked) in enumerate(stream):
        now += timedelta(minutes=minutes)
        report = drift(found, window=f"w{number}", started=now)
        decision = decide(facts(drift=report, validation=validation(valid), history=seen, now=now), rules)
        if decision.action == "dispatch":
            assert (found, valid) == ("fail", "pass")
            made = Retraining(f"k{number}", now, decision.generation, helped=helps)
            seen = replace(seen, retrainings=(*seen.retrainings, made))
        if looked:
            seen = replace(seen, reviewed=now + timedelta(seconds=1))
    times = [each.at for each in seen.retrainings]
    assert all(later - earlier >= timedelta(hours=rules.cooldown_hours) for earlier, later in pairwise(times))
    for start in times:
        assert sum(start <= each < start + timedelta(hours=24) for each in times) <= rules.per_day
    assert all(1 <= each.generation <= rules.generations for each in seen.retrainings)


@given(
    st.sampled_from(["fail", "inconclusive", "absent"]),
    st.sampled_from(["fail", "pass", "inconclusive"]),
    policies,
    st.integers(0, 5),
)
def test_bad_data_never_start_anything(quality: str, found: str, rules: Policy, caused_by: int) -> None:
    given_report = None if quality == "absent" else validation(quality)
    said: Facts = facts(drift=drift(found), validation=given_report, caused_by=caused_by)
    assert decide(said, rules).action == "hold"


@given(policies, st.integers(0, 9), st.sampled_from(["required", "if_given"]))
def test_an_inconclusive_report_never_starts_anything(rules: Policy, caused_by: int, quality: str) -> None:
    rules = rules.model_copy(update={"data_quality": quality})
    assert decide(facts(drift=drift("inconclusive"), caused_by=caused_by), rules).action == "hold"
